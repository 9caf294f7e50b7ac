"""The judge: the only process that knows the targets and what each token is worth in bytes.

    python -m harness.judge

It makes two sockets, one for each model container that it may hear. A claims a loss for every target; the
judge adds up and tells the controller. If the controller has reason to doubt the claim, A ends, a fresh
container B is started, and `harness.audit` compares what B can say blindly with what A claimed.

It runs none of the agent's code and needs no torch. Its findings go to the controller and nowhere else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness import wire
from harness.audit import Claim, audit
from harness.claim import Lengths, Refused, await_ready, hear, score
from harness.findings import Plan
from harness.packing import rows_file
from harness.profiles import PROFILES, Profile
from harness.wire import Kind, WireError

# How a model can fail to answer. A line that it hangs up on is its own doing: were it the judge's failure, the
# run would count as lost and be drawn again.
ENDINGS = (Refused, WireError, ConnectionError)


class Judge:
    """One sitting: the data, and the line to the controller."""

    def __init__(self, profile: Profile, data: Path, train: Path, tribune: socket.socket) -> None:
        self.profile = profile
        self.data = data
        self.train = train
        self.tribune = tribune

    def take_claim(self, model: socket.socket, split: str) -> Claim | None:
        """Hear A on one split and tell the controller; None when there is no score."""
        rows = np.load(self.data / f"{split}.npy", mmap_mode="r", allow_pickle=False)
        try:
            nats = hear(model, rows, self.profile.evaluation_batch_rows, self.progress)
        except ENDINGS as error:
            self.say(Kind.JUDGEMENT, {"failure": _name(error), "score": None})
            return None
        byte_len = self.lengths("byte_lengths.npy", rows)
        upstream = None
        if self.profile.dataset == "climbmix":
            upstream = self.lengths("upstream_byte_lengths.npy", rows)
        claim = Claim(
            rows=rows, byte_len=byte_len, nats=nats, score=score(nats, byte_len, upstream)
        )
        self.say(Kind.JUDGEMENT, {"failure": None, "score": dataclasses.asdict(claim.score)})
        return claim

    def hear_blind(self, model: socket.socket, claims: list[Claim], plan: Plan) -> None:
        """Hear B on everything that A claimed and tell the controller."""
        donors = np.load(
            rows_file(self.train, self.profile.sequence_len), mmap_mode="r", allow_pickle=False
        )
        try:
            await_ready(model)
            self.progress(0, 1)
            findings = audit(
                model, claims, donors, self.profile, plan.tolerance_nats, self.progress
            )
        except ENDINGS as error:
            self.say(Kind.AUDITED, {"failure": _name(error), "audit": None})
        else:
            self.say(Kind.AUDITED, {"failure": None, "audit": dataclasses.asdict(findings)})

    def lengths(self, file: str, rows: np.ndarray[Any, Any]) -> Lengths:
        """Byte length of every target: (V,) looked up by (N, T)."""
        table = np.load(self.data / file, allow_pickle=False).astype(np.int64)
        lengths: Lengths = table[rows[:, 1:]]
        return lengths

    def progress(self, done: int, total: int) -> None:
        wire.send(self.tribune, Kind.PROGRESS, wire.PROGRESS.pack(done, total))

    def say(self, kind: Kind, findings: dict[str, Any]) -> None:
        wire.send(self.tribune, kind, json.dumps(findings).encode())

    def await_plan(self) -> Plan | None:
        """What the controller makes of a claim: a Plan to audit it, None to leave it."""
        kind, payload = wire.receive(self.tribune, cap_bytes=wire.CONFIG_CAP_BYTES)
        return Plan(**json.loads(payload)) if kind is Kind.AUDIT else None

    def sit(self, bench: socket.socket, blind: socket.socket) -> None:
        """Hear A, and B if it comes to that."""
        # The host's clock bounds every wait in here: it ends the container at a cap.
        model, _ = bench.accept()
        with model:
            try:
                await_ready(model)
            except ENDINGS as error:
                self.say(Kind.JUDGEMENT, {"failure": _name(error), "score": None})
                return
            self.progress(0, 1)
            claims = [self.take_claim(model, "val")]
            plan = self.await_plan() if claims[0] else None
            if plan and plan.holdout:
                claims.append(self.take_claim(model, "holdout"))
        if plan is None or None in claims:
            return
        fresh, _ = blind.accept()
        with fresh:
            self.hear_blind(fresh, [claim for claim in claims if claim], plan)


def _name(error: Exception) -> str:
    return str(error) if isinstance(error, Refused) else "MODEL_STOPPED"


@contextlib.contextmanager
def _listening(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)
        yield listener


def main() -> None:
    """Hear one experiment's containers, report, and end."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tribune,
        _listening(wire.BENCH_SOCKET) as bench,
        _listening(wire.BLIND_SOCKET) as blind,
    ):
        tribune.connect(wire.TRIBUNE_SOCKET)
        profile = PROFILES[os.environ[wire.PROFILE_VARIABLE]]
        Judge(profile, Path(wire.JUDGE_DATA), Path(wire.TRAIN_DATA), tribune).sit(bench, blind)


if __name__ == "__main__":
    main()
