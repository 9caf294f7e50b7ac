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

ArrowType = Literal["string", "int64", "double", "bool"]

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
        pa.array(_fitting(column), type=pa.type_for_alias(column.type))
        for column in columns.values()
    ]
    with replacing(path) as draft:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), draft)


def read_parquet(path: Path, names: Sequence[str], *, most_rows: int) -> dict[str, list[Any]]:
    """Some columns of a table, which may be a stranger's.

    Raises:
        ValueError: it is no such table, or a longer one; the text says which.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            if table.metadata.num_rows > most_rows:
                raise ValueError(f"it has {table.metadata.num_rows} rows")
            columns = table.read(columns=list(names)).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if missing := [name for name in names if name not in columns]:
        raise ValueError(f"it has no column {missing[0]}")
    return {name: list(columns[name]) for name in names}


def _fitting(column: Column) -> Sequence[Any]:
    if column.type != "int64":
        return column.values
    # Only a train.py's own claim can be so large, and then it is no number.
    return [value if value is None or value in _INT64 else None for value in column.values]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to that takes the place of `path` if the block ends well, else vanishes.

    No fsync: what is derived from the ledger is written again by the next start, and the rest is for people.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
