"""What an experiment opens to: its change, its curve, its log and what was observed of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from pathlib import Path

import pytest

from lab.ledger import BASELINE, Record
from lab.outcome import Status
from lab.parquet import Column, write_parquet
from lab.story.detail import MOST_POINTS
from lab.story.diffs import MOST_LINE_CHARS, MOST_LINES, diff_lines
from lab.story.reading import Tale
from lab.story.shapes import LOG_CHARS, TOKENS, Detail, DiffLine
from tests.unit.nights import commit_of, make_audit, make_night, make_record, make_run, make_seed
from tests.unit.stories import tell

DIFF = '''diff --git a/train.py b/train.py
index 1..2 100644
--- a/train.py
+++ b/train.py
@@ -1,5 +1,5 @@ def f():
 DEPTH = 2  # blocks
-LEARNING_RATE = 0.01
+LEARNING_RATE = 0.02
 NAME = """two
-lines"""
+def lines"""
@@ -9,2 +9,3 @@
 x = 1

+def g(): return self.x
'''
HOSTILE = "\x1b]0;owned\x07\x1b[2J<img src=x onerror=alert(1)>\x00\r\u202e"


def text_of(line: DiffLine) -> str:
    return "".join(text for _, text in line.spans)


def opened(folder: Path, records: list[Record], number: int) -> Detail:
    return Tale.open(tell(folder, records)).detail(number)


def experiment(folder: Path, number: int) -> Path:
    place = folder / "experiments" / f"{number:04d}"
    place.mkdir(parents=True)
    return place


# ---- the change ----


def test_a_diff_is_told_line_by_line_with_its_tokens() -> None:
    """The page colours what it is given, and reads no Python."""
    lines, cut = diff_lines(DIFF)
    assert cut == 0
    assert "".join(line.kind for line in lines) == "@ -+ -+@  +"
    assert [text_of(line) for line in lines[1:4]] == [
        "DEPTH = 2  # blocks",
        "LEARNING_RATE = 0.01",
        "LEARNING_RATE = 0.02",
    ]
    assert ("number", "0.02") in lines[3].spans
    assert ("comment", "# blocks") in lines[1].spans
    assert ("keyword", "def") in lines[-1].spans
    assert ("name", "g") in lines[-1].spans
    classes = {name for line in lines for name, _ in line.spans}
    assert classes <= {"", *TOKENS}


def test_a_string_that_spans_lines_is_one_string() -> None:
    """Read line by line, the second half of a text would be coloured as a program."""
    lines, _ = diff_lines(DIFF)
    assert {name for name, _ in lines[5].spans} == {"string"}
    assert {name for name, _ in lines[6].spans} == {"string"}


def test_a_change_without_end_is_cut_and_the_rest_counted() -> None:
    """A whole new train.py must not make a page of many megabytes."""
    diff = "@@ -0,0 +1,9999 @@\n" + "".join(f"+x{i} = {i}\n" for i in range(5000))
    lines, cut = diff_lines(diff)
    assert len(lines) == MOST_LINES
    assert cut == 5001 - MOST_LINES
    (_, long), _ = diff_lines("@@ -1 +1 @@\n+" + "y" * 100_000)
    assert len(text_of(long)) < MOST_LINE_CHARS + 1


@pytest.mark.parametrize(
    "diff",
    ["", "no diff at all", "@@", "@@ -1 +1 @@\n", "+x", "@@\nodd\n\\ No newline\n+'''\n-\x00\n"],
)
def test_what_is_no_diff_does_no_harm(diff: str) -> None:
    """The file may be anything that somebody put there."""
    lines, cut = diff_lines(diff)
    assert cut == 0
    assert all(line.kind in "+- @" for line in lines)


def test_hostile_lines_lose_their_tricks_and_keep_their_text() -> None:
    """A line that reads backwards shows another program than the one that ran."""
    lines, _ = diff_lines(f"@@ -1 +1 @@\n+x = '{HOSTILE}'\n")
    assert text_of(lines[1]) == "x = ']0;owned<img src=x onerror=alert(1)><U+202E>'"


