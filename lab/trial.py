"""One trial: train a candidate in a sealed container, then have its checkpoint judged.

Owns    the order create -> train -> seal -> judge -> audit, and that every failure becomes data
Takes   a train.py, a seed, an open bench, and when to doubt a score
Gives   a Trial, always
Never   decides whether to keep
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.findings import Audit, Plan, Score
from harness.profiles import Profile
from lab.container import Engine
from lab.contention import Lookout, describe
from lab.errors import EngineError
from lab.evaluation import Evaluation, Sitting, evaluate, explain, report
from lab.fingerprint import Facts, Fingerprint, Subject, describe_differences, take_fingerprint
from lab.gate import Training, is_as_sealed
from lab.outcome import ExperimentFailed, Status, Watch
from lab.samples import TelemetrySummary, throttled_too_long
from lab.sandbox import SealedSpec, judge_spec, model_spec, train_spec, wipe_spec
from lab.telemetry import TELEMETRY_FILE, Sampler, summary_of, write_recording
from lab.training import TrainingFolders, train


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What may differ between two runs of one class, just before a run and just after it."""

    before: Facts
    after: Facts
    missing: dict[str, str]  # why a reading is None, before or after


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was run and what the lab itself observed of it."""

    status: Status
    reason: str  # one sentence; empty when measured
    seed: int | None  # None when nothing was run
    class_id: str | None  # of the hardware fingerprint; scores compare only within one
    conditions: Conditions | None  # None when nothing was run
    unwatched: str | None  # why nobody could see who else used the GPU; None when somebody could
    total_s: float  # "create" to "judged", host clock
    training: Training | None  # None when no checkpoint was sealed
    val: Score | None  # None when there is no score, or none that survived its audit
    holdout: (
        Score | None
    )  # of what would be kept and of baselines; for people, never for a decision
    audit: Audit | None  # None: a discard, whose claim nobody had reason to doubt
    evaluation_s: float | None
    audit_s: float | None  # the holdout included
    telemetry: TelemetrySummary | None = None  # None when nothing was trained

    @property
    def val_bpb(self) -> float | None:
        return self.val.bpb if self.val else None


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
    subject: Subject  # what a fingerprint is taken of
    fingerprint: Fingerprint  # the campaign's: what every score in it was measured with
    throttled_share: float = 0.05  # of the training time; a run above it is no fair one

    @property
    def class_id(self) -> str:
        return self.fingerprint.class_id


def reject(reason: str) -> Trial:
    """The trial of a proposal that never became code."""
    return Trial(
        status=Status.REJECTED,
        reason=reason,
        seed=None,
        class_id=None,
        conditions=None,
        unwatched=None,
        total_s=0.0,
        training=None,
        val=None,
        holdout=None,
        audit=None,
        evaluation_s=None,
        audit_s=None,
    )


def run_trial(
    bench: Bench,
    folder: Path,
    *,
    number: int,
    seed: int,
    watch: Watch,
    doubt: Callable[[Score, Training], Plan | None],
    sealed: Training | None = None,
) -> Trial:
    """Run `folder`/train.py once. Checkpoint, logs, curve, telemetry and an audit.json are left in `folder`.

    `doubt` sees a score and says how to audit it, or None where nothing will follow from it. With `sealed`
    nothing is trained: the checkpoint is there already, and is judged again.

    Raises:
        StopNow: the watch said so; no container is left.
    """
    began = time.monotonic()
    rooms = folder / "meet", _window(bench, number)
    # A killed controller leaves its sockets behind, and a judge that finds one cannot make its own.
    shutil.rmtree(folder / "meet", ignore_errors=True)
    course = _Course()
    before = take_fingerprint(bench.subject)
    with Lookout(bench.gpu_uuid, ours=bench.engine.made) as lookout:
        sampler = Sampler(bench.gpu_uuid, foreign=lambda: lookout.count)
        with _ending(course, rooms):
            _refuse_another_class(bench, before)
            guarded = lookout.over(watch)
            training = sealed or _train(bench, folder, number, seed, guarded, sampler)
            course.training = training
            if why := _throttled(bench, sampler, training):
                raise ExperimentFailed(Status.CONDITIONS, why)
            found = _evaluate(
                bench, folder, number, guarded, training, lambda score: doubt(score, training)
            )
            course.found = found
            if found.audit is not None and not found.audit.passed:
                course.end(Status.INVALID, explain(found.audit))
            lookout.check()
    _blame(course, bench, sampler, lookout)
    after = take_fingerprint(bench.subject)
    if changed := describe_differences(before.comparable, after.comparable):
        course.end(Status.LOST, f"the hardware changed while it ran: {'; '.join(changed)}")
    return _trial_of(
        course,
        seed=seed,
        class_id=bench.class_id,
        conditions=Conditions(
            before=before.conditions,
            after=after.conditions,
            missing=before.missing | after.missing,
        ),
        unwatched=lookout.blind,
        total_s=time.monotonic() - began,
        telemetry=_keep_telemetry(folder, sampler, course.training),
    )


@dataclass(slots=True)
class _Course:
    """How far a run came: what it left, and how it ended."""

    status: Status = Status.MEASURED
    reason: str = ""
    training: Training | None = None
    found: Evaluation | None = None

    def end(self, status: Status, reason: str) -> None:
        self.status, self.reason = status, reason


@contextlib.contextmanager
def _ending(course: _Course, rooms: Sequence[Path]) -> Iterator[None]:
    """Run the block; what it raises becomes the course's end, and the rooms where it met are gone."""
    try:
        yield
    except ExperimentFailed as failure:
        course.end(failure.status, failure.reason)
    except EngineError as error:
        course.end(Status.LOST, f"{error.what} {error.why}")
    except OSError as error:
        course.end(Status.LOST, f"the host failed: {error.strerror or error}")
    finally:
        for room in rooms:
            shutil.rmtree(room, ignore_errors=True)


