"""Asking a provider until it answers: at once after a hiccup, after a while where it is crowded, never in vain.

Owns    how often and how long to wait
Takes   a question, and who may end the waiting
Gives   the answer; NoAnswer, where another could use the time; or the end of the night, where a person, the
        clock or the provider says so
Never   changes the question: one that is too long goes back to who wrote it
"""

from __future__ import annotations

import math
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


class NoAnswer(Exception):
    """The provider has been silent for as long as one proposal waits; the text says so, after "it"."""

    def __init__(self, words: str, *, ask_again_s: float | None) -> None:
        super().__init__(words)
        self.ask_again_s = ask_again_s  # from now, where the provider said when; else None


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

    def __init__(
        self,
        around: Surroundings,
        *,
        seconds_left: float | None,
        patience_s: float | None = None,
    ) -> None:
        """Begin to count.

        Args:
            around: who may end a waiting, and the clock.
            seconds_left: of the night; None where it has no end.
            patience_s: for all unanswered questions together; None waits as long as the night lasts.
        """
        self._around = around
        self._deadline = None if seconds_left is None else around.clock() + seconds_left
        self._patience_s = math.inf if patience_s is None else patience_s
        self._silent_s = 0.0

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
            NoAnswer: the patience is at its end, or the provider wants to be left alone for longer than that.
            TooLong: the question must be shortened.
            AgentError: nothing works before a person acts.
        """
        quick = waits = 0
        while True:
            self.check()
            asked_at = self._around.clock()
            try:
                return question()
            except ProviderError as error:
                if error.usage is not None:
                    on_failure(error.usage)
                # A line that hangs until it breaks keeps the device waiting like one that is refused.
                self._silent_s += self._around.clock() - asked_at
                match error:
                    case TooLong():
                        raise
                    case Stop():
                        raise AgentError(
                            "the model cannot be asked.", why=str(error), do=error.do
                        ) from error
                    case TryAgain() if quick < len(QUICK_PAUSES_S):
                        self._wait(self._bounded(QUICK_PAUSES_S[quick]))
                        quick += 1
                        continue
                wait_s = self._granted(error, waits)
                self._around.say(
                    f"the model does not answer, asking again in {wait_s:.0f} s: {error}"
                )
                self._wait(wait_s)
                waits += 1

    def wait_until(self, moment: float) -> None:
        """Wait for a moment by the clock, whatever the patience.

        Raises:
            NightEnds: as `check`.
        """
        while (left := moment - self._around.clock()) > 0:
            self.check()
            self._around.sleep(min(left, LOOK_EVERY_S))

    def _granted(self, error: ProviderError, waits: int) -> float:
        """How long to wait before asking again.

        Raises:
            NoAnswer: there is no patience left for it.
        """
        if not isinstance(error, Wait) or error.after_s is None:
            doublings: int = min(waits, 10)
            return self._bounded(min(LONGEST_WAIT_S, FIRST_WAIT_S * (1 << doublings)))
        wait_s = min(LONGEST_ASKED_S, max(error.after_s, QUICK_PAUSES_S[0]))
        if wait_s > self._patience_s:
            raise NoAnswer(f"asks to be left alone for {wait_s:.0f} s", ask_again_s=wait_s)
        if wait_s > self._patience_s - self._silent_s:  # asking sooner would only make it longer
            raise self._no_answer(ask_again_s=wait_s)
        return wait_s

    def _bounded(self, wait_s: float) -> float:
        """The wait, or what is left of the patience: then it is asked a last time."""
        left_s = self._patience_s - self._silent_s
        if left_s <= 0:
            raise self._no_answer(ask_again_s=None)
        return min(wait_s, left_s)

    def _no_answer(self, *, ask_again_s: float | None) -> NoAnswer:
        return NoAnswer(f"did not answer for {self._silent_s:.0f} s", ask_again_s=ask_again_s)

    def _wait(self, seconds: float) -> None:
        """Sleep, with an ear for who wants to end the night."""
        self.wait_until(self._around.clock() + seconds)
        self._silent_s += seconds
