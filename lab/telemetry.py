"""What the device and its host did while an experiment trained, once a second. The second door to NVML.

Owns    the thread that takes the samples, and the table of them
Takes   a GPU's UUID, and where the training begins and ends
Gives   telemetry.parquet in the experiment's folder, and a TelemetrySummary for the record
Never   stops a night: a reading that is not there is None and says why, and a driver that hangs leaves a gap
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

import pynvml

from lab.fingerprint import Unreadable
from lab.gauges import NOT_RUNNING, PROC, SYS, Gauge, host_gauges
from lab.glimpse import Glimpse
from lab.outcome import Watch
from lab.parquet import Column, write_parquet
from lab.samples import (
    EVERY_S,
    GPU_READINGS,
    REASONS,
    Sample,
    TelemetrySummary,
    summarise,
)

TELEMETRY_FILE = "telemetry.parquet"
LAST_SAMPLE_S = 3.0  # a driver that takes longer for one sample hangs
SAMPLES = "samples"  # in `missing`: why there are none from some moment on
TRAINING = "training"  # the phase that counts

_READINGS = tuple(field.name for field in fields(Sample))[1:]

_NVML_ERRORS = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a Sampler saw of one run."""

    samples: tuple[Sample, ...]
    missing: dict[str, str]  # why, by the name of the reading
    phases: tuple[
        tuple[str, float], ...
    ]  # each with the moment at which it began, as in Sample.at_s
    on_gpu: bool
    ended_s: float


class Sampler:
    """Takes a sample every second from `__enter__` to `__exit__`, in a thread of its own.

    Nothing it meets reaches the one who trains: `recording` has what could be read, and why no more could.
    """

    def __init__(
        self,
        gpu_uuid: str | None,
        *,
        foreign: Callable[[], int | None] = lambda: None,
        every_s: float = EVERY_S,
        proc: Path = PROC,
        sys: Path = SYS,
    ) -> None:
        """`foreign` is how many strangers the Lookout saw last: the driver is not asked twice."""
        self._gpu_uuid = gpu_uuid
        self._foreign = foreign
        self._every_s = every_s
        self._places = (proc, sys)
        self._pid: int | None = None
        self._samples: list[Sample] = []
        self._missing: dict[str, str] = {}
        self._phases: list[tuple[str, float]] = []
        self._began = time.monotonic()
        self._recording: Recording | None = None
        self._over = threading.Event()
        # A daemon: a driver that hangs must not keep the controller from ending.
        self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        ended_s = self._now_s()
        self._over.set()
        self._thread.join(LAST_SAMPLE_S)
        missing = dict(self._missing)
        if self._thread.is_alive():
            missing[SAMPLES] = f"the driver gave no answer within {LAST_SAMPLE_S:.0f} s"
        # Made once: what a hanging driver still answers changes nothing any more.
        self._recording = Recording(
            samples=tuple(self._samples),
            missing=missing,
            phases=tuple(self._phases),
            on_gpu=self._gpu_uuid is not None,
            ended_s=ended_s,
        )

    def contains(self, pid: int) -> None:
        """The container runs: `pid` is the id of its first process."""
        self._pid = pid

    def over(self, watch: Watch) -> Watch:
        """The same watch; the phases that it is told of are noted, and who looks sees the samples too."""
        return _Noting(watch, self)

    def note(self, phase: str) -> None:
        """A phase begins."""
        self._phases.append((phase, self._now_s()))

    def last(self) -> dict[str, float]:
        """The readings of the last sample, as far as there are any."""
        if not self._samples:
            return {}
        sample = self._samples[-1]
        readings = {name: getattr(sample, name) for name in ("at_s", *_READINGS)}
        return {name: value for name, value in readings.items() if value is not None}

    @property
    def recording(self) -> Recording | None:
        """What was seen; None before the end."""
        return self._recording

    def _now_s(self) -> float:
        return time.monotonic() - self._began

    def _watch(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                gauges = host_gauges(lambda: self._pid, proc=self._places[0], sys=self._places[1])
                if self._gpu_uuid is not None:
                    gauges |= self._open_gpu(self._gpu_uuid, stack)
                    gauges["foreign_processes"] = self._count_foreign
                self._sample_until_over(gauges)
        except Exception as error:  # noqa: BLE001 (whatever it is, a thread has nobody above it to tell)
            self._missing[SAMPLES] = str(error)

    def _sample_until_over(self, gauges: dict[str, Gauge]) -> None:
        due = time.monotonic()
        last = False
        while not last:
            last = self._over.is_set()  # one more, so that what counts up is known at the end
            at_s = self._now_s()
            values = {name: self._read(name, gauge) for name, gauge in gauges.items()}
            self._samples.append(Sample(at_s=at_s, **values))
            due = max(due + self._every_s, time.monotonic())
            self._over.wait(due - time.monotonic())

    def _read(self, name: str, gauge: Gauge) -> float | None:
        try:
            return gauge()
        except (Unreadable, *_NVML_ERRORS) as error:
            if self._missing.get(name, NOT_RUNNING) == NOT_RUNNING:
                self._missing[name] = str(error)
            return None

    def _open_gpu(self, uuid: str, stack: contextlib.ExitStack) -> dict[str, Gauge]:
        try:
            return stack.enter_context(gpu_gauges(uuid))
        except Unreadable as error:
            self._missing |= {name: str(error) for name in GPU_READINGS}
            return {}

    def _count_foreign(self) -> float:
        count = self._foreign()
        if count is None:
            raise Unreadable("nobody could look who else computes on it")
        return count


class _Noting:
    """A Watch that tells the Sampler when a phase begins."""

    def __init__(self, watch: Watch, sampler: Sampler) -> None:
        self._watch = watch
        self._sampler = sampler

    def phase(self, name: str, *, cap_s: float) -> None:
        self._sampler.note(name)
        self._watch.phase(name, cap_s=cap_s)

    def advance(
        self,
        *,
        fraction: float | None = None,
        loss: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        self._watch.advance(fraction=fraction, loss=loss, tokens_per_s=tokens_per_s)

    def running(self, glimpse: Glimpse) -> None:
        self._watch.running(replace(glimpse, sample=self._sampler.last))


@contextlib.contextmanager
def gpu_gauges(uuid: str) -> Iterator[dict[str, Gauge]]:
    """The gauges of one GPU, and NVML open under them.

    A MIG instance has the clocks, the heat and the limits of its card, and a memory of its own; what its card
    draws is not its own, and how busy an instance is the driver does not tell. Each gauge raises an NVML error
    or Unreadable where there is no answer.

    Raises:
        Unreadable: NVML cannot be opened, or has no such device.
    """
    try:
        pynvml.nvmlInit()
    except _NVML_ERRORS as error:
        raise Unreadable(f"NVML cannot be opened: {error}") from error
    try:
        try:
            gauges = _gauges_of(uuid)
        except _NVML_ERRORS as error:
            raise Unreadable(f"NVML does not find the GPU: {error}") from error
        yield gauges
    finally:
        with contextlib.suppress(*_NVML_ERRORS):
            pynvml.nvmlShutdown()


def _gauges_of(uuid: str) -> dict[str, Gauge]:
    device = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    instance = uuid.startswith("MIG-")
    card = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device) if instance else device
    gauges: dict[str, Gauge] = {
        "sm_clock_mhz": lambda: pynvml.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_SM),
        "memory_clock_mhz": lambda: pynvml.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_MEM),
        "power_w": lambda: pynvml.nvmlDeviceGetPowerUsage(card) / 1000,
        "temperature_c": lambda: pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU),
        "gpu_busy_percent": lambda: pynvml.nvmlDeviceGetUtilizationRates(card).gpu,
        "gpu_memory_used_bytes": lambda: pynvml.nvmlDeviceGetMemoryInfo(device).used,
        "clock_reasons": lambda: _clock_reasons(card),
        "gpu_energy_j": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1000,
    }
    if instance:
        for name in ("power_w", "gpu_energy_j", "gpu_busy_percent"):
            gauges[name] = _of_the_card_alone
    return gauges


