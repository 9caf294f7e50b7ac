"""Asking a provider until it answers: at once after a hiccup, after a while where it is crowded, never in vain.

Owns    how often and how long to wait
Takes   a question, and who may end the waiting
Gives   the answer; or the end of the night, where a person, the clock or the provider says so
Never   changes the question: one that is too long goes back to who wrote it
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lab.agents import NightEnds
from lab.agents.providers import ProviderError, Stop, TooLong, TryAgain, Usage, Wait
from lab.errors import AgentError
from lab.host import Say

Answer = TypeVar("Answer")

# A line that broke is up again at once or not for a while.
QUICK_PAUSES_S = (1.0, 2.0, 4.0)
FIRST_WAIT_S = 15.0
LONGEST_WAIT_S = 300.0
# What a server asks for is honoured, up to the time when asking once more costs less than believing it.
LONGEST_ASKED_S = 3600.0
LOOK_EVERY_S = 1.0  # for a person who wants to stop


def nobody_stops() -> str | None:
    """A `stop` that never ends anything."""
    return None


def say_nothing(line: str) -> None:
    """A `say` for nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a conversation depends on outside itself."""

    stop: Callable[[], str | None] = nobody_stops  # why the night should end; None to go on
    say: Say = say_nothing
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Patience:
    """One proposal's right to wait."""

    def __init__(self, around: Surroundings, *, seconds_left: float | None) -> None:
        self._around = around
        self._deadline = None if seconds_left is None else around.clock() + seconds_left

    def check(self) -> None:
        """Let the work go on, or not.

        Raises:
            NightEnds: a person asked for it, or the time is up.
        """
        if why := self._around.stop():
            raise NightEnds(why)
        if self._deadline is not None and self._around.clock() >= self._deadline:
            raise NightEnds("the time is up")

    def ask(self, question: Callable[[], Answer], *, on_failure: Callable[[Usage], None]) -> Answer:
        """The answer to a question, asked as often as it takes.

        `on_failure` hears what a question took that was not answered to its end, where the provider said so.

        Raises:
            NightEnds: as `check`.
            TooLong: the question must be shortened.
            AgentError: nothing works before a person acts.
        """
        quick = waits = 0
        while True:
            self.check()
            try:
                return question()
            except ProviderError as error:
                if error.usage is not None:
                    on_failure(error.usage)
                match error:
                    case TooLong():
                        raise
                    case Stop():
                        raise AgentError(
                            "the model cannot be asked.", why=str(error), do=error.do
                        ) from error
                    case TryAgain() if quick < len(QUICK_PAUSES_S):
                        self._wait(QUICK_PAUSES_S[quick])
                        quick += 1
                        continue
                wait_s = _wait_s(error, waits)
                self._around.say(
                    f"the model does not answer, asking again in {wait_s:.0f} s: {error}"
                )
                self._wait(wait_s)
                waits += 1

    def _wait(self, seconds: float) -> None:
        """Sleep, with an ear for who wants to end the night."""
        until = self._around.clock() + seconds
        while (left := until - self._around.clock()) > 0:
            self.check()
            self._around.sleep(min(left, LOOK_EVERY_S))


def _wait_s(error: ProviderError, waits: int) -> float:
    if isinstance(error, Wait) and error.after_s is not None:
        return min(LONGEST_ASKED_S, max(error.after_s, QUICK_PAUSES_S[0]))
    doublings: int = min(waits, 10)
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * (1 << doublings))
