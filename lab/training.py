"""The training half of an experiment: a sealed container, the gate, and the host's clock.

Owns    what each way of not delivering a checkpoint is called
Takes   a spec, an open gate's folders, a watch
Gives   a Training, with the sealed checkpoint on disk
Never   evaluates
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from harness.profiles import Profile
from lab.container import Container, ContainerExit, Engine
from lab.gate import Broken, Event, Gate, HostFailed, Report, Sealed, Started, Training
from lab.glimpse import Claim, Glimpse
from lab.outcome import ExperimentFailed, Status, Watch
from lab.parquet import Column, write_parquet
from lab.sandbox import SealedSpec

TICK_S = 0.25
LOOK_EVERY_S = 1.0  # at the container; its socket tells most ends at once
# Between a closed socket and an exit: on a host with a slow disk, a crash took more than 2 s to end.
LAST_WORDS_S = 6.0
REASON_CHARS = 200
MOST_CLAIMS = 20_000  # an honest program reports twice a second
CURVE_SOURCE = "claims of train.py about itself; only train_s is the host's"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFolders:
    """Where one training run meets the host."""

    gate: Path  # the socket's folder
    window: Path  # the container's /data/train
    checkpoint: Path
    log: Path
    curve: Path
    shards: Path  # the prepared training data


def train(
    engine: Engine,
    spec: SealedSpec,
    profile: Profile,
    folders: TrainingFolders,
    watch: Watch,
    *,
    runs_as: Callable[[int], None] = lambda pid: None,
) -> Training:
    """Run one train container from create to seal; `runs_as` is told the id of its first process.

    Raises:
        ExperimentFailed: no checkpoint was sealed in time; the reason says why.
        EngineError: the engine failed.
        OSError: the host could not store the checkpoint.
        StopNow: the watch said so.
    """
    with Gate.open(
        folders.gate / "gate.sock",
        shards=folders.shards,
        window=folders.window,
        checkpoint=folders.checkpoint,
        cap=profile.checkpoint_cap_bytes,
    ) as gate:
        began = time.monotonic()
        with engine.start(spec) as container:
            run = _Run(container, gate, profile, watch, began)
            try:
                runs_as(container.pid())
                watch.running(Glimpse(claims=lambda: run.curve, log_tail=container.tail))
                return run.follow()
            except ExperimentFailed as failure:
                raise run.explain(failure) from failure
            finally:
                folders.log.write_bytes(container.finish().log)
                write_curve(folders.curve, run.curve)


class _Run:
    """One training run being followed."""

    def __init__(
        self, container: Container, gate: Gate, profile: Profile, watch: Watch, began: float
    ) -> None:
        self.container = container
        self.gate = gate
        self.profile = profile
        self.watch = watch
        self.began = began
        self.last_report: Report | None = None
        self.curve: list[Claim] = []
        self.looked = began

    def follow(self) -> Training:
        profile = self.profile
        self.watch.phase("start-up", cap_s=profile.startup_cap_s)
        started = self._await_start(self.began + profile.startup_cap_s)
        opened = self.gate.let_in()
        self.watch.phase("training", cap_s=profile.train_budget_s)
        sealed = self._await_seal(opened)
        peak = self.container.peak_memory_bytes()
        self.container.finish()
        report = self.last_report
        return Training(
            startup_s=started.at - self.began,
            train_s=sealed.at - opened,
            checkpoint_sha256=sealed.sha256,
            config_sha256=sealed.config_sha256,
            checkpoint_bytes=sealed.size_bytes,
            peak_memory_bytes=peak,
            steps=report.step if report else None,
            tokens=report.tokens if report else None,
            loss=report.loss if report else None,
            mfu=report.mfu if report else None,
        )

    def explain(self, failure: ExperimentFailed) -> ExperimentFailed:
        """Put memory before every other explanation, and the program's last words after it."""
        ended = self.container.finish()
        if ended.out_of_memory:
            return ExperimentFailed(
                Status.OUT_OF_MEMORY,
                f"the container needed more than its {self.profile.memory_bytes / 2**30:.0f} GiB",
            )
        if failure.status is Status.CRASHED:
            return ExperimentFailed(Status.CRASHED, f"{failure.reason}: {last_words(ended)}")
        return failure

    def _await_start(self, deadline: float) -> Started:
        while time.monotonic() < deadline:
            event = self._next(fraction=None)
            if isinstance(event, Started):
                return event
        raise ExperimentFailed(
            Status.TIMED_OUT,
            f"prepare.start() was not called within {self.profile.startup_cap_s:.0f} s",
        )

    def _await_seal(self, opened: float) -> Sealed:
        budget_s = self.profile.train_budget_s
        deadline = opened + budget_s + self.profile.save_grace_s
        late = ExperimentFailed(
            Status.TIMED_OUT,
            f"no checkpoint was saved within {budget_s:.0f} + {self.profile.save_grace_s:.0f} s",
        )
        while time.monotonic() < deadline:
            event = self._next(fraction=(time.monotonic() - opened) / budget_s)
            if isinstance(event, Sealed):
                if event.at > deadline:
                    break
                return event
            if isinstance(event, Report):
                self.last_report = event
                seconds = time.monotonic() - opened
                if len(self.curve) < MOST_CLAIMS:
                    self.curve.append(Claim(seconds, event.step, event.tokens, event.loss))
                self.watch.advance(loss=event.loss, tokens_per_s=event.tokens / seconds)
        raise late

    def _next(self, *, fraction: float | None) -> Event | None:
        """Wait one tick for an event; an end of the conversation or of the container ends the run."""
        event = self.gate.next_event(TICK_S)
        self.watch.advance(fraction=fraction)
        if isinstance(event, HostFailed):
            raise event.error
        if isinstance(event, Broken):
            self._conclude(event)
        if event is None and time.monotonic() - self.looked > LOOK_EVERY_S:
            self.looked = time.monotonic()
            if not self.container.is_running():
                # What it sent before it ended is still in the socket.
                event = self.gate.next_event(TICK_S)
                if event is None or isinstance(event, Broken):
                    self._conclude(event)
        return event

    def _conclude(self, broken: Broken | None) -> None:
        patience = time.monotonic() + LAST_WORDS_S
        while self.container.is_running():
            if time.monotonic() > patience:
                why = broken.why if broken else "the container went silent"
                raise ExperimentFailed(Status.INVALID, f"the gate's protocol was broken: {why}")
            time.sleep(TICK_S)
        code = self.container.finish().exit_code
        if code == 0:
            raise ExperimentFailed(Status.INVALID, "it ended without saving a checkpoint")
        raise ExperimentFailed(Status.CRASHED, f"exit code {code}")


