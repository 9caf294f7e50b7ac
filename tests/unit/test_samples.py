"""What samples add up to: energy, clocks, throttling; and that nothing is made up where nobody looked."""

from __future__ import annotations

from typing import Any

import pytest

from lab.samples import (
    ENERGY_COUNTER,
    ENERGY_POWER,
    ENERGY_RAPL,
    Sample,
    TelemetrySummary,
    reasons_in,
    summarise,
    throttled_too_long,
)
from tests.unit.nights import make_telemetry

IDLE, POWER_CAP, HARDWARE, SOFT_HEAT, HARD_HEAT, BRAKE = 0x1, 0x4, 0x8, 0x20, 0x40, 0x80


def every_second(count: int, **readings: Any) -> list[Sample]:
    """Samples at 0, 1, 2, ... s; a reading is one number, or a function of the second."""
    return [
        Sample(at_s=float(n), **{k: v(n) if callable(v) else v for k, v in readings.items()})
        for n in range(count)
    ]


def add_up(samples: list[Sample], start_s: float, end_s: float, **more: Any) -> TelemetrySummary:
    given = {"missing": {}, "on_gpu": True} | more
    return summarise(samples, given.pop("missing"), start_s=start_s, end_s=end_s, **given)


def test_energy_is_of_the_training_alone() -> None:
    """Start-up compiles for a minute at no load; it must not be in the energy of an experiment."""
    samples = every_second(100, gpu_energy_j=lambda n: 1000.0 + (100 * n if n < 40 else 700 * n))
    found = add_up(samples, 50.25, 80.75)
    assert found.energy_j == pytest.approx(700 * 30.5)
    assert found.energy_source == ENERGY_COUNTER
    assert found.mean_power_w == pytest.approx(700.0)  # no sensor for it, but the meter


def test_without_a_counter_power_is_integrated_and_says_so() -> None:
    """A consumer card has no counter; its figure is a coarser one, and a reader must see which it is."""
    found = add_up(every_second(40, power_w=lambda n: 10.0 * n), 10.0, 30.0)
    assert found.energy_j == pytest.approx(10 * (30**2 - 10**2) / 2)
    assert found.energy_source == ENERGY_POWER


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(every_second(40, power_w=lambda n: 300.0 if n < 20 else None), id="lost"),
        pytest.param(
            every_second(40, power_w=lambda n: None if 14 < n < 19 else 300.0), id="a-hole"
        ),
        pytest.param(every_second(40, gpu_energy_j=lambda n: 5.0 if n < 20 else 1.0), id="reset"),
        pytest.param(every_second(25, gpu_energy_j=lambda n: 5.0 * n), id="the-driver-hung"),
        pytest.param([], id="nothing"),
    ],
)
def test_energy_that_was_not_measured_to_the_end_is_none(samples: list[Sample]) -> None:
    """Half an energy looks like a saving of half."""
    found = add_up(samples, 10.0, 30.0)
    assert (found.energy_j, found.energy_source) == (None, None)
    assert found.missing == {"gpu_energy_j": "it was not read over the whole time"}


def test_on_a_cpu_the_energy_is_the_processors() -> None:
    """And without a meter there is none, with the reason that the host gave."""
    found = add_up(
        every_second(20, cpu_energy_j=lambda n: 30.0 * n, cpu_stalled_s=lambda n: 0.25 * n),
        5.0,
        15.0,
        on_gpu=False,
    )
    assert (found.energy_j, found.energy_source) == (pytest.approx(300.0), ENERGY_RAPL)
    assert found.cpu_stalled_share == pytest.approx(0.25)
    assert (found.throttled_s, found.limited_s) == (None, {})
    bare = add_up(
        every_second(20, load_1min=1.0), 5.0, 15.0, on_gpu=False, missing={"cpu_energy_j": "none"}
    )
    assert (bare.energy_j, bare.missing) == (None, {"cpu_energy_j": "none"})


