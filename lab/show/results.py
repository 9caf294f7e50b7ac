"""What a spreadsheet and a notebook read: results.tsv and results.parquet.

Owns    the two derived tables
Takes   Records, in the order of the ledger
Gives   files that are whole at any moment: written beside their place, then moved into it
Never   a source of truth: delete them, and the next write makes them again from the ledger
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from lab import parquet
from lab.errors import CampaignError
from lab.ledger import Record
from lab.show.words import ending, name_of, one_line

TSV_FILE = "results.tsv"
PARQUET_FILE = "results.parquet"
TSV_COLUMNS = ("commit", "val_bpb", "memory_gb", "status", "description", "audited", "holdout_bpb")
SHORT_COMMIT = 7
GIB = 2**30
_ARROW_TYPES: dict[type, parquet.ArrowType] = {
    str: "string",
    int: "int64",
    float: "double",
    bool: "bool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of results.parquet: `trial.training.train_s`, and the type that it always has."""

    name: str
    arrow_type: parquet.ArrowType
    path: tuple[str, ...]


def write_results(folder: Path, records: Sequence[Record]) -> None:
    """Write results.tsv and results.parquet anew, from all Records.

    The columns of results.tsv are commit (short), val_bpb, memory_gb (GiB), status (see `ending`),
    description (the title), audited (true or false), holdout_bpb. No quoting: tabs and line breaks in a title have become spaces. An
    experiment without a score has an empty val_bpb and memory_gb.

    results.parquet has every field of a Record under its dotted name, such as
    `trial.val.bpb`; `facts` and `shards` are JSON strings.

    Raises:
        CampaignError: the folder cannot be written. The ledger is not touched.
    """
    try:
        _write_tsv(folder / TSV_FILE, records)
        _write_parquet(folder / PARQUET_FILE, records)
    except OSError as error:
        raise CampaignError(
            f"the results could not be written to {folder}.",
            why=error.strerror or str(error),
            do="free some disk and start the same TAG again; the ledger has every record.",
        ) from error


def _write_tsv(path: Path, records: Sequence[Record]) -> None:
    lines = ["\t".join(TSV_COLUMNS), *("\t".join(_row(record)) for record in records)]
    with parquet.replacing(path) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _row(record: Record) -> tuple[str, ...]:
    score = record.trial.val_bpb
    training = record.trial.training
    memory = training.peak_memory_bytes if training and score is not None else None
    return (
        (record.commit or "")[:SHORT_COMMIT],
        "" if score is None else f"{score:.6f}",
        "" if memory is None else f"{memory / GIB:.1f}",
        ending(record),
        one_line(name_of(record)),
        "true" if record.trial.audit else "false",
        "" if record.trial.holdout is None else f"{record.trial.holdout.bpb:.6f}",
    )


def _write_parquet(path: Path, records: Sequence[Record]) -> None:
    parquet.write_parquet(path, _table(records))


def _table(records: Sequence[Record]) -> dict[str, parquet.Column]:
    return {
        column.name: parquet.Column(
            type=column.arrow_type, values=[_cell(record, column) for record in records]
        )
        for column in columns_of(Record)
    }


def is_table_of(content: bytes, records: Sequence[Record]) -> bool:
    """Whether a stranger's results.parquet is the table of these Records, whatever version wrote it."""
    table = _table(records)
    types = {name: column.type for name, column in table.items()}
    try:
        told = parquet.read_parquet(content, types, most_rows=len(records), others=False)
    except ValueError:
        return False
    return all(told[name] == list(parquet.fitting(column)) for name, column in table.items())


def columns_of(kind: type, path: tuple[str, ...] = (), prefix: str = "") -> Iterator[Column]:
    """The columns of a dataclass, nested ones flattened, from its type hints and not its values.

    Raises:
        TypeError: a field has a type that has no column type here.
    """
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = _without_none(hints[field.name])
        name, way = prefix + field.name, (*path, field.name)
        if dataclasses.is_dataclass(hint):
            yield from columns_of(typing.cast("type", hint), way, name + ".")
        elif typing.get_origin(hint) in (dict, tuple) or _is_enum(hint):
            yield Column(name=name, arrow_type="string", path=way)
        elif hint in _ARROW_TYPES:
            yield Column(name=name, arrow_type=_ARROW_TYPES[hint], path=way)
        else:
            raise TypeError(f"{kind.__name__}.{field.name} has no column type: {hint}")


def _is_enum(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, Enum)


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def _cell(record: Record, column: Column) -> str | int | float | bool | None:
    value: Any = record
    for name in column.path:
        value = getattr(value, name)
        if value is None:
            return None
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        value = [dataclasses.asdict(part) for part in value]
    if isinstance(value, dict | list):
        value = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if isinstance(value, str):  # half a surrogate pair has no UTF-8
        return value.encode("utf-8", "replace").decode("utf-8")
    return typing.cast("int | float | bool", value)
