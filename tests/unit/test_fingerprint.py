"""The hardware under a score: every kind of machine is told apart, and nothing that is missing ends a night.

What reads NVML runs in a process of its own, against the stand-in of tests/nvml.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.fingerprint import (
    Fingerprint,
    Subject,
    Unreadable,
    describe_differences,
    known_escapes,
    read_salt,
    take_fingerprint,
    toolkit_version,
)
from lab.fingerprint import toolkit as toolkit_module
from lab.fingerprint.board import CLASS, CONDITIONS, PRIVATE
from lab.fingerprint.machine import cgroup_version
from tests.nvml import environment
from tests.nvml.machines import A100_PCIE_MIG, H100_SXM, MACHINES, RTX_3080, Machine, bad_later

ROOT = Path(__file__).resolve().parents[2]
NOT_THERE, GPU_IS_LOST = 13, 15
SALT = bytes(range(32))
CHECKOUT = Path("/home/somebody/nightlab")

CODE = """
import dataclasses, json, sys
from pathlib import Path
from lab.fingerprint import Subject, list_gpus, take_fingerprint
taken = [
    dataclasses.asdict(take_fingerprint(Subject(
        profile="gpu", image_id="sha256:1", kernels="hub", gpu_uuid=uuid, cpus=None,
        salt=bytes(range(32)), checkout=Path("/home/somebody/nightlab"),
    )))
    for uuid in (sys.argv[1:] or [gpu.uuid for gpu in list_gpus()])
]
print(json.dumps(taken))
"""


def subject_of(**changes: Any) -> Subject:
    """A run on the CPU of this host."""
    subject = Subject(
        profile="smoke",
        image_id="sha256:1",
        kernels="none",
        gpu_uuid=None,
        cpus=None,
        salt=SALT,
        checkout=CHECKOUT,
    )
    return dataclasses.replace(subject, **changes)


Look = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def look(nvml: Path, tmp_path: Path) -> Look:
    """Fingerprints of every GPU of a machine, or of those that are named."""

    def look(
        machine: Machine | None, *uuids: str, library: Path = nvml, code: str = CODE
    ) -> list[dict[str, Any]]:
        path = tmp_path / "machine"
        path.unlink(missing_ok=True)
        if machine is not None:
            machine.write(path)
        output = subprocess.check_output(
            [sys.executable, "-c", code, *uuids], cwd=ROOT, env=environment(library, path)
        )
        taken: list[dict[str, Any]] = json.loads(output)
        return taken

    return look


def test_an_h100_is_told_completely(look: Look) -> None:
    """These readings are the class: a wrong or lost one would mix what does not compare."""
    (taken,) = look(H100_SXM)
    assert taken["comparable"] == {
        "profile": "gpu",
        "image": "sha256:1",
        "attention_kernels": "hub",
        "gpu": "NVIDIA H100 80GB HBM3",
        "form_factor": "sxm",
        "pci_device": "10de:2330",
        "pci_subsystem": "10de:16c1",
        "compute_capability": "9.0",
        "sm_count": 132,
        "gpu_memory_gib": 80,
        "memory_bus_bits": 5120,
        "mig": False,
        "ecc": True,
        "power_limit_w": 700.0,
        "virtualization": "none",
        "driver_branch": "580",
    }
    conditions = taken["conditions"]
    assert (conditions["pcie_generation"], conditions["pcie_width"]) == (5, 16)
    assert (conditions["nvlinks_active"], conditions["nvlink_version"]) == (18, 7)
    assert (conditions["persistence"], conditions["compute_mode"]) == (True, "default")
    assert (conditions["driver"], conditions["sm_clock_max_mhz"]) == ("580.65.06", 1980)
    assert set(taken["private"]) == {"hostname", "checkout", "gpu_uuid", "gpu_serial"}


def test_the_slices_of_a_card_are_classes_of_their_own(look: Look) -> None:
    """A third of a card scores like a third of a card; what only the card knows is asked of the card."""
    half, small = look(A100_PCIE_MIG)
    classes = [taken["comparable"] for taken in (half, small)]
    assert [c["mig_slice"] for c in classes] == ["3g.40gb", "1c.2g.20gb"]
    assert [c["sm_count"] for c in classes] == [42, 14]
    assert [c["gpu_memory_gib"] for c in classes] == [39, 20]
    for found in classes:
        assert (found["gpu"], found["form_factor"]) == ("NVIDIA A100 80GB PCIe", "pcie")
        assert (found["mig"], found["ecc"], found["power_limit_w"]) == (True, True, 300.0)
        assert found["virtualization"] == "passthrough"
    assert half["class_id"] != small["class_id"]
    assert half["conditions"]["nvlinks_active"] == 0


def test_what_a_consumer_card_does_not_support_is_absent_and_says_so(look: Look) -> None:
    """Absence is None with a reason: a zero would look like a reading."""
    (taken,) = look(RTX_3080)
    found = taken["comparable"]
    assert (found["gpu"], found["form_factor"]) == ("NVIDIA GeForce RTX 3080", "pcie")
    assert (found["sm_count"], found["gpu_memory_gib"], found["memory_bus_bits"]) == (68, 10, 320)
    assert (found["pci_subsystem"], found["driver_branch"]) == ("1462:3897", "535")
    for name in ("ecc", "mig"):
        assert found[name] is None
        assert taken["missing"][name] == "the driver: Not Supported"
    conditions = taken["conditions"]
    assert (conditions["pcie_generation"], conditions["pcie_generation_max"]) == (1, 4)
    assert conditions["memory_clock_offset_mhz"] == -250
    assert conditions["nvlinks_active"] is None
    assert "gpu_serial" not in taken["private"]
    assert taken["missing"]["gpu_serial"] == "the driver: Not Supported"


@pytest.mark.parametrize("name", MACHINES)
def test_every_reading_of_every_machine_is_there_or_has_its_reason(look: Look, name: str) -> None:
    """A record that is silent about a reading cannot be compared with one that is not."""
    for taken in look(MACHINES[name]):
        readings = taken["comparable"] | taken["conditions"]
        wanted = set(f"{CLASS} {CONDITIONS}".split()) - {"mig_slice"}
        assert wanted <= set(readings)
        absent = {name for name, value in readings.items() if value is None}
        absent |= set(PRIVATE.split()) - set(taken["private"])
        assert absent == set(taken["missing"])
        assert all(taken["missing"].values())


def test_machines_are_different_classes_and_a_machine_is_always_the_same(look: Look) -> None:
    """The id is all that a record carries of its class."""
    ids = [taken["class_id"] for m in (*MACHINES.values(), H100_SXM) for taken in look(m)]
    assert len(set(ids)) == len(ids) - 1 == 4
    assert ids[0] == ids[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"ecc": 0}, "ECC was on, now off", id="ecc"),
        pytest.param(
            {"power_limit_mw": 350_000}, "power limit was 700 W, now 350 W", id="power-limit"
        ),
        pytest.param({"mig": 1}, "MIG was off, now on", id="mig"),
        pytest.param(
            {"virtualization": 2}, "virtualization was none, now vgpu", id="virtualisation"
        ),
        pytest.param(
            {"cuda_cores": 14_592},
            "number of multiprocessors was 132, now 114",
            id="multiprocessors",
        ),
    ],
)
def test_whatever_changes_the_score_changes_the_class_and_is_named(
    look: Look, change: dict[str, int | None], words: str
) -> None:
    """Who may not go on must be told what to restore."""
    uuid = H100_SXM.cards[0].uuid
    (before,) = look(H100_SXM, uuid)
    (after,) = look(H100_SXM.having(**change), uuid)
    assert before["class_id"] != after["class_id"]
    assert describe_differences(before["comparable"], after["comparable"]) == [words]


def test_what_is_only_a_condition_leaves_the_class_alone(look: Look) -> None:
    """Clocks and links move by themselves; each move would be a campaign of its own."""
    (before,) = look(H100_SXM)
    (after,) = look(
        H100_SXM.having(pcie_width=4, pcie_generation=1, nvlink_active=0, persistence=0)
    )
    assert before["class_id"] == after["class_id"]
    assert before["conditions"] != after["conditions"]


def test_a_sensor_that_dies_is_missing_and_changes_nothing(look: Look, tmp_path: Path) -> None:
    """It says that nobody knows, not that it is another card: a night must survive it."""
    (before,) = look(H100_SXM)
    (after,) = look(bad_later(neighbour=4711))
    assert after["comparable"]["ecc"] is after["comparable"]["power_limit_w"] is None
    assert {"ecc", "power_limit_w", "ecc_pending"} <= set(after["missing"])
    assert describe_differences(before["comparable"], after["comparable"]) == []
    assert after["conditions"]["pcie_width"] == 4


def test_a_card_that_is_lost_gives_no_reading_and_no_traceback(look: Look) -> None:
    """It falls off the bus in the middle of a night; the run's own failure says the rest."""
    uuid = H100_SXM.cards[0].uuid
    lost = dataclasses.replace(H100_SXM, fail=(("nvmlDeviceGetHandleByUUID", GPU_IS_LOST),))
    for machine, reason in ((lost, "GPU is lost"), (None, "Driver Not Loaded")):
        (taken,) = look(machine, uuid)
        assert taken["comparable"]["gpu"] is None
        assert reason in taken["missing"]["gpu"]
        assert "gpu_uuid" not in taken["private"]
        assert taken["conditions"]["kernel"]


