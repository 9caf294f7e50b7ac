"""Whether searching beyond the best pays: greedy against tree, at an equal number of runs.

    make bench-strategies
    .venv/bin/python -m benchmarks.strategies --nights 400
    .venv/bin/python -m benchmarks.strategies --real 42 43 44 --hours 2

Without --real this is a simulation and no more: it shows how a strategy behaves in the world that is written
down here, by the functions of lab/strategy.py and lab/verdict.py as a night calls them. A night is 100 runs,
baselines, re-runs and the lab's own proposals included, and all strategies meet the same world with the same
luck. What a night gained is true, not measured: val_bpb of the start less that of the final file, without noise.

What is assumed, and drawn anew for every night:

    ideas     As in benchmarks/decision_quality.py: 30 % help, sizes log-normal with median 0.0007 and log-sd 1.8,
              at most 0.02; gains saturate towards 0.029; 40 % add lines and 15 % delete some.
    agent     Proposes the ideas in an order of its own, each once, whatever it starts from. It learns nothing
              and combines nothing; the offline agent does both, so for it `tree` has less to add.
    pairs     A share of all pairs of ideas interact: together they do more or less than alone, by a normal
              amount with the sd of `INTERACTION_BPB`. "none" and "some" stand in the table.
    places    A file has 40 places. Two changes of the same place conflict in a merge.
    noise     Normal, the same for all files.

What 220 nights a line (--seed 42 and 43) found: with a noise of 0.001, `tree` gains 2 % less than `greedy`, at or
under what chance could do; with 0.004 it gains about 15 % more, for most ideas hide in the noise then, and near
misses carry some of them along, with what harms as well. So `greedy` is the default, and `tree` is for noisy
hardware. Half of the tree's advantage is that near misses are put together. A third of the exploration made no
difference beyond chance. Ablations cost `greedy` up to 0.0005, since its rule lets little dead weight in.

What real nights found (--real 42 43 44 --hours 0.27, `cpu` profile on one core of a shared virtual machine with
nothing else on that core; 10 or 11 experiments each, three of them baselines): greedy gained 0.0070, 0.0000 and 0.0282, tree
0.0000, 0.0310 and 0.0000; means 0.0117 and 0.0103. Each gain is one keep or none, so three nights cannot tell the
two apart, and nights this short end just where `tree` begins to choose for itself. The default rests on the simulation.

`greedy, no ablation` shows what the ablations cost and bring. `dead` are ideas in the final file that truly do
harm where they stand. The last line is for the headline's noise, with interactions; `tree_less_greedy_sd` is
the standard error of the paired difference. Runs on the host.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from harness.findings import Audit, Score
from lab.ledger import (
    BASELINE,
    CANDIDATE,
    CONFIRM,
    Ledger,
    Record,
    best_of,
    noise_of,
    open_candidate,
    reruns_of,
    scores_of,
)
from lab.lineage import LAB
from lab.outcome import Status
from lab.settings import CHECKOUT
from lab.strategy import Strategy, decide
from lab.trial import Trial
from lab.verdict import Change, Rule, Verdict, accept_baseline, screen, settle

RUNS = 100  # of about 6 minutes make a night
BASELINE_RUNS = 3
START_BPB = 0.9979
NOISES_BPB = (0.001, 0.004)
HEADLINE_BPB = 0.001
NIGHTS = 60
SEED = 42
ABLATE_EVERY = 20
STRATEGIES: dict[str, tuple[Strategy, int]] = {
    "greedy, no ablation": ("greedy", 0),
    "greedy": ("greedy", ABLATE_EVERY),
    "tree": ("tree", ABLATE_EVERY),
}

GAINING = 0.3
EFFECT_MEDIAN_BPB, EFFECT_LOG_SD, MOST_EFFECT_BPB = 0.0007, 1.8, 0.02
HEADROOM_BPB = 0.029
ADDING, DELETING, MEAN_LINES = 0.4, 0.15, 8.0
PLACES = 40
INTERACTING = 0.05  # of all pairs
INTERACTION_BPB = 0.002

# What an audit of an honest run says; nothing here depends on its figures.
AUDIT = Audit(
    points=160,
    mismatches=0,
    mean_difference_nats=0.0,
    worst_difference_nats=0.0,
    order_rows=16,
    order_mismatches=0,
    order_worst_nats=0.0,
    tolerance_nats=1e-3,
    mean_tolerance_nats=1e-4,
    calibrated=False,
    claimed_bpb=1.0,
    blind_bpb=1.0,
    power=0.97,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """One change, and what an experiment can never see: its true effect."""

    place: int
    gain_bpb: float  # alone; positive is better
    net_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All ideas of a night, how pairs of them go together, and the luck of every run."""

    ideas: tuple[Idea, ...]
    together: dict[tuple[int, int], float]  # bpb, by pair of ideas
    luck: tuple[float, ...]  # in sds, by run


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one night came to."""

    gain_bpb: float
    net_lines: int
    dead: int  # ideas in the final file that do harm


@dataclass(frozen=True, slots=True)
class Story:
    """A night as it goes on."""

    world: World
    noise_bpb: float
    records: list[Record] = field(default_factory=list)


def draw_world(rng: random.Random, *, interacting: float) -> World:
    """A night's ideas: more than can be tried."""
    ideas = tuple(_draw_idea(rng) for _ in range(RUNS))
    together = {
        (a, b): rng.gauss(0.0, INTERACTION_BPB)
        for b in range(len(ideas))
        for a in range(b)
        if rng.random() < interacting
    }
    return World(ideas=ideas, together=together, luck=tuple(rng.gauss() for _ in range(RUNS)))


