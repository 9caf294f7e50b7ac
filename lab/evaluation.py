"""The judging half of an experiment: a claim, and the blind audit of a claim that somebody doubts.

Owns    the judge and the model containers, their sockets, their order, and what each way of having no
        score is called
Takes   a sealed checkpoint, the train.py it came from, the judge's data
Gives   an Evaluation
Never   shows anybody what a model container printed: it may carry validation text

    A and the judge start      A claims a loss for every target of the validation rows
    `doubt` reads the score    nothing to find out: done
    A scores the holdout       if it is wanted
    A ends, B starts           B has seen no row, and gets every one of them cut
    B scores some rows again   in another order, once its blind answers are in
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from harness import wire
from harness.findings import Audit, Plan, Score
from harness.profiles import Profile
from harness.wire import Kind, WireError
from lab.container import Container, Engine
from lab.gate import listening
from lab.outcome import ExperimentFailed, Status, Watch
from lab.sandbox import SealedSpec

TICK_S = 0.25
LOOK_EVERY_S = 0.5

# What the agent may know of a failure. The model container's own words stay where they are.
REASONS = {
    "TRAIN_FILE_BROKEN": "importing train.py failed, or had side effects that failed",
    "BUILD_FAILED": "build_model(config) failed",
    "CHECKPOINT_UNREADABLE": "the checkpoint is not safetensors and JSON",
    "CHECKPOINT_MISMATCH": "the weights do not fit the model that build_model(config) makes",
    "FORWARD_FAILED": "the model failed on a batch of rows",
    "LOGITS_WRONG_SHAPE": "forward(tokens) did not return logits of shape (B, T, V)",
    "LOGITS_NOT_FINITE": "the model's logits are NaN or infinite",
    "LOSSES_NOT_FINITE": "the model's losses are not finite: NaN or infinite weights or logits",
    "LOSSES_NEGATIVE": "the model's losses are negative, which no probability gives",
    "LOSSES_TOO_LARGE": "a loss is over 1,000 nats: the model diverged",
    "ANSWER_TOO_SHORT": "the model answered with fewer values than there are targets",
    "ANSWER_TOO_LONG": "the model answered with more values than there are targets",
    "MODEL_STOPPED": "the model container stopped in the middle",
}

Doubt = Callable[[Score], Plan | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the judge found of one checkpoint."""

    val: Score
    holdout: Score | None  # only where it was asked for
    audit: Audit | None  # None: nobody doubted the claim
    evaluation_s: float  # of the claim
    audit_s: float  # of everything after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """The containers of one evaluation, and where they meet each other and the host."""

    judge: SealedSpec
    model: SealedSpec  # A
    blind: SealedSpec  # B
    wipe: SealedSpec | None  # overwrites the device's memory; None without a GPU
    bench: Path  # A's socket
    blind_bench: Path  # B's socket
    tribune: Path  # the host's socket
    model_log: Path  # for people; never for the agent
    is_as_sealed: Callable[[], bool]


class _Judgement(BaseModel):
    """A JUDGEMENT, validated at the border."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failure: str | None
    score: Score | None


class _Audited(BaseModel):
    """An AUDITED, validated at the border."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failure: str | None
    audit: Audit | None


