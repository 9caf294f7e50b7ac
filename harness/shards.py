"""Tokens and rows as plain .npy files, written as a stream and read through memory maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import tiktoken

from harness.errors import DataError
from harness.packing import DocumentStore, Rows, cropped_share, pack
from harness.tokenizer import encode_documents

# Rows packed at a time: enough to forget the cost of a call, still small in memory.
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """How much text one split holds."""

    documents: int
    bytes: int  # of UTF-8
    tokens: int  # one BOS a document included

    def __add__(self, other: Text) -> Text:
        return Text(
            documents=self.documents + other.documents,
            bytes=self.bytes + other.bytes,
            tokens=self.tokens + other.tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """How much of it stands in rows."""

    rows: int
    tokens: int
    cropped_share: float  # tokens cut off, of all tokens of the documents that were placed


class RowsWriter:
    """A (rows, row_len) uint16 .npy file whose number of rows is known only when it ends."""

    def __init__(self, path: Path, row_len: int) -> None:
        self.path = path
        self.row_len = row_len
        self.rows = 0
        self._file: BinaryIO

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        self._write_header()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._file.seek(0)
            self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        # numpy pads the header so that the first dimension may grow in place.
        header = {"descr": "<u2", "fortran_order": False, "shape": (self.rows, self.row_len)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def write(self, rows: Rows) -> None:
        """Append (n, row_len) rows."""
        self._file.write(np.ascontiguousarray(rows, dtype="<u2").data)
        self.rows += len(rows)


def write_tokens(
    folder: Path,
    shards: Iterable[Iterable[Sequence[str]]],
    tokenizer: tiktoken.Encoding,
    threads: int,
) -> Iterator[Text]:
    """Encode shards of batches of documents into tokens-*.npy and documents-*.npy; a count for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, batches in enumerate(shards):
        tokens = []
        starts = []
        written = 0
        size_bytes = 0
        for documents in batches:
            batch_tokens, batch_starts = encode_documents(tokenizer, documents, threads)
            tokens.append(batch_tokens)
            starts.append(batch_starts + written)
            written += len(batch_tokens)
            size_bytes += sum(len(document.encode()) for document in documents)
        if not written:
            raise DataError("a shard holds no text.", do="check where it came from.")
        all_starts = np.concatenate(starts)
        np.save(folder / f"tokens-{number:05d}.npy", np.concatenate(tokens))
        np.save(folder / f"documents-{number:05d}.npy", all_starts)
        yield Text(documents=len(all_starts), bytes=size_bytes, tokens=written)


def write_rows(documents: DocumentStore, path: Path, row_len: int, wanted: int | None) -> Packed:
    """Pack documents in their order into a file of rows: all there are, or exactly `wanted`.

    Raises:
        DataError: the text fills fewer rows than wanted, or none at all.
    """
    order = np.arange(len(documents))
    with RowsWriter(path, row_len) as writer:
        for rows in pack(documents, order, row_len, rows_at_once=_ROWS_AT_ONCE):
            writer.write(rows if wanted is None else rows[: wanted - writer.rows])
            if writer.rows == wanted:
                break
    if writer.rows < (wanted or 1):
        raise DataError(
            f"there is too little text for {path.name}.",
            why=f"it fills {writer.rows} rows of {row_len} tokens; {wanted or 1} are needed.",
            do="use the complete text, or more shards.",
        )
    return Packed(
        rows=writer.rows,
        tokens=writer.rows * row_len,
        cropped_share=cropped_share(documents, order, row_len, writer.rows),
    )
