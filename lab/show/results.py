"""What a spreadsheet and a notebook read: results.tsv and results.parquet.

Owns    the two derived tables, and what an ending is called in them
Takes   Records, in the order of the ledger
Gives   files that are whole at any moment: written beside their place, then moved into it
Never   a source of truth: delete them, and the next write makes them again from the ledger

A night's folder is also read here for people (`read_campaign`, `read_records`), without the lock,
repair or checks, so that looking at a night that runs can never disturb it.
"""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
import types
import typing
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from lab import parquet
from lab.errors import CampaignError
from lab.facts import SCHEMA
from lab.ledger import (
    AUDIT,
    BASELINE,
    CANDIDATE,
    CONFIRM,
    REPLAY,
    Record,
    baselines_of,
    best_of,
    noise_of,
    replays_of,
    scores_of,
)
from lab.outcome import Status
from lab.show.spent import IDLE, spent_s
from lab.verdict import Noise

CAMPAIGN_FILE = "campaign.json"
LEDGER_FILE = "ledger.jsonl"
TSV_FILE = "results.tsv"
PARQUET_FILE = "results.parquet"

TSV_COLUMNS = ("commit", "val_bpb", "memory_gb", "status", "description", "audited", "holdout_bpb")
SHORT_COMMIT = 7
GIB = 2**30
MOST_CORES = 10**6

_WORDS = {
    "keep": "kept",
    "discard": "discarded",
    "confirm": "to confirm",
    "audit": "audited",
    "replay": "replayed",
}
_RECORD = TypeAdapter(Record)
_NOISE = TypeAdapter(Noise)
_TERMINAL_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL
)
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


def signed(value: float, decimals: int = 4) -> str:
    """A difference with its sign as people see it everywhere, with a true minus sign."""
    return f"{value:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def gain_in_words(gain_bpb: float, baseline_bpb: float) -> str:
    """A gain, positive is better, for people: 0.0123 better (0.7 %)."""
    side = "better" if gain_bpb >= 0 else "worse"
    return f"{abs(gain_bpb):.4f} {side} ({100 * abs(gain_bpb) / baseline_bpb:.1f} %)"


class Replayed(Protocol):
    """What is said of a replay: a Tally, or a Standing of its Story."""

    @property
    def replays(self) -> int: ...
    @property
    def replay_bpb(self) -> float | None: ...
    @property
    def baseline_bpb(self) -> float | None: ...


def replays_in_words(counted: Replayed) -> str:
    """What another lab's code scored here: 3 replays average 1.8420 bits per byte. Empty where none was run.

    What follows from it is for lab/replay.py to say, which knows the claim.
    """
    if counted.replay_bpb is None:
        return ""
    many = counted.replays != 1
    words = f"{counted.replays} replay{'s average' if many else ' has'} {counted.replay_bpb:.4f} bits per byte"
    baseline = counted.baseline_bpb
    return words if baseline is None else f"{words}, the baseline {baseline:.4f}"


def one_line(text: str, width: int | None = None) -> str:
    """Text from an agent or a container, made harmless for a terminal, a table or a chart.

    Terminal sequences, control and direction-changing characters go; every run of white space
    becomes one; what is no character becomes U+FFFD. With `width`, longer text ends in an ellipsis.
    """
    if not (
        text.isascii() and text.isprintable()
    ):  # most text is, and thousands of titles are asked
        text = _TERMINAL_SEQUENCE.sub("", text)
        text = "".join(_harmless(character) for character in text)
    text = " ".join(text.split())
    if width is not None and len(text) > width:
        text = text[: max(width - 1, 0)].rstrip() + "…"
    return text


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    if category == "Cf":
        return ""
    return "\ufffd" if category == "Cs" else character


def ending(record: Record) -> str:
    """How an experiment ended, in one word.

    A measured one is "baseline", "audit", "replay", "keep", "confirm" (not decided before another run) or "discard";
    any other is named by its Status.
    """
    if record.trial.status != Status.MEASURED:
        return record.trial.status.value
    if record.kind in (BASELINE, AUDIT, REPLAY):
        return record.kind
    if record.verdict.confirm:
        return "confirm"
    return "keep" if record.verdict.keep else "discard"


