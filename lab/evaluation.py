"""The judging half of an experiment: a model container and the judge, and nothing between them but a socket.

Owns    the two containers, their socket, and what each way of having no score is called
Takes   a sealed checkpoint, the train.py it came from, the judge's data
Gives   a Measurement
Never   shows anybody what a model container printed: it may carry validation text

The blind audit (a second, fresh model container on cut rows) will be another function beside
`evaluate`, called only for a claim that would be kept.
"""

from __future__ import annotations

import json
import queue
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from harness import wire
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
    "FORWARD_FAILED": "the model failed on a batch of validation rows",
    "LOGITS_WRONG_SHAPE": "forward(tokens) did not return logits of shape (B, T, V)",
    "LOSSES_NOT_FINITE": "the model's losses are not finite: NaN or infinite weights or logits",
    "LOSSES_NEGATIVE": "the model's losses are negative, which no probability gives",
    "MODEL_STOPPED": "the model container stopped in the middle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What the judge found of one checkpoint. Lower is better, so absence is None and never zero."""

    val_bpb: float  # bits per UTF-8 byte of the validation text, exact byte lengths
    val_bpb_upstream: float | None  # the original project's counting, `gpu` profile only
    val_nats: float  # sum over the scored tokens
    val_bytes: int
    val_tokens: int
    evaluation_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFolders:
    """Where the two containers meet each other and the host."""

    bench: Path  # the judge's socket
    tribune: Path  # the host's socket
    model_log: Path  # for people; never for the agent


class _Findings(BaseModel):
    """A JUDGEMENT, validated at the border."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failure: str | None
    val_bpb: FiniteFloat | None
    val_bpb_upstream: FiniteFloat | None
    val_nats: FiniteFloat | None
    val_bytes: int | None
    val_tokens: int | None


def evaluate(
    engine: Engine,
    judge: SealedSpec,
    model: SealedSpec,
    profile: Profile,
    folders: EvaluationFolders,
    watch: Watch,
) -> Measurement:
    """Have the judge score one sealed checkpoint.

    Raises:
        ExperimentFailed: there is no score; the reason is a class of failure.
        EngineError: the engine failed.
        StopNow: the watch said so.
    """
    folders.bench.mkdir(parents=True, exist_ok=True)
    folders.bench.chmod(0o777)  # the judge's unprivileged user makes its socket here
    watch.phase("evaluation", cap_s=profile.evaluation_cap_s)
    with listening(folders.tribune / "tribune.sock") as listener:
        began = time.monotonic()
        with engine.start_both(judge, model) as (judge_container, model_container):
            try:
                findings = _await_findings(
                    listener, judge_container, model_container, profile, watch, began
                )
            finally:
                folders.model_log.write_bytes(model_container.finish().log)
    return _measurement(findings, time.monotonic() - began)


def _await_findings(
    listener: socket.socket,
    judge: Container,
    model: Container,
    profile: Profile,
    watch: Watch,
    began: float,
) -> _Findings:
    heard: queue.Queue[float | _Findings | Exception] = queue.Queue()
    threading.Thread(target=_hear, args=(listener, heard), name="tribune", daemon=True).start()
    looked = began
    fraction = 0.0
    while time.monotonic() - began < profile.evaluation_cap_s:
        try:
            said = heard.get(timeout=TICK_S)
        except queue.Empty:
            said = None
        if isinstance(said, _Findings):
            return _with_memory(said, model)
        if isinstance(said, Exception):
            raise ExperimentFailed(Status.LOST, f"the judge failed: {said}") from said
        fraction = said if said is not None else fraction
        watch.advance(fraction=fraction)
        if said is None and time.monotonic() - looked > LOOK_EVERY_S:
            looked = time.monotonic()
            _still_there(judge, model)
    raise ExperimentFailed(
        Status.TIMED_OUT, f"scoring took longer than {profile.evaluation_cap_s:.0f} s"
    )


def _hear(listener: socket.socket, heard: queue.Queue[float | _Findings | Exception]) -> None:
    try:
        peer, _ = listener.accept()
        with peer:
            while True:
                kind, payload = wire.receive(peer, cap_bytes=wire.JUDGEMENT_CAP_BYTES)
                if kind is Kind.JUDGEMENT:
                    heard.put(_Findings.model_validate(json.loads(payload)))
                    return
                rows, total = wire.PROGRESS.unpack(payload)
                heard.put(rows / total)
    except (OSError, WireError, ValueError, ValidationError, struct.error) as error:
        heard.put(error)


def _still_there(judge: Container, model: Container) -> None:
    """Raise when one of the two ended before the findings were in."""
    if not model.is_running():
        ended = model.finish()
        if ended.out_of_memory:
            raise ExperimentFailed(Status.OUT_OF_MEMORY, "scoring needed more memory than allowed")
        if judge.is_running() and ended.exit_code not in (0, 1):
            raise ExperimentFailed(Status.INVALID, REASONS["MODEL_STOPPED"])
    if not judge.is_running() and judge.finish().exit_code != 0:
        last = judge.finish().log.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ExperimentFailed(
            Status.LOST, f"the judge ended with code {judge.finish().exit_code}: {''.join(last)}"
        )


def _with_memory(findings: _Findings, model: Container) -> _Findings:
    """A model that stopped in the middle may have been stopped by the kernel."""
    if findings.failure == "MODEL_STOPPED" and model.finish().out_of_memory:
        return findings.model_copy(update={"failure": "OUT_OF_MEMORY"})
    return findings


def _measurement(findings: _Findings, seconds: float) -> Measurement:
    if findings.failure == "OUT_OF_MEMORY":
        raise ExperimentFailed(Status.OUT_OF_MEMORY, "scoring needed more memory than allowed")
    if findings.failure is not None:
        reason = REASONS.get(findings.failure, "the model container failed")
        raise ExperimentFailed(Status.INVALID, f"evaluation: {reason}")
    numbers: dict[str, Any] = findings.model_dump(exclude={"failure"})
    return Measurement(**numbers, evaluation_s=seconds)
