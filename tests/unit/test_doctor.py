"""`make doctor`: exit code 0 only when the main job can run, and a remedy wherever it cannot."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

from lab import doctor
from lab.doctor import Check, State, draw, examine, exit_code
from lab.fingerprint import Gpu, Unreadable
from lab.host import Host
from lab.settings import Settings, read_settings


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def a_host(*, root: tuple[str, ...] | None = ()) -> Host:
    return Host(
        distribution="debian",
        codename="bookworm",
        has_apt=True,
        become_root=root,
        has_systemd=False,
        run=lambda command: subprocess.CompletedProcess(list(command), 1, "", ""),
    )


def a_gpu(*processes: int) -> Gpu:
    return Gpu(
        uuid="GPU-1",
        name="NVIDIA H100",
        memory_bytes=80 * 2**30,
        driver="580.95.05",
        processes=processes,
    )


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings on a host with git, disk, and nothing else: no engine, no GPU, no data."""
    monkeypatch.setattr(doctor, "find_engine", lambda _: None)
    monkeypatch.setattr(doctor, "default_sockets", list)
    monkeypatch.setattr(doctor, "list_gpus", list)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**40))
    return read_settings({}, runs=tmp_path / "runs", data=tmp_path / "data", state=tmp_path / "s")


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_what_make_overnight_sets_up_by_itself_is_not_a_failure(bare: Settings) -> None:
    """On a fresh Debian machine the doctor must not send anybody away."""
    checks = examine(bare, host=a_host())
    found = {check.name: check.state for check in checks if check.state is not State.OK}
    assert found == {
        "container engine": State.WILL,
        "frozen image": State.WILL,
        "data": State.WILL,
    }
    assert exit_code(checks) == 0


@pytest.mark.parametrize(
    ("change", "settings", "host", "failing"),
    [
        pytest.param(None, {}, a_host(root=None), "container engine", id="no-engine-no-root"),
        pytest.param(
            None, {"install_engine": "0"}, a_host(), "container engine", id="install-forbidden"
        ),
        pytest.param(
            None,
            {"docker_host": "unix:///nowhere"},
            a_host(),
            "container engine",
            id="docker-host-silent",
        ),
        pytest.param(
            None, {"profile": "gpu"}, a_host(), "NVIDIA driver", id="gpu-asked-none-there"
        ),
        pytest.param(
            lambda patch: patch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**30)),
            {},
            a_host(),
            "free disk",
            id="disk-full",
        ),
        pytest.param(
            lambda patch: patch.setattr(shutil, "which", lambda _: None),
            {},
            a_host(),
            "git",
            id="no-git",
        ),
        pytest.param(
            lambda patch: patch.setattr(doctor, "list_gpus", lambda: [a_gpu(41), a_gpu(42)]),
            {},
            a_host(),
            "GPU 0",
            id="every-gpu-in-use",
        ),
        pytest.param(
            lambda patch: (
                patch.setattr(doctor, "list_gpus", lambda: [a_gpu()]),
                patch.setattr(shutil, "which", lambda name: "/git" if name == "git" else None),
            ),
            {},
            a_host(),
            "container toolkit",
            id="gpu-without-toolkit",
        ),
        pytest.param(None, {"agent": "scripted"}, a_host(), "agent", id="scripted-without-script"),
    ],
)
def test_whatever_stops_a_night_is_a_failure_with_a_remedy(
    bare: Settings,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], object] | None,
    settings: dict[str, str],
    host: Host,
    failing: str,
) -> None:
    """A green doctor and a night that ends at once would be the worst of both."""
    if change:
        change(monkeypatch)
    given = bare.model_dump(exclude_defaults=True) | settings
    checks = examine(read_settings({}, **given), host=host)
    check = by_name(checks)[failing]
    assert check.state is State.FAIL
    assert check.remedy
    assert exit_code(checks) == 1


def test_one_free_gpu_is_enough_and_the_users_of_the_other_are_named(
    bare: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared card took a score from 1.095 to 1.258; the lab takes the free one."""
    monkeypatch.setattr(doctor, "list_gpus", lambda: [a_gpu(4711), a_gpu()])
    checks = examine(bare, host=a_host())
    assert exit_code(checks) == 0
    assert by_name(checks)["GPU 0"].state is State.WARN
    assert "4711" in by_name(checks)["GPU 0"].detail
    assert by_name(checks)["GPU 1"].state is State.OK


@pytest.mark.parametrize(
    ("version", "state", "detail"),
    [
        ("1.17.8", State.OK, "1.17.8"),
        ("1.17.3", State.WARN, "1.17.3 lets a container out onto the host: CVE-2025-23359"),
        (None, State.WARN, "installed, but its programs do not say their version"),
    ],
)
def test_a_toolkit_that_lets_containers_out_is_said_and_stops_nothing(
    bare: Settings,
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
    state: State,
    detail: str,
) -> None:
    """Every train.py is code that nobody has read; but the host is its owner's to risk."""

    def said() -> str:
        if version is None:
            raise Unreadable("its programs do not say their version")
        return version

    monkeypatch.setattr(doctor, "list_gpus", lambda: [a_gpu()])
    monkeypatch.setattr(doctor, "toolkit_programs", lambda: ["/usr/bin/nvidia-ctk"])
    monkeypatch.setattr(doctor, "toolkit_version", said)
    checks = examine(bare, host=a_host())
    assert by_name(checks)["container toolkit"].state is state
    assert detail in by_name(checks)["container toolkit"].detail
    assert exit_code(checks) == 0


def test_data_with_a_file_cut_short_is_not_complete(bare: Settings) -> None:
    """A power failure during `make data` leaves exactly this."""
    folder = bare.data / "cpu"
    folder.mkdir(parents=True)
    (folder / "tokens.npy").write_bytes(b"12345")
    manifest = {
        "files": {"tokens.npy": {"bytes": 5, "sha256": ""}},
        "request": {"code": {}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert by_name(examine(bare, host=a_host()))["data"].state is State.OK
    (folder / "tokens.npy").write_bytes(b"123")
    assert by_name(examine(bare, host=a_host()))["data"].state is State.WILL


def test_the_table_shows_every_check_and_each_remedy_that_is_needed() -> None:
    """A remedy that nobody sees is none; one for something that works is noise."""
    checks = [
        Check(name="engine", state=State.OK, detail="answers", remedy="never shown"),
        Check(name="disk", state=State.FAIL, detail="full", remedy="free some"),
    ]
    screen = io.StringIO()
    Console(file=screen, width=100).print(draw(checks))
    text = screen.getvalue()
    assert "answers" in text
    assert "stops the night" in text
    assert "free some" in text
    assert "never shown" not in text
