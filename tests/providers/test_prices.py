"""What a request costs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from lab.agents.providers import Usage
from lab.agents.providers.prices import PRICES, PRICES_OF, Price, cost_usd, price_of, read_prices
from lab.errors import BadInput

MILLION = 1_000_000


def test_the_four_counts_have_four_prices() -> None:
    usage = Usage(
        input_tokens=100_000,
        cache_read_tokens=200_000,
        cache_write_tokens=50_000,
        cache_write_short_tokens=20_000,
        output_tokens=10_000,
    )
    # 0.1 x 4 + 0.2 x 0.2 + 0.03 x 8 + 0.02 x 5 + 0.01 x 20
    assert cost_usd("claude-opus-5-5", usage) == pytest.approx(0.4 + 0.04 + 0.24 + 0.1 + 0.2)


def test_a_model_without_a_price_has_no_cost() -> None:
    """Zero would pass under every cap."""
    assert cost_usd("my-own-model", Usage(input_tokens=MILLION)) is None
    assert cost_usd("", Usage()) is None


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("claude-haiku-4-5-20251001", True),
        ("gpt-6-sol-2026-09-22", True),
        ("claude-opus-4-5-20251101", True),
        ("gpt-5.4-mini-2026-03-17", True),
        ("gpt-5.4-pro", False),
        ("gpt-6-sol-mini", False),
        ("claude-opus-5-55", False),
    ],
)
def test_a_snapshot_costs_what_its_model_does_and_a_sibling_does_not(
    model: str, known: bool
) -> None:
    """A mini version at its big sister's price, or the other way round, is a wrong cap."""
    assert (price_of(model) is not None) is known


def test_a_long_prompt_makes_the_whole_request_dearer() -> None:
    short = Usage(input_tokens=60_000, cache_read_tokens=40_000, output_tokens=1000)
    long = Usage(input_tokens=60_001, cache_read_tokens=40_000, output_tokens=1000)
    below, above = (cost_usd("claude-haiku-5-5", usage) for usage in (short, long))
    assert below is not None and above is not None
    assert above == pytest.approx(5 * below, rel=1e-3)


def test_a_model_that_an_sdk_names_and_nobody_priced_has_no_price() -> None:
    """What its predecessor costs is a guess, and a cap must not rest on one."""
    assert price_of("claude-fable-5-1") is not None
    assert price_of("claude-fable-5-2") is None
    assert price_of("gpt-6-cyber") is None


def test_the_table_is_dated_and_plausible() -> None:
    """A slip of a digit in one row would be found by a bill otherwise."""
    assert date.fromisoformat(PRICES_OF) >= date(2026, 11, 1)
    for model, price in PRICES.items():
        assert price.cache_read < price.input <= price.cache_write <= 2 * price.input, model
        assert 4 * price.input <= price.output <= 7 * price.input, model
        assert 0 < price.input <= 20, model


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_user_can_correct_the_table(tmp_path: Path, suffix: str) -> None:
    """Prices change more often than this file."""
    file = tmp_path / f"prices.{suffix}"
    file.write_text(
        '["gpt-6.2-sol"]\ninput = 1\noutput = 2\ncache_read = 0\ncache_write = 1\n'
        if suffix == "toml"
        else '{"gpt-6.2-sol": {"input": 1, "output": 2, "cache_read": 0, "cache_write": 1}}'
    )
    table = read_prices(file)
    assert cost_usd("gpt-6.2-sol", Usage(input_tokens=MILLION), table) == 1
    assert table["claude-opus-5-5"] == PRICES["claude-opus-5-5"]
    assert PRICES["gpt-6.2-sol"] == Price(
        input=2,
        output=10,
        cache_read=0.1,
        cache_write=2.5,
        long_tokens=272_000,
        long_input_factor=2,
        long_output_factor=1.5,
    )


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "[m]\ninput = 1\n",
        "[m]\ninput = -1\noutput = 1\ncache_read = 0\ncache_write = 0\n",
        "[m]\ninput = nan\noutput = 1\ncache_read = 0\ncache_write = 0\n",
        "[m]\ninput = 1\noutput = 1\ncache_read = 0\ncache_write = 0\noutptu = 2\n",
    ],
)
def test_prices_that_cannot_be_meant_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(BadInput):
        read_prices(file)
    with pytest.raises(BadInput):
        read_prices(tmp_path / "absent.toml")
