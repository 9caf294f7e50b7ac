"""A run that is watched: what a card did comes into the record, and no card and no driver can end the run.

What reads NVML runs in processes of its own, against the stand-in of tests/nvml.
"""

from __future__ import annotations

import json
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lab.glimpse import Glimpse
from lab.samples import REASONS, Sample
from lab.telemetry import Recording, Sampler, summary_of, write_recording
from tests.conftest import QuietWatch
from tests.nvml import ask
from tests.nvml.machines import A100_PCIE_MIG, H100_SXM, MIB, RTX_3080, UNKNOWN_ERROR, Machine

NOT_THERE = 13
FINE = H100_SXM.having(
    sm_clock_mhz=1755,
    memory_clock_mhz=2619,
    power_mw=690_000,
    temperature_c=64,
    gpu_busy_percent=99,
    memory_used_bytes=45_060 * MIB,
    throttle_reasons=0x4,  # at its power limit, as it should be
    energy_mj=987_654_321_000,
)
HOT = FINE.having(throttle_reasons=0x40 | 0x8, temperature_c=93, sm_clock_mhz=1005)

PREAMBLE = """
import dataclasses, json, sys, time
from pathlib import Path
from lab import telemetry
from lab.samples import throttled_too_long
from lab.telemetry import Sampler, summary_of, write_recording
from tests.conftest import QuietWatch
from tests.unit.test_telemetry import *

machine, folder = Path(sys.argv[1]), Path(sys.argv[2])

def enough(sampler, more=5):
    wanted, end = len(sampler._samples) + more, time.monotonic() + 20.0
    while len(sampler._samples) < wanted and time.monotonic() < end:
        time.sleep(0.01)

def trained(uuid, then=None, **options):
    with Sampler(uuid, every_s=0.02, **options) as sampler:
        watch = sampler.over(QuietWatch())
        watch.phase("start-up", cap_s=1.0)
        enough(sampler)
        watch.phase("training", cap_s=1.0)
        enough(sampler)
        if then is not None:
            then.write(machine)
            enough(sampler)
    return sampler.recording

def told(recording):
    return dataclasses.asdict(summary_of(recording, train_s=None))
"""


