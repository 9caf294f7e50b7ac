"""How long the device waits for an agent that thinks as long as an experiment trains.

    make bench-idle

Two short nights on the `smoke` profile with real containers: one whose agent prepares the next idea while an
experiment runs, one whose agent is asked only when nothing runs. The agent is the offline one, slowed down to one
training budget for each proposal.

    idle_share         share of the time from the first candidate's proposal to the last record in which no
                       container ran; starting up, training, scoring and auditing count as busy
    serial_idle_share  the same without lookahead

Runs on the host.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from benchmarks.machine import machine
from harness.profiles import PROFILES
from lab.agents import Proposal
from lab.agents.offline import OfflineAgent
from lab.cli.options import say, settings_of
from lab.ledger import CANDIDATE, CONFIRM, Record
from lab.night import open_night
from lab.overnight import Limits, research
from lab.prompt import Brief

THINKING_S = PROFILES["smoke"].train_budget_s


class SlowAgent:
    """The offline agent, as slow as a model that reasons."""

    name = "slow"
    thinks_ahead = True

    def __init__(self, seed: int) -> None:
        self._agent = OfflineAgent(seed=seed)

    def propose(self, brief: Brief) -> Proposal:
        time.sleep(THINKING_S)
        return self._agent.propose(brief)


def run_night(folder: Path, *, lookahead: int, experiments: int) -> list[Record]:
    """A short night; the records of its candidates and their re-runs."""
    settings = settings_of(profile="smoke", runs=folder, lookahead=lookahead)
    with open_night(settings, tag=f"idle-{lookahead}", agent="slow", say=say) as night:
        limits = Limits(deadline=None, candidates=experiments)
        research(replace(night, planned=experiments), SlowAgent(seed=1), limits)
        return [r for r in night.campaign.ledger.records if r.kind in (CANDIDATE, CONFIRM)]


def idle_share(records: list[Record]) -> float:
    """The share of a stretch of records in which no container ran."""
    began = datetime.fromisoformat(records[0].started_at).timestamp() - records[0].agent_s
    ended = datetime.fromisoformat(records[-1].finished_at).timestamp()
    return 1 - sum(record.trial.total_s for record in records) / (ended - began)


def main() -> None:
    """Run both, print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=6)
    arguments = parser.parse_args()
    shares = {}
    print(f"{'lookahead':>9} {'runs':>5} {'idle':>7} {'waited':>8}")
    for lookahead in (1, 0):
        with tempfile.TemporaryDirectory() as folder:
            records = run_night(
                Path(folder), lookahead=lookahead, experiments=arguments.experiments
            )
        shares[lookahead] = idle_share(records)
        waited = sum(record.agent_s for record in records)
        print(f"{lookahead:>9} {len(records):>5} {shares[lookahead]:>6.1%} {waited:>7.1f}s")
    result = {
        "name": "idle",
        "machine": machine(),
        "idle_share": round(shares[1], 4),
        "serial_idle_share": round(shares[0], 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
