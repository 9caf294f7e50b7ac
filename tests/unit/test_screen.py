"""The screen, on real pseudo-terminals and pipes: what is seen, and that it never ends a night."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from lab.redaction import REDACTED, is_secret, without_secrets
from lab.settings import CHECKOUT
from lab.show.events import EventLog, sentence_of
from lab.show.screen import open_screen
from lab.show.tally import tally
from lab.show.view import (
    FEW_RESULTS,
    LAST_RESULTS,
    WIDEST,
    Phase,
    Standing,
    draw,
    duration,
    energy,
    rate,
    result_of,
    standing_of,
)
from tests.unit.nights import make_night, make_record

TALLY = tally(make_night(20))  # of the night below
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
NASTY = "\x1b[2J[bold red]wider[/bold red] MLP\r\n\x07[link=http://x]"

# A night in a few seconds, as the controller would tell it.
NIGHT = """
import sys, time
from pathlib import Path
from lab.show.screen import open_screen
from lab.show.view import standing_of
from tests.unit.nights import make_night

with open_screen(Path(sys.argv[1])) as screen:
    screen.say("The engine answers.")
    screen.standing(standing_of(make_night(20), tag="nov23", profile="cpu",
                                hardware="Xeon", seconds_left=27700, experiments_limit=40))
    screen.phase("training", cap_s=60, experiment=21, title="A wider MLP")
    for step in range(int(float(sys.argv[2]) / 0.05)):
        screen.advance(fraction=step / 100, loss=5.4321, tokens_per_s=11432.0)
        time.sleep(0.05)
    screen.event("experiment.finished", experiment=21, kind="candidate", status="measured",
                 ending="keep", val_bpb=1.7923456, gain_bpb=0.0123, title="A wider MLP")