class Bed:
    """A host with the driver's stand-in, and code that runs on it."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.machine = folder / "machine"
        self.folder = folder
        self._library = library

    def ask(self, machine: Machine, code: str) -> Any:
        """Run code in a process of its own; what it assigns to `answer` comes back."""
        machine.write(self.machine)
        program = PREAMBLE + textwrap.dedent(code)
        return ask(self._library, self.machine, program, str(self.folder))


@pytest.fixture
def bed(nvml: Path, tmp_path: Path) -> Bed:
    return Bed(nvml, tmp_path)


def test_what_a_fine_card_did_is_in_the_record(bed: Bed) -> None:
    """Each figure in its unit: a milliwatt for a watt would make every comparison of energy wrong."""
    found = bed.ask(FINE, "answer = told(trained(FINE.cards[0].uuid, foreign=lambda: 0))")
    assert found["mean_sm_clock_mhz"] == 1755
    assert found["mean_power_w"] == pytest.approx(690.0)
    assert found["peak_temperature_c"] == 64
    assert found["mean_gpu_busy_percent"] == 99
    assert found["peak_gpu_memory_bytes"] == 45_060 * MIB
    assert found["throttled_s"] == 0.0
    assert found["limited_s"] == {"power_cap": pytest.approx(found["seconds"], rel=0.2)}
    assert (found["energy_j"], found["energy_source"]) == (0.0, "the GPU's energy counter")
    assert found["samples"] >= 5
    assert not set(found["missing"]) & {"sm_clock_mhz", "power_w", "clock_reasons", "gpu_energy_j"}


def test_a_counter_of_energy_is_preferred_to_a_sensor_of_power(bed: Bed) -> None:
    """The sensor is read once a second and the counter misses nothing; 7 kJ came while nobody looked."""
    found = bed.ask(
        FINE,
        "answer = told(trained(FINE.cards[0].uuid, then=FINE.having(energy_mj=987_661_321_000)))",
    )
    assert found["energy_j"] == pytest.approx(7000.0)


def test_a_card_that_gets_too_hot_is_caught(bed: Bed) -> None:
    """It throttles in the middle of a run, and the score of that run is of another card."""
    found, sentence = bed.ask(
        FINE,
        """
        recording = trained(FINE.cards[0].uuid, then=HOT)
        summary = summary_of(recording, train_s=None)
        answer = [dataclasses.asdict(summary), throttled_too_long(summary, allowed_share=0.05)]
        """,
    )
    assert 0.0 < found["throttled_s"] < found["seconds"]
    assert set(found["limited_s"]) == {"power_cap", "thermal_hardware", "hardware_slowdown"}
    assert "thermal hardware" in sentence
    assert "at up to 93 °C" in sentence


def test_what_throttles_before_the_gate_opens_is_not_the_trainings(bed: Bed) -> None:
    """Start-up is free: a card that cools down until the clock starts was a fair one."""
    found = bed.ask(
        HOT,
        """
        with Sampler(HOT.cards[0].uuid, every_s=0.02) as sampler:
            watch = sampler.over(QuietWatch())
            watch.phase("start-up", cap_s=1.0)
            enough(sampler)
            FINE.write(machine)
            enough(sampler, 2)
            watch.phase("training", cap_s=1.0)
            enough(sampler)
        answer = told(sampler.recording)
        """,
    )
    assert found["throttled_s"] == 0.0


def test_a_sensor_that_is_lost_in_the_middle_is_none_from_then_on(bed: Bed) -> None:
    """The others go on; the record says which one it was, and why."""
    broken = Machine(cards=FINE.cards, fail=(("nvmlDeviceGetTemperature", UNKNOWN_ERROR),))
    found, last = bed.ask(
        FINE,
        f"""
        recording = trained(FINE.cards[0].uuid, then=Machine(cards=FINE.cards, fail={broken.fail!r}))
        answer = [told(recording), dataclasses.asdict(recording.samples[-1])]
        """,
    )
    assert found["peak_temperature_c"] == 64
    assert found["missing"]["temperature_c"] == "Unknown Error"
    assert (last["temperature_c"], last["sm_clock_mhz"]) == (None, 1755)


def test_a_card_without_an_energy_counter_is_integrated(bed: Bed) -> None:
    """The RTX 3080 has none before some drivers; its energy is a coarser figure, and says so."""
    card = RTX_3080.having(power_mw=318_000, sm_clock_mhz=1800)
    found = bed.ask(card, f"answer = told(trained({card.cards[0].uuid!r}))")
    assert found["energy_source"] == "the GPU's power, integrated"
    assert found["energy_j"] == pytest.approx(318.0 * found["seconds"], rel=0.01)
    assert found["throttled_s"] is None, "it was not asked why, so nobody knows"
    for name in ("gpu_energy_j", "clock_reasons", "temperature_c"):
        assert found["missing"][name] == "Not Supported"


def test_an_older_driver_has_the_reasons_under_their_older_name(bed: Bed) -> None:
    """They were renamed in driver 535; a night on 525 must see its throttling too."""
    old = Machine(cards=HOT.cards, fail=(("nvmlDeviceGetCurrentClocksEventReasons", NOT_THERE),))
    found = bed.ask(old, "answer = told(trained(HOT.cards[0].uuid))")
    assert found["throttled_s"] > 0.0


def test_a_slice_of_a_card_has_its_cards_heat_and_not_its_power(bed: Bed) -> None:
    """The neighbours' energy is not this experiment's; their heat is."""
    card = A100_PCIE_MIG.having(
        throttle_reasons=0x20, temperature_c=85, power_mw=290_000, energy_mj=5, sm_clock_mhz=900
    )
    uuid = next(iter(card.cards[0].instances.values())).uuid
    found = bed.ask(card, f"answer = told(trained({uuid!r}))")
    assert (found["peak_temperature_c"], found["mean_sm_clock_mhz"]) == (85, 900)
    assert found["throttled_s"] > 0.0
    assert (found["energy_j"], found["mean_power_w"]) == (None, None)
    assert "not a MIG instance" in found["missing"]["gpu_energy_j"]


def test_a_driver_that_hangs_leaves_a_gap_and_holds_nobody(bed: Bed) -> None:
    """A card that fell off the bus can take minutes for an answer, and the controller has a night to run."""
    took, found, count = bed.ask(
        FINE,
        """
        telemetry.LAST_SAMPLE_S = 0.3
        with Sampler(FINE.cards[0].uuid, every_s=0.02) as sampler:
            sampler.over(QuietWatch()).phase("training", cap_s=1.0)
            enough(sampler)
            replace(FINE, delay_ms=(("nvmlDeviceGetPowerUsage", 4000),)).write(machine)
            time.sleep(2.6)
            began = time.monotonic()
        took = time.monotonic() - began
        recording = sampler.recording
        time.sleep(2.0)  # now it answers
        answer = [took, told(sampler.recording), len(sampler.recording.samples) - len(recording.samples)]
        """,
    )
    assert took < 2.0
    assert count == 0, "what comes late is not in the record"
    assert found["gaps"] == 1
    assert found["energy_j"] is None
    assert found["missing"]["samples"] == "the driver gave no answer within 0 s"
    assert found["mean_sm_clock_mhz"] == 1755, "what was read before is kept"


@pytest.mark.parametrize(
    ("machine", "uuid", "why"),
    [
        pytest.param(Machine(), "GPU-none", "NVML does not find the GPU: Not Found", id="no-card"),
        pytest.param(
            Machine(fail=(("nvmlInitWithFlags", 9),)),
            "GPU-none",
            "NVML cannot be opened: Driver Not Loaded",
            id="no-driver",
        ),
    ],
)
def test_without_a_card_the_host_is_watched_all_the_same(
    bed: Bed, machine: Machine, uuid: str, why: str
) -> None:
    """A driver that was unloaded under the night takes its readings along, nothing else."""
    found, last = bed.ask(
        machine,
        f"""
        recording = trained({uuid!r})
        answer = [told(recording), dataclasses.asdict(recording.samples[-1])]
        """,
    )
    assert found["missing"]["sm_clock_mhz"] == why
    assert last["load_1min"] is not None


def watch_a_while(folder: Path, **options: Any) -> Sampler:
    """A sampler that was open for a few samples on this host, without a GPU."""
    with Sampler(None, every_s=0.01, **options) as sampler:
        watch = sampler.over(QuietWatch())
        for phase in ("start-up", "training"):
            watch.phase(phase, cap_s=1.0)
            wanted = len(sampler._samples) + 3
            while len(sampler._samples) < wanted:
                assert sampler._thread.is_alive()
    return sampler


def test_a_host_without_a_gpu_is_watched(tmp_path: Path) -> None:
    """Half of all labs: no reading of a GPU is tried, and none is a zero."""
    recording = watch_a_while(tmp_path).recording
    assert recording is not None
    summary = summary_of(recording, train_s=None)
    assert (summary.mean_power_w, summary.throttled_s, summary.limited_s) == (None, None, {})
    assert not any(name.startswith(("gpu", "sm_", "power")) for name in summary.missing)
    assert recording.samples[-1].load_1min is not None


def test_a_kernel_without_pressure_gives_the_rest(tmp_path: Path) -> None:
    """PSI is switched off by default in some distributions' kernels."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 8 kB\nMemAvailable: 6 kB\n")
    recording = watch_a_while(tmp_path, proc=tmp_path / "proc", sys=tmp_path).recording
    assert recording is not None
    summary = summary_of(recording, train_s=None)
    assert summary.cpu_stalled_share is None
    assert "No such file" in summary.missing["cpu_stalled_s"]
    assert {s.host_memory_used_bytes for s in recording.samples} == {2048}