def _blame(course: _Course, bench: Bench, sampler: Sampler, lookout: Lookout) -> None:
    """Put what the card and its other users did before what seemed to have happened."""
    # A card that was held down explains that nothing was saved in time, and no other failure.
    if course.status is Status.TIMED_OUT and (why := _throttled(bench, sampler, course.training)):
        course.end(Status.CONDITIONS, f"{course.reason}, but {why}")
    # A neighbour explains whatever else there is: too little memory, too few steps, a score that is too high.
    if lookout.seen and course.status is not Status.LOST:
        course.end(Status.CONTENDED, describe(lookout.seen))
    if bench.gpu_uuid is not None:  # the engine's errors name the card
        course.reason = course.reason.replace(bench.gpu_uuid, "the GPU")


def _trial_of(
    course: _Course,
    *,
    seed: int,
    class_id: str,
    conditions: Conditions,
    unwatched: str | None,
    total_s: float,
    telemetry: TelemetrySummary | None,
) -> Trial:
    """A Trial of what was run; only what was measured has scores."""
    found = course.found
    scored = found if course.status is Status.MEASURED else None
    return Trial(
        status=course.status,
        reason=course.reason,
        seed=seed,
        class_id=class_id,
        conditions=conditions,
        unwatched=unwatched,
        total_s=total_s,
        training=course.training,
        val=scored.val if scored else None,
        holdout=scored.holdout if scored else None,
        audit=found.audit if found else None,
        evaluation_s=found.evaluation_s if found else None,
        audit_s=found.audit_s if found else None,
        telemetry=telemetry,
    )


def _refuse_another_class(bench: Bench, now: Fingerprint) -> None:
    """Raise when the hardware is not what the campaign's other scores were measured with."""
    changed = describe_differences(bench.fingerprint.comparable, now.comparable)
    if changed:
        raise ExperimentFailed(
            Status.LOST, f"the hardware is not the campaign's any more: {'; '.join(changed)}"
        )


