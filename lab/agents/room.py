"""What one proposal may take, and how long prompt and answer may be, as far as the provider has shown it.

Owns    the limits; both lengths, from one conversation to the next
Takes   what was refused, and how long an answer was that held nothing but thought
Gives   the lengths to ask with
Never   asks, counts or shortens
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.agents.providers import AnswerTooLong, TooLong
from lab.agents.spending import SHORTEST_ANSWER_TOKENS

# Below a third of its prompt an answer gives way no more: the brief is what fills the window then.
LEAST_SHARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one proposal may take."""

    turns: int = 24
    prompt_tokens: int = 100_000  # the whole prompt, the conversation included
    answer_tokens: int = 24_000  # one answer, thought included; the seed train.py is 8,000
    longest_answer_tokens: int = 64_000  # one whose like was all thought
    idle_turns: int = 6  # in a row, that led nowhere
    calls: int = 16  # of one answer


def limits_of(*, prompt_tokens: int | None, answer_tokens: int | None) -> Limits:
    """The usual limits, and what a person set of them: an answer then never grows beyond it."""
    usual = Limits()
    return Limits(
        prompt_tokens=prompt_tokens or usual.prompt_tokens,
        answer_tokens=answer_tokens or usual.answer_tokens,
        longest_answer_tokens=answer_tokens or usual.longest_answer_tokens,
    )


class Room:
    """What fits into one request."""

    def __init__(self, limits: Limits) -> None:
        """Begin with what is asked for while nobody has refused it."""
        self.prompt_tokens = limits.prompt_tokens
        self.answer_tokens = limits.answer_tokens
        self._usual = limits.answer_tokens
        self._longest = limits.longest_answer_tokens

    def give_way(
        self, refusal: TooLong, *, prompt_tokens: int, answer_tokens: int, begun: bool
    ) -> bool:
        """Ask for less than what was just refused; False where there is nothing less to ask for.

        A window holds prompt and answer together. In a conversation that has `begun` old turns are what is missed
        least, so the prompt gives way; before that, and where the answer had grown, the answer does.
        """
        shorter = max(SHORTEST_ANSWER_TOKENS, answer_tokens // 2)
        has_grown = answer_tokens > self._usual
        is_first = not begun and LEAST_SHARE * answer_tokens > prompt_tokens
        if isinstance(refusal, AnswerTooLong):
            shorter = refusal.most_tokens or shorter
            if shorter >= answer_tokens:
                return False
        elif shorter >= answer_tokens or not (has_grown or is_first):
            self.prompt_tokens = prompt_tokens * 3 // 4
            return True
        self.answer_tokens = self._longest = shorter
        return True

    def grow(self, answer_tokens: int) -> None:
        """Ask for more, as far as that is allowed, after an answer of that many tokens was all thought."""
        self.answer_tokens = max(self.answer_tokens, min(2 * answer_tokens, self._longest))
