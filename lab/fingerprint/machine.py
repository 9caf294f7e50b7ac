"""The processor, the memory and the kernel, read from /proc and /sys.

Owns    what of a host decides how fast and how exactly a CPU computes
Takes   /proc and /sys
Gives   Readings
Never   reads the whole of /proc/cpuinfo: on a large host that takes longer than all the rest
"""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

from lab.fingerprint.readings import Readings, Unreadable

PROC = Path("/proc")
SYS = Path("/sys")

# What makes a matrix product faster, the fastest first; the first that a processor has is its level.
ISA_LEVELS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx", "asimd")


def read_processor(cpus: float | None) -> Readings:
    """What must match where the CPU computes. `cpus` is what a container gets; None is every core."""
    readings = Readings()
    readings.take("cpu", cpu_name)
    readings.take("cores", lambda: cpus or float(len(os.sched_getaffinity(0))))
    readings.take("isa", cpu_isa)
    # Whole GiB: another kernel keeps a few MB more for itself, and is no other machine.
    readings.take("memory_gib", lambda: round(_memory_bytes() / 2**30))
    return readings


def read_host() -> Readings:
    """What is shown of any host, whatever computes."""
    readings = Readings()
    readings.take("kernel", platform.release)
    readings.take("cgroup_version", cgroup_version)
    readings.take("host_cpu", cpu_name)
    readings.take("host_cores", os.cpu_count)
    readings.take("host_memory_bytes", _memory_bytes)
    readings.take("memory_available_bytes", _available_bytes)
    readings.take("numa_nodes", _numa_nodes)
    readings.take("virtual_machine", lambda: "hypervisor" in _flags())
    readings.take("cpu_governor", _governor)
    readings.take("load_1min", lambda: round(os.getloadavg()[0], 2))
    return readings


@functools.cache
def cpu_name() -> str | None:
    """The processor's own name, as Linux gives it."""
    return _cpuinfo("model name") or platform.processor() or None


@functools.cache
def cpu_isa() -> str | None:
    """The widest vector instructions that matter to a matrix product."""
    flags = _flags()
    return next((name for name in ISA_LEVELS if name in flags), platform.machine() or None)


def cgroup_version(sys: Path = SYS) -> int:
    """2 where one hierarchy has every controller, else 1.

    Raises:
        Unreadable: no hierarchy is mounted here.
    """
    root = sys / "fs" / "cgroup"
    if (root / "cgroup.controllers").exists():
        return 2
    if not root.is_dir() or not any(root.iterdir()):
        raise Unreadable("no control groups are mounted here")
    return 1


@functools.cache
def _flags() -> frozenset[str]:
    return frozenset((_cpuinfo("flags") or _cpuinfo("Features") or "").split())


def _cpuinfo(key: str) -> str | None:
    """A value of the first processor; the kernel writes the others as they are read."""
    try:
        with (PROC / "cpuinfo").open() as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip() or None
                if not line.strip():
                    break
    except OSError:
        return None
    return None


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _available_bytes() -> int | None:
    for line in (PROC / "meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _numa_nodes() -> int | None:
    folders = (SYS / "devices/system/node").glob("node*")
    return sum(path.name[4:].isdigit() for path in folders) or None


def _governor() -> str | None:
    path = SYS / "devices/system/cpu/cpu0/cpufreq/scaling_governor"
    if not path.exists():
        raise Unreadable("the host does not let its guests see the clock")
    return path.read_text().strip() or None