def evaluate(
    engine: Engine, sitting: Sitting, profile: Profile, watch: Watch, doubt: Doubt
) -> Evaluation:
    """Have the judge score one sealed checkpoint, and audit it where `doubt` wants that.

    Raises:
        ExperimentFailed: there is no score; the reason is a class of failure.
        EngineError: the engine failed.
        StopNow: the watch said so.
    """
    for folder in (sitting.bench, sitting.blind_bench):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # the judge's unprivileged user makes its socket here
    with listening(sitting.tribune / "tribune.sock") as listener:
        tribune = Tribune(listener)
        began = time.monotonic()
        _check_seal(sitting)
        holdout = audit = None
        with engine.start_both(sitting.judge, sitting.model) as (judge, model):
            claim = _Hearing(engine, tribune, judge, model, profile, watch)
            with _ending(engine, sitting, model):
                val = claim.hear_score("evaluation")
                evaluation_s = time.monotonic() - began
                plan = doubt(val)
                tribune.answer(plan)
                if plan and plan.holdout:
                    holdout = claim.hear_score("holdout")
            if plan:
                model.remove()  # nothing of A is left when B begins
                _check_seal(sitting)
                with engine.start(sitting.blind) as fresh, _ending(engine, sitting, fresh):
                    blind = _Hearing(engine, tribune, judge, fresh, profile, watch)
                    audit = blind.hear_audit()
    return Evaluation(
        val=val,
        holdout=holdout,
        audit=audit,
        evaluation_s=evaluation_s,
        audit_s=time.monotonic() - began - evaluation_s,
    )


def report(audit: Audit, audit_s: float | None) -> dict[str, Any]:
    """The fields of audit.json: the audit, whether it passed, and why not."""
    return dataclasses.asdict(audit) | {
        "passed": audit.passed,
        "reason": None if audit.passed else explain(audit),
        "audit_s": audit_s,
    }


def explain(audit: Audit) -> str:
    """Why a claim did not pass, and what its author should change."""
    if not audit.blind_passed:
        return (
            f"the audit could not reproduce the claim: at {audit.mismatches} of {audit.points} blind points "
            f"the loss differs once the later text is another (at most {audit.worst_difference_nats:.2g}, "
            f"on average {audit.mean_difference_nats:+.2g} nats; {audit.tolerance_nats:.2g} are allowed). "
            "Logits at t may depend on tokens 0 to t alone: no look-ahead, no statistic over the whole "
            "row or batch (batch norm, per-tensor dynamic quantisation), and they are scored as they are"
        )
    return (
        f"the audit got other losses for the same rows in another order, at {audit.order_mismatches} tokens "
        f"of {audit.order_rows} rows (at most {audit.order_worst_nats:.2g} nats; "
        f"{audit.tolerance_nats:.2g} are allowed). forward must keep nothing between calls, and no row "
        "may depend on another"
    )