def _draw_idea(rng: random.Random) -> Idea:
    kind, lines = rng.random(), rng.random()
    size = min(EFFECT_MEDIAN_BPB * rng.lognormvariate(0, EFFECT_LOG_SD), MOST_EFFECT_BPB)
    count = 1 + int(rng.expovariate(1 / (MEAN_LINES - 0.5)))
    sign = 1 if lines < ADDING else -1 if lines < ADDING + DELETING else 0
    return Idea(
        place=rng.randrange(PLACES),
        gain_bpb=size if kind < GAINING else -size,
        net_lines=sign * count,
    )


def true_bpb(world: World, ideas: frozenset[int]) -> float:
    """The score without noise. What helps saturates, what harms does not."""
    effects = [world.ideas[idea].gain_bpb for idea in ideas]
    effects += [gain for pair, gain in world.together.items() if ideas.issuperset(pair)]
    helps = sum(effect for effect in effects if effect > 0)
    harms = sum(effect for effect in effects if effect < 0)
    return START_BPB - HEADROOM_BPB * (1 - math.exp(-helps / HEADROOM_BPB)) - harms


def net_lines(world: World, ideas: frozenset[int]) -> int:
    return sum(world.ideas[idea].net_lines for idea in ideas)


@lru_cache(maxsize=4096)
def ideas_of(text: str) -> frozenset[int]:
    """A file is the list of the ideas in it; its commit says the same, with its experiment before."""
    listed = text.rpartition(":")[2]
    return frozenset(int(idea) for idea in listed.split(",") if idea)


def file_of(ideas: frozenset[int]) -> str:
    return ",".join(str(idea) for idea in sorted(ideas))


def read(commit: str) -> str:
    return commit.rpartition(":")[2]


def merge(world: World, base: str, ours: str, theirs: str) -> str | None:
    """Three files of ideas, merged; None where both sides changed one place, and not alike."""
    before, mine, other = ideas_of(base), ideas_of(ours), ideas_of(theirs)
    places = [{world.ideas[idea].place for idea in before ^ after} for after in (mine, other)]
    if places[0] & places[1] and mine != other:
        return None
    return file_of((mine | (other - before)) - (before - other))


