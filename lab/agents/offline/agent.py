"""The agent that needs nothing: one mutation of train.py at a time, chosen by priors and by what happened.

Owns    the choice among the catalogue's ideas
Takes   a Brief; all memory comes from its history
Gives   a Proposal: the same one for the same brief and seed, on any machine
Never   repeats a file, whoever had it, or an idea at a value that was measured
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst

from harness.profiles import PROFILES
from lab.agents import NoMoreIdeas, Proposal
from lab.agents.offline.dials import DIALS
from lab.agents.offline.ideas import Dial, Idea, Seen, Switch, see
from lab.agents.offline.memory import Memory, Part, Try, facts_of, fingerprint
from lab.agents.offline.model_switches import MODEL_SWITCHES
from lab.agents.offline.rewriting import DoesNotFit, is_python, source_of
from lab.agents.offline.training_switches import TRAINING_SWITCHES
from lab.agents.similar import find_earlier
from lab.errors import AgentError
from lab.prompt import Brief

MOVES: tuple[Dial | Switch, ...] = (*DIALS, *MODEL_SWITCHES, *TRAINING_SWITCHES)

# 1 would draw ideas in proportion to their weight; more leans towards the heavier ones.
EAGERNESS = 2.0

# The best near misses that are looked at for combining; the rest gained too little to matter.
COMBINE_FROM = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One or more ideas to apply together, and how much that is worth trying."""

    parts: tuple[tuple[str, str], ...]  # (move, value), in order
    weight: float
    together: tuple[Try, ...] = ()  # the near misses that a combination comes from


class OfflineAgent:
    """Proposes mutations from a seeded catalogue."""

    name = "offline"
    thinks_ahead = False  # it needs milliseconds, and the last result

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._digests: dict[int, str | None] = {}  # what `find_earlier` has read

    def propose(self, brief: Brief) -> Proposal:
        """The next idea that applies to the best file and was not tried.

        Raises:
            NoMoreIdeas: everything that applies was tried.
            AgentError: the best file is not Python.
        """
        seen = _look(brief.train_py, brief.profile)
        memory = Memory(brief)
        ideas = _ideas(seen)
        plans = [*_single_plans(ideas, memory), *_combinations(ideas, memory)]
        rng = random.Random(f"{self._seed}/{brief.number}")
        for plan in _shuffled(plans, rng):
            applied = _apply(plan.parts, seen, ideas, brief.profile)
            if applied is None:
                continue
            train_py, done = applied
            if fingerprint(train_py) not in memory.files and not self._was_tried(train_py, brief):
                return _proposal(plan, done, memory, brief, train_py)
        raise NoMoreIdeas(f"all {len(plans)} untried ideas no longer apply to the best train.py")

    def _was_tried(self, train_py: str, brief: Brief) -> bool:
        """Whether anybody had the same file, a model or a person too; it may run at this moment."""
        return bool(
            find_earlier(
                train_py,
                base=train_py,
                history=brief.history,
                ahead=brief.ahead,
                code_of=brief.code_of,
                digests=self._digests,
            )
        )


def every_mutation(train_py: str, profile: str) -> dict[str, str]:
    """Every single mutation that applies to a file, by name ("matrix-lr=0.06"): for tests that build them.

    Raises:
        AgentError: the file is not Python.
    """
    seen = _look(train_py, profile)
    ideas = _ideas(seen)
    mutated: dict[str, str] = {}
    for move, value in ideas:
        applied = _apply(((move, value),), seen, ideas, profile)
        if applied is not None:
            mutated[f"{move}={value}"] = applied[0]
    return mutated


def _look(train_py: str, profile: str) -> Seen:
    device = "gpu" if profile == "gpu" else "cpu"
    known = PROFILES.get(profile) or PROFILES[device]
    try:
        return see(train_py, device=device, sequence_len=known.sequence_len)
    except cst.ParserSyntaxError as error:
        raise AgentError(
            "the offline agent cannot read the best train.py.",
            why=f"it does not parse: {error.message}",
            do="start from a train.py that runs; `lab run FILE` tries one by hand.",
        ) from error


def _ideas(seen: Seen) -> dict[tuple[str, str], Idea]:
    return {idea.key: idea for move in MOVES for idea in move.ideas(seen)}


def _single_plans(ideas: dict[tuple[str, str], Idea], memory: Memory) -> Iterator[Plan]:
    for key, idea in ideas.items():
        if not memory.tried(idea):
            yield Plan(parts=(key,), weight=memory.weight(idea))


def _combinations(ideas: dict[tuple[str, str], Idea], memory: Memory) -> Iterator[Plan]:
    """Two or three near misses from different families, if each is still an idea for this file."""
    near = [t for t in memory.near_misses() if t.parts[0].key in ideas][:COMBINE_FROM]
    for size in (2, 3):
        for tries in itertools.combinations(near, size):
            parts: list[Part] = [t.parts[0] for t in tries]
            apart = len({part.family for part in parts}) == size
            if apart and not memory.combined(parts):
                yield Plan(
                    parts=tuple(part.key for part in parts),
                    weight=memory.combination_weight(tries) / (size - 1),
                    together=tries,
                )


def _shuffled(plans: Sequence[Plan], rng: random.Random) -> list[Plan]:
    """A random order in which a heavier plan tends to come first (Efraimidis and Spirakis, 2006)."""
    drawn = [(rng.random() ** (1 / max(plan.weight, 1e-9) ** EAGERNESS), plan) for plan in plans]
    return [plan for _, plan in sorted(drawn, key=lambda pair: pair[0], reverse=True)]


def _apply(
    parts: Sequence[tuple[str, str]],
    seen: Seen,
    ideas: Mapping[tuple[str, str], Idea],
    profile: str,
) -> tuple[str, list[Idea]] | None:
    """The file with every part applied, each to what the one before left; None when one does not fit."""
    done: list[Idea] = []
    text = source_of(seen.module)
    for key in parts:
        if done:
            seen = _look(text, profile)
            ideas = _ideas(seen)
        if key not in ideas:
            return None
        try:
            changed = source_of(ideas[key].apply(seen))
        except DoesNotFit:
            return None
        if changed == text or not is_python(changed):
            return None
        text = changed
        done.append(ideas[key])
    return text, done


def _proposal(
    plan: Plan, done: list[Idea], memory: Memory, brief: Brief, train_py: str
) -> Proposal:
    if plan.together:
        gains = " and ".join(f"{t.gain_bpb or 0.0:.4f} ({t.number})" for t in plan.together)
        hypothesis = f"Each gained within the noise, {gains}; together the gain may be seen."
    else:
        hypothesis = " ".join(filter(None, (done[0].hypothesis, memory.note(done[0]))))
    return Proposal(
        title="; ".join(idea.title for idea in done),
        hypothesis=hypothesis,
        train_py=train_py,
        agent=OfflineAgent.name,
        facts=facts_of(done, parent=brief.train_py, train_py=train_py),
    )