def test_seconds_are_told_apart_by_reason() -> None:
    """A card at its power limit works as it should; one that is too hot does not."""
    bits = {12: SOFT_HEAT | POWER_CAP, 13: HARD_HEAT | HARDWARE, 14: BRAKE | HARDWARE}
    samples = every_second(
        30, clock_reasons=lambda n: bits.get(n, IDLE if n < 10 else POWER_CAP), temperature_c=80.0
    )
    found = add_up(samples, 10.0, 20.0)
    assert found.throttled_s == pytest.approx(3.0)
    assert found.limited_s == pytest.approx(
        {
            "power_cap": 8.0,
            "thermal_software": 1.0,
            "thermal_hardware": 1.0,
            "hardware_slowdown": 2.0,
            "power_brake": 1.0,
        }
    )


def test_what_nobody_saw_is_neither_throttled_nor_free_of_it() -> None:
    """Reasons that cannot be read at all are None; a driver that hangs leaves a gap, and its last word stands
    for as long as one is allowed, no longer.
    """
    blind = add_up(every_second(30, power_w=1.0), 10.0, 20.0)
    assert (blind.throttled_s, blind.limited_s, blind.gaps) == (None, {}, 0)
    samples = [s for s in every_second(30, clock_reasons=HARD_HEAT) if not 12 < s.at_s < 18]
    found = add_up(samples, 10.0, 20.0)
    assert found.throttled_s == pytest.approx(2.0 + 2.5 + 2.0)
    assert (found.gaps, found.samples) == (1, 6)


def test_a_reading_that_is_lost_in_the_middle_says_so() -> None:
    """The mean is of what was read; who reads it must see that it is not of the whole run."""
    samples = every_second(30, temperature_c=lambda n: 60.0 + n if n < 15 else None)
    found = add_up(samples, 10.0, 20.0, missing={"temperature_c": "Unknown Error", "power_w": "no"})
    assert found.peak_temperature_c == 74.0
    assert found.missing["temperature_c"] == "Unknown Error"
    whole = add_up(samples, 0.0, 12.0, missing={"temperature_c": "Unknown Error"})
    assert "temperature_c" not in whole.missing, "it came later, and is not of this time"


@pytest.mark.parametrize(
    ("throttled_s", "allowed_share", "too_long"),
    [
        pytest.param(None, 0.05, False, id="nobody-knows"),
        pytest.param(0.0, 0.0, False, id="never"),
        pytest.param(15.0, 0.05, False, id="as-much-as-allowed"),
        pytest.param(15.1, 0.05, True, id="more-than-allowed"),
        pytest.param(300.0, 1.0, False, id="switched-off"),
    ],
)
def test_a_share_of_the_training_time_decides(
    throttled_s: float | None, allowed_share: float, too_long: bool
) -> None:
    """A second in five minutes moves no score; a fifth of them does."""
    summary = make_telemetry(seconds=300.0, throttled_s=throttled_s)
    assert bool(throttled_too_long(summary, allowed_share=allowed_share)) is too_long


def test_the_sentence_has_its_numbers() -> None:
    """It stands in the record and on the screen, and is all that a person has at seven in the morning."""
    summary = make_telemetry(
        seconds=300.0,
        throttled_s=40.0,
        limited_s={"power_cap": 250.0, "thermal_hardware": 40.0, "hardware_slowdown": 40.0},
        peak_temperature_c=93.0,
    )
    assert throttled_too_long(summary, allowed_share=0.05) == (
        "the GPU was throttled for 40 of 300 s (hardware slowdown 40 s, thermal hardware 40 s) at up to 93 °C, "
        "more than 5% of the time"
    )


def test_a_reason_that_is_younger_than_this_file_has_a_name() -> None:
    """Drivers get new ones, and a record must not lose them."""
    assert reasons_in(0x1 | 0x8000) == ["idle", "bit_15"]
    assert reasons_in(0) == []