def play(story: Story, strategy: Strategy, ablate_every: int, *, runs: int = RUNS) -> None:
    """Go on with a night until so many runs, as lab/overnight.py does: from its records alone."""
    while len(story.records) < runs:
        records = story.records
        if len(records) < BASELINE_RUNS:
            _run(story, BASELINE, frozenset())
            continue
        if candidate := open_candidate(records):
            _run(story, CONFIRM, ideas_of(candidate.commit or ""), original=candidate)
            continue
        decision = decide(
            records,
            strategy=strategy,
            ablate_every=ablate_every,
            noise=noise_of(records, None),
            read=read,
            merge=partial(merge, story.world),
        )
        parent = decision.parent
        if decision.proposal:
            ideas, facts = ideas_of(decision.proposal.train_py), decision.proposal.facts
            _run(story, CANDIDATE, ideas, parent=parent, agent=LAB, facts=facts)
        else:
            tried = sum(r.kind == CANDIDATE and r.agent != LAB for r in records)
            _run(story, CANDIDATE, ideas_of(parent) | {tried}, parent=parent)


def night(world: World, noise_bpb: float, strategy: Strategy, ablate_every: int) -> Outcome:
    """What one whole night comes to."""
    story = Story(world, noise_bpb)
    play(story, strategy, ablate_every)
    best = best_of(story.records)
    assert best is not None
    ideas = ideas_of(best.commit)
    final = true_bpb(world, ideas)
    return Outcome(
        gain_bpb=START_BPB - final,
        net_lines=net_lines(world, ideas),
        dead=sum(true_bpb(world, ideas - {idea}) < final for idea in ideas),
    )


def _run(
    story: Story,
    kind: str,
    ideas: frozenset[int],
    *,
    parent: str | None = None,
    original: Record | None = None,
    agent: str = "simulated",
    facts: dict[str, str] | None = None,
) -> None:
    number = len(story.records) + 1
    score = true_bpb(story.world, ideas) + story.noise_bpb * story.world.luck[number - 1]
    if original is not None:
        commit, parent, agent, facts = (
            original.commit,
            original.parent,
            original.agent,
            original.facts,
        )
    else:
        commit = f"{number}:{file_of(ideas)}"
    verdict = _judge(story, kind, ideas, score, original)
    story.records.append(
        Record(
            number=number,
            kind=kind,
            title=file_of(ideas),
            hypothesis="",
            agent=agent,
            facts=facts or {},
            cost_usd=None,
            agent_tokens=None,
            repeats=None,
            original=original.number if original else None,
            parent=parent,
            commit=commit,
            lines_added=None,
            lines_removed=None,
            net_lines=None,
            program_sha256="",
            started_at="",
            finished_at="",
            agent_s=0.0,
            controller_s=0.0,
            trial=Trial(
                status=Status.MEASURED,
                reason="",
                seed=number,
                class_id=None,
                conditions=None,
                unwatched=None,
                total_s=0.0,
                training=None,
                val=Score(bpb=score, bpb_upstream=None, tokens=1, shards=()),
                holdout=None,
                audit=AUDIT if verdict.keep or verdict.confirm else None,
                evaluation_s=None,
                audit_s=None,
            ),
            verdict=verdict,
        )
    )


def _judge(
    story: Story, kind: str, ideas: frozenset[int], score: float, original: Record | None
) -> Verdict:
    """Against the best and its lines, whatever the parent was."""
    if kind == BASELINE:
        return accept_baseline(score)
    best, rule = best_of(story.records), Rule()
    also = (original.number, score) if original else None
    noise = noise_of(story.records, None, also=also)
    assert best is not None
    assert noise is not None
    lines = net_lines(story.world, ideas) - net_lines(story.world, ideas_of(best.commit))
    change = Change(net_lines=lines, memory_bytes=None)
    if original is None:
        return screen(rule, val_bpb=score, best=best.bar, noise=noise, change=change)
    reruns = [*scores_of(reruns_of(story.records, original.number)), score]
    return settle(rule, reruns=reruns, best=best.bar, noise=noise, change=change)