Path(sys.argv[1]).with_name("done").write_text("the night ended by itself")
"""


def events_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm-256color", **more}


class Terminal:
    """A real pseudo-terminal with a night running on it."""

    def __init__(self, folder: Path, *, seconds: float, columns: int = 100, **more: str) -> None:
        self.events = folder / "events.jsonl"
        self.done = folder / "done"
        self.master, slave = pty.openpty()
        self.resize(columns)
        self.process = subprocess.Popen(
            [sys.executable, "-c", NIGHT, str(self.events), str(seconds)],
            cwd=CHECKOUT,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.PIPE,
        )
        os.close(slave)
        self.seen = ""

    def resize(self, columns: int, rows: int = 30) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def read(self, until: Callable[[str], bool], timeout_s: float = 20.0) -> str:
        """Everything seen so far, once `until` holds or the terminal closes."""
        end = time.monotonic() + timeout_s
        while not until(self.seen) and time.monotonic() < end:
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if ready:
                try:
                    chunk = os.read(self.master, 65536)
                except OSError:  # the other side is gone
                    break
                if not chunk:
                    break
                self.seen += chunk.decode("utf-8", "replace")
        return self.seen

    def finish(self) -> str:
        """Read to the end; the exit status and everything on stderr are part of the result."""
        self.read(lambda _: False)
        _, errors = self.process.communicate(timeout=20)
        os.close(self.master)
        assert (self.process.returncode, errors) == (0, b"")
        return self.seen


# ---- what is seen ----


@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_shows_the_whole_night(tmp_path: Path, columns: int) -> None:
    """Phase, progress, score and results: what a person looks up for at two in the morning."""
    baseline, best = TALLY.baseline_bpb, TALLY.best_bpb
    assert baseline is not None
    assert best is not None
    gain = baseline - best
    assert gain > 0, "the control: there is something to show"
    shown = ESCAPE.sub("", Terminal(tmp_path, seconds=1.5, columns=columns).finish())
    for words in (
        "The engine answers.",
        "nov23 | cpu | Xeon",
        "7 h 41 min left",
        "#21 training",
        "A wider MLP",
        "of 60 s | loss 5.432 | 11.4 k tokens/s",
        f"{TALLY.tried} of 40 done, {TALLY.kept} kept",
        f"best {best:.4f} | gain {gain:.4f} ({100 * gain / baseline:.1f} %)",
        "kept, val_bpb 1.7923 (+0.0123)",
    ):
        assert words in shown, words
    assert max(cell_len(line) for line in re.split(r"[\r\n]+", shown)) <= columns


def test_the_terminal_is_left_as_it_was(tmp_path: Path) -> None:
    """A cursor that stays hidden after a crash is the first thing that a person curses."""
    terminal = Terminal(tmp_path, seconds=5)
    terminal.read(lambda seen: "loss" in seen)
    terminal.process.kill()
    terminal.process.communicate()
    seen = terminal.read(lambda _: False)
    os.close(terminal.master)
    assert seen.rfind(SHOW_CURSOR) > seen.rfind(HIDE_CURSOR)
    assert "\x1b[?1049" not in seen  # no alternate screen either


def test_a_pipe_gets_one_plain_line_an_event(tmp_path: Path) -> None:
    """A log of CI is read with grep: no colour, no cursor, even when colour is asked for."""
    done = subprocess.run(
        [sys.executable, "-c", NIGHT, str(tmp_path / "events.jsonl"), "1"],
        cwd=CHECKOUT,
        env=environment(FORCE_COLOR="1", COLUMNS="40"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b" not in done.stdout + done.stderr
    say, phase, finished = done.stdout.splitlines()
    assert say == "The engine answers."
    assert phase.endswith("#21 training, at most 60 s")
    assert finished.endswith("#21 kept, val_bpb 1.7923 (+0.0123): A wider MLP")


def test_no_color_is_respected(tmp_path: Path) -> None:
    """https://no-color.org: the person has said so."""
    seen = Terminal(tmp_path, seconds=1, NO_COLOR="1").finish()
    colours = re.findall(r"\x1b\[([0-9;]*)m", seen)
    codes = {int(code) for group in colours for code in group.split(";") if code}
    assert not {code for code in codes if 30 <= code <= 49 or 90 <= code <= 107}
    assert "kept" in seen


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_picture_fits_and_tells_keeps_without_colour(width: int) -> None:
    """One man in twelve cannot tell the green from the red."""
    standing = standing_of(make_night(60), tag="nov23", profile="cpu", hardware="Xeon " * 20)
    phase = Phase(name="training", cap_s=60, experiment=61, title="x" * 300, loss=float("nan"))
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(draw(standing, phase, rows=40))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(cell_len(line) for line in lines) <= width
    last = [result_of(record) for record in make_night(60)[-(40 // 3) :]]
    assert sum(" kept " in line for line in lines) == sum(r.ending == "keep" for r in last)
    assert any("loss nan" in line for line in lines)
    for result in last:
        assert any(line.split()[0] == str(result.number) for line in lines if line.split())


def picture(phase: Phase | None = None, *, rows: int, columns: int) -> list[str]:
    """The lines of a night of sixty on such a terminal."""
    standing = standing_of(make_night(60), tag="nov23", profile="cpu", hardware="Xeon")
    console = Console(file=io.StringIO(), width=columns, color_system=None)
    console.print(draw(standing, phase, rows=rows, columns=columns))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("rows", "shown"), [(8, 4), (19, FEW_RESULTS), (23, FEW_RESULTS), (39, 13), (200, LAST_RESULTS)]
)
def test_a_taller_terminal_shows_more_results(rows: int, shown: int) -> None:
    """And leaves room for what happened, which scrolls above."""
    lines = picture(rows=rows, columns=100)
    numbers = [int(line.split()[0]) for line in lines if line.split()[0].isdigit()]
    assert numbers == list(range(61 - shown, 61))


def test_a_narrow_terminal_gives_a_column_to_the_titles_and_a_wide_one_keeps_together() -> None:
    """A title of thirteen letters says nothing; a line of two hundred has two ends that nobody connects."""
    narrow, wide = (picture(rows=30, columns=columns) for columns in (60, 250))
    assert not any("audited" in line for line in narrow)
    assert any("audited" in line for line in wide)
    assert max(cell_len(line.rstrip()) for line in wide) <= WIDEST


def test_a_phase_without_an_end_has_no_bar() -> None:
    """A model may think for minutes; an empty bar looks like something that hangs."""
    thinking = picture(Phase(name="proposing", experiment=61, elapsed_s=42.0), rows=30, columns=80)
    assert any(line.strip() == "42 s" for line in thinking)
    assert not any("━" in line for line in thinking)
    timed = picture(Phase(name="training", cap_s=60.0, elapsed_s=42.0), rows=30, columns=80)
    assert any("━" in line and "42 of 60 s" in line for line in timed)


def test_a_long_line_goes_on_under_its_words_and_a_keep_is_told_by_colour_too(
    tmp_path: Path,
) -> None:
    """Who scrolls back in the morning looks for two things: the times, and what was kept."""
    console = Console(file=io.StringIO(), width=60, force_terminal=True, color_system="standard")
    with open_screen(tmp_path / "events.jsonl", console=console) as screen:
        for ending in ("keep", "discard"):
            screen.event("experiment.finished", experiment=1, ending=ending, title="t" * 58)
        time.sleep(0.8)
    seen = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[1;32m#1 kept" in seen
    assert "\x1b[1;32m#1 discarded" not in seen and "#1 discarded" in seen
    lines = [line for line in ESCAPE.sub("", seen).splitlines() if "ttt" in line]
    assert len(lines) >= 2 and all(line.startswith(" " * 9 + "t") for line in lines), lines


@given(rows=st.integers(1, 30))
def test_a_low_terminal_is_not_overrun(rows: int) -> None:
    """A live region taller than the window scrolls, and leaves a copy at every refresh."""
    standing = standing_of(make_night(30), tag="t", profile="cpu")
    console = Console(file=io.StringIO(), width=80)
    console.print(draw(standing, Phase(name="training", cap_s=8.0), rows=rows))
    printed = console.file.getvalue().count("\n")  # type: ignore[attr-defined]
    assert printed <= max(rows, 5)


def test_text_from_outside_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    """A title is written by a model, a reason may quote a log: neither may drive the terminal."""
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system="standard")
    with open_screen(tmp_path / "events.jsonl", console=console) as screen:
        screen.say(NASTY)
        screen.event("odd.thing", text=NASTY)
        screen.event("experiment.proposed", experiment=1, title=NASTY)
        screen.standing(
            Standing(
                tag=NASTY,
                profile="cpu",
                results=(dataclasses.replace(result_of(make_record(1)), title=NASTY),),
            )
        )
        screen.phase("training", experiment=1, title=NASTY)
        time.sleep(0.8)
    seen = console.file.getvalue()  # type: ignore[attr-defined]
    for order in ("\x1b[2J", "\x07", "\x1b]8"):
        assert order not in seen
    assert seen.count("[bold red]wider[/bold red] MLP") >= 5


def test_a_resized_terminal_goes_on(tmp_path: Path) -> None:
    """Windows are dragged; a night takes no notice."""
    terminal = Terminal(tmp_path, seconds=3, columns=120)
    terminal.read(lambda seen: "loss" in seen)
    terminal.resize(60)
    terminal.process.send_signal(signal.SIGWINCH)
    at = len(terminal.seen)
    terminal.finish()
    frames = ESCAPE.sub("", terminal.seen[at:]).split(f"done, {TALLY.kept} kept")[2:]
    assert frames
    assert max(cell_len(line) for line in re.split(r"[\r\n]+", "".join(frames))) <= 60


# ---- what it never does ----


def test_a_terminal_that_goes_away_does_not_end_the_night(tmp_path: Path) -> None:
    """The ssh connection drops at three; the morning's results must be there all the same."""
    terminal = Terminal(tmp_path, seconds=3)
    terminal.read(lambda seen: "loss" in seen)
    os.close(terminal.master)
    _, errors = terminal.process.communicate(timeout=30)
    assert terminal.done.exists(), errors
    assert (terminal.process.returncode, errors) == (0, b"")
    events = events_of(terminal.events)
    assert events[-1]["event"] == "experiment.finished"
    assert any(event["event"] == "screen.broken" for event in events)


def test_a_closed_pipe_does_not_end_the_night(tmp_path: Path) -> None:
    """`make overnight | head` must not stop the research."""
    process = subprocess.Popen(
        [sys.executable, "-c", NIGHT, str(tmp_path / "events.jsonl"), "2"],
        cwd=CHECKOUT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "The engine answers."
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=30)
    assert (tmp_path / "done").exists(), errors
    assert (process.returncode, errors) == (0, "")
    assert events_of(tmp_path / "events.jsonl")[-1]["event"] in (
        "experiment.finished",
        "screen.broken",
    )


def test_a_reader_that_stopped_does_not_stop_the_night(tmp_path: Path) -> None:
    """Ctrl-S, or a laptop asleep behind ssh: the terminal takes nothing, and the night goes on."""
    program = """
import sys, time
from pathlib import Path
from lab.show.screen import open_screen

with open_screen(Path(sys.argv[1])) as screen:
    for number in range(300):
        screen.say(f"{number} " + "x" * 400)
    time.sleep(1.0)  # the drawing thread waits for the reader now, and for ever
    screen.event("experiment.finished", experiment=1, status="crashed")
Path(sys.argv[1]).with_name("done").write_text("the night ended by itself")
"""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "events.jsonl")],
        cwd=CHECKOUT,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert (tmp_path / "done").exists()
    assert [e["event"] for e in events_of(tmp_path / "events.jsonl")] == ["experiment.finished"]
    with os.fdopen(reader, "rb") as pipe:
        assert len(pipe.read()) < 300 * 400  # it was stuck indeed, or this test shows nothing


