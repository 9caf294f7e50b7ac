"""What a request costs.

The table was put together on PRICES_OF from what was published then:

    Anthropic   platform.claude.com/docs: the page of prices and the overviews of Opus, Sonnet and Haiku 5.5;
                Sonnet 4.5 from GitHub's table of what models cost there, which are the providers' prices
    OpenAI      developers.openai.com/api/docs, the page of GPT-6.2 Sol; GPT-5.4 and 5.5 from GitHub's table; the
                other rows from third parties that quote the page of prices in September to November 2026 (of
                6.2 Astra's cached input they say that it is 60 % below 6 Astra's); all for the standard tier
    Gemini      third parties that quote ai.google.dev/gemini-api/docs/pricing, July to October 2026, paid tier;
                cached input of 3.1 is taken as a tenth of the input, as for the others

Prices change; check them against your bill. A file given as PRICES adds to the table or replaces entries. A model
that is in neither has no price, which is not the same as a price of nothing.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lab.agents.providers import Usage
from lab.errors import BadInput

PRICES_OF = (
    "2026-11-29"  # the day this was put together, from pages read between 2026-10-07 and then
)

Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Price(BaseModel):
    """USD for a million tokens. A prompt longer than `long_tokens` makes its whole request dearer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Usd
    output: Usd
    cache_read: Usd
    cache_write: (
        Usd  # kept for an hour; OpenAI's is kept for half of one, Gemini's costs nothing extra
    )
    cache_write_short: Usd | None = None  # kept for five minutes; None: as `cache_write`
    long_tokens: Annotated[int, Field(gt=0)] | None = None
    long_input_factor: Usd = 1.0  # for everything read, and the cache
    long_output_factor: Usd = 1.0


def _claude(input_usd: float, output_usd: float, cache_read: float) -> Price:
    # Every Claude model: writing to the cache costs 1.25 times the input for five minutes, 2 times for an hour.
    return Price(
        input=input_usd,
        output=output_usd,
        cache_read=cache_read,
        cache_write=2 * input_usd,
        cache_write_short=1.25 * input_usd,
    )


def _gpt(input_usd: float, output_usd: float, cache_read: float) -> Price:
    # From GPT-5.6 on: writing to the cache costs 1.25 times the input; dearer above 272,000 tokens.
    return Price(
        input=input_usd,
        output=output_usd,
        cache_read=cache_read,
        cache_write=1.25 * input_usd,
        long_tokens=272_000,
        long_input_factor=2.0,
        long_output_factor=1.5,
    )


def _flat(input_usd: float, output_usd: float, cache_read: float) -> Price:
    return Price(input=input_usd, output=output_usd, cache_read=cache_read, cache_write=input_usd)


def _older_gpt(input_usd: float, output_usd: float, cache_read: float) -> Price:
    # Before GPT-5.6 writing to the cache costs nothing extra.
    return _flat(input_usd, output_usd, cache_read).model_copy(
        update={"long_tokens": 272_000, "long_input_factor": 2.0, "long_output_factor": 1.5}
    )


def _gemini_pro(input_usd: float, output_usd: float, cache_read: float) -> Price:
    return _flat(input_usd, output_usd, cache_read).model_copy(
        update={"long_tokens": 200_000, "long_input_factor": 2.0, "long_output_factor": 1.5}
    )


