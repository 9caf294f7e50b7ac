"""What one experiment opens to: why, what was changed, how it went, and what the program printed.

Owns    which files beside a Record are shown, and how much of each
Takes   a campaign's folder and its Records
Gives   a Detail; a file that is not there leaves its part empty
Never   reads more of a file than it shows; every text in them is untrusted
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.findings import Audit
from lab.ledger import AUDIT, BASELINE, REPLAY, Record
from lab.parquet import ArrowType, read_parquet
from lab.samples import TelemetrySummary
from lab.show.results import GIB
from lab.show.view import energy
from lab.show.words import one_line
from lab.story.diffs import diff_lines
from lab.story.facts import changed_conditions, name_of_reading, notes_of
from lab.story.shapes import LOG_CHARS, Detail, DiffLine, Fact, Point, Row
from lab.story.texts import visible

MOST_POINTS = 120
MOST_CURVE_ROWS = 100_000
MOST_DIFF_BYTES = 2**19
MOST_TEXT_CHARS = 20_000
BYTES_PER_CHAR = 4  # of UTF-8, at most
CURVE: dict[str, ArrowType] = {"step": "int64", "train_s": "double", "loss_nats": "double"}


def detail_of(folder: Path, records: Sequence[Record], number: int) -> Detail:
    """Everything about experiment `number`, which is one of the Records."""
    record = records[number - 1]
    diff, cut = _diff(folder, record)
    parent = _parent(records, record)
    return Detail(
        number=number,
        hypothesis=visible(record.hypothesis)[:MOST_TEXT_CHARS],
        reason=visible(record.trial.reason)[:MOST_TEXT_CHARS],
        verdict=one_line(record.verdict.sentence),
        notes=notes_of(record),
        diff=diff,
        diff_cut=cut,
        lines_added=record.lines_added,
        lines_removed=record.lines_removed,
        curve=_curve(folder, number),
        parent=parent,
        parent_curve=_curve(folder, parent) if parent is not None else (),
        audit=_audit(record),
        telemetry=_telemetry(record.trial.telemetry),
        conditions=changed_conditions(record.trial.conditions),
        log_tail=_log_tail(_of(folder, number) / "train.log"),
    )


def detail_of_imported(row: Row) -> Detail:
    """An imported table says a line of each experiment, and that is in its Row."""
    return Detail(
        number=row.number,
        hypothesis="",
        reason="" if row.val_bpb is not None else f"{row.ending_words}, says the imported table",
        verdict="",
        notes=(),
        diff=(),
        diff_cut=0,
        lines_added=None,
        lines_removed=None,
        curve=(),
        parent=None,
        parent_curve=(),
        audit=(),
        telemetry=(),
        conditions=(),
        log_tail="",
    )


def _of(folder: Path, number: int) -> Path:
    return folder / "experiments" / f"{number:04d}"


def _parent(records: Sequence[Record], record: Record) -> int | None:
    """The last measured run, before this one, of the code that it changed."""
    if record.kind == BASELINE or record.parent is None:
        return None
    for earlier in reversed(records[: record.number - 1]):
        if earlier.kind in (AUDIT, REPLAY) or earlier.trial.val_bpb is None:
            continue
        if earlier.commit == record.parent:
            return earlier.number
    return None


def _diff(folder: Path, record: Record) -> tuple[tuple[DiffLine, ...], int]:
    if record.kind == BASELINE or record.original is not None:
        return (), 0
    try:
        with (_of(folder, record.number) / "change.diff").open("rb") as file:
            content = file.read(MOST_DIFF_BYTES)
    except OSError:  # it never became code, or the folder was received without it
        return (), 0
    return diff_lines(content.decode("utf-8", "replace"))


def _curve(folder: Path, number: int) -> tuple[Point, ...]:
    """What train.py said of its loss; empty where there is no such table."""
    path = _of(folder, number) / "curve.parquet"
    if not path.is_file():
        return ()
    try:
        columns = read_parquet(path, CURVE, most_rows=MOST_CURVE_ROWS)
    except ValueError:
        return ()
    points = [
        Point(train_s=train_s, step=step, loss=_finite(loss))
        for step, train_s, loss in zip(*(columns[name] for name in CURVE), strict=True)
        if step is not None and _finite(train_s) is not None
    ]
    return thinned(points)


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most MOST_POINTS, each the mean loss of a stretch of the curve, at its end."""
    if len(points) <= MOST_POINTS:
        return tuple(points)
    cuts = [round(i * len(points) / MOST_POINTS) for i in range(MOST_POINTS + 1)]
    stretches = [points[start:end] for start, end in itertools.pairwise(cuts)]
    return tuple(
        Point(
            train_s=stretch[-1].train_s,
            step=stretch[-1].step,
            loss=_mean([point.loss for point in stretch if point.loss is not None]),
        )
        for stretch in stretches
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _log_tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - BYTES_PER_CHAR * LOG_CHARS))
            content = file.read(BYTES_PER_CHAR * LOG_CHARS)
    except OSError:
        return ""
    text = visible(content.decode("utf-8", "replace"))
    if size <= len(content) and len(text) <= LOG_CHARS:
        return text
    tail = text[-LOG_CHARS:]
    _, newline, whole = tail.partition("\n")
    return whole if newline and whole else tail  # from a whole line on, where there is one


