"""How often the verdict of a replay is wrong, and how often it is one: simulated labs with a known truth.

A sender measures a gain, with the noise of his baseline, his re-runs and some earlier keeps. A receiver has some share
of that gain in truth: all of it, half of it (where the right answer is neither) or none. Both draw normal noise, and
the lab's own functions judge. `first` is the verdict on the first three runs; `at the end` is after doing what "so
many more runs would" says, until it decides or gives up.

The sender's claim is of two re-runs, taken as they come. What the keep rule still selects among re-runs is measured
apart: `claimed over true` is the mean claimed gain of kept changes over their true one.

Last line: one JSON object with the shares at a gain of HEADLINE_SDS noise sds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import Counter

from lab.reproduction import (
    CANNOT_TELL,
    NOT_REPRODUCED,
    REPRODUCED,
    Reproduction,
    Runs,
    judge_gain,
    judge_scores,
    noise_within,
)
from lab.verdict import Bar, Change, Noise, Rule, screen, settle

SEED = 1
LABS = 2000  # for each row
GAINS_SDS = (2.0, 4.0, 8.0)
HEADLINE_SDS = 4.0
SHARES = (1.0, 0.5, 0.0)
BASELINES, RERUNS, EARLIER_DF = 3, 2, 4
RUNS = 3
MOST_LOOKS = 5
SLOWER_BPB = 0.5  # what the receiver's other class costs, baseline and best alike
KEEPS = 4000


def draw(rng: random.Random, mean: float, runs: int) -> tuple[float, ...]:
    return tuple(rng.gauss(mean, 1.0) for _ in range(runs))


def claim_of(rng: random.Random, gain: float) -> Runs:
    """What a sender measured of this true gain, all in noise sds."""
    baseline, best = draw(rng, 0.0, BASELINES), draw(rng, -gain, RERUNS)
    earlier = statistics.fmean(rng.gauss() ** 2 for _ in range(EARLIER_DF)) ** 0.5
    noise = noise_within([baseline, best], Noise(sd_bpb=earlier, df=EARLIER_DF))
    return Runs(baseline=baseline, best=best, noise=noise)


def replay(rng: random.Random, gain: float, share: float, *, same: bool) -> tuple[str, str, int]:
    """The verdict at first, the one at the end, and the runs of the experiment behind that."""
    claim = claim_of(rng, gain)
    while claim.gain_bpb <= 0:  # nobody sends that
        claim = claim_of(rng, gain)
    level = 0.0 if same else SLOWER_BPB
    baseline, best = list[float](), list[float]()
    first, found, wanted = None, None, RUNS
    for _ in range(MOST_LOOKS):
        baseline += draw(rng, level, wanted - len(baseline))
        best += draw(rng, level - share * gain, wanted - len(best))
        found = judged(claim, baseline, best, same=same)
        first = first or found
        if found.more_runs is None:
            break
        wanted += found.more_runs
    assert first
    assert found
    return first.outcome, found.outcome, len(best)


def judged(claim: Runs, baseline: list[float], best: list[float], *, same: bool) -> Reproduction:
    if same:
        return judge_scores(claim, best)
    noise = noise_within([baseline, best], None)
    return judge_gain(claim, Runs(baseline=tuple(baseline), best=tuple(best), noise=noise))


def selection(rng: random.Random, gain: float) -> float:
    """Claimed over true gain, of changes with this true gain that the keep rule kept."""
    rule, change = Rule(), Change(net_lines=0, memory_bytes=None)
    noise = Noise(sd_bpb=1.0, df=12)
    claimed = []
    for _ in range(KEEPS):
        start = statistics.fmean(draw(rng, 0.0, BASELINES))
        bar = Bar(mean_bpb=start, runs=BASELINES, memory_bytes=None)
        verdict = screen(rule, val_bpb=rng.gauss(-gain, 1.0), best=bar, noise=noise, change=change)
        reruns: list[float] = []
        while verdict.confirm:
            reruns.append(rng.gauss(-gain, 1.0))
            verdict = settle(rule, reruns=reruns, best=bar, noise=noise, change=change)
        if verdict.keep:
            claimed.append(start - statistics.fmean(reruns))
    return statistics.fmean(claimed) / gain


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labs", type=int, default=LABS, help="for each row")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    result: dict[str, float | int] = {"labs": arguments.labs, "gain_sds": HEADLINE_SDS}
    print(
        f"{'class':>6} {'gain/sd':>8} {'truly here':>11} | first: {'repr.':>6} {'not':>6} {'?':>6}"
        f" | at the end: {'repr.':>6} {'not':>6} {'?':>6} {'runs':>6}"
    )
    for same in (True, False):
        for gain in GAINS_SDS:
            for share in SHARES:
                rng = random.Random(f"{arguments.seed}/{same}/{gain}/{share}")
                ends = [replay(rng, gain, share, same=same) for _ in range(arguments.labs)]
                first, last = Counter(end[0] for end in ends), Counter(end[1] for end in ends)
                shares = [
                    counted[word] / arguments.labs
                    for counted in (first, last)
                    for word in (REPRODUCED, NOT_REPRODUCED, CANNOT_TELL)
                ]
                name = "same" if same else "other"
                runs = statistics.fmean(end[2] for end in ends)
                print(
                    f"{name:>6} {gain:>8} {share:>11.0%} |        {shares[0]:>6.1%} {shares[1]:>6.1%} {shares[2]:>6.1%}"
                    f" |             {shares[3]:>6.1%} {shares[4]:>6.1%} {shares[5]:>6.1%} {runs:>6.1f}"
                )
                if gain == HEADLINE_SDS:
                    key = f"{name}_{share:.0%}".replace("%", "")
                    result |= {
                        f"{key}_reproduced_first": round(shares[0], 3),
                        f"{key}_not_reproduced_first": round(shares[1], 3),
                        f"{key}_reproduced": round(shares[3], 3),
                        f"{key}_not_reproduced": round(shares[4], 3),
                    }
    for gain in GAINS_SDS:
        over = selection(random.Random(f"{arguments.seed}/selection/{gain}"), gain)
        result[f"claimed_over_true_{gain:g}sd"] = round(over, 3)
        print(
            f"claimed over true gain of kept changes that are truly worth {gain:g} sds: {over:.3f}"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