def _throttled(bench: Bench, sampler: Sampler, training: Training | None) -> str | None:
    """Why the conditions of a run were not fair; None when they were, or when nobody can say."""
    if sampler.recording is None:
        return None
    summary = summary_of(sampler.recording, train_s=training.train_s if training else None)
    return throttled_too_long(summary, allowed_share=bench.throttled_share)


def _keep_telemetry(
    folder: Path, sampler: Sampler, training: Training | None
) -> TelemetrySummary | None:
    """Leave telemetry.parquet in `folder`, and sum it up; None when nothing was trained."""
    recording = sampler.recording
    if recording is None:
        return None
    summary = summary_of(recording, train_s=training.train_s if training else None)
    try:
        write_recording(folder / TELEMETRY_FILE, recording)
    except OSError as error:  # its figures are not worth the experiment
        missing = summary.missing | {TELEMETRY_FILE: error.strerror or str(error)}
        summary = dataclasses.replace(summary, missing=missing)
    return summary


def _train(
    bench: Bench, folder: Path, number: int, seed: int, watch: Watch, sampler: Sampler
) -> Training:
    folders = TrainingFolders(
        gate=_make(folder / "meet" / "gate"),
        window=_window(bench, number),
        checkpoint=folder / "checkpoint",
        log=folder / "train.log",
        curve=folder / "curve.parquet",
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
    with sampler:
        return train(
            bench.engine,
            spec,
            bench.profile,
            folders,
            sampler.over(watch),
            runs_as=sampler.contains,
        )


def _evaluate(
    bench: Bench,
    folder: Path,
    number: int,
    watch: Watch,
    training: Training,
    doubt: Callable[[Score], Plan | None],
) -> Evaluation:
    checkpoint = folder / "checkpoint"
    place, blind, tribune = (
        _make(folder / "meet" / name) for name in ("bench", "blind", "tribune")
    )
    (folder / "model.log").unlink(missing_ok=True)

    def model(role: Literal["model", "blind"], meeting: Path) -> SealedSpec:
        return model_spec(
            role=role,
            profile=bench.profile,
            campaign=bench.campaign,
            experiment=number,
            image=bench.image,
            train_file=folder / "train.py",
            checkpoint=checkpoint,
            bench=meeting,
            gpu_uuid=bench.gpu_uuid,
            cpus=bench.cpus,
        )

    judge = judge_spec(
        profile=bench.profile,
        campaign=bench.campaign,
        experiment=number,
        image=bench.image,
        judge_data=bench.data / "judge",
        train_data=bench.data / "train",
        bench=place,
        blind=blind,
        tribune=tribune,
    )
    sitting = Sitting(
        judge=judge,
        model=model("model", place),
        blind=model("blind", blind),
        wipe=_wipe(bench, number),
        bench=place,
        blind_bench=blind,
        tribune=tribune,
        model_log=folder / "model.log",
        is_as_sealed=lambda: is_as_sealed(checkpoint, training),
    )
    found = evaluate(bench.engine, sitting, bench.profile, watch, doubt)
    if found.audit is not None:
        fields = report(found.audit, found.audit_s)
        (folder / "audit.json").write_text(json.dumps(fields, indent=1) + "\n")
    return found


def _wipe(bench: Bench, number: int) -> SealedSpec | None:
    """A CPU needs none: the kernel hands out no page that still holds what another process wrote."""
    if bench.gpu_uuid is None:
        return None
    return wipe_spec(
        campaign=bench.campaign,
        experiment=number,
        image=bench.image,
        gpu_uuid=bench.gpu_uuid,
        cpus=bench.cpus,
    )


def _window(bench: Bench, number: int) -> Path:
    """The folder that one train container sees as its data; beside the shards, so that links work."""
    return bench.data / "windows" / f"{bench.campaign}-{number:04d}"


def _make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # the container's user is another one
    return folder