def test_a_rerun_and_a_baseline_have_no_change(tmp_path: Path) -> None:
    """A re-run is its candidate's code, which `original` names."""
    night = [*make_seed(1.9), make_run(2, "confirm"), make_run(3, "keep", of=2)]
    for number in (1, 2, 3):
        (experiment(tmp_path, number) / "change.diff").write_text(DIFF)
    shown = [opened(tmp_path, night, number).diff for number in (1, 2, 3)]
    assert [bool(diff) for diff in shown] == [False, True, False]


def test_a_long_change_is_counted_whole(tmp_path: Path) -> None:
    """What is shown of it may be a tenth; "200 added" would then be a tenth of the truth."""
    added = MOST_LINES * 3
    (experiment(tmp_path, 2) / "change.diff").write_text(
        f"@@ -1 +1,{added} @@\n-old\n" + "+new\n" * added
    )
    run = replace(make_run(2, "discard"), lines_added=added, lines_removed=1)
    detail = opened(tmp_path, [*make_seed(1.9), run], 2)
    assert len(detail.diff) + detail.diff_cut == added + 2 > len(detail.diff)
    assert (detail.lines_added, detail.lines_removed) == (added, 1)


# ---- the curve ----


def write_curve(place: Path, losses: list[float | None]) -> None:
    count = len(losses)
    write_parquet(
        place / "curve.parquet",
        {
            "step": Column(type="int64", values=list(range(count))),
            "train_s": Column(type="double", values=[i / 2 for i in range(count)]),
            "loss_nats": Column(type="double", values=losses),
        },
    )


def test_a_short_curve_is_told_as_it_is(tmp_path: Path) -> None:
    """Every point of it was measured."""
    write_curve(experiment(tmp_path, 1), [5.0, None, math.nan, 4.0])
    curve = opened(tmp_path, make_seed(1.9), 1).curve
    assert [(p.step, p.train_s, p.loss) for p in curve] == [
        (0, 0.0, 5.0),
        (1, 0.5, None),
        (2, 1.0, None),
        (3, 1.5, 4.0),
    ]


def test_a_long_curve_keeps_its_mean_and_its_end(tmp_path: Path) -> None:
    """Points that were merely left out would show the noise of the few that stay."""
    losses = [8.0 - i / 1000 for i in range(6000)]
    write_curve(experiment(tmp_path, 1), list(losses))
    curve = opened(tmp_path, make_seed(1.9), 1).curve
    assert len(curve) == MOST_POINTS
    assert (curve[-1].step, curve[-1].train_s) == (5999, 2999.5)
    assert curve[0].loss == pytest.approx(sum(losses[:50]) / 50)
    shown = [point.loss for point in curve if point.loss is not None]
    assert sum(shown) / len(shown) == pytest.approx(sum(losses) / len(losses))


def test_the_parent_is_the_last_run_of_the_code_that_was_changed(tmp_path: Path) -> None:
    """Beside it one sees where the change made the difference."""
    night = [
        *make_seed(1.9, 1.91),
        make_run(3, "confirm", 1.85),
        make_run(4, "keep", 1.85, of=3),
        make_run(5, "discard", 1.86, parent=commit_of(3)),
        make_run(6, "discard", status=Status.REJECTED),
    ]
    write_curve(experiment(tmp_path, 4), [3.0])
    tale = Tale.open(tell(tmp_path, night))
    assert [tale.detail(number).parent for number in range(1, 7)] == [None, None, 2, 2, 4, None]
    assert [point.loss for point in tale.detail(5).parent_curve] == [3.0]


@pytest.mark.parametrize("content", [b"", b"PAR1 no PAR1", b"\x00" * 1000])
def test_a_curve_that_cannot_be_read_is_no_curve(tmp_path: Path, content: bytes) -> None:
    """It is for people; no decision uses it."""
    (experiment(tmp_path, 1) / "curve.parquet").write_bytes(content)
    assert opened(tmp_path, make_seed(1.9), 1).curve == ()


# ---- the log ----


def test_the_log_is_told_from_its_end_and_made_harmless(tmp_path: Path) -> None:
    """The last lines say why a run failed; a container wrote them."""
    log = "first line\n" + "é" * 20_000 + f" last {HOSTILE} words\n"
    (experiment(tmp_path, 1) / "train.log").write_text(log)
    tail = opened(tmp_path, make_seed(1.9), 1).log_tail
    assert len(tail) == LOG_CHARS
    assert tail.endswith("last ]0;owned<img src=x onerror=alert(1)><U+202E> words\n")
    assert not {"\x1b", "\x00", "\x07", "\r", "\u202e"} & set(tail)