def ending_in_words(ending: str) -> str:
    """An ending as a person reads it."""
    return _WORDS.get(ending, ending.replace("_", " "))


def name_of(record: Record) -> str:
    """What an experiment is called: its title, after what it runs again."""
    again = {CONFIRM: "re-run", AUDIT: "audit"}.get(record.kind)
    return f"{again} of {record.original}: {record.title}" if again else record.title


def kept_bpb(record: Record) -> float | None:
    """What a kept candidate became the best with: the mean of its re-runs."""
    verdict = record.verdict
    if not verdict.keep or verdict.best_bpb is None or verdict.gain_bpb is None:
        return None
    return verdict.best_bpb - verdict.gain_bpb


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a night came to so far."""

    scored: int  # experiments that have a score
    tried: int  # candidates, whatever became of them; not what only the lab or the host spoilt
    kept: int
    baseline_bpb: float | None  # mean of its runs
    best_bpb: float | None  # mean of the re-runs of the last kept one, else the baseline's
    replays: int  # measured runs of another lab's code
    replay_bpb: float | None  # their mean
    noise: Noise | None
    margin_bpb: float | None  # what noise alone asked of the last gain; None before a candidate
    holdout_gain_bpb: (
        float | None
    )  # of the best over the baseline, on text that no decision has seen
    audited: int  # experiments whose claim was audited
    audit_share: float | None  # of the time of all experiments
    took_s: float  # all experiments, waits between them included; see lab/show/spent.py
    idle_share: float | None  # of it: nothing ran, because the agent had no idea ready
    cost_usd: float | None  # of the agent; None where nothing was paid, or nobody knows
    agent_tokens: int | None


def tally(records: Sequence[Record], prior: Noise | None = None) -> Tally:
    """Count a night, from its Records and what `lab noise` knew before it."""
    best = best_of(records)
    baselines, replays = scores_of(baselines_of(records)), scores_of(replays_of(records))
    margins = [
        r.verdict.margin_bpb - (r.verdict.price_bpb or 0.0)  # lines have a price, and no noise
        for r in records
        if r.verdict.margin_bpb is not None
    ]
    total_s = sum(r.trial.total_s for r in records)
    audit_s = sum(r.trial.audit_s or 0.0 for r in records)
    spent = spent_s(records)
    took_s = sum(spent.values())
    # What was spoilt and run again was paid for once.
    paid = [r for r in records if r.kind == CANDIDATE and r.repeats is None]
    costs = [r.cost_usd for r in paid if r.cost_usd is not None]
    tokens = [r.agent_tokens for r in paid if r.agent_tokens is not None]
    return Tally(
        scored=len(scores_of(records)),
        tried=sum(r.kind == CANDIDATE and r.trial.status.says_something for r in records),
        kept=sum(r.verdict.keep for r in records),
        baseline_bpb=statistics.fmean(baselines) if baselines else None,
        best_bpb=best.val_bpb if best else None,
        replays=len(replays),
        replay_bpb=statistics.fmean(replays) if replays else None,
        noise=noise_of(records, prior),
        margin_bpb=margins[-1] if margins else None,
        holdout_gain_bpb=_holdout_gain(records),
        audited=sum(r.trial.audit is not None for r in records),
        audit_share=audit_s / total_s if total_s else None,
        took_s=took_s,
        idle_share=spent[IDLE] / took_s if took_s else None,
        cost_usd=sum(costs) if costs else None,
        agent_tokens=sum(tokens) if tokens else None,
    )


def _holdout_gain(records: Sequence[Record]) -> float | None:
    """How much better the best is than the baseline on the holdout; None before anything was kept."""
    baselines = [r.trial.holdout.bpb for r in baselines_of(records) if r.trial.holdout]
    kept = [r for r in records if r.verdict.keep]
    if not kept or not baselines or kept[-1].trial.holdout is None:
        return None
    return statistics.fmean(baselines) - kept[-1].trial.holdout.bpb


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


def read_campaign(folder: Path) -> dict[str, Any]:
    """campaign.json as it stands.

    Raises:
        CampaignError: there is none, or it is not a JSON object.
    """
    try:
        campaign = json.loads((folder / CAMPAIGN_FILE).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CampaignError(
            f"there is no campaign in {folder}.",
            why=f"{CAMPAIGN_FILE} cannot be read: {error}",
            do="look for its name in the runs folder; `make overnight TAG=...` starts a new one.",
        ) from error
    if not isinstance(campaign, dict):
        raise CampaignError(
            f"{folder / CAMPAIGN_FILE} is not a campaign.",
            why="it holds something other than a JSON object.",
            do="restore the file from a copy; nothing was written.",
        )
    return campaign


def read_records(folder: Path) -> list[Record]:
    """The Records of a ledger that may be growing; a last line without a line break is no line yet.

    Reads only. The chain is not checked; opening the ledger does that.

    Raises:
        CampaignError: a whole line is not a Record.
    """
    path = folder / LEDGER_FILE
    content = path.read_bytes() if path.exists() else b""
    records = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        records.append(record_of(line, path, number))
    return records


def record_of(line: bytes, path: Path, number: int) -> Record:
    """The Record in line `number` of the ledger at `path`; who checks the chain is `Ledger.open`.

    Raises:
        CampaignError: it is not a Record.
    """
    try:
        return _RECORD.validate_json(line)
    except ValidationError as error:
        raise CampaignError(
            f"the ledger {path} was altered.",
            why=f"line {number} is not a record.",
            do="restore the file from a copy, or start a new TAG; nothing was written.",
        ) from error


def told_version(error: CampaignError, folder: Path, campaign: dict[str, Any]) -> CampaignError:
    """What to say of records that do not parse: those of another version nobody altered."""
    schema = campaign.get("schema")
    if schema in (None, SCHEMA):
        return error
    older = isinstance(schema, int) and schema < SCHEMA
    return CampaignError(
        f"the campaign in {folder} was written by {'an older' if older else 'another'} version of the lab.",
        why=f"its facts have schema {one_line(str(schema), 20)}, this version reads {SCHEMA}.",
        do="look at it with the version that wrote it; nothing was changed.",
    )


def prior_of(campaign: dict[str, Any]) -> Noise | None:
    """What `lab noise` knew when the campaign began; None when it had never run."""
    prior = campaign.get("prior_noise")
    try:
        return None if prior is None else _NOISE.validate_python(prior)
    except ValidationError:
        return None


def is_replay(campaign: dict[str, Any]) -> bool:
    """Whether a campaign runs another lab's claim, and no ideas of its own."""
    return campaign.get("agent") == REPLAY


def hardware_of(campaign: dict[str, Any]) -> str:
    """What the campaign runs on, in a few words of its fingerprint; empty when it does not say."""
    fingerprint = campaign.get("fingerprint")
    traits = fingerprint.get("class") if isinstance(fingerprint, dict) else None
    if not isinstance(traits, dict):
        return ""
    for wanted in ("gpu", "cpu"):  # a GPU is what matters where there is one
        for name, value in sorted(traits.items()):
            if wanted in name and isinstance(value, str) and value.strip():
                cores = _cores_in_words(traits.get("cores")) if wanted == "cpu" else ""
                cut = traits.get("mig_slice") if wanted == "gpu" else None
                return (
                    one_line(value, 48) + cores + (f", MIG {one_line(str(cut), 16)}" if cut else "")
                )
    return one_line(str(fingerprint.get("class_id") or ""), 24) if fingerprint else ""


def _cores_in_words(cores: object) -> str:
    """Empty for what is no number of cores: a stranger's campaign.json may say anything."""
    if isinstance(cores, bool) or not isinstance(cores, int | float):
        return ""
    if not 0 < cores < MOST_CORES:
        return ""
    return f", {cores:g} core{'s' * (cores != 1)}"
