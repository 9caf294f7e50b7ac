"""What a run took of its device, in one line for an agent that looks for the next idea.

Owns    which readings are told, and in what words
Takes   a Trial
Gives   a line of at most some 250 characters; empty when nothing is known
Never   tells a reading that was not taken, and never passes a claim of train.py for one
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.gate import Training
from lab.samples import TelemetrySummary
from lab.trial import Trial

GIB = 2**30


def vitals_of(trial: Trial) -> str:
    """Memory, load, clock, power and speed of a run, as far as they are known."""
    told: list[str] = []
    if trial.telemetry is not None:
        told += _seen(trial.telemetry)
    if trial.training is not None:
        told += _claimed(trial.training)
    return ", ".join(told)


def _seen(summary: TelemetrySummary) -> Iterator[str]:
    if summary.peak_gpu_memory_bytes is not None:
        yield f"peak GPU memory {summary.peak_gpu_memory_bytes / GIB:.1f} GiB"
    elif summary.peak_container_memory_bytes is not None:
        yield f"peak memory {summary.peak_container_memory_bytes / GIB:.1f} GiB"
    if summary.mean_gpu_busy_percent is not None:
        yield f"GPU busy {summary.mean_gpu_busy_percent:.0f} %"
    if summary.mean_sm_clock_mhz is not None:
        yield f"SM clock {summary.mean_sm_clock_mhz:.0f} MHz"
    elif summary.mean_cpu_mhz is not None:
        yield f"processor clock {summary.mean_cpu_mhz:.0f} MHz"
    if summary.mean_power_w is not None:
        yield f"{summary.mean_power_w:.0f} W"
    if summary.throttled_s is not None and summary.throttled_s >= 0.5:
        yield f"throttled {summary.throttled_s:.0f} of {summary.seconds:.0f} s"


def _claimed(training: Training) -> Iterator[str]:
    """What the host cannot know: train.py counts its own tokens, and may claim any number."""
    if training.tokens is not None and training.train_s:
        yield f"{training.tokens / training.train_s:,.0f} tokens/s by its own count"
    if training.mfu is not None:
        yield f"MFU {100 * training.mfu:.3g} % by its own count"
