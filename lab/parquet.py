"""Tables that notebooks read: the only door to Parquet.

Owns    how a table is written and read, and that a file on the way is never seen half
Takes   columns of plain values, each with the type that it always has
Gives   one file, written beside its place, then moved into it
Never   guesses a type from values: a column of absent ones keeps its own
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lab.errors import CampaignError

ArrowType = Literal["string", "int64", "double", "bool"]

TABLE_CAP_BYTES = 256 * 2**20  # unpacked, of a stranger's table
_DRAFT = ".tmp"
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; an absent value is None. A whole number that has no place in 64 bits is absent too."""

    type: ArrowType
    values: Sequence[Any]


def write_parquet(
    path: Path, columns: Mapping[str, Column], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write one table of equally long columns. `metadata` says what a reader of the file alone must know.

    Raises:
        OSError: the file could not be written; what was there before is untouched.
    """
    # Imported late: pyarrow costs 50 MB, and a command that only looks needs none of it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [(name, pa.type_for_alias(column.type)) for name, column in columns.items()],
        metadata=dict(metadata) if metadata else None,
    )
    arrays = [
        pa.array(fitting(column), type=pa.type_for_alias(column.type))
        for column in columns.values()
    ]
    with replacing(path) as draft:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), draft)


def read_parquet(
    source: Path | bytes,
    types: Mapping[str, ArrowType],
    *,
    most_rows: int,
    most_bytes: int = TABLE_CAP_BYTES,
    others: bool = True,
) -> dict[str, list[Any]]:
    """Some columns of a table, which may be a stranger's; with `others` False it may have no more.

    Raises:
        ValueError: it is no such table, or a larger one; the text says which.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = {name: str(pa.type_for_alias(kind)) for name, kind in types.items()}
    try:
        place = pa.BufferReader(source) if isinstance(source, bytes) else source
        with pq.ParquetFile(place, pre_buffer=False) as file:
            has = {field.name: str(field.type) for field in file.schema_arrow}
            if any(has.get(name) != kind for name, kind in wanted.items()):
                raise ValueError("it has other columns")
            if not others and len(file.schema_arrow) != len(wanted):
                raise ValueError("it has more columns")
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            # What a few bytes may unpack to is looked at before anything is unpacked.
            size = sum(group.total_byte_size for group in groups)
            if file.metadata.num_rows > most_rows or size > most_bytes:
                raise ValueError(f"it has {file.metadata.num_rows} rows in {size} bytes")
            columns = file.read(columns=list(wanted), use_threads=False).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"it cannot be read: {error}") from error
    return {name: list(columns[name]) for name in wanted}


def texts_of_parquet(path: Path) -> Iterator[str]:
    """Everything in a parquet file that a person could read: its strings, and what it says of itself.

    Raises:
        CampaignError: it is not parquet.
    """
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise CampaignError(
            f"{path.name} is not a parquet file.",
            why=str(error).splitlines()[0],
            do="delete it; a derived table is written again by the next start.",
        ) from error
    yield str(table.schema.to_string(truncate_metadata=False))
    for name in table.column_names:
        values = table.column(name).unique().to_pylist()
        yield "\n".join(str(value) for value in values if not isinstance(value, int | float))


def fitting(column: Column) -> Sequence[Any]:
    """The values of a column as a file holds them."""
    if column.type != "int64":
        return column.values
    # Only a train.py's own claim can be so large, and then it is no number.
    return [value if value is None or value in _INT64 else None for value in column.values]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to that takes the place of `path` if the block ends well, else vanishes.

    No fsync: what is derived from the ledger is written again by the next start, and the rest is for people.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}{_DRAFT}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(folder: Path, pid: int) -> None:
    """Delete what a process that was killed had begun to write in `folder`."""
    for draft in folder.glob(f".*.{pid}{_DRAFT}"):
        draft.unlink(missing_ok=True)
