"""What a model may cost, looked at before it costs it.

Owns    the caps of a campaign and of a proposal, and what was taken so far
Takes   Usage of every answer, and a price
Gives   how long the next answer may be, or the refusal to ask
Never   asks a model

The worst case of a request is its whole prompt written into the provider's cache, where that is dearer than
reading it, and an answer as long as it is allowed to be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.agents import NightEnds
from lab.agents.providers import Usage
from lab.errors import BadInput

Price = Callable[[Usage], float | None]  # USD; None when nobody knows

# An answer that may not be longer than this cannot hold an edit and the thought before it.
SHORTEST_ANSWER_TOKENS = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What must not be exceeded. None is no cap."""

    usd: float | None = None  # of the campaign
    tokens: int | None = None  # of the campaign

    # A proposal of ten turns over a prompt of 40,000 tokens takes 400,000, most of them from the cache.
    proposal_tokens: int = 1_000_000


class ProposalSpent(Exception):
    """This proposal has taken what one may; the next begins anew."""


class Spending:
    """What was spent in a campaign, and in the proposal at hand."""

    def __init__(self, caps: Caps, price: Price) -> None:
        """Start to count.

        Raises:
            BadInput: there is a cap in USD, and nobody knows what the model costs.
        """
        example = Usage(input_tokens=1000, cache_write_tokens=1000, output_tokens=1000)
        if caps.usd is not None and price(example) is None:
            raise BadInput(
                f"a cap of {caps.usd:g} USD cannot be kept.",
                why="the price of this model is not known.",
                do="give its price, or a cap in tokens instead; nothing was started and nothing was spent.",
            )
        self._caps = caps
        self._price = price
        self._before_usd = 0.0
        self._before_tokens = 0
        self._usd: float | None = 0.0
        self._tokens = 0

    def begin(
        self,
        *,
        spent_usd: float,
        spent_tokens: int,
        again_usd: float | None = 0.0,
        again_tokens: int = 0,
    ) -> None:
        """A proposal begins.

        `spent` is what the records say of all earlier proposals; `again` is what an interrupted try at this
        very proposal took, which no record knows yet and this one's will.
        """
        # Two proposals may be on their way at once, and then the records lag behind what this process knows.
        self._before_usd = max(spent_usd, self._before_usd + (self._usd or 0.0))
        self._before_tokens = max(spent_tokens, self._before_tokens + self._tokens)
        self._usd, self._tokens = again_usd, again_tokens

    @property
    def usd(self) -> float | None:
        """Of this proposal; None when some of it has no known price."""
        return self._usd

    @property
    def tokens(self) -> int:
        """Of this proposal."""
        return self._tokens

    def book(self, usage: Usage) -> float | None:
        """Count what an answer took; its price."""
        price = self._price(usage)
        self._tokens += total(usage)
        self._usd = None if price is None or self._usd is None else self._usd + price
        return price

    def longest_answer(self, prompt_tokens: int, wanted_tokens: int) -> int:
        """How long an answer to a prompt may be, at most as long as wanted.

        Raises:
            NightEnds: even a short one could exceed a cap of the campaign.
            ProposalSpent: even a short one could exceed the cap of this proposal.
        """
        answer = wanted_tokens
        while (refusal := self._refusal(prompt_tokens, answer)) is not None:
            if answer <= SHORTEST_ANSWER_TOKENS:
                raise refusal
            answer = max(SHORTEST_ANSWER_TOKENS, answer // 2)
        return answer

    def left(self) -> str:
        """What is left of the campaign's caps, as a sentence; empty without a cap."""
        lefts = []
        if self._caps.usd is not None:
            lefts.append(f"{self._caps.usd - self._before_usd - (self._usd or 0.0):.2f} USD")
        if self._caps.tokens is not None:
            lefts.append(f"{self._caps.tokens - self._before_tokens - self._tokens:,} tokens")
        return f"Left for your own answers, all night: {' and '.join(lefts)}." if lefts else ""

    def _refusal(self, prompt_tokens: int, answer_tokens: int) -> Exception | None:
        caps = self._caps
        worst_tokens = prompt_tokens + answer_tokens
        if caps.usd is not None:
            spent = self._before_usd + (self._usd or 0.0)
            worst = self._worst_usd(prompt_tokens, answer_tokens)
            if worst is None or spent + worst > caps.usd:
                return NightEnds(
                    f"of {caps.usd:.2f} USD {spent:.2f} are spent, and the next answer could cost more than "
                    "is left"
                )
        if caps.tokens is not None:
            spent_tokens = self._before_tokens + self._tokens
            if spent_tokens + worst_tokens > caps.tokens:
                return NightEnds(
                    f"of {caps.tokens:,} tokens {spent_tokens:,} are spent, and the next answer could take "
                    "more than is left"
                )
        if self._tokens + worst_tokens > caps.proposal_tokens:
            return ProposalSpent(
                f"it took {self._tokens:,} tokens, and one may take {caps.proposal_tokens:,}"
            )
        return None

    def _worst_usd(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        fresh = self._price(Usage(input_tokens=prompt_tokens, output_tokens=answer_tokens))
        written = self._price(Usage(cache_write_tokens=prompt_tokens, output_tokens=answer_tokens))
        return None if fresh is None or written is None else max(fresh, written)


def total(usage: Usage) -> int:
    """All tokens of an answer and its prompt."""
    return (
        usage.input_tokens
        + usage.cache_read_tokens
        + usage.cache_write_tokens
        + usage.output_tokens
    )