def test_a_drawing_that_crashes_is_noted_and_the_events_go_on(tmp_path: Path) -> None:
    """A bug in a table must cost the table and nothing else."""

    class Broken(io.StringIO):
        def write(self, _text: str, /) -> int:
            raise OSError(5, "Input/output error")

    with open_screen(tmp_path / "events.jsonl", console=Console(file=Broken())) as screen:
        screen.say("anything")
        time.sleep(0.8)
        screen.event("experiment.finished", experiment=1, status="crashed")
    names = [event["event"] for event in events_of(tmp_path / "events.jsonl")]
    assert names == ["screen.broken", "experiment.finished"]
    assert "Input/output error" in (screen.broken or "")


def test_a_full_disk_does_not_end_the_night() -> None:
    """The ledger reports a full disk with care; the log must not be faster, with a traceback."""
    console = Console(file=io.StringIO(), width=100)
    with open_screen(Path("/dev/full"), console=console) as screen:
        screen.event("experiment.finished", experiment=1, ending="crashed")
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "#1 crashed" in shown
    assert "could not be written" in shown


def test_advancing_costs_the_controller_next_to_nothing(tmp_path: Path) -> None:
    """It is told of every step; on two cores, what it burns is missing in the training."""
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with open_screen(tmp_path / "events.jsonl", console=console) as screen:
        screen.standing(standing_of(make_night(20), tag="t", profile="cpu"))
        screen.phase("training", cap_s=60, experiment=1, title="t")
        before = time.process_time()
        for _ in range(10_000):
            screen.advance(fraction=0.5, loss=3.0, tokens_per_s=1e6)
        assert time.process_time() - before < 0.5  # 50 microseconds a call, on a slow machine
        frames_before = console.file.getvalue().count("#1 ")  # type: ignore[attr-defined]
        time.sleep(1.0)
        frames = console.file.getvalue().count("#1 ") - frames_before  # type: ignore[attr-defined]
    assert 1 <= frames <= 4