def compare(
    noise_bpb: float, *, interacting: float, nights: int, seed: int
) -> dict[str, list[Outcome]]:
    """Every strategy in the same worlds."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in STRATEGIES}
    for index in range(nights):
        world = draw_world(random.Random(f"{seed}/{index}"), interacting=interacting)
        for name, (strategy, ablate_every) in STRATEGIES.items():
            outcomes[name].append(night(world, noise_bpb, strategy, ablate_every))
    return outcomes


def difference(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> tuple[float, float]:
    """The mean paired gain of `ours` over `theirs`, and its standard error."""
    pairs = [a.gain_bpb - b.gain_bpb for a, b in zip(ours, theirs, strict=True)]
    return statistics.fmean(pairs), statistics.stdev(pairs) / math.sqrt(len(pairs))


def simulate(nights: int, seed: int) -> dict[str, float]:
    """Print the table; the result is that of the headline's noise, with interactions."""
    print("noise    pairs  strategy             gain     less greedy's        lines  dead")
    result: dict[str, float] = {}
    for noise_bpb in NOISES_BPB:
        for word, interacting in (("none", 0.0), ("some", INTERACTING)):
            table = compare(noise_bpb, interacting=interacting, nights=nights, seed=seed)
            for name, outcomes in table.items():
                gain = statistics.fmean(outcome.gain_bpb for outcome in outcomes)
                more, error = difference(outcomes, table["greedy"])
                lines = statistics.fmean(outcome.net_lines for outcome in outcomes)
                dead = statistics.fmean(outcome.dead for outcome in outcomes)
                print(
                    f"{noise_bpb:.4f}   {word:5}  {name:20} {gain:.5f}  "
                    f"{more:+.5f} +- {error:.5f}  {lines:+6.1f}  {dead:4.2f}",
                    flush=True,
                )
                if noise_bpb == HEADLINE_BPB and interacting and name == "greedy":
                    result["greedy_gain"] = round(gain, 6)
                if noise_bpb == HEADLINE_BPB and interacting and name == "tree":
                    result |= {
                        "tree_gain": round(gain, 6),
                        "tree_less_greedy": round(more, 6),
                        "tree_less_greedy_sd": round(error, 6),
                    }
    return result | {"nights": nights}


def real(seeds: Sequence[int], hours: float) -> dict[str, float]:
    """Real nights of the offline agent on the `cpu` profile, as long for each strategy.

    A gain is what was measured: of re-runs, but of those that were kept, so it is a little too large for both.
    """
    gains: dict[str, list[float]] = {"greedy": [], "tree": []}
    for seed in seeds:
        for strategy, found in gains.items():
            tag = f"strategies-{seed}-{strategy}"
            choices = {"TAG": tag, "SEED": seed, "STRATEGY": strategy, "HOURS": hours}
            choices |= {"PROFILE": "cpu", "AGENT": "offline"}
            environment = {f"NIGHTLAB_{name}": str(value) for name, value in choices.items()}
            subprocess.run(
                [sys.executable, "-m", "lab", "overnight"],
                cwd=CHECKOUT,
                env={**os.environ, **environment},
                check=True,
            )
            found.append(_measured_gain(CHECKOUT / "runs" / tag))
            print(f"seed {seed}, {strategy}: {found[-1]:.5f}", flush=True)
    means = {f"{name}_gain": statistics.fmean(found) for name, found in gains.items()}
    return means | {"nights": len(seeds)}


def _measured_gain(campaign: Path) -> float:
    anchor = hashlib.sha256((campaign / "campaign.json").read_bytes()).hexdigest()
    ledger = Ledger.open(campaign / "ledger.jsonl", anchor=anchor)
    best, baseline = ledger.best(), ledger.baseline_bpb()
    assert best is not None
    assert baseline is not None
    return baseline - best.val_bpb


def main() -> None:
    """Simulate, or run real nights, and print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=NIGHTS, help="worlds, for each line")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--real", type=int, nargs="+", metavar="SEED", help="run real nights")
    parser.add_argument("--hours", type=float, default=2.0, help="of each real night")
    arguments = parser.parse_args()
    if arguments.real:
        print(json.dumps(real(arguments.real, arguments.hours)))
    else:
        print(json.dumps(simulate(arguments.nights, arguments.seed)))


if __name__ == "__main__":
    main()
