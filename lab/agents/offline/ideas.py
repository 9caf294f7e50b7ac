"""What the catalogue is made of: an idea is one change of train.py that a researcher would sign.

Dial     a hyperparameter that can be turned: gives several ideas, up and down, from where it stands
Switch   an edit of the code: gives one idea
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import libcst as cst

from lab.agents.offline.constants import (
    NotAConstant,
    Value,
    read_constants,
    write_constant,
)
from lab.agents.offline.rewriting import DoesNotFit, Edit, apply_edit

# How readily a size of step is tried before anything is known: the full step says most for its price.
STEP_WEIGHT = {"full": 1.0, "half": 0.35, "bold": 0.25}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """train.py as the catalogue looks at it: parsed once, constants of the active device read."""

    module: cst.Module
    constants: Mapping[str, Value]
    device: str  # "gpu" or "cpu"
    sequence_len: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """One change, with why it might help and how soon to try it."""

    move: str  # the dial's or switch's id
    family: str
    value: str  # what the dial would stand at, "on" for a switch
    old: str  # where it stands, "off" for a switch
    direction: int  # +1 or -1 along the dial, 0 for a switch
    size: str  # "full", "half" or "bold"
    title: str
    hypothesis: str
    prior: float
    apply: Callable[[Seen], cst.Module]  # raises DoesNotFit

    @property
    def key(self) -> tuple[str, str]:
        return (self.move, self.value)


class Ladder(Protocol):
    """The rungs around a value, as (value, direction, size)."""

    def around(self, value: Value, seen: Seen, /) -> Iterator[tuple[Value, int, str]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Multiply or divide by a factor; half a step is its root, a bold one its square."""

    factor: float
    low: float
    high: float
    whole: bool = False  # only whole numbers, full and bold steps

    def around(self, value: Value, _seen: Seen) -> Iterator[tuple[Value, int, str]]:
        if not _is_number(value) or value <= 0:
            return
        for size, power in (("full", 1.0), ("half", 0.5), ("bold", 2.0)):
            for direction in (1, -1):
                new = value * self.factor ** (power * direction)
                if self.low <= new <= self.high and not (self.whole and size == "half"):
                    yield (round(new) if self.whole else _rounded(new)), direction, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Scale what is missing to 1: for decays, where 0.9, 0.95 and 0.975 are equal steps."""

    factor: float = 2.0
    low: float = 0.5
    high: float = 0.999

    def around(self, value: Value, _seen: Seen) -> Iterator[tuple[Value, int, str]]:
        if not _is_number(value) or not 0 < value < 1:
            return
        for size, power in (("full", 1.0), ("half", 0.5), ("bold", 2.0)):
            for direction in (1, -1):
                missing = (1 - value) * self.factor ** (-power * direction)
                if self.low <= 1 - missing <= self.high:
                    yield round(1 - _rounded(missing), 6), direction, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rungs written out, lowest first; the neighbour is a full step, the one behind it a bold one."""

    rungs: tuple[int | float, ...]

    def around(self, value: Value, _seen: Seen) -> Iterator[tuple[Value, int, str]]:
        if not _is_number(value):
            return
        above = [rung for rung in self.rungs if rung > value]
        below = [rung for rung in reversed(self.rungs) if rung < value]
        for direction, rungs in ((1, above), (-1, below)):
            for size, rung in zip(("full", "bold"), rungs, strict=False):
                yield rung, direction, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Window patterns, the most local first; those that come to the same at this depth are passed over."""

    patterns: tuple[str, ...]

    def around(self, value: Value, seen: Seen) -> Iterator[tuple[Value, int, str]]:
        depth = seen.constants.get("DEPTH")
        if not isinstance(value, str) or not value or not isinstance(depth, int):
            return
        here = _blocks(value, depth)
        reached = {here}
        for pattern in sorted(
            self.patterns, key=lambda p: abs(_reach(_blocks(p, depth)) - _reach(here))
        ):
            blocks = _blocks(pattern, depth)
            if blocks not in reached:
                reached.add(blocks)
                yield pattern, 1 if _reach(blocks) > _reach(here) else -1, "full"


def _blocks(pattern: str, depth: int) -> str:
    """What each block but the last gets; the last sees everything anyway."""
    return "".join(pattern[block % len(pattern)] for block in range(depth - 1))


def _reach(blocks: str) -> float:
    return blocks.count("L") / max(1, len(blocks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """A hyperparameter that can be turned both ways."""

    move: str
    constant: str  # "ADAM_BETAS.1" is an item of a tuple
    family: str
    ladder: Ladder
    up: str  # why more might help
    down: str  # why less might help
    gpu: tuple[float, float]  # prior weight of up and down
    cpu: tuple[float, float]
    along: Callable[[Seen, Value], dict[str, Value]] | None = (
        None  # other constants that must follow
    )

    def ideas(self, seen: Seen) -> Iterator[Idea]:
        """Every turn of the dial that leaves a model which can be built."""
        try:
            value = _constant(seen, self.constant)
        except NotAConstant:
            return
        prior = self.gpu if seen.device == "gpu" else self.cpu
        for new, direction, size in self.ladder.around(value, seen):
            changes = {self.constant: new} | (self.along(seen, new) if self.along else {})
            weight = prior[0] if direction > 0 else prior[1]
            if weight > 0 and new != value and fits(seen, changes):
                yield Idea(
                    move=self.move,
                    family=self.family,
                    value=_shown(new),
                    old=_shown(value),
                    direction=direction,
                    size=size,
                    title=_title(self.constant, value, changes, seen),
                    hypothesis=self.up if direction > 0 else self.down,
                    prior=weight * STEP_WEIGHT[size],
                    apply=_setter(changes),
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """An edit of the code: all of its parts, or none."""

    move: str
    family: str
    title: str
    hypothesis: str
    edits: tuple[Edit, ...]
    gpu: float  # prior weight, 0 keeps it off that device
    cpu: float

    def ideas(self, seen: Seen) -> Iterator[Idea]:
        """The one idea, if it is for this device; whether it fits shows when it is applied."""
        prior = self.gpu if seen.device == "gpu" else self.cpu
        if prior > 0:
            yield Idea(
                move=self.move,
                family=self.family,
                value="on",
                old="off",
                direction=0,
                size="full",
                title=self.title,
                hypothesis=self.hypothesis,
                prior=prior,
                apply=self._apply,
            )

    def _apply(self, seen: Seen) -> cst.Module:
        module = seen.module
        for edit in self.edits:
            module = apply_edit(module, edit)
        return module


def see(train_py: str, *, device: str, sequence_len: int) -> Seen:
    """Parse a train.py.

    Raises:
        cst.ParserSyntaxError: it is not Python.
    """
    module = _parse(train_py)
    return Seen(
        module=module,
        constants=read_constants(module, device),
        device=device,
        sequence_len=sequence_len,
    )


@functools.lru_cache(maxsize=2)
def _parse(train_py: str) -> cst.Module:
    """The best file stays the same for many experiments, and a tree never changes."""
    return cst.parse_module(train_py)


def fits(seen: Seen, changes: Mapping[str, Value]) -> bool:
    """Whether a model with these constants can be built; a rule whose constants are absent is silent."""
    new = dict(seen.constants) | dict(changes)
    width, head = _whole(new, "WIDTH"), _whole(new, "HEAD_DIM")
    group, gate = _whole(new, "HEADS_PER_KV_HEAD"), _whole(new, "GATE_CHANNELS")
    rules = [
        not (width and head) or (width % head == 0 and head % 2 == 0),
        not (width and head and group) or (width // head) % group == 0,
        not (width and gate) or gate <= width,
    ]
    for name in ("BATCH_TOKENS", "DEVICE_BATCH_TOKENS"):
        tokens = _whole(new, name)
        rules.append(not tokens or tokens % seen.sequence_len == 0)
    batch, part = _whole(new, "BATCH_TOKENS"), _whole(new, "DEVICE_BATCH_TOKENS")
    rules.append(not (batch and part) or batch % part == 0)
    return all(rules)


def _whole(constants: Mapping[str, Value], name: str) -> int | None:
    value = constants.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _constant(seen: Seen, name: str) -> Value:
    name, _, item = name.partition(".")
    if name not in seen.constants:
        raise NotAConstant(name)
    value = seen.constants[name]
    if not item:
        return value
    if not isinstance(value, tuple) or int(item) >= len(value):
        raise NotAConstant(f"{name}.{item}")
    return value[int(item)]  # type: ignore[return-value]  # items of a literal are literals


def _setter(changes: Mapping[str, Value]) -> Callable[[Seen], cst.Module]:
    def apply(seen: Seen) -> cst.Module:
        module = seen.module
        try:
            for name, value in changes.items():
                module = write_constant(module, name, seen.device, value)
        except NotAConstant as error:
            raise DoesNotFit(str(error)) from error
        return module

    return apply


def _title(constant: str, old: Value, changes: Mapping[str, Value], seen: Seen) -> str:
    name, _, item = constant.partition(".")
    title = f"{name}{f'[{item}]' if item else ''} {_shown(old)} -> {_shown(changes[constant])}"
    others = [
        f"{other} {_shown(value)}"
        for other, value in changes.items()
        if other != constant and seen.constants.get(other) != value
    ]
    return f"{title}, with {' and '.join(others)}" if others else title


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rounded(value: float) -> float:
    """Two figures: a third would claim a precision that no experiment here has."""
    return float(f"{value:.2g}") if math.isfinite(value) else value