def test_the_time_left_counts_down_by_itself(tmp_path: Path) -> None:
    """While an experiment runs, nobody tells the screen anything about the night."""
    now = [100.0]
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    screen = open_screen(tmp_path / "events.jsonl", console=console)
    screen._clock = lambda: now[0]
    with screen:
        screen.standing(Standing(tag="t", profile="cpu", seconds_left=90.0))
        screen.phase("training", cap_s=60)
        now[0] += 50
        time.sleep(0.8)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "40 s left" in shown
    assert "50 of 60 s" in shown


# ---- events ----


def test_an_event_is_one_json_line_at_full_precision(tmp_path: Path) -> None:
    """Rounding belongs to the report; a program that reads the log must get what was measured."""
    console = Console(file=io.StringIO())
    with open_screen(tmp_path / "e" / "events.jsonl", console=console) as screen:
        screen.event("experiment.finished", experiment=41, ending="discard", val_bpb=0.1 + 0.2)
        (event,) = events_of(tmp_path / "e" / "events.jsonl")  # on disk before the screen closes
    assert event["val_bpb"] == 0.1 + 0.2
    stamp = datetime.fromisoformat(str(event["at"]))
    assert stamp.utcoffset() == UTC.utcoffset(None)
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60
    assert "val_bpb 0.3000" in console.file.getvalue()  # type: ignore[attr-defined]