def write_curve(path: Path, claims: Sequence[Claim]) -> None:
    """The curve of a run as a table, marked as what it is: claims of a train.py that nobody checked.

    `tokens_per_s` is over the time since the report before. No decision reads it, so a full disk only loses it.
    """
    before = [Claim(0.0, 0, 0, None), *claims]
    speeds = [
        (now.tokens - then.tokens) / (now.train_s - then.train_s)
        if now.train_s > then.train_s
        else None
        for then, now in pairwise(before)
    ]
    with contextlib.suppress(OSError):
        write_parquet(
            path,
            {
                "step": Column(type="int64", values=[claim.step for claim in claims]),
                "train_s": Column(type="double", values=[claim.train_s for claim in claims]),
                "loss_nats": Column(type="double", values=[claim.loss for claim in claims]),
                "tokens": Column(type="int64", values=[claim.tokens for claim in claims]),
                "tokens_per_s": Column(type="double", values=speeds),
            },
            metadata={"source": CURVE_SOURCE},
        )


def last_words(ended: ContainerExit) -> str:
    """The last line that the program printed, made safe to show: untrusted text."""
    for line in reversed(ended.log.decode("utf-8", "replace").splitlines()):
        words = clean(line).strip()
        if words:
            return words[:REASON_CHARS]
    return "it printed nothing"


def clean(text: str) -> str:
    """Untrusted text without terminal escapes and control characters, except newline and tab."""
    return _CONTROL.sub("", text)
