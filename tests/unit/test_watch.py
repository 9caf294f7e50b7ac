"""`lab watch`: a person comes to a night from another terminal, and goes again."""

from __future__ import annotations

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
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from lab.bulletin import Bulletin
from lab.errors import CampaignError
from lab.runs import locked
from lab.settings import CHECKOUT
from lab.show.screen import Screen, open_screen
from lab.watch import watch
from tests.unit.handed_in import make_campaign, write_record
from tests.unit.nights import make_record
from tests.unit.test_screen import ESCAPE, environment

PATIENCE_S = 20.0
PROBE = "somebody.looks"
WATCH = [sys.executable, "-m", "lab", "watch"]


class Played:
    """A night that holds its campaign, in this process."""

    def __init__(self, runs: Path) -> None:
        self.folder = make_campaign(runs)
        (self.folder / "events.jsonl").write_text('{"event": "overnight.started", "tag": "old"}\n')
        console = Console(file=io.StringIO())
        self.screen: Screen = open_screen(self.folder / "events.jsonl", console=console)
        self.bulletin = Bulletin(self.folder, self.screen, agent="offline", every_s=0.05)

    def begin(self) -> None:
        self.screen.phase("training", cap_s=60, experiment=5, title="A wider MLP")
        self.screen.advance(fraction=0.5, loss=5.4321, tokens_per_s=11432.0)

    def finish(self) -> None:
        write_record(self.folder, make_record(5, val_bpb=1.84, best_bpb=1.85, title="A wider MLP"))
        self.screen.event(
            "experiment.finished", experiment=5, ending="discard", val_bpb=1.84, title="A wider MLP"
        )

    def end(self) -> None:
        self.screen.event(
            "overnight.finished", reason="the time is up", experiments=5, kept=1, best_bpb=1.85
        )


class Watching:
    """`lab watch` as a person starts it, on a pipe or on a terminal."""

    def __init__(self, runs: Path, *, columns: int | None = None) -> None:
        self.master, slave = pty.openpty() if columns else os.pipe()
        if columns:
            self.resize(columns)
        self.process = subprocess.Popen(
            WATCH,
            cwd=CHECKOUT,
            env=environment(NIGHTLAB_RUNS=str(runs), FORCE_COLOR="1"),
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.PIPE,
        )
        os.close(slave)
        self.seen = ""

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def read(self, until: Callable[[str], bool]) -> str:
        end = time.monotonic() + PATIENCE_S
        while not until(self.seen):
            assert time.monotonic() < end, f"not shown: {self.seen}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    chunk = os.read(self.master, 65536)
                except OSError:  # the other side is gone
                    chunk = b""
                if not chunk:
                    break
                self.seen += chunk.decode("utf-8", "replace")
        return self.seen

    def attached(self, night: Played) -> bool:
        """Whether it has told an event by now: what happened before it looked is not told."""
        night.screen.event(PROBE)
        time.sleep(0.3)
        if select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536).decode()
        assert self.process.poll() is None
        return PROBE in self.seen

    def end(self) -> tuple[int, str]:
        """The exit code, and everything that was shown."""
        self.read(lambda _: False)
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        os.close(self.master)
        assert errors == b""
        return self.process.returncode, self.seen


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Played]:
    night = Played(tmp_path)
    with locked(night.folder), night.screen, night.bulletin:
        night.begin()
        yield night


def test_a_terminal_shows_what_the_night_shows_and_survives_its_end(tmp_path: Path) -> None:
    """The same head, phase and table; and how it ended stays on the screen."""
    night = Played(tmp_path)
    with locked(night.folder), night.screen, night.bulletin:
        night.begin()
        watching = Watching(tmp_path, columns=100)
        seen = ESCAPE.sub("", watching.read(lambda seen: "tokens/s" in seen))
        for words in ("nov23 | cpu | Xeon", "#5 training", "A wider MLP", "loss 5.432", "Width 48"):
            assert words in seen, words
        night.finish()
        watching.read(lambda seen: "#5 discarded" in seen)
        night.end()
    code, seen = watching.end()
    assert code == 0
    assert "the night ends: the time is up; 5 experiments, 1 kept" in seen
    assert "`lab status --tag nov23`" in seen
    assert "without a word" not in seen


def test_a_pipe_gets_one_plain_line_an_event(tmp_path: Path) -> None:
    """It is read with grep, even where colour was asked for; nothing of before is told again."""
    night = Played(tmp_path)
    with locked(night.folder), night.screen, night.bulletin:
        night.begin()
        watching = Watching(tmp_path)
        while not watching.attached(night):
            pass
        night.screen.phase("evaluation", cap_s=30)
        night.finish()
        watching.read(lambda seen: "#5 discarded" in seen)
        night.end()
    code, seen = watching.end()
    assert code == 0
    assert "\x1b" not in seen
    lines = [line for line in seen.splitlines() if PROBE not in line]
    told = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines]
    assert told == [
        "#5 evaluation, at most 30 s",
        "#5 discarded, val_bpb 1.8400: A wider MLP",
        "the night ends: the time is up; 5 experiments, 1 kept",
        "`lab status --tag nov23` shows it, and how to go on",
    ]


