"""What the kernel says of a container, read from trees that look like a host's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cgroup import read_memory, read_peak_memory

PEAK = 358_338_560


@pytest.mark.parametrize(
    ("listing", "file"),
    [
        pytest.param("0::/docker/abc\n", "docker/abc/memory.peak", id="v2"),
        pytest.param(
            "9:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n",
            "memory/docker/abc/memory.max_usage_in_bytes",
            id="v1",
        ),
        pytest.param(
            "0::/system.slice/docker-abc.scope\n",
            "system.slice/docker-abc.scope/memory.peak",
            id="systemd",
        ),
    ],
)
def test_peak_memory_is_read_from_either_kind_of_cgroup(
    tmp_path: Path, listing: str, file: str
) -> None:
    """It stands in every record; half of all hosts have one kind, half the other."""
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "proc" / "7" / "cgroup").write_text(listing)
    peak = tmp_path / "cgroup" / file
    peak.parent.mkdir(parents=True)
    peak.write_text(f"{PEAK}\n")
    now = {"memory.peak": "memory.current"}.get(peak.name, "memory.usage_in_bytes")
    (peak.parent / now).write_text("4096\n")
    places = {"proc": tmp_path / "proc", "cgroups": tmp_path / "cgroup"}
    assert (read_peak_memory(7, **places), read_memory(7, **places)) == (PEAK, 4096)


def test_memory_that_nobody_tells_is_none(tmp_path: Path) -> None:
    """An older kernel or an ended process gives an absence, never a zero."""
    assert read_peak_memory(7, proc=tmp_path, cgroups=tmp_path) is None
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("0::/docker/abc\n")
    assert read_peak_memory(7, proc=tmp_path, cgroups=tmp_path) is None
