"""`lab show`, `lab diff` and `lab log`: what a person sees of one experiment, and what a program gets."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result

from lab.cli import app
from lab.cli.drawing import diff_line, draw_experiment
from lab.errors import BadInput
from lab.ledger import best_of
from lab.outcome import Status
from lab.settings import CHECKOUT
from lab.story.reading import Tale
from lab.story.shapes import DiffLine
from tests.unit.nights import make_night, make_record
from tests.unit.stories import tell
from tests.unit.test_story_detail import DIFF, HOSTILE, experiment, write_curve

NIGHT = make_night(40)
BEST = best_of(NIGHT)
assert BEST is not None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTLAB_RUNS", str(tmp_path / "runs"))
    return tell(tmp_path / "runs" / "nov23", NIGHT)


def lab(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def drawn(tale: Tale, number: int, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(draw_experiment(tale.story(), tale.row(number), tale.detail(number)))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [60, 100, 200])
def test_every_experiment_fits_the_terminal_and_says_its_score(folder: Path, width: int) -> None:
    """A line that breaks in the middle of a number is read wrong."""
    tale = Tale.open(folder)
    for record in NIGHT:
        shown = drawn(tale, record.number, width)
        assert max(cell_len(line) for line in shown.splitlines()) <= width
        assert f"nov23, experiment {record.number} " in shown
        score = record.trial.val_bpb
        assert (f"{score:.4f} bits per byte" in shown) if score else ("no score" in shown)


def test_without_a_number_the_best_is_shown_and_the_log_is_the_last_ones(folder: Path) -> None:
    """They are what a person looks for in the morning."""
    assert BEST is not None
    (experiment(folder, len(NIGHT)) / "train.log").write_text("the last words\n")
    assert f"experiment {BEST.number} " in lab("show").output
    assert lab("log").output == "the last words\n"
    assert lab("log", "1").output == "it printed nothing\n"


def test_the_curve_stands_beside_its_parents_on_one_scale(folder: Path) -> None:
    """Which of two curves is lower is the question."""
    tale = Tale.open(folder)
    number = next(row.number for row in tale.rows_since(0) if row.kind == "candidate")
    night = [replace(r, parent=NIGHT[2].commit) if r.number == number else r for r in NIGHT]
    tale = Tale.open(tell(folder, night))
    parent = tale.detail(number).parent
    assert parent is not None
    write_curve(experiment(folder, number), [8.0, 4.0, 1.0])
    write_curve(experiment(folder, parent), [8.0, 6.0, 4.5])
    shown = drawn(tale, number, 100)
    assert "█▄▁ 1.0000 nats at step 2" in shown
    assert f"its parent {parent} █▆▅ 4.5000 nats at step 2" in " ".join(shown.split())


def test_a_diff_is_the_candidates_and_has_no_colour_when_piped(folder: Path) -> None:
    """It is piped into other programs, and a re-run has no change of its own."""
    rerun = next(record for record in NIGHT if record.verdict.keep)
    assert rerun.original is not None
    (experiment(folder, rerun.original) / "change.diff").write_text(DIFF)
    shown = lab("diff", str(rerun.number))
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    told = shown.output.splitlines()
    assert told[0].startswith(f"# nov23, experiment {rerun.original}: ")
    assert [line.rstrip() for line in told[1:]] == DIFF.splitlines()[2:]


def test_a_long_line_is_not_broken(folder: Path) -> None:
    """A broken line is two lines to whoever it is piped into."""
    long = "x = [" + ", ".join(str(i) for i in range(90)) + "]"
    (experiment(folder, 4) / "change.diff").write_text(f"@@ -1 +1 @@\n+{long}\n")
    (experiment(folder, 5) / "train.log").write_text(long + "\n")
    number = next(record.number for record in NIGHT if record.kind == "candidate")
    assert number == 4
    assert f"+{long}" in lab("diff", "4").output.splitlines()
    assert lab("log", "5").output == long + "\n"


def test_a_diff_on_a_terminal_is_coloured() -> None:
    """Added, removed and the words of the language are told apart at a glance."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(diff_line(DiffLine(kind="+", spans=(("keyword", "def"), ("", " f(): ...")))))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown.count("\x1b[") >= 3
    assert "def" in shown


def test_hostile_text_reaches_no_terminal(folder: Path) -> None:
    """A title that moves the cursor could show a score that was never measured."""
    night = [
        replace(
            record,
            title=f"[bold red]{HOSTILE}",
            hypothesis=f"[link=x]{HOSTILE}",
            agent=HOSTILE,
            facts={HOSTILE: HOSTILE},
            trial=replace(record.trial, reason=HOSTILE if record.trial.reason else ""),
        )
        for record in NIGHT
    ]
    tell(folder, night)
    (experiment(folder, 4) / "change.diff").write_text(f"@@ -1 +1 @@\n+x = '{HOSTILE}'\n")
    (experiment(folder, 5) / "train.log").write_text(f"[red]{HOSTILE}\n")
    for words in (["show", "4"], ["show", "5"], ["diff", "4"], ["log", "5"]):
        for extra in ([], ["--json"]):
            shown = lab(*words, *extra)
            assert shown.exit_code == 0, (words, shown.output)
            assert not {"\x1b", "\x07", "\x00", "\r", "\u202e"} & set(shown.output)
            assert "<img src=x" in shown.output
    assert "[bold red]" in lab("show", "4").output  # what looks like markup is text


def test_json_is_one_object_at_full_precision(folder: Path) -> None:
    """A program must not read what was rounded for people."""
    candidate = next(record for record in NIGHT if record.kind == "candidate")
    (experiment(folder, candidate.number) / "change.diff").write_text(DIFF)
    tale = Tale.open(folder)
    number = str(candidate.number)
    shown = json.loads(lab("show", number, "--json").output)
    assert shown["tag"] == "nov23"
    assert shown["val_bpb"] == candidate.trial.val_bpb
    assert shown["verdict"] == candidate.verdict.sentence
    keys = {f.name for shape in (tale.row(1), tale.detail(1)) for f in dataclasses.fields(shape)}
    assert set(shown) == keys | {"tag"}
    change = json.loads(lab("diff", number, "--json").output)
    assert [line["kind"] for line in change["lines"]].count("+") == 3
    assert change["lines"][3] == {"kind": "+", "text": "LEARNING_RATE = 0.02"}
    assert json.loads(lab("log", number, "--json").output)["log_tail"] == ""
    assert json.loads(lab("status", "--json").output)["tag"] == "nov23"


@pytest.mark.parametrize("command", ["show", "diff", "log"])
def test_what_is_not_there_is_said_in_words(folder: Path, command: str) -> None:
    """A number is mistyped often, and a night may have nothing yet."""
    for words in ([command, "99"], [command, "0"], [command, "1", "--tag", "other"]):
        assert isinstance(lab(*words).exception, BadInput)
    tell(folder, [])
    refused = lab(command)
    assert isinstance(refused.exception, BadInput)
    assert "no experiment yet" in str(refused.exception)


def test_the_baseline_has_no_change(folder: Path) -> None:
    """And says so, in place of an empty page."""
    refused = lab("diff", "1")
    assert isinstance(refused.exception, BadInput)
    assert "it is the baseline" in str(refused.exception)


def test_why_there_is_no_change_is_the_true_reason(folder: Path) -> None:
    """Of a bundle a person may have unpacked the ledger alone; the kept code was real."""
    kept = next(record.original for record in NIGHT if record.verdict.keep)
    refused = str(lab("diff", str(kept)).exception)
    assert "its change.diff is not in the campaign's folder" in refused
    tell(folder, [*NIGHT[:3], make_record(4, status=Status.REJECTED)])
    assert "it never became code" in str(lab("diff", "4").exception)


def test_a_title_that_stdout_cannot_encode_does_not_end_the_command(folder: Path) -> None:
    """A terminal over a serial line, a cron job, Windows' old code pages: a title may be in any script."""
    tell(folder, [replace(NIGHT[0], title="tiefer → besser é")])
    for encoding, title in (("latin-1", "tiefer ? besser é"), ("ascii", "tiefer ? besser ?")):
        done = subprocess.run(
            [sys.executable, "-m", "lab", "status"],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            check=False,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert title.encode("latin-1") in done.stdout


def test_a_tag_from_the_make_line_is_heard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make status TAG=...` hands it over in the environment."""
    tell(folder.parent / "other", NIGHT[:3], tag="other")
    for tag in ("nov23", "other"):
        monkeypatch.setenv("NIGHTLAB_TAG", tag)
        assert json.loads(lab("status", "--json").output)["tag"] == tag
        assert json.loads(lab("show", "1", "--json").output)["tag"] == tag
