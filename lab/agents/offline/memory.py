"""What the history teaches: which ideas were tried, which way a dial should go, which families pay.

Owns    the reading of Past.facts, and the odds of every idea given what happened so far
Takes   the history of a Brief; records of other agents and facts that are not ours are passed over
Gives   whether an idea was tried, its weight, and near misses worth combining
Never   remembers anything itself: the same history always gives the same answers
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lab.agents.offline.ideas import Idea
from lab.prompt import Brief, Past

# Without a measured noise, what two seeds of the seed file differ by on the CPU profile.
USUAL_NOISE_BPB = 0.004

# The lab's own failures say nothing of an idea, but twice in a row it may be the idea after all.
LOST_AT_MOST = 2


class Outcome(StrEnum):
    """How a try ended, as far as the next one should care."""

    KEPT = "kept"
    NEAR = "near"  # better, but within the noise
    WORSE = "worse"
    MUCH_WORSE = "much worse"  # by more than noise could explain
    FAILED = "failed"  # never got a score
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One idea as it stands in the facts of a proposal."""

    move: str
    family: str
    value: str
    old: str
    direction: int

    @property
    def key(self) -> tuple[str, str]:
        return (self.move, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One earlier proposal of this agent and what came of it."""

    number: int
    parts: tuple[Part, ...]  # more than one for a combination
    outcome: Outcome
    gain_bpb: float | None  # None when nothing was measured


class Memory:
    """The history, arranged by the questions that are asked of it."""

    def __init__(self, brief: Brief) -> None:
        noise = brief.noise_bpb or USUAL_NOISE_BPB
        self._margin = 2 * noise
        self.files = _files(brief.history) | {fingerprint(brief.train_py)}
        self._tries = [found for past in brief.history if (found := _try(past, noise))]
        self._combined = {frozenset(part.key for part in t.parts) for t in self._tries}
        self._by_move: dict[str, list[Try]] = {}
        for made in self._tries:
            # Of a combination that was kept every part now stands in the file; of one that failed none is to blame.
            if len(made.parts) == 1 or made.outcome is Outcome.KEPT:
                for part in made.parts:
                    single = dataclasses.replace(made, parts=(part,))
                    self._by_move.setdefault(part.move, []).append(single)

    def tried(self, idea: Idea) -> bool:
        """Whether this value was already measured, or failed, or is where the dial once stood."""
        lost = 0
        for single in self._by_move.get(idea.move, []):
            part = single.parts[0]
            if single.outcome is Outcome.LOST:
                lost += part.value == idea.value
            elif idea.value in (part.value, part.old):
                return True
        return lost >= LOST_AT_MOST

    def weight(self, idea: Idea) -> float:
        """How much an idea is worth trying now: its prior, turned by what its kin achieved."""
        return idea.prior * self._trend(idea) * self._family(idea.family)

    def note(self, idea: Idea) -> str:
        """What the history says for this idea, as a sentence; "" when it says nothing."""
        for single in reversed(self._by_move.get(idea.move, [])):
            part = single.parts[0]
            if single.outcome is Outcome.KEPT and part.value == idea.old:
                if idea.size == "half" and self._overshot(idea):
                    return f"Experiment {single.number} was kept and a full step from it failed: look between."
                if part.direction == idea.direction:
                    return f"Experiment {single.number} went this way and was kept: go on."
            lost = single.outcome in (Outcome.WORSE, Outcome.MUCH_WORSE)
            if lost and part.old == idea.old and part.direction == -idea.direction != 0:
                return f"Experiment {single.number} went the other way and lost."
        return ""

    def near_misses(self) -> list[Try]:
        """Single changes that gained within the noise and were not kept, the best first."""
        near = [t for t in self._tries if t.outcome is Outcome.NEAR and len(t.parts) == 1]
        return sorted(near, key=lambda t: (-(t.gain_bpb or 0.0), t.number))

    def combined(self, parts: Sequence[Part]) -> bool:
        """Whether just these changes were already tried together."""
        return frozenset(part.key for part in parts) in self._combined

    def combination_weight(self, tries: Sequence[Try]) -> float:
        """Near misses are worth combining when their gains together would be seen."""
        together = sum(t.gain_bpb or 0.0 for t in tries)
        return 4.0 * min(1.5, together / self._margin)

    def _trend(self, idea: Idea) -> float:
        factor = 1.0
        for single in self._by_move.get(idea.move, []):
            part = single.parts[0]
            onward = part.direction == idea.direction
            match single.outcome:
                case Outcome.KEPT if part.value == idea.old:
                    factor *= 4.0 if onward else 0.7
                case Outcome.NEAR:
                    factor *= 1.5 if onward else 0.7
                case Outcome.WORSE:
                    factor *= 0.5 if onward else 1.4
                case Outcome.MUCH_WORSE:
                    factor *= 0.2 if onward else 1.8
                case Outcome.FAILED:
                    factor *= 0.1 if onward else 1.0
        if idea.size == "half" and self._overshot(idea):
            factor = max(factor, 4.0)
        return factor

    def _overshot(self, idea: Idea) -> bool:
        """Whether the dial came here by a kept step, and a further one from here failed."""
        tries = self._by_move.get(idea.move, [])
        arrived = {t.parts[0].direction for t in tries if _kept_at(t, idea.old)}
        left = {
            t.parts[0].direction
            for t in tries
            if t.parts[0].old == idea.old and t.outcome not in (Outcome.KEPT, Outcome.LOST)
        }
        return bool(arrived & left)

    def _family(self, family: str) -> float:
        count: Counter[Outcome] = Counter()
        for single in self._tries:
            if any(part.family == family for part in single.parts):
                count[single.outcome] += 1
        tried = count.total() - count[Outcome.LOST]
        return (1 + 1.5 * count[Outcome.KEPT] + 0.4 * count[Outcome.NEAR]) / (1 + 0.3 * tried)


def _kept_at(single: Try, value: str) -> bool:
    return single.outcome is Outcome.KEPT and single.parts[0].value == value


def fingerprint(train_py: str) -> str:
    """What a file is known by."""
    return hashlib.sha256(train_py.encode("utf-8", "surrogateescape")).hexdigest()


def facts_of(ideas: Sequence[Idea], *, parent: str, train_py: str) -> dict[str, str]:
    """The notes that travel with a proposal; `_try` and `_files` read them back."""
    parts = [
        {
            "move": idea.move,
            "family": idea.family,
            "value": idea.value,
            "old": idea.old,
            "direction": idea.direction,
        }
        for idea in ideas
    ]
    return {
        "moves": json.dumps(parts, sort_keys=True),
        "parent": fingerprint(parent),
        "file": fingerprint(train_py),
    }


def _files(history: Sequence[Past]) -> frozenset[str]:
    """Every file that was measured or stood as a parent; what the lab lost may come again."""
    return frozenset(_known_files(history))


def _known_files(history: Sequence[Past]) -> Iterator[str]:
    lost: Counter[str] = Counter()
    for past in history:
        yield past.facts.get("parent", "")
        file = past.facts.get("file", "")
        lost[file] += past.status == "lost"
        if past.status != "lost" or lost[file] >= LOST_AT_MOST:
            yield file


def _try(past: Past, noise: float) -> Try | None:
    """A past experiment as a try of this agent; None when it was another's."""
    try:
        parts = tuple(
            Part(
                move=str(part["move"]),
                family=str(part["family"]),
                value=str(part["value"]),
                old=str(part["old"]),
                direction=int(part["direction"]),
            )
            for part in json.loads(past.facts.get("moves", "[]"))
        )
    except (ValueError, TypeError, KeyError):
        return None
    if not parts:
        return None
    return Try(number=past.number, parts=parts, outcome=_outcome(past, noise), gain_bpb=_gain(past))


def _outcome(past: Past, noise: float) -> Outcome:
    if past.status in ("lost", "throttled"):  # neither says what the idea is worth
        return Outcome.LOST
    if past.kept:
        return Outcome.KEPT
    gain_bpb = _gain(past)
    if past.status != "measured" or gain_bpb is None:
        return Outcome.FAILED
    if gain_bpb > 0:
        return Outcome.NEAR
    return Outcome.MUCH_WORSE if gain_bpb < -3 * noise else Outcome.WORSE


def _gain(past: Past) -> float | None:
    """What the ideas did to the file that they changed; that file may have been behind the best."""
    return past.gain_bpb if past.over_parent_bpb is None else past.over_parent_bpb