def test_a_driver_that_hangs_does_not_hold_the_night(look: Look) -> None:
    """A driver that lost its card can take minutes for each answer, and there are forty questions."""
    slow = dataclasses.replace(H100_SXM, delay_ms=(("nvmlDeviceGetEccMode", 60_000),))
    code = CODE.replace(
        "taken = [", "import lab.fingerprint.board as b; b.PATIENCE_S = 0.3\ntaken = ["
    )
    began = time.monotonic()
    (taken,) = look(slow, H100_SXM.cards[0].uuid, code=code)
    assert time.monotonic() - began < 20
    assert taken["missing"]["ecc"] == "the driver gave no answer within 0.3 s"
    assert taken["comparable"]["gpu"] is None
    assert taken["conditions"]["kernel"]


def test_a_lost_card_does_not_hide_the_others(look: Look) -> None:
    """A host with eight cards must not become a host with none."""
    silent = dataclasses.replace(H100_SXM.cards[0], name="")  # the driver gives no name for it
    two = Machine(cards=(silent, RTX_3080.cards[0]))
    assert [taken["comparable"]["gpu"] for taken in look(two)] == ["NVIDIA GeForce RTX 3080"]


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ("nvmlDeviceGetNumGpuCores", ["sm_count"]),
        ("nvmlDeviceGetMemoryBusWidth", ["memory_bus_bits"]),
        ("nvmlDeviceGetVirtualizationMode", ["virtualization"]),
        (
            "nvmlDeviceGetPciInfo_v3",
            ["form_factor", "numa_node", "pci_device", "pci_subsystem"],
        ),
        ("nvmlSystemGetDriverVersion", ["driver", "driver_branch"]),
    ],
)
def test_an_entry_point_that_an_old_driver_lacks_costs_its_readings_alone(
    look: Look, entry: str, names: list[str]
) -> None:
    """Drivers are older than this code on most hosts."""
    (whole,) = look(H100_SXM)
    (taken,) = look(dataclasses.replace(H100_SXM, fail=((entry, NOT_THERE),)))
    new = set(taken["missing"]) - set(whole["missing"])
    assert new == set(names) - set(whole["missing"])
    assert describe_differences(whole["comparable"], taken["comparable"]) == []


