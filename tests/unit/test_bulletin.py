"""A night that is played, and what its now.json says while it runs."""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from lab import bulletin as bulletin_module
from lab.bulletin import WAITING, Bulletin, thinned
from lab.container import TAIL_LINES, Container, Engine
from lab.errors import EngineError
from lab.glimpse import Claim, Glimpse
from lab.runs import locked
from lab.show.screen import Screen, open_screen
from lab.show.view import standing_of
from lab.story.now import NOW_FILE, read_now
from lab.story.shapes import CURVE_POINTS, LOG_CHARS, Now
from tests.unit.nights import make_night

PATIENCE_S = 10.0


class Place:
    """A campaign's folder that a controller holds, with a Screen and a Bulletin over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.console = Console(file=io.StringIO(), width=100)
        self.screen = open_screen(folder / "events.jsonl", console=self.console)
        self.bulletin = Bulletin(
            folder, self.screen, agent="offline", every_s=0.02, log_every_s=0.02
        )

    def wait(self, wanted: Callable[[Now], bool]) -> Now:
        """The first Now that is as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if (now := read_now(self.folder)) and wanted(now):
                return now
            time.sleep(0.01)
        raise AssertionError(f"not told: {read_now(self.folder)}")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    with locked(tmp_path), place.screen, place.bulletin:
        yield place


def propose(screen: Screen) -> None:
    screen.event(
        "experiment.proposed",
        experiment=21,
        kind="candidate",
        title="A wider MLP",
        hypothesis="More of it\x1b[2J.",
        agent="offline",
        repeats=None,
    )


def test_a_played_night_is_told_while_it_runs(place: Place) -> None:
    """From the first second to the record; each value is the one that the screen has."""
    screen = place.screen
    screen.standing(
        standing_of(make_night(20), tag="t", profile="cpu", seconds_left=600, experiments_limit=40)
    )
    now = place.wait(lambda now: now.experiments_limit == 40)
    assert (now.phase, now.experiment, now.agent, now.curve) == (WAITING, None, "offline", ())
    assert 590 < (now.seconds_left or 0) <= 600

    screen.phase("proposing", experiment=21, title="")
    assert place.wait(lambda now: now.phase == "proposing").hypothesis == ""

    propose(screen)
    claims: list[Claim] = []
    log = [b"compiling\n"]
    screen.phase("start-up", cap_s=120, experiment=21, title="A wider MLP")
    screen.running(
        Glimpse(claims=lambda: claims, log_tail=lambda: log[0], sample=lambda: {"power_w": 400.0})
    )
    now = place.wait(lambda now: now.log_tail == "compiling\n")
    assert (now.experiment, now.kind, now.title) == (21, "candidate", "A wider MLP")
    assert (now.hypothesis, now.telemetry) == ("More of it.", {"power_w": 400.0})

    screen.phase("training", cap_s=300)
    claims.append(Claim(1.0, 10, 10_000, 5.5))
    log[0] = b"bar  10%\rbar  90%\r\n\x1b[31mred\x07 \xff key sk-0123456789abcdefghij\n"
    screen.advance(fraction=0.25, loss=5.5, tokens_per_s=10_000.0)
    now = place.wait(lambda now: now.loss == 5.5 and "red" in now.log_tail)
    assert now.log_tail == "bar  10%\nbar  90%\nred \ufffd key [redacted]\n"
    assert [(point.train_s, point.step, point.loss) for point in now.curve] == [(1.0, 10, 5.5)]
    assert (now.phase, now.cap_s, now.fraction, now.tokens_per_s) == ("training", 300, 0.25, 1e4)

    screen.phase("evaluation", cap_s=60)
    log[0] = b"asked for again"
    now = place.wait(lambda now: now.phase == "evaluation")
    assert now.telemetry == {}, "a reading of then would be taken for one of now"
    assert "red" in now.log_tail and now.curve

    screen.event("experiment.finished", experiment=21, ending="discard", status="measured")
    now = place.wait(lambda now: now.phase == WAITING)
    assert (now.experiment, now.title, now.log_tail, now.curve) == (None, "", "", ())


def test_after_the_night_nothing_is_left(tmp_path: Path) -> None:
    """A file of yesterday would be taken for a night that hangs."""
    place = Place(tmp_path)
    (tmp_path / NOW_FILE).write_text("of a night that was killed")
    with locked(tmp_path), place.screen:
        with place.bulletin:
            place.wait(lambda now: now.phase == WAITING)
        assert not (tmp_path / NOW_FILE).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "lock"]