@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path: Path, letter: str) -> None:
    """The rest of a line reads like a message that nobody wrote."""
    lines = [f"step {step} {letter * 60}\n" for step in range(300)]
    log = experiment(tmp_path, 1) / "train.log"
    log.write_text("".join(lines))
    tail = opened(tmp_path, make_seed(1.9), 1).log_tail
    count = tail.count("\n")
    assert tail == "".join(lines[-count:])
    assert LOG_CHARS - 80 < len(tail) <= LOG_CHARS
    log.write_text("".join(lines[:3]))
    assert opened(tmp_path, make_seed(1.9), 1).log_tail == "".join(lines[:3])


def test_a_log_that_is_no_text_is_still_told(tmp_path: Path) -> None:
    """A crash may print anything."""
    (experiment(tmp_path, 1) / "train.log").write_bytes(b"\xff\xfe\x00ok\n")
    assert opened(tmp_path, make_seed(1.9), 1).log_tail == "\ufffd\ufffdok\n"


# ---- what was observed ----


def test_an_audit_is_told_in_words(tmp_path: Path) -> None:
    """A reader asks one thing first: did it pass?"""
    passed, failed = (
        replace(r, trial=replace(r.trial, audit=make_audit(1.9, passed=passed)))
        for r, passed in zip(make_seed(1.9, 1.91), (True, False), strict=True)
    )
    tale = Tale.open(tell(tmp_path, [passed, failed]))
    good, bad = ({f.name: f.value for f in tale.detail(n).audit} for n in (1, 2))
    assert good["Outcome"] == "its claim was reproduced blindly"
    assert bad["Outcome"] == "its claim failed"
    assert bad["Blind points"].startswith("40 of 160 differ by more than 0.001 nats")
    assert bad["Score"] == "1.900000 claimed, 2.800000 by the blind points"


def test_telemetry_and_conditions_are_told_with_units_and_gaps_with_reasons(tmp_path: Path) -> None:
    """A number without its unit is a riddle."""
    record = make_seed(1.9)[0]
    assert record.trial.telemetry is not None
    odd = replace(record.trial.telemetry, missing={"cpu_energy_j": "no meter"}, gaps=2)
    detail = opened(tmp_path, [replace(record, trial=replace(record.trial, telemetry=odd))], 1)
    facts = {fact.name: fact.value for fact in detail.telemetry}
    assert facts["Energy"] == "11 Wh, by the GPU's energy counter"
    assert facts["GPU memory"] == "45.00 GiB at most"
    assert facts["Clock held by power cap"] == "55 s"
    assert facts["Watched"] == "60 s, 60 samples, 2 gaps"
    assert facts["No cpu energy"] == "no meter"
    assert [(f.name, f.value) for f in detail.conditions] == [
        ("Load 1min", "0.2 before, 1.9 after")
    ]


def test_every_experiment_of_a_night_opens_without_any_file(tmp_path: Path) -> None:
    """Of a bundle a person may have unpacked the ledger alone."""
    night = make_night(60)
    tale = Tale.open(tell(tmp_path, night))
    for record in night:
        detail = tale.detail(record.number)
        assert detail.verdict == record.verdict.sentence
        assert bool(detail.reason) is (record.trial.val_bpb is None)
        assert (detail.curve, detail.diff, detail.log_tail) == ((), (), "")


def test_hostile_words_of_an_agent_are_text(tmp_path: Path) -> None:
    """Hypothesis and notes are a model's, the reason holds a container's last line."""
    record = make_record(1, kind=BASELINE, status=Status.CRASHED)
    night = [
        replace(
            record,
            hypothesis=f"two\n{HOSTILE}lines" + "x" * 100_000,
            facts={HOSTILE: HOSTILE * 1000},
            trial=replace(record.trial, reason=HOSTILE),
        )
    ]
    fields = str(dataclasses.asdict(opened(tmp_path, night, 1)))
    assert "two\\n]0;owned<img src=x" in fields
    assert not {"\x1b", "\\x1b", "\x00"} & set(fields)
    assert "\u202e" not in fields
    assert len(fields) < 30_000
