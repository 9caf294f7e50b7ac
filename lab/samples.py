"""What the samples of one run add up to, and when a run was not run under fair conditions.

Owns    the fields of a sample, which reasons for a low clock count as throttling, and the summary
Takes   Samples, the stretch of time that counts, and why readings are missing
Gives   a TelemetrySummary for the record; a sentence where a run was throttled for too long
Never   fills a gap with a number: what was not read is None, and the summary says why

A driver gives reasons for a clock below the highest (NVML's "clocks event reasons"; their meanings stand in
NVIDIA's NVML reference under NvmlClocksEventReasons). Four of them are throttling here, because they come and
go with heat and supply and so make two runs of one train.py differ:

    thermal_software       the driver holds the clocks down to keep the card under its operating temperature
    thermal_hardware       the card itself halves them or worse, because it is too hot
    power_brake            the card halves them or worse, because the host's power supply demands it
    hardware_slowdown      the same protections as one bit, and a draw of power that is too fast; it may show for
                           a moment at a change of state as well, which no share of a whole run is made of

The others are not: `power_cap` is how a card at its power limit works all night, and the limit is part of the
hardware's class; `idle`, `clocks_setting`, `display_setting` and `sync_boost` are how somebody set the card up;
`board_limit` and `reliability` hold for a board at all times. The seconds of each are in the record all the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

EVERY_S = 1.0  # between two samples
GAP_S = 2.5  # without a sample for longer than this, nobody knows what was

REASONS = {
    0x001: "idle",
    0x002: "clocks_setting",
    0x004: "power_cap",
    0x008: "hardware_slowdown",
    0x010: "sync_boost",
    0x020: "thermal_software",
    0x040: "thermal_hardware",
    0x080: "power_brake",
    0x100: "display_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
THROTTLING = frozenset({"hardware_slowdown", "thermal_software", "thermal_hardware", "power_brake"})

ENERGY_COUNTER = "the GPU's energy counter"
ENERGY_POWER = "the GPU's power, integrated"
ENERGY_RAPL = "the processor's energy meter (RAPL): whatever ran on the host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the device and its host. None is a reading that was not there."""

    at_s: float  # since the first sample was begun, monotonic clock
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    gpu_busy_percent: float | None = None  # of the time since about the last sample, by the driver
    gpu_memory_used_bytes: float | None = None
    clock_reasons: float | None = None  # bits of REASONS
    gpu_energy_j: float | None = None  # a counter: differences mean something
    foreign_processes: float | None = None
    load_1min: float | None = None
    cpu_mhz: float | None = None
    host_memory_used_bytes: float | None = None
    container_memory_bytes: float | None = None
    cpu_energy_j: float | None = None  # a counter
    cpu_stalled_s: float | None = None  # counters of pressure
    memory_stalled_s: float | None = None
    io_stalled_s: float | None = None


