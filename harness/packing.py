"""Best-fit packing: documents into rows of equal length, every token of every row used.

A row is filled by whichever of the next 1000 documents fits its free end best: the longest that still
fits, and among equals the one that came first. When none fits, the shortest is cut to fill the row and
its tail is thrown away. So every row starts with a document, and every document starts with BOS.

`benchmarks/plain_packing.py` is the same in a few plain lines; a test holds the two to identical rows.
Here the buffer is a sorted list, so a choice costs a binary search instead of a walk over 1000 documents.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError

# How many documents a row may choose from.
BUFFER_DOCUMENTS = 1000

# A key in the buffer is (length, arrival) in one integer; arrivals stay far below this.
_ARRIVALS = 1 << 40

Rows = np.ndarray[Any, np.dtype[np.uint16]]  # (rows, row_len)
Tokens = np.ndarray[Any, np.dtype[np.uint16]]  # (tokens,)
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class DocumentStore:
    """Tokenised documents in shards, read through memory maps.

    Document i is `shards[shard_of[i]][starts[i] : ends[i]]`, and starts with BOS.
    """

    shards: Sequence[Tokens]
    shard_of: Integers
    starts: Integers
    ends: Integers

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def token_count(self) -> int:
        return int((self.ends - self.starts).sum())

    @classmethod
    def of(cls, shards: Sequence[Tokens], starts: Sequence[Integers]) -> DocumentStore:
        """Join shards; `starts[k]` says where the documents of `shards[k]` begin."""
        ends = [
            np.append(begin[1:], len(shard))[: len(begin)]
            for shard, begin in zip(shards, starts, strict=True)
        ]
        return cls(
            shards=shards,
            shard_of=np.repeat(np.arange(len(shards)), [len(begin) for begin in starts]),
            starts=np.concatenate(starts),
            ends=np.concatenate(ends).astype(np.int64),
        )

    @classmethod
    def open(cls, folder: Path) -> DocumentStore:
        """Map tokens-*.npy and documents-*.npy of a folder.

        Raises:
            DataError: no shard, or one of a pair is missing or unreadable.
        """
        token_files = sorted(folder.glob("tokens-*.npy"))
        if not token_files:
            raise DataError(
                f"there is no training text in {folder}.",
                why="it holds no tokens-*.npy; before prepare.start() the folder is empty on purpose.",
                do="call prepare.start() first, or run `make data`.",
            )
        try:
            shards = [np.load(file, mmap_mode="r", allow_pickle=False) for file in token_files]
            starts = [
                np.load(
                    file.with_name(file.name.replace("tokens", "documents")), allow_pickle=False
                )
                for file in token_files
            ]
        except (OSError, ValueError) as error:
            raise DataError(
                f"the training text in {folder} cannot be read.",
                why=str(error),
                do="delete the data folder and run `make data` again.",
            ) from error
        return cls.of(shards, starts)


def rows_file(folder: Path, sequence_len: int) -> Path:
    """Where the rows of T+1 tokens lie, once packed."""
    return folder / f"rows-{sequence_len}.npy"


def pack(
    documents: DocumentStore, order: Integers, row_len: int, *, rows_at_once: int
) -> Iterator[Rows]:
    """Pack documents, taken in `order`, into rows; yields (at most rows_at_once, row_len) uint16.

    Every yielded array is fresh. What is left at the end and fills no whole row is dropped.
    """
    lengths = (documents.ends - documents.starts)[order].tolist()
    starts = documents.starts[order].tolist()
    shard_of = documents.shard_of[order].tolist()
    shards = documents.shards
    flat = np.empty(rows_at_once * row_len, dtype=np.uint16)
    at = 0
    for arrival, taken in _plan(lengths, row_len):
        start = starts[arrival]
        flat[at : at + taken] = shards[shard_of[arrival]][start : start + taken]
        at += taken
        if at == len(flat):
            yield flat.reshape(rows_at_once, row_len)
            flat = np.empty(rows_at_once * row_len, dtype=np.uint16)
            at = 0
    whole = at // row_len
    if whole:
        yield flat[: whole * row_len].reshape(whole, row_len)


def cropped_share(documents: DocumentStore, order: Integers, row_len: int, rows: int) -> float:
    """Of all tokens of the documents in the first `rows` rows, the share that was cut off."""
    lengths = (documents.ends - documents.starts)[order].tolist()
    placed = 0
    left = rows * row_len
    for arrival, taken in _plan(lengths, row_len):
        placed += lengths[arrival]
        left -= taken
        if left <= 0:
            break
    return 1 - rows * row_len / placed


def _plan(lengths: Sequence[int], row_len: int) -> Iterator[tuple[int, int]]:
    """Which document comes next, and how many of its tokens: (arrival, taken), row after row."""
    buffer: list[int] = []
    arrived = 0
    free = row_len
    while True:
        while len(buffer) < BUFFER_DOCUMENTS and arrived < len(lengths):
            insort(buffer, lengths[arrived] * _ARRIVALS + arrived)
            arrived += 1
        if not buffer:
            return
        # Everything left of `fits` is at most as long as the free space.
        fits = bisect_left(buffer, (free + 1) * _ARRIVALS)
        if fits:
            longest = buffer[fits - 1] // _ARRIVALS
            key = buffer.pop(bisect_left(buffer, longest * _ARRIVALS, 0, fits))
            length = longest
        else:
            key = buffer.pop(0)
            length = free
        yield key % _ARRIVALS, length
        free -= length
        if not free:
            free = row_len