def test_a_library_without_the_symbol_is_an_old_driver(
    nvml: Path, look: Look, tmp_path: Path
) -> None:
    """The entry point itself is absent, as it is on a host that nobody renews."""
    content = (nvml / "libnvidia-ml.so.1").read_bytes()
    old, new = b"nvmlDeviceGetMemoryBusWidth\0", b"nvmlDeviceGetMemoryBusXXXXX\0"
    assert old in content
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "libnvidia-ml.so.1").write_bytes(content.replace(old, new))
    (taken,) = look(H100_SXM, library=folder)
    assert taken["comparable"]["memory_bus_bits"] is None
    assert taken["missing"]["memory_bus_bits"] == "the driver: Function Not Found"
    assert taken["comparable"]["sm_count"] == 132


def test_a_host_without_the_library_has_no_gpu(look: Look, tmp_path: Path) -> None:
    """Most hosts of a first `make smoke` have no NVIDIA driver."""
    assert look(None, library=tmp_path) == []
    (taken,) = look(None, "GPU-1", library=tmp_path)
    assert "cannot be opened" in taken["missing"]["gpu"]


def test_a_cpu_is_told_by_what_decides_its_scores() -> None:
    """Two hosts with other cores, or a container that gets one of them, are other classes."""
    taken = take_fingerprint(subject_of())
    names = {"cpu", "cores", "isa", "memory_gib"}
    assert set(taken.comparable) == names | {"profile", "image", "attention_kernels"}
    assert all(taken.comparable[name] for name in names - {"cpu"})
    assert taken.conditions["kernel"]
    fewer = take_fingerprint(subject_of(cpus=0.5))
    assert describe_differences(taken.comparable, fewer.comparable) == [
        f"number of cores was {taken.comparable['cores']:g}, now 0.5"
    ]
    assert set(taken.missing) >= {n for n, value in taken.conditions.items() if value is None}