# ---- in words ----


def _audit(record: Record) -> tuple[Fact, ...]:
    audit = record.trial.audit
    if audit is None:
        return ()
    return tuple(Fact(name=name, value=value) for name, value in _audit_in_words(audit))


def _audit_in_words(audit: Audit) -> Iterator[tuple[str, str]]:
    yield "Outcome", "its claim was reproduced blindly" if audit.passed else "its claim failed"
    yield (
        "Blind points",
        (
            f"{audit.mismatches} of {audit.points} differ by more than {audit.tolerance_nats:.2g} nats, "
            f"the worst by {audit.worst_difference_nats:.2g}"
        ),
    )
    yield (
        "Mean difference",
        f"{audit.mean_difference_nats:+.2g} nats, {audit.mean_tolerance_nats:.2g} are allowed",
    )
    yield (
        "Reordered rows",
        (
            f"{audit.order_mismatches} tokens of {audit.order_rows} rows differ in another order, "
            f"the worst by {audit.order_worst_nats:.2g} nats"
        ),
    )
    yield (
        "Score",
        f"{audit.claimed_bpb:.6f} claimed, {audit.blind_bpb:.6f} by the blind points",
    )
    yield (
        "Power",
        f"{100 * audit.power:.1f} % chance to catch a cheat on 0.05 % of the tokens",
    )
    if audit.calibrated:
        yield "Tolerance", "set by this very run, of the baseline"


def _telemetry(summary: TelemetrySummary | None) -> tuple[Fact, ...]:
    if summary is None:
        return ()
    return tuple(Fact(name=name, value=value) for name, value in _telemetry_in_words(summary))


def _telemetry_in_words(summary: TelemetrySummary) -> Iterator[tuple[str, str]]:
    gaps = f", {summary.gaps} gaps" if summary.gaps else ""
    yield "Watched", f"{summary.seconds:.0f} s, {summary.samples} samples{gaps}"
    if summary.energy_j is not None:
        source = f", by {one_line(summary.energy_source)}" if summary.energy_source else ""
        yield "Energy", f"{energy(summary.energy_j)}{source}"
    for name, value, unit in (
        ("Power", summary.mean_power_w, "W on average"),
        ("SM clock", summary.mean_sm_clock_mhz, "MHz on average"),
        ("Processor clock", summary.mean_cpu_mhz, "MHz on average"),
        ("GPU busy", summary.mean_gpu_busy_percent, "% of the time"),
        ("Temperature", summary.peak_temperature_c, "°C at most"),
        ("Throttled", summary.throttled_s, "s"),
    ):
        if value is not None:
            yield name, f"{value:.0f} {unit}"
    for name, size in (
        ("GPU memory", summary.peak_gpu_memory_bytes),
        ("Container memory", summary.peak_container_memory_bytes),
    ):
        if size is not None:
            yield name, f"{size / GIB:.2f} GiB at most"
    for name, share in (
        ("Waited for a core", summary.cpu_stalled_share),
        ("Waited for memory", summary.memory_stalled_share),
        ("Waited for a disk", summary.io_stalled_share),
    ):
        if share is not None:
            yield name, f"{100 * share:.1f} % of the time"
    for reason, seconds in sorted(summary.limited_s.items()):
        yield f"Clock held by {one_line(reason.replace('_', ' '), 40)}", f"{seconds:.0f} s"
    for name, why in sorted(summary.missing.items()):
        yield f"No {name_of_reading(name).lower()}", one_line(why, 200)