def test_ctrl_c_leaves_the_night_alone(night: Played, tmp_path: Path) -> None:
    """Who only looked must not end anything by looking away."""
    watching = Watching(tmp_path, columns=100)
    watching.read(lambda seen: "tokens/s" in seen)
    watching.process.send_signal(signal.SIGINT)
    code, seen = watching.end()
    assert code == 0
    assert "you left; the night nov23 goes on" in seen
    assert not (night.folder / "STOP").exists()


def test_a_resized_terminal_goes_on(night: Played, tmp_path: Path) -> None:
    """Windows are dragged."""
    watching = Watching(tmp_path, columns=120)
    watching.read(lambda seen: "tokens/s" in seen)
    watching.resize(60)
    watching.process.send_signal(signal.SIGWINCH)
    at = len(watching.seen)
    watching.read(lambda seen: seen[at:].count("tokens/s") >= 5)
    frames = ESCAPE.sub("", watching.seen[at:]).split("tokens/s")[3:-1]
    assert max(cell_len(line) for line in re.split(r"[\r\n]+", "".join(frames))) <= 60
    watching.process.send_signal(signal.SIGINT)
    assert watching.end()[0] == 0


def test_a_closed_pipe_ends_the_watching_quietly(night: Played, tmp_path: Path) -> None:
    """`lab watch | head -1`."""
    watching = Watching(tmp_path)
    while not watching.attached(night):
        pass
    os.close(watching.master)
    night.screen.event("experiment.proposed", experiment=6, title="more")
    _, errors = watching.process.communicate(timeout=PATIENCE_S)
    assert (watching.process.returncode, errors) == (0, b"")


def shown(folder: Path) -> str:
    console = Console(file=io.StringIO(), width=200)
    watch(folder, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_night_that_does_not_run_is_described_with_how_to_go_on(tmp_path: Path) -> None:
    """Nobody waits before a picture that never moves."""
    folder = make_campaign(tmp_path)
    seen = shown(folder)
    assert "not running" in seen and "Width 48" in seen
    assert "`make overnight TAG=nov23` goes on from 1.8500" in seen
    (folder / "STOP").write_text("now")
    assert f"`rm {folder / 'STOP'}`" in shown(folder)


def test_a_campaign_that_is_none_is_an_error_in_words(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(CampaignError, match="there is no campaign"):
        watch(tmp_path)


def test_a_killed_night_is_said_to_be_one(tmp_path: Path) -> None:
    """It left a now.json and no last word."""
    night = Played(tmp_path)
    console = Console(file=io.StringIO(), width=100)
    with locked(night.folder):
        watcher = threading.Thread(target=watch, args=(night.folder, console))
        watcher.start()
        time.sleep(1.0)
        with (night.folder / "events.jsonl").open("a") as events:
            events.write('torn {"event"\n[]\n{"event": 3}\n')
        time.sleep(0.8)
    watcher.join(PATIENCE_S)
    assert not watcher.is_alive()
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "has ended without a word" in said
    assert "old" not in said, "what was there before is not told again"


@pytest.mark.parametrize(
    ("last", "killed"),
    [
        pytest.param(["overnight.finished"], False, id="just-ended"),
        pytest.param(["overnight.finished", "report.written"], False, id="and-something-after"),
        pytest.param(["overnight.finished", "overnight.started"], True, id="another-began"),
        pytest.param(["replay.finished"], False, id="a-replay"),
        pytest.param(["experiment.finished"], True, id="no-last-word"),
    ],
)
def test_a_night_that_has_just_ended_was_not_killed(
    tmp_path: Path, last: list[str], killed: bool
) -> None:
    """It said so, and holds its campaign for as long as the report takes to write."""
    folder = make_campaign(tmp_path)
    events = [{"event": name, "reason": "the time is up", "tag": "x"} for name in last]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    console = Console(file=io.StringIO(), width=100)
    with locked(folder):
        watcher = threading.Thread(target=watch, args=(folder, console))
        watcher.start()
        time.sleep(0.7)
    watcher.join(PATIENCE_S)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("without a word" in said) is killed
    assert "the time is up" not in said, "what was there before is not told again"


def test_a_night_that_has_only_begun_is_watched(tmp_path: Path) -> None:
    """It holds the campaign and has written nothing yet: no ledger, no event, no now.json."""
    folder = make_campaign(tmp_path, records=[])
    console = Console(file=io.StringIO(), width=100)
    with locked(folder):
        watcher = threading.Thread(target=watch, args=(folder, console))
        watcher.start()
        time.sleep(1.0)
        (folder / "events.jsonl").write_text('{"event": "overnight.started", "tag": "nov23"}\n')
        time.sleep(1.2)
    watcher.join(PATIENCE_S)
    assert "night nov23 begins" in console.file.getvalue()  # type: ignore[attr-defined]