def test_a_reading_costs_milliseconds() -> None:
    """It is taken twice an experiment, and the controller has one second for everything."""
    take_fingerprint(subject_of())
    began = time.monotonic()
    for _ in range(10):
        take_fingerprint(subject_of())
    assert (time.monotonic() - began) / 10 < 0.02


def test_nothing_that_names_a_host_or_a_card_is_written(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundles are published; a serial number or a user's name in one cannot be taken back."""
    monkeypatch.setattr("socket.gethostname", lambda: "annas-workstation")
    texts = [repr(subject_of()), repr(take_fingerprint(subject_of()))]
    texts += [json.dumps(look(machine)) for machine in MACHINES.values()]
    written = "\n".join(texts)
    planted = ["annas-workstation", SALT.hex(), repr(SALT)]
    for machine in MACHINES.values():
        for card in machine.cards:
            planted += [card.uuid, card.uuid[4:], *(i.uuid for i in card.instances.values())]
            planted += [card.texts.get("serial", card.uuid)]
    assert not [name for name in planted if name in written]
    taken = json.dumps(dataclasses.asdict(take_fingerprint(subject_of())))
    assert str(CHECKOUT) not in taken + "\n".join(texts[2:])


def test_hashes_know_a_card_again_within_one_lab_only(look: Look) -> None:
    """Two labs that publish must not show that they share a card, or whose it is."""
    here = take_fingerprint(subject_of()).private
    again = take_fingerprint(subject_of()).private
    elsewhere = take_fingerprint(subject_of(salt=b"another" * 5)).private
    assert here == again
    assert not set(here.values()) & set(elsewhere.values())
    assert len(set(here.values())) == len(here) == 2


def test_the_salt_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    """With the salt the hashes could be undone by trying every serial number."""
    state = tmp_path / "state"
    salt = read_salt(state)
    assert len(salt) == 32
    assert read_salt(state) == salt != read_salt(tmp_path / "other")
    assert [path.name for path in state.iterdir()] == ["salt"]
    (state / "salt").chmod(0o644)
    read_salt(state)
    assert (state / "salt").stat().st_mode & 0o777 == 0o600


def test_a_torn_salt_is_said_and_not_used(tmp_path: Path) -> None:
    """An empty salt would publish what it should hide."""
    (tmp_path / "salt").write_bytes(b"")
    with pytest.raises(LabError, match="salt") as caught:
        read_salt(tmp_path)
    assert "delete it" in caught.value.do


@pytest.mark.parametrize(
    ("version", "escapes"),
    [
        ("1.13.5", ("CVE-2024-0132", "CVE-2025-23359", "CVE-2025-23266")),
        ("1.16.1", ("CVE-2024-0132", "CVE-2025-23359", "CVE-2025-23266")),
        ("1.16.2", ("CVE-2025-23359", "CVE-2025-23266")),
        ("1.17.4", ("CVE-2025-23266",)),
        ("1.17.7", ("CVE-2025-23266",)),
        ("1.17.8", ()),
        ("1.18.0-rc.1", ()),
        ("2.0.0", ()),
        ("unknown", ()),
    ],
)
def test_a_toolkit_with_known_escapes_is_named(version: str, escapes: tuple[str, ...]) -> None:
    """A train.py that leaves its container owns the host."""
    assert known_escapes(version) == escapes


@pytest.mark.parametrize(
    ("output", "version"),
    [
        (
            "NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80a9b9d0db00d9b1d73\n",
            "1.17.8",
        ),
        (
            "NVIDIA Container Runtime version 1.11.0\ncommit: d9de4a0\nrunc version 1.1.5\n",
            "1.11.0",
        ),
        ("NVIDIA Container Toolkit CLI version 1.18.0-rc.2\n", "1.18.0-rc.2"),
        ("cli-version: 1.13.5\nlib-version: 1.13.5\n", "1.13.5"),
        ("usage: nvidia-ctk\n", None),
    ],
)
def test_the_toolkit_says_its_version_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch, output: str, version: str | None
) -> None:
    """Each of its programs prints another line."""
    monkeypatch.setattr(toolkit_module.shutil, "which", lambda name: f"/usr/bin/{name}")

    def run(command: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, output, "")

    if version is not None:
        assert toolkit_version(run) == version
        return
    with pytest.raises(Unreadable, match="do not say"):
        toolkit_version(run)