@given(
    facts=st.dictionaries(
        st.text(max_size=12),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_any_fact_is_a_valid_line(
    tmp_path_factory: pytest.TempPathFactory, facts: dict[str, object]
) -> None:
    """NaN, half a surrogate pair, a fact named "event": the log must stay readable line by line."""
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    with EventLog(path) as log:
        log.write("odd.thing", facts)
        assert log.lost == 0
    (line,) = path.read_bytes().splitlines()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    event = json.loads(line.decode("utf-8"), parse_constant=refuse)
    assert event["event"] == "odd.thing"
    assert len(sentence_of("odd.thing", facts).splitlines()) == 1


def test_secrets_are_not_written_down(tmp_path: Path) -> None:
    """events.jsonl travels in bundles; a key in it would be published."""
    secret = "sk-ant-REDACT-ME-0123456789abcdef"
    path = tmp_path / "events.jsonl"
    console = Console(file=io.StringIO(), width=400)
    with open_screen(path, console=console) as screen:
        screen.event(
            "agent.failed",
            api_key=secret,
            headers={"Authorization": f"Bearer {secret}", "x-api-key": secret, "accept": "json"},
            github_token=secret,
            password=secret,
            reason=f"401 for {secret} at https://me:{secret}@example.org/v1",
            tokens=12345,
            tokens_per_s=11.5,
            total_tokens=7,
        )
        screen.say(f"export KEY={secret}")
    (event,) = events_of(path)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert secret not in path.read_text()
    assert secret not in shown
    assert event["api_key"] == event["password"] == event["github_token"] == REDACTED
    assert (event["tokens"], event["tokens_per_s"], event["total_tokens"]) == (12345, 11.5, 7)
    assert "401 for" in str(event["reason"])


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("ANTHROPIC_API_KEY", True),
        ("apiKey", True),
        ("x-auth-token", True),
        ("client_secret", True),
        ("tokens_per_s", False),
        ("monkey", False),
        ("tokenizer", False),
        ("keyboard", False),
        ("author", False),
    ],
)
def test_a_key_is_judged_by_its_words(key: str, secret: bool) -> None:
    """Redacting `tokenizer` would be as useless as keeping `api_key` would be dangerous."""
    assert is_secret(key) is secret


