"""Whole conversations with the real SDKs: what a server refuses in one turn must not be sent in a later one."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from lab.agents.asking import Surroundings
from lab.agents.model import ModelAgent
from lab.agents.open import Workplace, choose_agent
from lab.agents.providers import Usage
from lab.agents.room import Limits
from lab.inbox import Inbox
from lab.settings import read_settings
from tests.providers.asking import provider_of
from tests.providers.server import ModelServer, Recorded
from tests.providers.steps import Answer, Call, Step
from tests.unit.recorded_model import BEST, FakeTime, brief_of, past_of

FILE = "# " + "x " * 3000
SUBMIT = {"title": "wider", "hypothesis": "more capacity", "expected_effect": "lower"}


def free(usage: Usage) -> float:
    return 0.0


def read(number: int) -> Answer:
    asked = {"file": "experiment", "number": number, "first_line": 1, "last_line": 0}
    call = Call(name="read_file", arguments=asked)
    return Answer(thinking=f"I wonder about {number}.", calls=(call,))


def widen(to: int) -> Answer:
    edits = [{"find": f"WIDTH = {to - 1}", "replace": f"WIDTH = {to}"}]
    call = Call(name="edit_train", arguments={"edits": edits, "whole_file": ""})
    return Answer(thinking="Wider.", calls=(call,))


def thoughts(recorded: Recorded) -> list[str]:
    blocks = [block for message in recorded.body["messages"] for block in message["content"]]
    return [block["thinking"] for block in blocks if block["type"] == "thinking"]


@pytest.mark.parametrize(
    ("prompt_tokens", "said"),
    [
        pytest.param(9_000, "[left out for length", id="results"),
        pytest.param(6_000, "Earlier turns were left out", id="turns"),
    ],
)
def test_thoughts_of_a_shortened_conversation_are_not_sent_back(
    prompt_tokens: int, said: str
) -> None:
    """They are signed together with what stood before them; one that does not fit it is refused with a 400."""
    steps: list[Step] = [
        read(1),
        widen(65),
        read(2),
        read(3),
        read(4),
        widen(66),
        read(5),
        widen(67),
    ]
    steps.append(Answer(calls=(Call(name="submit", arguments=SUBMIT),)))
    history = [past_of(number) for number in range(1, 6)]
    with (
        ModelServer("anthropic").script(steps) as server,
        provider_of("anthropic", server.base_url) as provider,
    ):
        server.counts_tokens = False
        agent = ModelAgent(
            provider,
            price=free,
            limits=Limits(prompt_tokens=prompt_tokens),
            around=FakeTime().around(),
        )
        proposal = agent.propose(brief_of(history, code_of=lambda number: f"{number}\n{FILE}"))
        requests = server.requests
    assert proposal.title == "wider" and "WIDTH = 67" in proposal.train_py
    assert len(requests) == len(steps), "not one was refused"
    assert said in str(requests[-1].body), "the control: it was shortened"
    sent = [thoughts(recorded) for recorded in requests]
    assert sent[1] == ["I wonder about 1."], (
        "the control: a thought goes back while nothing was changed"
    )
    assert any(len(later) < len(earlier) for earlier, later in itertools.pairwise(sent))
    assert sent[-1], "what was thought since goes back"


def test_a_person_says_how_long_prompt_and_answer_may_be(tmp_path: Path) -> None:
    """A local server's window is known to who started it, and to nobody else."""
    submit = Call(name="submit", arguments=SUBMIT)
    steps = [Answer(calls=(*widen(65).calls, submit))]
    with ModelServer("compatible").script(steps) as server:
        settings = read_settings(
            {"NIGHTLAB_ANSWER_TOKENS": "9000", "NIGHTLAB_PROMPT_TOKENS": "6000"},
            agent="compatible",
            model="m",
            base_url=server.base_url,
        )
        agent = choose_agent(settings).open(
            Workplace(around=Surroundings(), inbox=Inbox(tmp_path), transcripts=tmp_path)
        )
        history = [past_of(number, title="a long title " * 9) for number in range(1, 200)]
        assert agent.propose(brief_of(history)).title == "wider"
        (asked,) = (recorded.body for recorded in server.requests)
    assert asked["max_tokens"] == 9000
    assert len(str(asked)) < 6000 * 3.5
    assert "Not in this table" in str(asked), "the control: there was more to tell"


def test_the_best_file_is_cached_from_one_proposal_to_the_next() -> None:
    """It is most of a brief, and written into the cache it costs forty times what it costs out of it."""
    submit = Call(name="submit", arguments=SUBMIT)
    with (
        ModelServer("anthropic").script(
            lambda _: Answer(calls=(*widen(65).calls, submit))
        ) as server,
        provider_of("anthropic", server.base_url) as provider,
    ):
        agent = ModelAgent(provider, price=free, around=FakeTime().around())
        agent.propose(brief_of())
        agent.propose(brief_of([past_of(1)], notebook="learned"))
        first, second = (recorded.body["messages"][0]["content"] for recorded in server.requests)
    assert first[0] == second[0]
    assert first[0]["text"].endswith(BEST.strip())
    assert first[1] != second[1]
