"""How a person ends a night without its terminal: the file named STOP."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from lab.interrupts import LOOK_EVERY_S, STOP_FILE, Interrupts, says_now
from lab.outcome import StopNow


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("text", ["now", "NOW\n", "  Now \r\n"])
def test_a_stop_file_that_says_now_ends_the_experiment_that_runs(tmp_path: Path, text: str) -> None:
    """A page's button has no Ctrl-C."""
    clock = Clock()
    interrupts = Interrupts(tmp_path, clock=clock)
    interrupts.check()
    (tmp_path / STOP_FILE).write_text(text)
    clock.now += LOOK_EVERY_S
    with pytest.raises(StopNow):
        interrupts.check()
    assert "remove it to resume" in interrupts.why_stopped()
    assert "run again on resume" in interrupts.why_stopped()
    assert "remove it to resume" in str(interrupts.why_stop())


@pytest.mark.parametrize("text", ["", "later", "now and then", "now" + " " * 100 + "x", "nów"])
def test_any_other_stop_file_waits_for_the_experiment(tmp_path: Path, text: str) -> None:
    """`touch STOP` has always meant: after this one."""
    (tmp_path / STOP_FILE).write_text(text)
    interrupts = Interrupts(tmp_path)
    interrupts.check()
    assert "remove it to resume" in str(interrupts.why_stop())


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_a_stop_file_that_is_no_file_never_holds_the_night_up(tmp_path: Path, make: object) -> None:
    """A pipe of that name would wait for its writer."""
    make(tmp_path / STOP_FILE)  # type: ignore[operator]
    Interrupts(tmp_path).check()
    assert not says_now(tmp_path / STOP_FILE)


def test_the_file_is_looked_at_a_few_times_a_second_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` is called with every report of a train.py, which may send thousands."""
    looks: list[float] = []
    clock = Clock()
    monkeypatch.setattr("lab.interrupts.says_now", lambda _: looks.append(clock.now))
    interrupts = Interrupts(tmp_path, clock=clock)
    for _ in range(1_000):
        interrupts.check()
        clock.now += 0.001
    assert 2 <= len(looks) <= 5


def test_a_stop_by_hand_names_no_file(tmp_path: Path) -> None:
    """Who pressed Ctrl-C twice has nothing to remove."""
    with Interrupts(tmp_path) as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        interrupts.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StopNow):
            interrupts.check()
    assert STOP_FILE not in interrupts.why_stopped()