class Tribune:
    """The host's line to the judge, read by a thread of its own."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._peer: socket.socket | None = None
        self._heard: queue.Queue[float | _Judgement | _Audited | Exception] = queue.Queue()
        threading.Thread(target=self._hear, name="tribune", daemon=True).start()

    def next(self, timeout_s: float) -> float | _Judgement | _Audited | None:
        """The next thing the judge said: a fraction done, or a finding; None when nothing came.

        Raises:
            ExperimentFailed: it said what no judge says, or hung up.
        """
        try:
            said = self._heard.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(said, Exception):
            raise ExperimentFailed(Status.LOST, f"the judge failed: {said}") from said
        return said

    def answer(self, plan: Plan | None) -> None:
        """Tell the judge what becomes of the claim it reported."""
        assert self._peer is not None, "the judge spoke first"
        with contextlib.suppress(OSError):  # it ended meanwhile: whoever listens next finds out
            if plan is None:
                wire.send(self._peer, Kind.DISMISS)
            else:
                wire.send(self._peer, Kind.AUDIT, json.dumps(dataclasses.asdict(plan)).encode())

    def _hear(self) -> None:
        try:
            self._peer, _ = self._listener.accept()
            with self._peer:
                while True:
                    kind, payload = wire.receive(self._peer, cap_bytes=wire.JUDGEMENT_CAP_BYTES)
                    if kind is Kind.JUDGEMENT:
                        self._heard.put(_Judgement.model_validate_json(payload))
                    elif kind is Kind.AUDITED:
                        self._heard.put(_Audited.model_validate_json(payload))
                    else:
                        done, total = wire.PROGRESS.unpack(payload)
                        self._heard.put(done / total)
        except (OSError, WireError, ValueError, ValidationError, struct.error) as error:
            self._heard.put(error)


Said = TypeVar("Said", _Judgement, _Audited)


@dataclass(frozen=True, slots=True)
class _Hearing:
    """One model container before the judge."""

    engine: Engine
    tribune: Tribune
    judge: Container
    model: Container
    profile: Profile
    watch: Watch

    def hear_score(self, phase: str) -> Score:
        """Follow a claim until it is added up."""
        said = self._follow(phase, _Judgement)
        if said.score is None:
            raise self._refusal(said.failure, "evaluation")
        return said.score

    def hear_audit(self) -> Audit:
        """Follow the blind pass until it is compared."""
        said = self._follow("audit", _Audited)
        if said.audit is None:
            raise self._refusal(said.failure, "audit")
        return said.audit

    def _follow(self, phase: str, wanted: type[Said]) -> Said:
        profile = self.profile
        self.watch.phase(phase, cap_s=profile.evaluation_cap_s)
        began = looked = time.monotonic()
        fraction: float | None = None  # None until the model is loaded
        while (spent_s := time.monotonic() - began) < profile.evaluation_cap_s:
            said = self.tribune.next(TICK_S)
            if isinstance(said, wanted):
                return said
            if isinstance(said, float):
                fraction = said
            self.watch.advance(fraction=fraction)
            if fraction is None and phase != "holdout" and spent_s > profile.load_cap_s:
                raise ExperimentFailed(
                    Status.TIMED_OUT,
                    f"loading the model took longer than {profile.load_cap_s:.0f} s",
                )
            if said is None and time.monotonic() - looked > LOOK_EVERY_S:
                looked = time.monotonic()
                self._still_there(phase)
        raise ExperimentFailed(
            Status.TIMED_OUT, f"scoring took longer than {profile.evaluation_cap_s:.0f} s"
        )

    def _still_there(self, phase: str) -> None:
        """Raise when one of the two ended before the findings were in."""
        if not self.model.is_running():
            ended = self.model.finish()
            if ended.out_of_memory:
                raise self._refusal("OUT_OF_MEMORY", phase)
            if self.judge.is_running() and ended.exit_code not in (0, 1):
                raise self._refusal("MODEL_STOPPED", phase)
        if not self.judge.is_running() and self.judge.finish().exit_code != 0:
            last = self.judge.finish().log.decode("utf-8", "replace").strip().splitlines()[-1:]
            code = self.judge.finish().exit_code
            raise ExperimentFailed(
                Status.LOST, f"the judge ended with code {code}: {''.join(last)}"
            )

    def _refusal(self, failure: str | None, phase: str) -> ExperimentFailed:
        # A model that stopped in the middle may have been stopped by the kernel.
        if failure == "MODEL_STOPPED" and self.model.finish().out_of_memory:
            failure = "OUT_OF_MEMORY"
        if failure == "OUT_OF_MEMORY":
            return ExperimentFailed(Status.OUT_OF_MEMORY, "scoring needed more memory than allowed")
        reason = REASONS.get(failure or "", "the model container failed")
        return ExperimentFailed(Status.INVALID, f"{phase}: {reason}")


@contextlib.contextmanager
def _ending(engine: Engine, sitting: Sitting, model: Container) -> Iterator[None]:
    """End a container that saw validation text: its words to a file, its traces in the device's memory gone.

    Raises:
        ExperimentFailed: the memory could not be overwritten, so what runs next might read it.
    """
    try:
        yield
    finally:
        with sitting.model_log.open("ab") as log:
            log.write(model.finish().log)
        if sitting.wipe is not None:
            with engine.start(sitting.wipe) as wipe:
                for _ in wipe.lines():  # until it ends, which its fuse sees to
                    pass
                if wipe.finish().exit_code != 0:
                    raise ExperimentFailed(
                        Status.LOST, "the GPU's memory could not be overwritten after the judging"
                    )


def _check_seal(sitting: Sitting) -> None:
    if not sitting.is_as_sealed():
        raise ExperimentFailed(Status.LOST, "the checkpoint on the disk is not what was sealed")
