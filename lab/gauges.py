"""What a Linux host tells of itself from one second to the next.

Owns    which files of /proc and /sys are read, and what each number in them means
Takes   the two folders, and the id of a container's first process once there is one
Gives   gauges: functions that read one number now
Never   waits, and never makes a number up: a gauge without an answer says why

Files, and no library: psutil knows neither the pressure, nor the energy meter, nor a container's memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab.cgroup import read_memory
from lab.fingerprint import Unreadable

Gauge = Callable[[], float]

PROC = Path("/proc")
SYS = Path("/sys")
NOT_RUNNING = "its container did not run"
# Reading a core's clock may interrupt that core, and a host may have hundreds.
MOST_CORES = 8
CPUINFO_BYTES = 16 * 1024
_PRESSURE = re.compile(r"some [^\n]*\btotal=(\d+)")


def host_gauges(pid: Callable[[], int | None], *, proc: Path, sys: Path) -> dict[str, Gauge]:
    """The gauges of a host and of one container on it; `pid` is None while that does not run.

    Each raises Unreadable where this host does not tell.
    """
    return {
        "load_1min": lambda: os.getloadavg()[0],
        "cpu_mhz": partial(_cpu_mhz, proc, sys),
        "host_memory_used_bytes": partial(_memory_used, proc),
        "container_memory_bytes": partial(_container_memory, pid, proc, sys),
        "cpu_energy_j": Rapl(sys).read,
        "cpu_stalled_s": partial(_stalled_s, proc, "cpu"),
        "memory_stalled_s": partial(_stalled_s, proc, "memory"),
        "io_stalled_s": partial(_stalled_s, proc, "io"),
    }


class Rapl:
    """The processors' energy in joules since the first reading: all packages together, whoever used them.

    The counters are the kernel's powercap zones, which most distributions let only root read; AMD's processors
    have them under Intel's name. Each starts again at its own maximum, which takes minutes to hours.
    """

    def __init__(self, sys: Path) -> None:
        zones = sorted((sys / "class" / "powercap").glob("intel-rapl:*"))
        self._zones = [zone for zone in zones if _is_package(zone)]
        self._last: list[int] | None = None
        self._total_uj = 0

    def read(self) -> float:
        if not self._zones:
            raise Unreadable("this host shows no energy meter of its processor (RAPL)")
        now = [_number(zone / "energy_uj") for zone in self._zones]
        self._total_uj += sum(
            count - last + (_number(zone / "max_energy_range_uj") if count < last else 0)
            for zone, last, count in zip(self._zones, self._last or now, now, strict=True)
        )
        self._last = now
        return self._total_uj / 1e6


def _is_package(zone: Path) -> bool:
    """Whether a zone is a whole processor: its cores and its memory's controller are zones within it."""
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False


def _cpu_mhz(proc: Path, sys: Path) -> float:
    """The mean clock of some cores that we may use, spread over all of them."""
    cores = sorted(os.sched_getaffinity(0))
    chosen = cores[:: -(-len(cores) // MOST_CORES)]
    files = [sys / f"devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq" for core in chosen]
    if files[0].exists():
        clocks = [_number(file) / 1000 for file in files]
    else:  # a virtual machine: what the hypervisor says, of the first cores
        lines = _read(proc / "cpuinfo", CPUINFO_BYTES).splitlines()[:-1]
        fields = (line.partition(":") for line in lines if line.startswith("cpu MHz"))
        clocks = [float(value) for _, _, value in fields]
    if not any(clocks):
        raise Unreadable("this kernel does not tell the clock of its cores")
    return sum(clocks) / len(clocks)


def _memory_used(proc: Path) -> float:
    """What is not available to a new program without swapping, in bytes."""
    lines = _read(proc / "meminfo").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    try:
        total, free = (int(fields[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
    except (KeyError, ValueError, IndexError) as error:
        raise Unreadable(f"{proc}/meminfo has no {error}") from error
    return (total - free) * 1024


def _container_memory(pid: Callable[[], int | None], proc: Path, sys: Path) -> float:
    process = pid()
    if not process:
        raise Unreadable(NOT_RUNNING)
    used = read_memory(process, proc=proc, cgroups=sys / "fs" / "cgroup")
    if used is None:
        running = (proc / str(process)).exists()
        raise Unreadable("the kernel hides its cgroup" if running else NOT_RUNNING)
    return used


def _stalled_s(proc: Path, what: str) -> float:
    """Seconds since the host's start in which at least one task waited for this (PSI, "some")."""
    # some avg10=0.00 avg60=0.00 avg300=0.00 total=12345, in microseconds; the line of "full" comes after it
    found = _PRESSURE.match(_read(proc / "pressure" / what))
    if found is None:
        raise Unreadable(f"{proc}/pressure/{what} is not as expected")
    return int(found[1]) / 1e6


def _number(path: Path) -> int:
    try:
        return int(_read(path))
    except ValueError as error:
        raise Unreadable(f"{path} is no number") from error


def _read(path: Path, most: int = -1) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(most)
    except OSError as error:  # some kernels have the file and refuse to be read
        raise Unreadable(f"{path}: {error.strerror}") from error
