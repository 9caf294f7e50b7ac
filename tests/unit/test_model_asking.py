"""Waiting for a provider: as long as its patience or the night lasts, and never longer than somebody wants."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.agents import NightEnds
from lab.agents.asking import (
    FIRST_WAIT_S,
    LONGEST_ASKED_S,
    LONGEST_WAIT_S,
    QUICK_PAUSES_S,
    NoAnswer,
    Patience,
)
from lab.agents.providers import ProviderError, Stop, TooLong, TryAgain, Usage, Wait
from lab.errors import AgentError
from tests.unit.recorded_model import FakeTime


def fails(*errors: ProviderError) -> Callable[[], str]:
    """A question that is answered once these errors are over."""
    left = list(errors)

    def question() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return question


def ask(
    time: FakeTime,
    *errors: ProviderError,
    seconds_left: float | None = None,
    patience_s: float | None = None,
) -> str:
    patience = Patience(time.around(), seconds_left=seconds_left, patience_s=patience_s)
    return patience.ask(fails(*errors), on_failure=lambda usage: None)


def test_a_hiccup_costs_seconds() -> None:
    """Most broken lines are up again at once."""
    time = FakeTime()
    assert ask(time, *[TryAgain("reset")] * len(QUICK_PAUSES_S)) == "answer"
    assert time.now == sum(QUICK_PAUSES_S)


def test_a_line_that_stays_down_is_tried_ever_more_rarely_where_nobody_stands_in() -> None:
    """A router that restarts at 3 a.m. must not end a night; nor be asked a thousand times."""
    time = FakeTime()
    assert ask(time, *[TryAgain("unreachable")] * 60) == "answer"
    waits = len(QUICK_PAUSES_S)
    assert 3600 < time.now < (60 - waits) * LONGEST_WAIT_S + 60


@pytest.mark.parametrize("error", [TryAgain("refused"), Wait("overloaded", after_s=None)])
def test_patience_has_an_end_where_somebody_else_could_propose(error: ProviderError) -> None:
    """Ten minutes of nothing are two experiments; eight hours of it were a night."""
    time = FakeTime()
    with pytest.raises(NoAnswer, match="did not answer for 600 s") as caught:
        ask(time, *[error] * 60, patience_s=600.0)
    assert time.now == pytest.approx(600.0)
    assert caught.value.ask_again_s is None


def test_all_questions_of_a_proposal_share_its_patience() -> None:
    """A provider that answers every tenth minute would hold a conversation of 24 turns up for hours."""
    time = FakeTime()
    patience = Patience(time.around(), seconds_left=None, patience_s=600.0)
    assert patience.ask(fails(Wait("busy", after_s=400.0)), on_failure=lambda usage: None)
    with pytest.raises(NoAnswer):
        patience.ask(fails(*[Wait("busy", after_s=150.0)] * 2), on_failure=lambda usage: None)
    assert time.now == pytest.approx(550.0)


def test_a_line_that_hangs_until_it_breaks_uses_up_the_patience() -> None:
    """Nobody slept, and the device waited all the same."""
    time = FakeTime()

    def hangs() -> str:
        time.now += 250.0
        raise TryAgain("timed out")

    patience = Patience(time.around(), seconds_left=None, patience_s=600.0)
    with pytest.raises(NoAnswer):
        patience.ask(hangs, on_failure=lambda usage: None)
    assert 600 <= time.now < 900


def test_a_server_that_asks_for_more_than_the_patience_is_left_alone_at_once() -> None:
    """Sleeping through the patience first would help nobody, and asking sooner makes it longer."""
    time = FakeTime()
    with pytest.raises(NoAnswer, match="left alone for 1800 s") as caught:
        ask(time, Wait("quota", after_s=1800.0), patience_s=600.0)
    assert (time.now, caught.value.ask_again_s) == (0.0, 1800.0)
    with pytest.raises(NoAnswer) as caught:
        ask(time, Wait("nonsense", after_s=1e9), patience_s=600.0)
    assert caught.value.ask_again_s == LONGEST_ASKED_S


def test_what_a_server_asks_for_is_waited() -> None:
    """Asking sooner makes it longer."""
    time = FakeTime()
    assert ask(time, Wait("slow down", after_s=42.0), Wait("again", after_s=3.0)) == "answer"
    assert time.now == pytest.approx(45.0)


@pytest.mark.parametrize("after_s", [0.0, -5.0, float("nan"), float("inf"), 1e9])
def test_a_server_that_asks_for_nonsense_does_not_hang_the_night(after_s: float) -> None:
    """The header comes from outside."""
    time = FakeTime()
    assert ask(time, Wait("odd", after_s=after_s)) == "answer"
    assert 0 < time.now <= 3600


def test_an_overloaded_server_is_asked_at_growing_distances() -> None:
    """15 s, 30 s, 1 min, 2 min, 4 min, then every 5 minutes."""
    time = FakeTime()
    assert ask(time, *[Wait("overloaded", after_s=None)] * 7) == "answer"
    assert time.now == FIRST_WAIT_S * (1 + 2 + 4 + 8 + 16) + 2 * LONGEST_WAIT_S


def test_the_deadline_ends_the_waiting() -> None:
    """Half an hour's wait with ten minutes left is ten minutes of nothing, and then a plain end."""
    time = FakeTime()
    with pytest.raises(NightEnds, match="the time is up"):
        ask(time, Wait("quota", after_s=1800.0), seconds_left=600.0)
    assert 600 <= time.now < 602


def test_a_person_who_stops_is_heard_within_a_second() -> None:
    """Ctrl-C in the middle of a five-minute wait means now."""
    time = FakeTime()
    around = time.around(stop=lambda: "you asked for it" if time.now >= 10 else None)
    patience = Patience(around, seconds_left=None)
    with pytest.raises(NightEnds, match="you asked for it"):
        patience.ask(fails(Wait("busy", after_s=300.0)), on_failure=lambda usage: None)
    assert time.now <= 11


def test_what_only_a_person_can_mend_is_not_asked_again() -> None:
    """The message is the provider's own, with what to do."""
    time = FakeTime()
    with pytest.raises(AgentError) as caught:
        ask(time, Stop("no credit", do="add some"))
    assert (caught.value.why, caught.value.do, time.now) == ("no credit", "add some", 0.0)


def test_what_is_too_long_goes_back_to_who_wrote_it() -> None:
    """Waiting makes nothing shorter."""
    with pytest.raises(TooLong):
        ask(FakeTime(), TooLong("context"))


def test_an_answer_that_was_cut_off_is_paid_for() -> None:
    """A stream that breaks after a thousand tokens costs a thousand tokens."""
    broke = TryAgain("cut")
    broke.usage = Usage(input_tokens=500, output_tokens=1000)
    heard: list[Usage] = []
    patience = Patience(FakeTime().around(), seconds_left=None)
    assert patience.ask(fails(broke), on_failure=heard.append) == "answer"
    assert heard == [broke.usage]


def test_a_wait_is_said() -> None:
    """One line for each, with how long and why."""
    lines: list[str] = []
    patience = Patience(FakeTime().around(say=lines.append), seconds_left=None)
    patience.ask(fails(Wait("429, too many", after_s=60.0)), on_failure=lambda usage: None)
    assert lines == ["the model does not answer, asking again in 60 s: 429, too many"]