PRICES: dict[str, Price] = {
    "claude-fable-5-1": _claude(10.0, 50.0, 0.25),
    "claude-mythos-5-1": _claude(10.0, 50.0, 0.25),
    "claude-fable-5": _claude(10.0, 50.0, 1.00),
    "claude-mythos-5": _claude(10.0, 50.0, 1.00),
    "claude-opus-5-5": _claude(4.0, 20.0, 0.20),
    "claude-opus-5": _claude(5.0, 25.0, 0.50),
    "claude-opus-4-8": _claude(5.0, 25.0, 0.50),
    "claude-opus-4-7": _claude(5.0, 25.0, 0.50),
    "claude-opus-4-6": _claude(5.0, 25.0, 0.50),
    "claude-opus-4-5": _claude(5.0, 25.0, 0.50),
    "claude-sonnet-5-5": _claude(2.0, 10.0, 0.10),
    "claude-sonnet-5": _claude(2.0, 10.0, 0.20),
    "claude-sonnet-4-6": _claude(3.0, 15.0, 0.30),
    "claude-sonnet-4-5": _claude(3.0, 15.0, 0.30),
    "claude-haiku-5-5": _claude(0.10, 0.50, 0.01).model_copy(
        update={"long_tokens": 100_000, "long_input_factor": 5.0, "long_output_factor": 5.0}
    ),
    "claude-haiku-4-5": _claude(1.0, 5.0, 0.10),
    "gpt-6-astra": _gpt(10.0, 50.0, 1.00),
    "gpt-6.2-astra": _gpt(8.0, 40.0, 0.40),
    "gpt-6.2-sol": _gpt(2.0, 10.0, 0.10),
    "gpt-6.1-sol": _gpt(2.0, 10.0, 0.10),
    "gpt-6-sol": _gpt(2.0, 10.0, 0.20),
    "gpt-6.1-terra": _gpt(1.0, 5.0, 0.05),
    "gpt-6-luna": _gpt(0.10, 0.50, 0.01),
    "gpt-5.6-sol": _gpt(4.0, 20.0, 0.40),
    "gpt-5.6-terra": _gpt(2.0, 12.0, 0.20),
    "gpt-5.6-luna": _gpt(0.20, 1.20, 0.02),
    "gpt-5.5": _older_gpt(5.0, 30.0, 0.50),
    "gpt-5.4": _older_gpt(2.50, 15.0, 0.25),
    "gpt-5.4-mini": _flat(0.75, 4.50, 0.075),
    "gpt-5.4-nano": _flat(0.20, 1.25, 0.02),
    "gemini-3.8-flash": _flat(0.75, 3.75, 0.075),  # half of its later price, until 2026-12-31
    "gemini-3.5-flash": _flat(1.50, 9.00, 0.15),
    "gemini-3.1-pro-preview": _gemini_pro(2.0, 12.0, 0.20),
    "gemini-3.1-flash-lite": _flat(0.25, 1.50, 0.025),
}

# A dated snapshot costs what its model costs.
SNAPSHOT = re.compile(r"-(20\d{6}|20\d\d-\d\d-\d\d)$")


def price_of(model: str, table: Mapping[str, Price] = PRICES) -> Price | None:
    """A model's price; None when the table does not have it."""
    for name in (model, SNAPSHOT.sub("", model)):
        if name in table:
            return table[name]
    return None


def cost_usd(model: str, usage: Usage, table: Mapping[str, Price] = PRICES) -> float | None:
    """What one request cost; None when nobody knows the model's price, which is not zero.

    `usage` is of one request: the price for a long prompt is decided by its length.
    """
    price = price_of(model, table)
    if price is None:
        return None
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    is_long = price.long_tokens is not None and prompt > price.long_tokens
    short = min(usage.cache_write_short_tokens, usage.cache_write_tokens)
    short_usd = price.cache_write if price.cache_write_short is None else price.cache_write_short
    read = (
        usage.input_tokens * price.input
        + usage.cache_read_tokens * price.cache_read
        + (usage.cache_write_tokens - short) * price.cache_write
        + short * short_usd
    )
    written = usage.output_tokens * price.output
    if is_long:
        read *= price.long_input_factor
        written *= price.long_output_factor
    return (read + written) / 1e6


def read_prices(path: Path) -> dict[str, Price]:
    """The table with a user's own prices over it, from TOML or JSON: a model's name, then Price's fields.

        ["my-model"]
        input = 0.5
        output = 2.0
        cache_read = 0.05
        cache_write = 0.5

    Raises:
        BadInput: the file cannot be read, or says something that is no price.
    """
    try:
        text = path.read_text(encoding="utf-8")
        said = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        own = TypeAdapter(dict[str, Price]).validate_python(said)
    except (OSError, ValueError, ValidationError) as error:
        raise BadInput(
            f"the prices in {path} cannot be read.",
            why=str(error),
            do="write a table for each model with input, output, cache_read and cache_write, in USD per "
            "million tokens; nothing was started.",
        ) from error
    return PRICES | own
