"""One list of promises that every model provider keeps, against a server that speaks its wire format."""

from __future__ import annotations

import itertools
import json
import logging
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from lab.agents.providers import Exchange, ProviderError, Stop, TooLong, TryAgain, Usage, Wait
from lab.agents.providers.line import estimate_request
from tests.providers.asking import KEY, answered, provider_of, request, sent_back
from tests.providers.server import ModelServer
from tests.providers.steps import KINDS, NEW, READ, SAID, WRITTEN, Answer, Call, Fail, Kind, Step

pytestmark = pytest.mark.parametrize("kind", KINDS)


def fails(kind: Kind, step: Step) -> ProviderError:
    """The error that a step ends in; it is asked once and no more."""
    with (
        ModelServer(kind).script([step]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        with pytest.raises(ProviderError) as caught:
            provider.ask(request())
        assert len(server.requests) == 1, "who asks decides about retries, not the SDK"
    assert KEY not in f"{caught.value!s} {caught.value!r} {vars(caught.value)}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def without_marks(sent: Any) -> Any:
    """What is sent, without the marks that say where a cache may end."""
    if isinstance(sent, dict):
        return {k: without_marks(v) for k, v in sent.items() if k != "cache_control"}
    return [without_marks(part) for part in sent] if isinstance(sent, list) else sent


def test_an_answer_is_its_text_and_what_it_took(kind: Kind) -> None:
    """Costs and caps are computed from four counts; one counted twice would end a night early."""
    with (
        ModelServer(kind).script([Answer(text="Halve the rate.")]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        reply = provider.ask(request())
    assert (reply.text, reply.calls, reply.ending) == ("Halve the rate.", (), "done")
    counted = reply.usage
    assert (counted.input_tokens, counted.cache_read_tokens) == (NEW, READ)
    assert (counted.cache_write_tokens, counted.output_tokens) == (WRITTEN, SAID)


def test_what_the_model_said_goes_back_as_it_came(kind: Kind) -> None:
    """Signatures and encrypted thoughts are checked by the provider; one altered field ends a conversation."""
    first = Answer(
        text="I look first. Ünïcödé ≠ ascii.",
        thinking="The schedule may be too short.",
        calls=(
            Call(
                name="read_file",
                arguments={"path": "train.py"},
                extra={"extra_content": {"google": {"thought_signature": "AbC=="}}},
            ),
        ),
    )
    with (
        ModelServer(kind).script([first, Answer(text="Done.")]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        reply = provider.ask(request())
        assert reply.ending == "tools"
        assert [(call.name, call.arguments) for call in reply.calls] == [
            ("read_file", {"path": "train.py"})
        ]
        provider.ask(request(answered(reply, text="Go on.")))
        # The order of an object's fields is the SDK's; every name and every value is the server's.
        back, said = (json.dumps(it, sort_keys=True) for it in (sent_back(server), server.said[0]))
        assert back == said
        assert "result 0" in json.dumps(server.requests[1].body)
        assert "Go on." in json.dumps(server.requests[1].body)


def test_a_long_tool_loop_keeps_its_beginning(kind: Kind) -> None:
    """A provider's cache holds prefixes: what was sent once must be sent the same again."""
    call = Answer(calls=(Call(name="read_file", arguments={"path": "train.py"}),))
    with (
        ModelServer(kind).script([call] * 4) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        exchanges: list[Exchange] = []
        for _ in range(4):
            exchanges.append(answered(provider.ask(request(*exchanges))))
        bodies = [recorded.body for recorded in server.requests]
    told = [without_marks(body.get("input") or body["messages"]) for body in bodies]
    for earlier, later in itertools.pairwise(told):
        assert len(later) > len(earlier)
        assert later[: len(earlier)] == earlier
    for name in ("system", "instructions", "tools"):
        assert len({json.dumps(body.get(name)) for body in bodies}) == 1


def test_calls_in_parallel_come_in_order_and_are_all_answered(kind: Kind) -> None:
    """One result missing or swapped, and the provider refuses the rest of the conversation."""
    calls = tuple(Call(name="read_file", arguments={"path": f"{n}.py"}) for n in range(3))
    with (
        ModelServer(kind).script([Answer(calls=calls), Answer(text="ok")]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        reply = provider.ask(request())
        assert [call.arguments for call in reply.calls] == [{"path": f"{n}.py"} for n in range(3)]
        assert len({call.id for call in reply.calls}) == 3
        assert provider.ask(request(answered(reply))).text == "ok"


@pytest.mark.parametrize("written", ['{"path": "train', "[1, 2]", "train.py"])
def test_arguments_that_are_no_object_are_handed_on_as_written(kind: Kind, written: str) -> None:
    """The model is told what it wrote and tries again; the conversation must survive it."""
    wrong = Answer(calls=(Call(name="read_file", arguments=written),))
    with (
        ModelServer(kind).script([wrong, Answer(text="sorry")]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        reply = provider.ask(request())
        assert (reply.calls[0].arguments, reply.calls[0].written) == (None, written)
        assert provider.ask(request(answered(reply, is_error=True))).text == "sorry"


def test_a_call_without_arguments_has_none_to_miss(kind: Kind) -> None:
    """Some models write nothing where the object is empty."""
    with (
        ModelServer(kind).script([Answer(calls=(Call(name="read_file", arguments=""),))]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        assert provider.ask(request()).calls[0].arguments == {}


@pytest.mark.parametrize("breaks", ["drop", "end", "server_error"])
@pytest.mark.parametrize("calls", [(), (Call(name="read_file", arguments={"path": "a"}),)])
def test_a_stream_that_breaks_off_is_no_answer(
    kind: Kind, breaks: str, calls: tuple[Call, ...]
) -> None:
    """Half an edit would be half a train.py."""
    step = Answer(text="I would change " * 20, calls=calls, breaks=breaks)  # type: ignore[arg-type]
    assert isinstance(fails(kind, step), TryAgain)


def test_an_overload_in_the_middle_of_a_stream_is_an_overload(kind: Kind) -> None:
    """Trying again at once is what keeps an overloaded server down."""
    assert isinstance(fails(kind, Answer(text="I would " * 20, breaks="overloaded")), Wait)


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        pytest.param({"retry-after": "17"}, 17, 17, id="seconds"),
        pytest.param({"retry-after-ms": "1500", "retry-after": "2"}, 1.5, 1.5, id="milliseconds"),
        pytest.param({"Retry-After": "0"}, 0, 0, id="now"),
        pytest.param({}, None, None, id="not said"),
        pytest.param({"retry-after": "soon"}, None, None, id="nonsense"),
        pytest.param({"retry-after": "-5"}, None, None, id="negative"),
        pytest.param({"retry-after": "nan"}, None, None, id="not a number"),
        pytest.param({"retry-after": "DATE"}, 50, 60, id="date"),
    ],
)
def test_too_many_requests_is_a_wait_as_long_as_asked(
    kind: Kind, headers: dict[str, str], low: float | None, high: float | None
) -> None:
    """Asking earlier than allowed counts against the limit again."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    headers = {name: value.replace("DATE", date) for name, value in headers.items()}
    error = fails(kind, Fail(why="rate_limit", headers=headers))
    assert isinstance(error, Wait)
    if low is None or high is None:
        assert error.after_s is None
    else:
        assert error.after_s is not None and low <= error.after_s <= high


def test_an_overloaded_server_is_a_wait(kind: Kind) -> None:
    """The GPU works on what is queued meanwhile."""
    assert isinstance(fails(kind, Fail(why="overloaded")), Wait)


def test_a_server_that_failed_is_worth_another_try(kind: Kind) -> None:
    assert isinstance(fails(kind, Fail(why="server_error")), TryAgain)


def test_a_request_that_does_not_fit_is_too_long(kind: Kind) -> None:
    """Repeating it can never work; a shorter one does."""
    assert isinstance(fails(kind, Fail(why="too_long")), TooLong)


@pytest.mark.parametrize(
    ("why", "do"),
    [
        ("no_credit", "credit"),
        ("spend_limit", ""),
        ("wrong_key", "key"),
        ("no_model", "MODEL"),
        ("no_permission", ""),
    ],
)
def test_what_only_a_person_can_mend_stops_and_says_how(kind: Kind, why: str, do: str) -> None:
    """A night that retries a wrong key for eight hours has done nothing and says nothing."""
    error = fails(kind, Fail(why=why))
    assert isinstance(error, Stop)
    assert do in error.do and error.do


def test_a_rate_limit_that_mentions_billing_is_still_a_rate_limit(kind: Kind) -> None:
    """The advice to buy more stands in many of them; reading it as "no credit" would end the night."""
    assert isinstance(fails(kind, Fail(why="rate_limit")), Wait)


def test_a_refusal_is_an_answer(kind: Kind) -> None:
    """The night goes on with another proposal, and the record says why this one was none."""
    step = Answer(ending="refused", refusal="I will not help with this.")
    with (
        ModelServer(kind).script([step, Answer(text="ok")]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        reply = provider.ask(request())
        assert (reply.ending, reply.text) == ("refused", "I will not help with this.")
        assert provider.ask(request(answered(reply, text="Another idea?"))).text == "ok"


def test_an_answer_that_was_cut_by_its_limit_says_so(kind: Kind) -> None:
    """A file that ends in the middle is not a file."""
    with (
        ModelServer(kind).script([Answer(text="import torch", ending="length")]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        assert provider.ask(request()).ending == "length"
        body = server.requests[0].body
    assert 2000 in (body.get("max_tokens"), body.get("max_output_tokens"))


def test_a_slow_first_byte_is_waited_for_but_not_for_ever(kind: Kind) -> None:
    """A model that thinks says nothing for minutes; a dead one says nothing for ever."""
    slow = Answer(text="at last", silent_s=0.4)
    with ModelServer(kind).script([slow, slow]) as server:
        with provider_of(kind, server.base_url, silence_s=5) as provider:
            assert provider.ask(request()).text == "at last"
        with (
            provider_of(kind, server.base_url, silence_s=0.1) as provider,
            pytest.raises(TryAgain),
        ):
            provider.ask(request())
        assert len(server.requests) == 2


def test_an_answer_that_never_ends_is_ended(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drips a word a minute is never silent for long enough."""
    monkeypatch.setattr("lab.agents.providers.line.ANSWER_S", -1.0)
    assert isinstance(fails(kind, Answer(text="and then " * 20)), TryAgain)


def test_signs_of_life_do_not_make_an_answer_endless(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDKs keep pings and comments to themselves, so nothing else would ever look at the clock."""
    monkeypatch.setattr("lab.agents.providers.line.ANSWER_S", 0.2)
    error = fails(kind, Answer(text="at last", pings_s=2.0))
    assert isinstance(error, TryAgain)
    assert "not complete in 0.2 s" in str(error)


def test_a_server_that_is_not_there_is_worth_another_try(kind: Kind) -> None:
    """A local server restarts, a laptop changes its network."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with provider_of(kind, address) as provider, pytest.raises(TryAgain):
            provider.ask(request())


def test_the_key_is_nowhere_but_in_the_request(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """Records, transcripts and logs are shared with strangers."""
    caplog.set_level(logging.DEBUG)
    with (
        ModelServer(kind).script([Answer(text="hello"), Fail(why="wrong_key")]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        provider.ask(request())
        with pytest.raises(Stop) as caught:
            provider.ask(request())
        assert KEY in json.dumps(server.requests[0].headers)
        assert KEY not in f"{provider!r} {caught.value!r} {caught.value}"
        assert KEY not in json.dumps([recorded.body for recorded in server.requests])
    assert KEY not in caplog.text


def test_a_request_is_counted_not_too_low(kind: Kind) -> None:
    """The context is cut by this number; the estimate stands in where no counter answers."""
    with (
        ModelServer(kind) as server,
        provider_of(kind, server.base_url, effort="high") as provider,
    ):
        counted = provider.count_tokens(request())
        server.counts_tokens = False
        estimated = provider.count_tokens(request())
        longer = provider.count_tokens(request(tools=()))
    assert counted == (estimated if kind == "compatible" else 1234)
    assert 100 < estimated < 400
    assert longer < estimated


def test_tools_are_sent_strictly(kind: Kind) -> None:
    """A model held to the schema cannot invent an argument."""
    with (
        ModelServer(kind).script([Answer(text="ok"), Answer(text="ok")]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        provider.ask(request())
        provider.ask(request(tools=()))
        first, second = (recorded.body for recorded in server.requests)
    for sent in first["tools"]:
        tool = sent.get("function", sent)
        schema = tool.get("input_schema") or tool["parameters"]
        assert schema["additionalProperties"] is False
        assert tool.get("strict") is (None if kind == "compatible" else True)
    assert "tools" not in second


def test_what_was_metered_before_a_break_is_known(kind: Kind) -> None:
    """It is charged; a cap that does not see it is no cap. Where nobody counted, an estimate is nearer than nothing."""
    error = fails(kind, Answer(text="I would change " * 20, breaks="drop"))
    assert error.usage is not None
    if kind == "anthropic":
        assert error.usage == Usage(
            input_tokens=NEW,
            cache_read_tokens=READ,
            cache_write_tokens=WRITTEN,
            cache_write_short_tokens=WRITTEN // 2,
            output_tokens=1,
        )
    else:
        assert error.usage.input_tokens == estimate_request(request())
        assert 30 < error.usage.output_tokens < 100, "half of 300 characters"


def test_what_was_refused_before_it_began_took_nothing(kind: Kind) -> None:
    """A rate limit that cost a prompt each time would end a night by its cap."""
    assert fails(kind, Fail(why="rate_limit")).usage is None
