"""One trial: train a candidate in a sealed container, then have its checkpoint judged.

Owns    the order create -> train -> seal -> judge, and that every failure becomes data
Takes   a train.py, a seed, and an open bench
Gives   a Trial, always
Never   decides whether to keep
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from harness.profiles import Profile
from lab.container import Engine
from lab.errors import EngineError
from lab.evaluation import EvaluationFolders, Measurement, evaluate
from lab.gate import Training
from lab.outcome import ExperimentFailed, Status, Watch
from lab.sandbox import judge_spec, model_spec, train_spec
from lab.training import TrainingFolders, train


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was run and what the lab itself observed of it."""

    status: Status
    reason: str  # one sentence; empty when measured
    seed: int | None  # None when nothing was run
    class_id: str | None  # of the hardware fingerprint; scores compare only within one
    total_s: float  # "create" to "judged", host clock
    training: Training | None  # None when no checkpoint was sealed
    measurement: Measurement | None  # None when there is no score

    @property
    def val_bpb(self) -> float | None:
        return self.measurement.val_bpb if self.measurement else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every trial of a campaign has in common."""

    engine: Engine
    image: str  # id of the frozen image
    profile: Profile
    campaign: str
    data: Path  # prepared data of the profile: train/, judge/
    gpu_uuid: str | None
    cpus: float | None
    class_id: str


def reject(reason: str) -> Trial:
    """The trial of a proposal that never became code."""
    return Trial(
        status=Status.REJECTED,
        reason=reason,
        seed=None,
        class_id=None,
        total_s=0.0,
        training=None,
        measurement=None,
    )


def run_trial(bench: Bench, folder: Path, *, number: int, seed: int, watch: Watch) -> Trial:
    """Run `folder`/train.py once. The checkpoint, logs and nothing else are left in `folder`.

    Raises:
        StopNow: the watch said so; no container is left.
    """
    began = time.monotonic()
    training = measurement = None
    status, reason = Status.MEASURED, ""
    try:
        training = _train(bench, folder, number, seed, watch)
        measurement = _evaluate(bench, folder, number, watch)
    except ExperimentFailed as failure:
        status, reason = failure.status, failure.reason
    except EngineError as error:
        status, reason = Status.LOST, f"{error.what} {error.why}"
    except OSError as error:
        status, reason = Status.LOST, f"the host failed: {error.strerror or error}"
    finally:
        shutil.rmtree(folder / "meet", ignore_errors=True)
        shutil.rmtree(_window(bench, number), ignore_errors=True)
    return Trial(
        status=status,
        reason=reason,
        seed=seed,
        class_id=bench.class_id,
        total_s=time.monotonic() - began,
        training=training,
        measurement=measurement,
    )


def _train(bench: Bench, folder: Path, number: int, seed: int, watch: Watch) -> Training:
    folders = TrainingFolders(
        gate=_make(folder / "meet" / "gate"),
        window=_window(bench, number),
        checkpoint=folder / "checkpoint",
        log=folder / "train.log",
        shards=bench.data / "train",
    )
    spec = train_spec(
        profile=bench.profile,
        campaign=bench.campaign,
        experiment=number,
        image=bench.image,
        train_file=folder / "train.py",
        gate=folders.gate,
        data=folders.window,
        seed=seed,
        gpu_uuid=bench.gpu_uuid,
        cpus=bench.cpus,
    )
    return train(bench.engine, spec, bench.profile, folders, watch)


def _evaluate(bench: Bench, folder: Path, number: int, watch: Watch) -> Measurement:
    folders = EvaluationFolders(
        bench=_make(folder / "meet" / "bench"),
        tribune=_make(folder / "meet" / "tribune"),
        model_log=folder / "model.log",
    )
    judge = judge_spec(
        profile=bench.profile,
        campaign=bench.campaign,
        experiment=number,
        image=bench.image,
        judge_data=bench.data / "judge",
        bench=folders.bench,
        tribune=folders.tribune,
    )
    model = model_spec(
        profile=bench.profile,
        campaign=bench.campaign,
        experiment=number,
        image=bench.image,
        train_file=folder / "train.py",
        checkpoint=folder / "checkpoint",
        bench=folders.bench,
        gpu_uuid=bench.gpu_uuid,
        cpus=bench.cpus,
    )
    return evaluate(bench.engine, judge, model, bench.profile, folders, watch)


def _window(bench: Bench, number: int) -> Path:
    """The folder that one train container sees as its data; beside the shards, so that links work."""
    return bench.data / "windows" / f"{bench.campaign}-{number:04d}"


def _make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # the container's user is another one
    return folder