def _of_the_card_alone() -> float:
    raise Unreadable("only the whole card has a meter, not a MIG instance")


def _clock_reasons(card: object) -> float:
    """Why the clocks are not higher, as bits; drivers before 535 have it under its older name."""
    try:
        return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(card))
    except pynvml.NVMLError_FunctionNotFound:
        return int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(card))


def summary_of(recording: Recording, *, train_s: float | None) -> TelemetrySummary:
    """The record's share of a recording. `train_s` is from the gate to the seal; None when nothing was sealed."""
    opened_s = next((at_s for name, at_s in recording.phases if name == TRAINING), None)
    first_s = recording.samples[0].at_s if recording.samples else 0.0
    start_s = first_s if opened_s is None else opened_s
    end_s = recording.ended_s if opened_s is None or train_s is None else opened_s + train_s
    return summarise(
        recording.samples,
        recording.missing,
        on_gpu=recording.on_gpu,
        start_s=start_s,
        end_s=max(end_s, start_s),
    )


def write_recording(path: Path, recording: Recording) -> None:
    """Every sample as a row of a Parquet file, with the phase that it fell into.

    The file's metadata has, under `missing`, why readings are absent, and under `clock_reasons` what the bits
    mean, both as JSON.

    Raises:
        OSError: it could not be written.
    """
    columns = {
        name: Column(type="double", values=[getattr(sample, name) for sample in recording.samples])
        for name in ("at_s", *_READINGS)
    }
    phases = [_phase_at(recording, sample.at_s) for sample in recording.samples]
    columns["phase"] = Column(type="string", values=phases)
    write_parquet(
        path,
        columns,
        metadata={
            "missing": json.dumps(recording.missing, sort_keys=True),
            "clock_reasons": json.dumps(REASONS),
        },
    )


def _phase_at(recording: Recording, at_s: float) -> str | None:
    return next((name for name, began in reversed(recording.phases) if began <= at_s), None)