GPU_READINGS = tuple(f.name for f in dataclasses.fields(Sample))[1:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySummary:
    """What a device did in the time that counts: from the opening of the data gate to the seal.

    A run that never trained is summed up from its first sample to its last. Whatever is None has its reason in
    `missing`, under the name of the reading that it would be made from, or `samples` where there were no more of
    them; without a GPU its fields are None.
    """

    seconds: float  # that were summed up
    samples: int  # within them
    gaps: int  # stretches of more than GAP_S within them that no sample tells of
    energy_j: float | None  # of the device that trains
    energy_source: str | None  # how it was measured
    mean_power_w: float | None
    mean_sm_clock_mhz: float | None
    mean_gpu_busy_percent: float | None
    peak_temperature_c: float | None
    peak_gpu_memory_bytes: int | None
    throttled_s: float | None  # for any reason of THROTTLING; seconds that nobody saw are not in it
    limited_s: dict[str, float]  # for each reason that was given, throttling or not
    mean_cpu_mhz: float | None
    cpu_stalled_share: float | None  # of the time, in which a task of the host waited for a core,
    memory_stalled_share: float | None  # for memory,
    io_stalled_share: float | None  # for a disk
    peak_container_memory_bytes: int | None
    missing: dict[str, str]  # why, by the name of the reading


def reasons_in(bits: float) -> list[str]:
    """The reasons that a driver gives; a bit that is younger than this file goes by its number."""
    given = int(bits)
    return [REASONS.get(1 << n, f"bit_{n}") for n in range(given.bit_length()) if given >> n & 1]


def throttled_too_long(summary: TelemetrySummary, *, allowed_share: float) -> str | None:
    """Why a run is no fair one, in a sentence; None when it is, or when nobody can say."""
    seconds = summary.throttled_s
    if seconds is None or seconds <= allowed_share * summary.seconds:
        return None
    why = ", ".join(
        f"{name.replace('_', ' ')} {summary.limited_s[name]:.0f} s"
        for name in sorted(THROTTLING & summary.limited_s.keys())
    )
    heat = summary.peak_temperature_c
    return (
        f"the GPU was throttled for {seconds:.0f} of {summary.seconds:.0f} s ({why})"
        + (f" at up to {heat:.0f} °C" if heat is not None else "")
        + f", more than {allowed_share:.0%} of the time"
    )


def summarise(
    samples: Sequence[Sample],
    missing: Mapping[str, str],
    *,
    on_gpu: bool,
    start_s: float,
    end_s: float,
) -> TelemetrySummary:
    """Add up what was seen between two moments, on the clock of `Sample.at_s`; `missing` says why not more."""
    within = [sample for sample in samples if start_s <= sample.at_s <= end_s]
    reasons = {
        name: why
        for name, why in missing.items()
        if not within or any(getattr(sample, name, None) is None for sample in within)
    }
    energy_j, source = _energy(samples, on_gpu, start_s, end_s)
    if energy_j is None:
        meter = "gpu_energy_j" if on_gpu else "cpu_energy_j"
        reasons.setdefault(meter, "it was not read over the whole time")
    limited_s, throttled_s = _limits(samples, start_s, end_s)
    seconds = end_s - start_s

    def share(counter: _Read) -> float | None:
        counted = _difference(samples, counter, start_s, end_s)
        return counted / seconds if counted is not None and seconds > 0 else None

    power_w = _mean(within, lambda s: s.power_w)
    if power_w is None and energy_j is not None and seconds > 0:
        power_w = energy_j / seconds
    return TelemetrySummary(
        seconds=seconds,
        samples=len(within),
        gaps=_gaps([sample.at_s for sample in within], start_s, end_s),
        energy_j=energy_j,
        energy_source=source,
        mean_power_w=power_w,
        mean_sm_clock_mhz=_mean(within, lambda s: s.sm_clock_mhz),
        mean_gpu_busy_percent=_mean(within, lambda s: s.gpu_busy_percent),
        peak_temperature_c=_peak(within, lambda s: s.temperature_c),
        peak_gpu_memory_bytes=_whole(_peak(within, lambda s: s.gpu_memory_used_bytes)),
        throttled_s=throttled_s,
        limited_s=limited_s,
        mean_cpu_mhz=_mean(within, lambda s: s.cpu_mhz),
        cpu_stalled_share=share(lambda s: s.cpu_stalled_s),
        memory_stalled_share=share(lambda s: s.memory_stalled_s),
        io_stalled_share=share(lambda s: s.io_stalled_s),
        peak_container_memory_bytes=_whole(_peak(within, lambda s: s.container_memory_bytes)),
        missing=reasons,
    )


_Read = Callable[[Sample], float | None]


def _readings(samples: Sequence[Sample], read: _Read) -> list[tuple[float, float]]:
    return [(s.at_s, value) for s in samples if (value := read(s)) is not None]


def _mean(samples: Sequence[Sample], read: _Read) -> float | None:
    values = [value for _, value in _readings(samples, read)]
    return sum(values) / len(values) if values else None


def _peak(samples: Sequence[Sample], read: _Read) -> float | None:
    return max((value for _, value in _readings(samples, read)), default=None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _gaps(times: Sequence[float], start_s: float, end_s: float) -> int:
    return sum(after - before > GAP_S for before, after in pairwise([start_s, *times, end_s]))


def _energy(
    samples: Sequence[Sample], on_gpu: bool, start_s: float, end_s: float
) -> tuple[float | None, str | None]:
    """Joules of the device that trains, and how they were measured: the best source that covers the time."""
    if not on_gpu:
        used_j = _difference(samples, lambda s: s.cpu_energy_j, start_s, end_s)
        return used_j, None if used_j is None else ENERGY_RAPL
    used_j = _difference(samples, lambda s: s.gpu_energy_j, start_s, end_s)
    if used_j is not None:
        return used_j, ENERGY_COUNTER
    used_j = _integral(samples, start_s, end_s)
    return used_j, None if used_j is None else ENERGY_POWER


def _difference(
    samples: Sequence[Sample], counter: _Read, start_s: float, end_s: float
) -> float | None:
    """What a counter counted in a stretch of time; None where it does not cover it, or ran backwards."""
    points = _readings(samples, counter)
    first, last = _value_at(points, start_s), _value_at(points, end_s)
    if first is None or last is None or any(b < a for (_, a), (_, b) in pairwise(points)):
        return None
    return last - first


def _value_at(points: Sequence[tuple[float, float]], at_s: float) -> float | None:
    """A reading between two others on a straight line; None where the nearest two are too far off."""
    for (before, low), (after, high) in pairwise(points):
        if before <= at_s <= after:
            return low + (high - low) * (at_s - before) / (after - before)
    return None


def _integral(samples: Sequence[Sample], start_s: float, end_s: float) -> float | None:
    """Power times time; None where the power was not read for longer than GAP_S."""
    points = _readings(samples, lambda s: s.power_w)
    inside = [(at, watts) for at, watts in points if start_s < at < end_s]
    first, last = _value_at(points, start_s), _value_at(points, end_s)
    if first is None or last is None:
        return None
    path = [(start_s, first), *inside, (end_s, last)]
    if any(after - before > GAP_S for (before, _), (after, _) in pairwise(path)):
        return None
    return sum((b - a) * (p + q) / 2 for (a, p), (b, q) in pairwise(path))


def _limits(
    samples: Sequence[Sample], start_s: float, end_s: float
) -> tuple[dict[str, float], float | None]:
    """Seconds for each reason, and those of any kind of throttling; None where no reason could be read."""
    limited_s: dict[str, float] = {}
    throttled_s: float | None = None
    for sample, seconds in _held(samples, start_s, end_s):
        if sample.clock_reasons is None:
            continue
        reasons = reasons_in(sample.clock_reasons)
        throttled_s = (throttled_s or 0.0) + (seconds if THROTTLING & set(reasons) else 0.0)
        for reason in reasons:
            limited_s[reason] = limited_s.get(reason, 0.0) + seconds
    return limited_s, throttled_s


def _held(
    samples: Sequence[Sample], start_s: float, end_s: float
) -> Iterator[tuple[Sample, float]]:
    """Each sample with the seconds of the stretch that it stands for: until the next, or until a gap begins."""
    ends = [later.at_s for later in samples[1:]] + [end_s]
    for sample, until_s in zip(samples, ends, strict=False):
        seconds = min(until_s, sample.at_s + GAP_S, end_s) - max(sample.at_s, start_s)
        if seconds > 0:
            yield sample, seconds
