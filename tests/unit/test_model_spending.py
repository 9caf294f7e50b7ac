"""Money is looked at before it is spent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.agents import NightEnds
from lab.agents.providers import Usage
from lab.agents.spending import SHORTEST_ANSWER_TOKENS, Caps, ProposalSpent, Spending, total


def price(usage: Usage) -> float:
    """Dearer to write into the cache than to read anew, as the real ones are."""
    return (
        usage.input_tokens * 3
        + usage.cache_read_tokens * 0.3
        + usage.cache_write_tokens * 6
        + usage.output_tokens * 15
    ) * 1e-6


counts = st.integers(min_value=0, max_value=50_000)


@given(
    prompts=st.lists(st.tuples(counts, counts, counts), max_size=30),
    share=st.floats(min_value=0, max_value=1),
    usd=st.floats(min_value=0.01, max_value=5),
    tokens=st.integers(min_value=1_000, max_value=2_000_000),
    before=st.floats(min_value=0, max_value=1),
)
def test_no_answer_ever_takes_a_campaign_over_its_caps(
    prompts: list[tuple[int, int, int]], share: float, usd: float, tokens: int, before: float
) -> None:
    """Whatever the cache does and however long the answers are, within what they may be."""
    spending = Spending(Caps(usd=usd, tokens=tokens, proposal_tokens=10**9), price)
    spending.begin(spent_usd=min(before, usd), spent_tokens=0)
    for fresh, read, written in prompts:
        try:
            longest = spending.longest_answer(fresh + read + written, 24_000)
        except NightEnds:
            break
        assert SHORTEST_ANSWER_TOKENS <= longest <= 24_000
        spending.book(
            Usage(
                input_tokens=fresh,
                cache_read_tokens=read,
                cache_write_tokens=written,
                output_tokens=int(longest * share),
            )
        )
        assert spending.usd is not None
        assert min(before, usd) + spending.usd <= usd + 1e-9
        assert spending.tokens <= tokens


def test_the_worst_case_counts_the_dearer_way_to_read_a_prompt() -> None:
    """A first request writes the whole prompt into the cache, at twice the price."""
    spending = Spending(Caps(usd=0.60 + SHORTEST_ANSWER_TOKENS * 15e-6), price)
    spending.begin(spent_usd=0.0, spent_tokens=0)
    assert spending.longest_answer(100_000, 24_000) == SHORTEST_ANSWER_TOKENS
    with pytest.raises(NightEnds):
        spending.longest_answer(100_001, 24_000)


def test_a_proposal_has_a_cap_of_its_own_that_ends_only_the_proposal() -> None:
    """The next one begins anew."""
    spending = Spending(Caps(proposal_tokens=50_000), price)
    spending.begin(spent_usd=0.0, spent_tokens=10**9)
    spending.book(Usage(input_tokens=45_000))
    with pytest.raises(ProposalSpent):
        spending.longest_answer(2_000, 8_000)
    spending.begin(spent_usd=0.0, spent_tokens=10**9)
    assert spending.longest_answer(2_000, 8_000) == 8_000


def test_what_has_no_price_has_no_cost_and_not_a_cost_of_nothing() -> None:
    """A sum with an unknown part is unknown; zero would be the cheapest model in the table."""
    spending = Spending(Caps(), lambda usage: None if usage.output_tokens == 7 else 1.0)
    spending.begin(spent_usd=0.0, spent_tokens=0)
    assert spending.book(Usage(output_tokens=1)) == 1.0
    assert spending.book(Usage(output_tokens=7)) is None
    spending.book(Usage(output_tokens=1))
    assert spending.usd is None
    assert spending.tokens == 9


def test_what_is_left_is_said_in_words() -> None:
    """A model that knows its budget can choose its last idea."""
    spending = Spending(Caps(usd=5.0, tokens=1_000_000), price)
    spending.begin(spent_usd=1.5, spent_tokens=250_000)
    assert spending.left() == "Left for your own answers, all night: 3.50 USD and 750,000 tokens."
    assert Spending(Caps(), price).left() == ""


def test_every_kind_of_token_counts() -> None:
    """Cached tokens are cheaper, not absent."""
    usage = Usage(input_tokens=1, cache_read_tokens=20, cache_write_tokens=300, output_tokens=4000)
    assert total(usage) == 4321