def test_only_a_train_container_is_looked_at_and_only_while_it_trains(place: Place) -> None:
    """What a model or a judge prints could carry validation text."""
    asked: list[str] = []

    def tail() -> bytes:
        phase = place.screen.moment().phase
        asked.append(phase.name if phase else "none")
        return b"a line"

    propose(place.screen)
    place.screen.phase("training", experiment=21, title="t")
    place.screen.running(Glimpse(claims=list, log_tail=tail))
    place.wait(lambda now: now.log_tail == "a line")
    place.screen.phase("evaluation", experiment=21)
    place.wait(lambda now: now.phase == "evaluation")
    count = len(asked)
    time.sleep(0.2)
    assert len(asked) == count
    assert set(asked) <= {"training", "evaluation"}  # one question may be under way at the change


def test_an_engine_that_does_not_answer_costs_only_the_log(place: Place) -> None:
    """The container may be gone between two looks."""

    def gone() -> bytes:
        raise EngineError("gone.", why="it is.")

    propose(place.screen)
    place.screen.phase("training", experiment=21, title="t")
    place.screen.running(Glimpse(claims=lambda: [Claim(1.0, 1, 1, 2.0)], log_tail=gone))
    now = place.wait(lambda now: len(now.curve) == 1)
    assert now.log_tail == ""
    assert place.bulletin.broken is None


def test_a_full_disk_does_not_end_the_night(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And when there is room again, the page goes on."""
    written = bulletin_module.write_now
    tries: list[int] = []

    def full(folder: Path, now: Now) -> None:
        tries.append(1)
        if len(tries) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(folder, now)

    place.wait(lambda now: now.phase == WAITING)
    monkeypatch.setattr(bulletin_module, "write_now", full)
    place.screen.phase("training", experiment=21, title="t")
    place.wait(lambda now: now.phase == "training")
    assert len(tries) >= 4
    assert place.bulletin.broken is None


def test_a_slow_disk_holds_neither_the_night_nor_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network's file system that hangs, hangs for minutes."""
    monkeypatch.setattr(bulletin_module, "CLOSING_S", 0.2)
    monkeypatch.setattr(bulletin_module, "write_now", lambda *_: time.sleep(5.0))
    place = Place(tmp_path)
    began = time.monotonic()
    with locked(tmp_path), place.screen, place.bulletin:
        for _ in range(1_000):
            place.screen.advance(fraction=0.5)
        place.screen.phase("training", experiment=1, title="t")
    assert time.monotonic() - began < 3.0


def test_a_mistake_in_it_is_said_once_and_the_night_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in what only shows must cost what it shows."""
    monkeypatch.setattr(bulletin_module, "write_now", lambda *_: {}["a bug"])
    place = Place(tmp_path)
    with locked(tmp_path), place.screen, place.bulletin:
        deadline = time.monotonic() + PATIENCE_S
        while place.bulletin.broken is None and time.monotonic() < deadline:
            time.sleep(0.01)
        place.screen.event("experiment.finished", experiment=1, ending="crashed")
    shown = cast("io.StringIO", place.console.file).getvalue()
    assert "a bug" in shown and "#1 crashed" in shown
    assert not (tmp_path / NOW_FILE).exists()


@pytest.mark.parametrize("count", [0, 1, 2, 239, 240, 241, 1_000, 20_000])
def test_a_long_curve_is_thinned_and_keeps_both_ends(count: int) -> None:
    """A page draws a few hundred points; the file is written every second."""
    claims = [Claim(float(number), number, number, 1.0) for number in range(count)]
    points = thinned(claims)
    assert len(points) == count if count < CURVE_POINTS else len(points) > CURVE_POINTS / 2
    assert len(points) <= CURVE_POINTS
    if count:
        assert (points[0].step, points[-1].step) == (0, count - 1)
    assert [point.step for point in points] == sorted({point.step for point in points})


def test_a_flood_in_the_log_is_cut(place: Place) -> None:
    """A train.py may print what it likes, in one line too."""
    propose(place.screen)
    place.screen.phase("training", experiment=21, title="t")
    flood = b"x" * 100_000 + b"end"
    place.screen.running(Glimpse(claims=list, log_tail=lambda: flood))
    now = place.wait(lambda now: bool(now.log_tail))
    assert len(now.log_tail) == LOG_CHARS and now.log_tail.endswith("end")


class Handle:
    """A container of an engine that is not there."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def logs(self, **how: Any) -> bytes:
        self.asked.append(how)
        time.sleep(0.05)
        return b"the end"


def test_the_tail_is_bounded_and_not_counted_as_the_nights_time() -> None:
    """Two threads would count the same seconds twice, and the record says what the controller took."""
    engine, handle = Engine(cast("Any", None), "unix://nowhere"), Handle()
    assert Container(engine, handle, "nightlab-train").tail() == b"the end"
    assert handle.asked == [{"stdout": True, "stderr": True, "tail": TAIL_LINES}]
    assert engine.seconds == 0.0
