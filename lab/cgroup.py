"""The memory of a container, as the kernel counts it; the engine's own statistics take up to a second to answer."""

from __future__ import annotations

from pathlib import Path


def read_peak_memory(
    pid: int, *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Peak memory of a process's cgroup, v1 or v2, in bytes; None where the kernel hides it."""
    return _read_memory(pid, "memory.peak", "memory.max_usage_in_bytes", proc, cgroups)


def read_memory(
    pid: int, *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Memory that a process's cgroup uses now, in bytes, the page cache of its files included."""
    return _read_memory(pid, "memory.current", "memory.usage_in_bytes", proc, cgroups)


def _read_memory(pid: int, v2: str, v1: str, proc: Path, cgroups: Path) -> int | None:
    try:
        for line in (proc / str(pid) / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                file = cgroups / path.lstrip("/") / v2
            elif "memory" in controllers.split(","):
                file = cgroups / "memory" / path.lstrip("/") / v1
            else:
                continue
            if file.exists():
                return int(file.read_text())
    except (OSError, ValueError):
        return None
    return None
