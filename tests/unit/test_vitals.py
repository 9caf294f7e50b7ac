"""What a run took of its device, in a line that an agent can use."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from lab.gate import Training
from lab.outcome import Status
from lab.samples import TelemetrySummary
from lab.trial import Trial, reject
from lab.vitals import vitals_of
from tests.unit.nights import make_record, make_telemetry

ALL_NONE = make_telemetry(
    **{
        field.name: None
        for field in dataclasses.fields(TelemetrySummary)
        if "None" in str(field.type)
    }
)


def trial_of(telemetry: TelemetrySummary | None, **claims: float | None) -> Trial:
    trial = make_record(3).trial
    assert trial.training is not None
    nothing = {"tokens": None, "mfu": None, "train_s": 60.0}
    return replace(
        trial, telemetry=telemetry, training=replace(trial.training, **(nothing | claims))
    )


def test_a_gpu_is_told_by_what_limits_a_run() -> None:
    """Memory that is left, arithmetic that is not used, a clock that heat held down."""
    seen = make_telemetry(throttled_s=12.4)
    assert vitals_of(trial_of(seen, tokens=36_000_000, mfu=0.381)) == (
        "peak GPU memory 45.0 GiB, GPU busy 99 %, SM clock 1695 MHz, 682 W, throttled 12 of 60 s, "
        "600,000 tokens/s by its own count, MFU 38.1 % by its own count"
    )


def test_without_a_gpu_the_processor_is_told() -> None:
    seen = make_telemetry(
        peak_gpu_memory_bytes=None,
        mean_gpu_busy_percent=None,
        mean_sm_clock_mhz=None,
        mean_power_w=None,
        throttled_s=None,
    )
    assert vitals_of(trial_of(seen, tokens=1_200_000)) == (
        "peak memory 5.0 GiB, processor clock 3100 MHz, 20,000 tokens/s by its own count"
    )


@pytest.mark.parametrize("telemetry", [None, ALL_NONE])
def test_what_was_not_read_is_not_told(telemetry: TelemetrySummary | None) -> None:
    """A zero would be read as an idle GPU."""
    assert vitals_of(trial_of(telemetry)) == ""
    assert vitals_of(trial_of(telemetry, tokens=5, train_s=None)) == ""
    assert vitals_of(reject("no code")) == ""


def test_a_clock_that_nothing_held_down_is_not_worth_a_word() -> None:
    assert "throttled" not in vitals_of(trial_of(make_telemetry(throttled_s=0.0)))


def test_a_run_that_failed_tells_of_the_memory_that_it_needed() -> None:
    """It is why it failed, more often than not."""
    failed = make_record(3, status=Status.OUT_OF_MEMORY).trial
    assert vitals_of(failed).startswith("peak GPU memory 45.0 GiB")


def test_a_line_stays_a_line_whatever_a_program_claims() -> None:
    """It counts its own tokens, in 64 bits, and its own MFU."""
    wild: Training = trial_of(None, tokens=2**64 - 1, train_s=1e-9, mfu=1.7e308).training  # type: ignore[assignment]
    line = vitals_of(replace(trial_of(make_telemetry(throttled_s=60.0)), training=wild))
    assert len(line) < 300 and "\n" not in line