def test_a_gauge_that_fails_in_an_unknown_way_ends_no_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread has nobody above it: what it does not catch, a user reads as a traceback at night."""

    def broken(*_: object, **__: object) -> dict[str, Any]:
        raise RuntimeError("out of cheese")

    monkeypatch.setattr("lab.telemetry.host_gauges", broken)
    with Sampler(None, every_s=0.01) as sampler:
        pass
    assert sampler.recording is not None
    assert sampler.recording.missing == {"samples": "out of cheese"}
    assert summary_of(sampler.recording, train_s=None).samples == 0


def test_every_sample_is_in_the_table(tmp_path: Path) -> None:
    """A notebook that looks for the second in which the clock fell needs no lab to read it."""
    sampler = watch_a_while(tmp_path)
    assert sampler.recording is not None
    write_recording(tmp_path / "telemetry.parquet", sampler.recording)
    table = pq.read_table(tmp_path / "telemetry.parquet")
    rows = table.to_pylist()
    assert [row["at_s"] for row in rows] == [s.at_s for s in sampler.recording.samples]
    assert {row["phase"] for row in rows} >= {"start-up", "training"}
    assert {row["power_w"] for row in rows} == {None}
    assert str(table.schema.field("power_w").type) == "double"
    metadata = {key.decode(): json.loads(value) for key, value in table.schema.metadata.items()}
    assert metadata["missing"] == sampler.recording.missing
    assert metadata["clock_reasons"] == {str(bit): name for bit, name in REASONS.items()}


def test_a_run_that_never_trained_is_summed_up_as_a_whole() -> None:
    """What kept it from starting (a slow disk, say) is what a person looks for."""
    counted = tuple(Sample(at_s=0.5 + n, io_stalled_s=0.75 * n) for n in range(11))
    whole = Recording(
        samples=counted, missing={}, phases=(("start-up", 0.6),), on_gpu=False, ended_s=10.4
    )
    summary = summary_of(whole, train_s=None)
    assert (summary.seconds, summary.samples) == (pytest.approx(9.9), 10)
    assert summary.io_stalled_share == pytest.approx(0.75)
    trained = replace(whole, phases=(*whole.phases, ("training", 4.0)))
    assert summary_of(trained, train_s=5.0).seconds == pytest.approx(5.0)
    assert summary_of(trained, train_s=None).seconds == pytest.approx(6.4)


def test_who_looks_at_the_training_sees_the_last_sample(tmp_path: Path) -> None:
    """A page shows the card while it works; what could not be read is not there, and never zero."""
    seen: list[Glimpse] = []
    watch = QuietWatch()
    watch.running = seen.append  # type: ignore[method-assign]
    sampler = Sampler(None, every_s=0.02, proc=tmp_path, sys=tmp_path)
    sampler.over(watch).running(Glimpse(claims=list, log_tail=bytes))
    assert seen[0].sample() == {}, "nothing is sampled yet"
    with sampler:
        deadline = time.monotonic() + 10.0
        while not seen[0].sample() and time.monotonic() < deadline:
            time.sleep(0.01)
    sample = seen[0].sample()
    assert sample["load_1min"] >= 0 and "power_w" not in sample
    assert "host_memory_used_bytes" not in sample, "this /proc is empty"
