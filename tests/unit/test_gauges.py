"""What a host tells of itself: each number where it stands, and a reason where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.fingerprint import Unreadable
from lab.gauges import MOST_CORES, NOT_RUNNING, PROC, SYS, Rapl, host_gauges


class Host:
    """A /proc and a /sys that a test writes, and the gauges that read them."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.sys = folder / "proc", folder / "sys"
        self.pid: int | None = None
        for place in (self.proc, self.sys):
            place.mkdir()

    def write(self, path: Path, text: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def zone(self, name: str, title: str, energy_uj: int, most_uj: int = 10**9) -> Path:
        """One energy meter."""
        zone = self.sys / "class" / "powercap" / name
        self.write(zone / "name", title)
        self.write(zone / "energy_uj", energy_uj)
        self.write(zone / "max_energy_range_uj", most_uj)
        return zone

    def read(self, name: str) -> float:
        return host_gauges(lambda: self.pid, proc=self.proc, sys=self.sys)[name]()

    def why_not(self, name: str) -> str:
        with pytest.raises(Unreadable) as caught:
            self.read(name)
        return str(caught.value)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_every_gauge_of_this_host_answers_or_says_why() -> None:
    """Whatever the kernel, a night must not end over a file in /proc."""
    answers, reasons = {}, []
    for name, gauge in host_gauges(os.getpid, proc=PROC, sys=SYS).items():
        try:
            answers[name] = gauge()
        except Unreadable as error:
            reasons.append(str(error))
    assert all(reasons)
    assert answers["host_memory_used_bytes"] > 2**20
    assert answers["load_1min"] >= 0.0


def test_on_a_kernel_that_tells_nothing_each_gauge_has_its_reason(host: Host) -> None:
    """A container's /proc, an old kernel, a hardened host: absence is told, and is never a zero."""
    assert host.why_not("cpu_stalled_s") == f"{host.proc}/pressure/cpu: No such file or directory"
    assert "cpuinfo" in host.why_not("cpu_mhz")
    assert "meminfo" in host.why_not("host_memory_used_bytes")
    assert "RAPL" in host.why_not("cpu_energy_j")
    assert host.why_not("container_memory_bytes") == NOT_RUNNING


def test_pressure_is_the_time_that_some_task_waited(host: Host) -> None:
    """The averages beside it are of ten seconds and more; only the total can be cut at the gate's opening."""
    host.write(
        host.proc / "pressure" / "io",
        "some avg10=5.07 avg60=0.92 avg300=0.62 total=289411918\n"
        "full avg10=1.08 avg60=0.20 avg300=0.44 total=168892995",
    )
    assert host.read("io_stalled_s") == pytest.approx(289.411918)
    host.write(host.proc / "pressure" / "cpu", "")
    assert "not as expected" in host.why_not("cpu_stalled_s")


def test_memory_that_could_be_had_is_not_in_use(host: Host) -> None:
    """Most of a long-running host's memory is a cache of files, and means nothing."""
    host.write(host.proc / "meminfo", "MemTotal: 8000 kB\nMemFree: 100 kB\nMemAvailable: 6000 kB")
    assert host.read("host_memory_used_bytes") == 2000 * 1024
    host.write(host.proc / "meminfo", "MemTotal: 8000 kB")
    assert "MemAvailable" in host.why_not("host_memory_used_bytes")


def test_a_virtual_machine_has_the_clock_that_its_hypervisor_tells(host: Host) -> None:
    """It has no cpufreq; and some tell a zero, which is none."""
    host.write(
        host.proc / "cpuinfo", "cpu MHz\t\t: 2500.5\ncache size: 1\ncpu MHz\t\t: 2501.5\nend"
    )
    assert host.read("cpu_mhz") == pytest.approx(2501.0)
    host.write(host.proc / "cpuinfo", "cpu MHz\t\t: 0.000\nend")
    assert "does not tell" in host.why_not("cpu_mhz")


@pytest.mark.parametrize("cores", [1, 8, 9, 256])
def test_a_host_of_many_cores_is_asked_about_a_few(
    host: Host, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """Each reading may interrupt a core; hundreds a second would be felt by what trains."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    asked = []
    for core in range(cores):
        file = host.sys / f"devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
        host.write(file, 3_000_000)
    original = Path.open

    def counted(path: Path, *arguments: object, **more: object) -> object:
        asked.append(path)
        return original(path, *arguments, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", counted)
    assert host.read("cpu_mhz") == pytest.approx(3000.0)
    assert min(cores, 4) <= len(asked) <= MOST_CORES


def test_energy_is_of_whole_processors_since_the_first_reading(host: Host) -> None:
    """Cores and memory are zones within a package: adding them would count them twice."""
    first = host.zone("intel-rapl:0", "package-0", 5_000_000)
    second = host.zone("intel-rapl:1", "package-1", 7_000_000)
    host.zone("intel-rapl:0:0", "core", 1)
    host.zone("intel-rapl:2", "psys", 1)
    meter = Rapl(host.sys)
    assert meter.read() == 0.0
    host.write(first / "energy_uj", 6_000_000)
    host.write(second / "energy_uj", 9_500_000)
    assert meter.read() == pytest.approx(3.5)


def test_a_counter_that_starts_again_loses_no_energy(host: Host) -> None:
    """It does so every few minutes on a large host under load, which would look like a huge saving."""
    zone = host.zone("intel-rapl:0", "package-0", 999_000_000)
    meter = Rapl(host.sys)
    meter.read()
    host.write(zone / "energy_uj", 2_000_000)
    assert meter.read() == pytest.approx(3.0)


def test_a_meter_that_only_root_may_read_says_so(host: Host) -> None:
    """So it is on most distributions. (Root itself is refused nothing: here it is a folder instead.)"""
    zone = host.zone("intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").unlink()
    (zone / "energy_uj").mkdir()
    assert f"{zone}/energy_uj: " in host.why_not("cpu_energy_j")


def test_a_containers_memory_is_read_from_its_cgroup(host: Host) -> None:
    """And a container that has ended is not one whose memory is hidden."""
    host.pid = 7
    assert host.why_not("container_memory_bytes") == NOT_RUNNING
    host.write(host.proc / "7" / "cgroup", "0::/system.slice/docker-abc.scope")
    assert host.why_not("container_memory_bytes") == "the kernel hides its cgroup"
    current = host.sys / "fs/cgroup/system.slice/docker-abc.scope/memory.current"
    host.write(current, 358_338_560)
    assert host.read("container_memory_bytes") == 358_338_560
