"""A campaign as a stranger would send it: a real night of the product with drawn scores, as a payload folder.

Agenda, rule, ledger, repository and derived files are the product's own. Only the containers are played, and the
clock. `rewrite` is a forger's tool: it edits records and makes the chain and the tables fit again.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from harness.audit import SMALL_CHEAT
from harness.findings import Audit, Plan, Score
from harness.manifest import manifest_sha256
from harness.profiles import PROFILES
from lab import experiment
from lab.agents import NoMoreIdeas, Proposal
from lab.campaign import open_campaign
from lab.evaluation import explain
from lab.facts import Facts
from lab.gate import Training
from lab.interrupts import Interrupts
from lab.night import Night
from lab.outcome import Status
from lab.overnight import Limits, research
from lab.prompt import Brief
from lab.settings import CHECKOUT, read_settings
from lab.show.folder import read_records
from lab.show.results import write_results
from lab.show.screen import open_screen
from lab.trial import Bench, Trial
from lab.verdict import Rule
from tests.faults.files import HONEST
from tests.unit.idle import Engine, NoPlotter
from tests.unit.nights import make_score
from tests.unit.test_campaign import FACTS, SUBJECT

PROFILE = PROFILES["smoke"]
PROGRAM = "find a better model"
SD_BPB = 0.002
CONFIG = b'{"width": 32}'
TRUTHS = {40: 1.87, 48: 1.93, 56: 1.84, 64: None, 72: 1.85}  # width to true score; None crashes
CHEAT = 80  # a width whose claim no audit can reproduce


def facts_of_night(seed: str) -> Facts:
    return replace(
        FACTS,
        rule=Rule(),
        train_sha256=hashlib.sha256(seed.encode()).hexdigest(),
        harness_sha256=manifest_sha256(CHECKOUT / "harness"),
    )


@dataclass
class Widths:
    """An agent that tries one width after the other."""

    widths: list[int]
    name: str = "widths"
    thinks_ahead: bool = False

    def propose(self, brief: Brief) -> Proposal:
        if not self.widths:
            raise NoMoreIdeas
        width = self.widths.pop(0)
        train_py = re.sub(r'"width": \d+', f'"width": {width}', brief.train_py)
        return Proposal(title=f"width {width}", hypothesis="h", train_py=train_py, agent=self.name)


@dataclass
class Played:
    """The containers of a night, and its clock."""

    draw: random.Random = field(default_factory=lambda: random.Random(3))
    now: datetime = datetime(2026, 11, 23, 1, tzinfo=UTC)

    def stamp(self) -> str:
        self.now += timedelta(seconds=90)
        return self.now.isoformat(timespec="milliseconds")

    def run_trial(
        self,
        bench: Bench,
        folder: Path,
        *,
        number: int,
        seed: int,
        watch: Any,
        doubt: Callable[[Score, Training], Plan | None],
        sealed: Training | None = None,
    ) -> Trial:
        width = int(re.findall(r'"width": (\d+)', (folder / "train.py").read_text())[0])
        truth = 1.2 if width == CHEAT else TRUTHS.get(width, 1.9 + width % 7 / 100)
        training = self.train(folder, number) if truth is not None else None
        trial = Trial(
            status=Status.CRASHED if truth is None else Status.MEASURED,
            reason="exit code 1: no" if truth is None else "",
            seed=seed,
            class_id=bench.class_id,
            unwatched=None,
            total_s=40.0,
            training=training,
            val=None,
            holdout=None,
            audit=None,
            evaluation_s=None,
            audit_s=None,
            conditions=None,
        )
        if truth is None or training is None:
            return trial
        val = make_score(truth + self.draw.gauss(0.0, SD_BPB))
        plan = doubt(val, training)
        audit = self.audit(val, plan, passed=width != CHEAT) if plan else None
        trial = replace(trial, audit=audit, evaluation_s=6.0, audit_s=5.0 if plan else 0.0)
        if audit and not audit.passed:
            return replace(trial, status=Status.INVALID, reason=explain(audit))
        holdout = make_score(val.bpb + 0.01) if plan and plan.holdout else None
        return replace(trial, val=val, holdout=holdout)

    def train(self, folder: Path, number: int) -> Training:
        weights = f"weights of {number}".encode()
        (folder / "checkpoint").mkdir(exist_ok=True)
        (folder / "checkpoint" / "model.safetensors").write_bytes(weights)
        (folder / "checkpoint" / "config.json").write_bytes(CONFIG)
        return Training(
            startup_s=5.0,
            train_s=8.1,
            checkpoint_sha256=hashlib.sha256(weights).hexdigest(),
            config_sha256=hashlib.sha256(CONFIG).hexdigest(),
            checkpoint_bytes=len(weights),
            peak_memory_bytes=2**30,
            steps=100,
            tokens=100_000,
            loss=3.2,
            mfu=None,
        )

    def audit(self, val: Score, plan: Plan, *, passed: bool) -> Audit:
        points = PROFILE.val_rows + (PROFILE.holdout_rows if plan.holdout else 0)
        tolerance = plan.tolerance_nats or PROFILE.tolerance_floor_nats
        mean = 1e-9 if passed else 0.7
        per_byte = val.tokens / sum(shard.bytes for shard in val.shards) / math.log(2)
        return Audit(
            points=points,
            mismatches=0 if passed else 40,
            mean_difference_nats=mean,
            worst_difference_nats=1e-6 if passed else 5.0,
            order_rows=PROFILE.order_rows,
            order_mismatches=0,
            order_worst_nats=1e-6,
            tolerance_nats=tolerance,
            mean_tolerance_nats=tolerance / 32,
            calibrated=plan.tolerance_nats is None,
            claimed_bpb=val.bpb,
            blind_bpb=val.bpb + mean * per_byte,
            power=1 - (1 - SMALL_CHEAT) ** points,
        )


def make_campaign(place: Path, widths: Sequence[int], *, seed: str = HONEST) -> Path:
    """A night on these widths; the campaign's folder."""
    played = Played()
    bench = Bench(
        engine=cast("Any", Engine()),
        image="sha256:1",
        profile=PROFILE,
        campaign="nov23",
        data=place,
        gpu_uuid=None,
        cpus=None,
        subject=SUBJECT,
        fingerprint=FACTS.fingerprint,
    )
    with (
        pytest.MonkeyPatch.context() as patch,
        open_campaign(place / "runs", facts_of_night(seed), seed_train_py=seed) as campaign,
        open_screen(campaign.folder / "events.jsonl") as screen,
        Interrupts(campaign.folder) as interrupts,
    ):
        patch.setattr(experiment, "run_trial", played.run_trial)
        patch.setattr(experiment, "_now", played.stamp)
        night = Night(
            settings=read_settings({}, profile="smoke", min_free_bytes=0),
            bench=bench,
            campaign=campaign,
            program=PROGRAM,
            contract="the contract",
            prepare_py="# prepare",
            screen=screen,
            interrupts=interrupts,
            plotter=cast("Any", NoPlotter(campaign.folder)),
            deadline=time.monotonic() + 600,
        )
        research(night, cast("Any", Widths(list(widths))), Limits(deadline=None, candidates=None))
        return campaign.folder


