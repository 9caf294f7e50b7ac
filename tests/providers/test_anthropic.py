"""What only Anthropic's provider does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.agents.providers.anthropic import strict_schema
from tests.providers.asking import answered, provider_of, request
from tests.providers.server import ModelServer
from tests.providers.steps import Answer, Call

LOOK = Answer(thinking="hm", calls=(Call(name="read_file", arguments={"path": "train.py"}),))


def marks(content: list[dict[str, Any]]) -> list[str | None]:
    return [block.get("cache_control", {}).get("ttl") for block in content]


def test_the_stable_part_is_cached_for_an_hour_and_the_rest_for_minutes() -> None:
    """An experiment takes longer than five minutes; a turn of a conversation does not."""
    asked = replace(request(), steady_chars=20)
    with (
        ModelServer("anthropic").script([LOOK, LOOK, Answer(text="ok")]) as server,
        provider_of("anthropic", server.base_url) as provider,
    ):
        first = answered(provider.ask(asked))
        second = answered(provider.ask(replace(asked, exchanges=(first,))), text="Go on.")
        provider.ask(replace(asked, exchanges=(first, second)))
        bodies = [recorded.body for recorded in server.requests]
    for body in bodies:
        assert marks(body["system"]) == ["1h"]  # tools come before it, so they are within
        assert marks(body["messages"][0]["content"]) == ["1h", "5m"]
    assert [marks(message["content"]) for message in bodies[2]["messages"][1:]] == [
        [None, None],  # what the model said is never touched
        [None],
        [None, None],
        [None, "5m"],
    ]


def test_effort_is_asked_for_only_when_it_is_set() -> None:
    """Older models refuse it; each of the others has a default of its own."""
    with ModelServer("anthropic").script([Answer(text="ok")] * 2) as server:
        for effort in (None, "xhigh"):
            with provider_of("anthropic", server.base_url, effort=effort) as provider:
                provider.ask(request())
        plain, hard = (recorded.body for recorded in server.requests)
    assert not {"thinking", "output_config"} & set(plain)
    assert hard["output_config"] == {"effort": "xhigh"}
    assert hard["thinking"] == {"type": "adaptive"}


def test_a_refusal_that_says_nothing_gives_its_category() -> None:
    with (
        ModelServer("anthropic").script([Answer(ending="refused")]) as server,
        provider_of("anthropic", server.base_url) as provider,
    ):
        reply = provider.ask(request())
    assert (reply.ending, reply.text, reply.raw) == ("refused", "", [])


def test_a_text_of_nothing_but_spaces_is_not_sent_back() -> None:
    """Models begin a call with an empty line, and the API refuses that line afterwards."""
    look = Answer(text="\n\n", calls=LOOK.calls)
    with (
        ModelServer("anthropic").script([look, Answer(text="ok")]) as server,
        provider_of("anthropic", server.base_url) as provider,
    ):
        assert provider.ask(request(answered(provider.ask(request())))).text == "ok"


def test_a_mangled_event_is_a_broken_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No exception of a parser may end a night."""
    from lab.agents.providers import TryAgain
    from tests.providers import anthropic_wire

    delta = {
        "type": "content_block_delta",
        "index": 3,
        "delta": {"type": "text_delta", "text": "x"},
    }
    for event in ("{not json", {"type": "content_block_start"}, {"no": "type"}, delta):
        monkeypatch.setattr(
            anthropic_wire, "events", lambda *_, event=event: [("content_block_delta", event)]
        )
        with (
            ModelServer("anthropic").script([Answer(text="ok")]) as server,
            provider_of("anthropic", server.base_url) as provider,
            pytest.raises(TryAgain),
        ):
            provider.ask(request())


SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", ["string", "null"], ["number", "boolean"]])},
        optional={"minimum": st.integers(), "maxLength": st.integers(), "description": st.text()},
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner, "maxItems": st.integers()}
        ),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=5), inner)}
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_a_strict_schema_is_closed_and_has_no_bounds(schema: dict[str, Any]) -> None:
    """One keyword that strict mode does not know, and every request of the night is refused."""

    def check(part: dict[str, Any]) -> None:
        assert not {"minimum", "maxLength", "maxItems"} & set(part)
        assert not isinstance(part.get("type"), list)
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
        inner = [part.get("items"), *part.get("anyOf", []), *part.get("properties", {}).values()]
        for below in inner:
            if below is not None:
                check(below)

    check(strict_schema(schema))


def test_a_bound_is_said_in_words() -> None:
    assert strict_schema({"type": "integer", "minimum": 1, "description": "Lines."}) == {
        "type": "integer",
        "description": "Lines. minimum: 1",
    }
