"""A provider that plays back what a model once said, and remembers what it was asked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lab.agents.asking import Surroundings
from lab.agents.providers import (
    Ending,
    ProviderError,
    Reply,
    Request,
    ToolCall,
    Usage,
)
from lab.prompt import Brief, Past, UnderWay

# Keeps the contract, and is small enough to read in a failed assertion.
BEST = '''\
"""The best so far."""

from harness import prepare

WIDTH = 64
DEPTH = 2
RATE = 0.04


def build_model(config):
    return None


if __name__ == "__main__":
    clock = prepare.start()
    prepare.save(None, {})
'''

USUAL = Usage(input_tokens=1000, output_tokens=100)
_ids = itertools.count()

Step = Reply | ProviderError | Callable[[Request], Reply]


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(
        id=f"call-{next(_ids)}", name=name, arguments=arguments, written=json.dumps(arguments)
    )


def says(
    *calls: ToolCall,
    text: str = "",
    ending: Ending | None = None,
    usage: Usage = USUAL,
) -> Reply:
    return Reply(
        text=text,
        calls=calls,
        ending=ending or ("tools" if calls else "done"),
        usage=usage,
        raw={"role": "assistant", "content": text},
    )


def edit(find: str, replace: str) -> ToolCall:
    return call("edit_train", edits=[{"find": find, "replace": replace}], whole_file="")


def submit(title: str = "wider") -> ToolCall:
    return call("submit", title=title, hypothesis="more capacity", expected_effect="lower")


def widen(to: int = 96) -> tuple[Reply, Reply]:
    """The shortest whole proposal."""
    return says(edit("WIDTH = 64", f"WIDTH = {to}")), says(submit(f"width {to}"))


@dataclass
class RecordedModel:
    """Plays its steps in order; the last one again and again when `forever`."""

    steps: list[Step]
    forever: bool = False
    name: str = "recorded"
    model: str = "m1"
    context_tokens: int | None = None  # more than this is TooLong; None takes all
    requests: list[Request] = field(default_factory=list)

    def ask(self, request: Request) -> Reply:
        self.requests.append(request)
        last = self.forever and len(self.steps) == 1
        step = self.steps[0] if last else self.steps.pop(0)
        if isinstance(step, ProviderError):
            raise step
        return step(request) if callable(step) else step

    def count_tokens(self, request: Request) -> int:
        calls = [call.written for turn in request.exchanges for call in turn.reply.calls]
        return len("".join([words_of(request), *calls])) // 3


def words_of(request: Request) -> str:
    """Everything that a request shows a model."""
    turns = (
        "\n".join([exchange.text, *(result.content for result in exchange.results)])
        for exchange in request.exchanges
    )
    return "\n".join([request.system, request.brief, *turns])


@dataclass
class FakeTime:
    """A clock that moves when somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def around(self, **more: Any) -> Surroundings:
        return Surroundings(clock=lambda: self.now, sleep=self.sleep, **more)


def past_of(number: int, **more: Any) -> Past:
    fields: dict[str, Any] = {
        "kind": "candidate",
        "title": f"idea {number}",
        "hypothesis": "because",
        "status": "measured",
        "kept": False,
        "val_bpb": 1.8,
        "gain_bpb": -0.01,
        "reason": "worse than the best",
        "facts": {},
        "log_tail": "",
    }
    return Past(number=number, **(fields | more))


def ideas_ahead(*titles: str) -> tuple[UnderWay, ...]:
    """Ideas that run or wait, each another file."""
    return tuple(
        UnderWay(number=number, title=title, train_py=f"{BEST}TITLE = {title!r}\n", facts={})
        for number, title in enumerate(titles, start=8)
    )


def brief_of(history: Iterable[Past] = (), **more: Any) -> Brief:
    history = tuple(history)
    fields: dict[str, Any] = {
        "number": len(history) + 1,
        "profile": "cpu",
        "program": "Lower val_bpb.",
        "train_py": BEST,
        "baseline_bpb": 1.81,
        "best_bpb": 1.79,
        "noise_bpb": 0.005,
        "seconds_left": 7200.0,
        "history": history,
        "contract": "build_model(config) gives the model.",
        "prepare_py": "SEQUENCE_LEN = 256",
    }
    return Brief(**(fields | more))