def make_payload(campaign: Path, payload: Path) -> Path:
    """A campaign's folder as the data/ folder of its bundle."""
    payload.mkdir(parents=True)
    for name in ("campaign.json", "ledger.jsonl", "results.tsv", "results.parquet"):
        shutil.copyfile(campaign / name, payload / name)
    shutil.copytree(campaign / "best", payload / "best")
    for name in ("harness", "images"):
        shutil.copytree(
            CHECKOUT / name,
            payload / "recipe" / name,
            ignore=shutil.ignore_patterns("__pycache__", ".*"),
        )
    (payload / "program.md").write_text(PROGRAM)
    bundle_repository(campaign / "repo", payload)
    return payload


def bundle_repository(repository: Path, payload: Path) -> None:
    git(repository, "bundle", "create", "--quiet", str(payload / "repo.bundle"), "--all")


def git(repository: Path, *words: str, given: bytes = b"") -> str:
    """A stranger's git, in his own repository."""
    identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
    ran = subprocess.run(
        ["git", *identity, *words], cwd=repository, input=given, capture_output=True, check=True
    )
    return ran.stdout.decode().strip()


Fields = dict[str, Any]


def rewrite(
    payload: Path,
    change: Callable[[list[Fields]], object],
    *,
    facts: Callable[[Fields], object] = lambda _: None,
) -> None:
    """Edit the records, or the facts, and make the hash chain and the tables fit again."""
    campaign = json.loads((payload / "campaign.json").read_bytes())
    facts(campaign)
    content = json.dumps(campaign, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    (payload / "campaign.json").write_bytes(content)
    records = [json.loads(line) for line in (payload / "ledger.jsonl").read_bytes().splitlines()]
    change(records)
    write_ledger(payload, records)
    write_results(payload, read_records(payload))


def write_ledger(payload: Path, records: list[Fields]) -> None:
    tip = hashlib.sha256((payload / "campaign.json").read_bytes()).hexdigest()
    lines = []
    for record in records:
        whole = record | {"previous_sha256": tip}
        line = json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()
        tip = hashlib.sha256(line).hexdigest()
        lines.append(line + b"\n")
    (payload / "ledger.jsonl").write_bytes(b"".join(lines))