def test_both_versions_of_control_groups_are_known(tmp_path: Path) -> None:
    """Limits are kept by different files, and one host's peak memory is not another's."""
    with pytest.raises(Unreadable):
        cgroup_version(tmp_path)
    (tmp_path / "fs/cgroup/memory").mkdir(parents=True)
    assert cgroup_version(tmp_path) == 1
    (tmp_path / "fs/cgroup/cgroup.controllers").touch()
    assert cgroup_version(tmp_path) == 2


def test_torch_counts_the_multiprocessors_that_the_driver_does_not(look: Look) -> None:
    """A generation that is newer than this code still has its class."""
    future = H100_SXM.having(compute_major=19)
    (taken,) = look(future)
    assert taken["comparable"]["sm_count"] is None
    assert "not known here" in taken["missing"]["sm_count"]
    code = CODE.replace("salt=", "software={'torch_sm_count': 132}, salt=")
    (taken,) = look(future, code=code)
    assert taken["comparable"]["sm_count"] == 132
    assert "sm_count" not in taken["missing"]
    (taken,) = look(H100_SXM, code=code.replace("132", "7"))
    assert taken["comparable"]["sm_count"] == 132  # where the driver counts, nobody else is asked


@pytest.mark.parametrize(
    ("name", "form_factor"),
    [
        ("NVIDIA A100-SXM4-80GB", "sxm"),
        ("NVIDIA A100-PCIE-40GB", "pcie"),
        ("NVIDIA H100 NVL", "nvl"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", "mobile"),
        ("NVIDIA L40S", None),
    ],
)
def test_a_form_factor_is_told_or_missing(look: Look, name: str, form_factor: str | None) -> None:
    """A module runs at twice the power of its card; a guess would be worse than nothing."""
    card = dataclasses.replace(RTX_3080.cards[0], name=name)
    (taken,) = look(Machine(cards=(card,)))
    assert taken["comparable"]["form_factor"] == form_factor
    assert (taken["missing"].get("form_factor") is not None) is (form_factor is None)


def test_equal_readings_have_one_id_whatever_their_order() -> None:
    """The id is compared between hosts that never met."""
    taken = take_fingerprint(subject_of())
    from lab.fingerprint.taking import class_id_of

    assert class_id_of(dict(reversed(taken.comparable.items()))) == taken.class_id
    assert isinstance(taken, Fingerprint)
