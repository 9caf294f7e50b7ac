"""A campaign as another lab sends it: a real folder, its real repository, and records that were never run."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.manifest import manifest_sha256
from harness.profiles import PROFILES
from lab import experiment, night
from lab.claim import claim_of
from lab.facts import Facts, to_json
from lab.fingerprint import Fingerprint
from lab.image import Image
from lab.outcome import Status
from lab.replay import Sent
from lab.settings import CHECKOUT
from lab.setup import Ready
from lab.trial import Bench, Trial
from lab.verdict import Noise
from tests.faults.files import HONEST
from tests.unit.idle import Engine, NoPlotter
from tests.unit.nights import make_kept, make_record
from tests.unit.test_campaign import FACTS, SUBJECT

BASELINE_PY = HONEST
BEST_PY = HONEST.replace('"width": 32', '"width": 48')
TITLE = "Width `48` | [x](http://a.b) @somebody <script>\x1b[31m"
SENDER = replace(
    FACTS,
    tag="sender",
    harness_sha256=manifest_sha256(CHECKOUT / "harness"),
    train_sha256=hashlib.sha256(BASELINE_PY.encode()).hexdigest(),
    prior_noise=Noise(sd_bpb=0.002, df=8),
)
BASELINE_BPB, BEST_BPB = 1.90, 1.86


def send(best_bpb: float = BEST_BPB, facts: Facts = SENDER) -> Sent:
    """What a replay takes from a bundle: two baselines, and a candidate that was kept by its re-runs."""
    records = [
        make_record(1, kind="baseline", val_bpb=BASELINE_BPB - 0.001),
        make_record(2, kind="baseline", val_bpb=BASELINE_BPB + 0.001),
        *make_kept(3, val_bpb=best_bpb, best_bpb=BASELINE_BPB, title=TITLE),
    ]
    return Sent(
        claim=claim_of(facts, records, None),
        baseline_py=BASELINE_PY,
        train_py=BEST_PY,
        sha256="b" * 64,
        ledger_sha256="a" * 64,
    )


class Host:
    """A host whose runs come out as they are told: a score, a Status, or an exception."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, class_id: str, cores: float = 2.0
    ) -> None:
        self.fingerprint = Fingerprint(
            class_id=class_id,
            comparable={"cpu": "EPYC", "cores": cores},
            conditions={},
            private={},
            missing={},
        )
        self.data_sha256 = SENDER.data_sha256
        self.baseline: list[float | Status | BaseException] = []
        self.best: list[float | Status | BaseException] = []
        self.ran: list[tuple[str, int]] = []  # which file, with which seed
        monkeypatch.setattr(night, "set_up", self._set_up)
        monkeypatch.setattr(night, "Plotter", NoPlotter)
        monkeypatch.setattr(experiment, "run_trial", self._run_trial)

    @contextlib.contextmanager
    def _set_up(self, settings: Any, *, campaign: str, say: Any) -> Iterator[Ready]:
        settings.data.mkdir(parents=True, exist_ok=True)
        yield Ready(
            bench=Bench(
                engine=cast("Any", Engine()),
                image=SENDER.image_id,
                profile=PROFILES[settings.profile],
                campaign=campaign,
                data=settings.data,
                gpu_uuid=None,
                cpus=None,
                subject=SUBJECT,
                fingerprint=self.fingerprint,
            ),
            image=Image(
                id=SENDER.image_id,
                variant="cpu",
                target="frozen",
                harness_sha256=SENDER.harness_sha256,
                kernels="none",
                base="mmdebstrap:1",
                lock="cpu.lock",
                inputs="1",
            ),
            data_sha256=self.data_sha256,
        )

    def _run_trial(self, bench: Bench, folder: Path, *, number: int, seed: int, **_: Any) -> Trial:
        is_best = (folder / "train.py").read_text() != BASELINE_PY
        ending = (self.best if is_best else self.baseline).pop(0)
        if isinstance(ending, BaseException):
            raise ending
        self.ran.append(("best" if is_best else "baseline", seed))
        if isinstance(ending, Status):
            trial = make_record(number, status=ending).trial
        else:
            trial = make_record(number, kind="baseline", val_bpb=ending).trial
        return replace(trial, seed=seed)


def write_campaign(folder: Path, facts: Facts, records: Sequence[Any]) -> Path:
    """A campaign's folder with its facts and its ledger, as `lab compare` reads one."""
    import json

    from lab.ledger import Ledger

    folder.mkdir(parents=True)
    content = json.dumps(to_json(facts)).encode()
    (folder / "campaign.json").write_bytes(content)
    ledger = Ledger.open(folder / "ledger.jsonl", anchor=hashlib.sha256(content).hexdigest())
    for record in records:
        ledger.append(record)
    return folder