def test_harmless_text_is_left_alone() -> None:
    """A sha256 or an image id is no secret, and is what makes the log worth keeping."""
    text = "image sha256:" + "ab" * 32 + " at http://localhost:8000/ask-me, task-force_1"
    assert without_secrets(text) == text


def test_a_torn_last_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    """After a power cut the first new event must not be glued to half an old one."""
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "a"}\n{"event": "b", "x')
    with EventLog(path) as log:
        log.write("night.resumed", {})
    assert json.loads(path.read_text().splitlines()[-1])["event"] == "night.resumed"


@pytest.mark.parametrize(
    ("name", "facts", "sentence"),
    [
        (
            "experiment.finished",
            {
                "experiment": 3,
                "status": "measured",
                "ending": "discard",
                "val_bpb": 1.9,
                "gain_bpb": -0.05,
            },
            "#3 discarded, val_bpb 1.9000 (\N{MINUS SIGN}0.0500)",
        ),
        (
            "experiment.finished",
            {"experiment": 1, "kind": "baseline", "ending": "baseline", "val_bpb": 1.9},
            "#1 baseline, val_bpb 1.9000",
        ),
        (
            "experiment.finished",
            {"experiment": 4, "ending": "out_of_memory", "title": "Depth 9", "reason": "over 6 GB"},
            "#4 out of memory: Depth 9 [over 6 GB]",
        ),
        (
            "experiment.finished",
            {
                "experiment": 5,
                "ending": "confirm",
                "val_bpb": 1.8,
                "gain_bpb": 0.1,
                "reason": "to be confirmed: 0.1000 better than 1.9000",
            },
            "#5 to confirm, val_bpb 1.8000 (+0.1000)",
        ),
        (
            "experiment.finished",
            {
                "experiment": 6,
                "ending": "keep",
                "audited": True,
                "val_bpb": 1.8,
                "gain_bpb": 0.1,
                "title": "re-run of 5: Depth 9",
            },
            "#6 kept, val_bpb 1.8000 (+0.1000): re-run of 5: Depth 9",
        ),
        (
            "experiment.finished",
            {
                "experiment": 7,
                "ending": "contended",
                "title": "Depth 9",
                "reason": "pid 7 computed",
            },
            "#7 contended: Depth 9 [pid 7 computed]",
        ),
        (
            "overnight.finished",
            {
                "reason": "time is up",
                "experiments": 9,
                "kept": 1,
                "baseline_bpb": 2.0,
                "best_bpb": 1.9,
            },
            "the night ends: time is up; 9 experiments, 1 kept; 2.0000 -> 1.9000 (5.0 %)",
        ),
        (
            "noise.measured",
            {"sd_bpb": 0.00412, "mean_bpb": 1.84931, "runs": 3},
            "noise: sd 0.0041 around 1.8493, from 3 runs of the baseline",
        ),
        ("experiment.finished", {"nothing": "known"}, "experiment.finished nothing=known"),
    ],
)
def test_a_sentence_says_what_happened(name: str, facts: dict[str, object], sentence: str) -> None:
    """A person reads these for eight hours."""
    assert sentence_of(name, facts) == sentence


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59.9, "59 s"), (119, "119 s"), (720, "12 min"), (27700, "7 h 41 min")],
)
def test_a_duration_is_said_as_a_person_says_it(seconds: float, words: str) -> None:
    """Nobody divides by 3600 at night."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("joules", "words"),
    [(0.4, "0 J"), (120, "120 J"), (3600, "1.0 Wh"), (246_000, "68 Wh"), (9e6, "2.50 kWh")],
)
def test_energy_has_a_unit_of_its_size(joules: float, words: str) -> None:
    """A smoke on a laptop takes joules: 3.33e-05 kWh is no amount that anybody knows."""
    assert energy(joules) == words


@given(value=st.floats())
def test_a_claimed_rate_never_breaks_the_line(value: float) -> None:
    """tokens/s comes from train.py, which may claim anything."""
    assert len(rate(value)) <= 12
