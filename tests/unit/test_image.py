"""The image's inputs, its wheels, and what its build says: everything that needs no engine."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from harness.manifest import manifest_bytes, manifest_sha256
from lab.errors import ImageError
from lab.image import Image, context, found, wheelhouse
from lab.image.base import SOURCE_DATE_EPOCH
from lab.image.build import _follow
from lab.image.context import local_kernels, write_context
from lab.image.found import IMAGES, inputs_of
from lab.image.pins import read_pins
from lab.image.wheelhouse import COMPLETE, choose_lock, download_wheels
from lab.settings import read_settings

LOCKED = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<version>\S+) \\$", re.MULTILINE | re.IGNORECASE)


def an_image(**changes: str) -> Image:
    facts = {
        "id": "sha256:1",
        "variant": "cpu",
        "target": "frozen",
        "harness_sha256": "",
        "kernels": "none",
        "base": "mmdebstrap:1",
        "lock": "cpu.lock",
        "inputs": "",
    }
    return Image(**(facts | changes))


@pytest.mark.parametrize("name", ["images/cpu.lock", "images/cuda.lock", "requirements/host.lock"])
def test_every_locked_package_has_a_hash_and_no_lock_names_an_index(name: str) -> None:
    """One line without a hash would let anything in; an index in a lock would bypass the user's own."""
    text = (IMAGES.parent / name).read_text()
    blocks = re.split(r"\n(?=\S)", text)[1:]
    assert len(blocks) > 40
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_both_variants_hold_the_same_versions_of_everything_but_torch() -> None:
    """A gain found on a CPU is only evidence for a GPU if the rest of the software is the same."""
    cpu, cuda = (
        {found["name"]: found["version"] for found in LOCKED.finditer((IMAGES / name).read_text())}
        for name in ("cpu.lock", "cuda.lock")
    )
    assert cpu.pop("torch") == "2.13.0+cpu"
    assert cuda.pop("torch") == "2.13.0"
    assert {name: cuda.get(name) for name in cpu} == cpu
    extra = {name.partition("-")[0] for name in cuda.keys() - cpu.keys()}
    assert extra == {"cuda", "nvidia", "triton"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"base": "mmdebstrap:2"}, id="base"),
        pytest.param({"kernels": "hub"}, id="kernels"),
        pytest.param({"lock": "cuda.lock"}, id="lock"),
    ],
)
def test_whatever_changes_what_is_inside_changes_theinputs_of(changes: dict[str, str]) -> None:
    """Two different images under one name would make two nights look comparable."""
    assert inputs_of(an_image(**changes)) != inputs_of(an_image())


def test_a_changed_harness_changes_theinputs_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge is in there: a lab that went on with yesterday's would score by other rules."""
    before = inputs_of(an_image())
    (tmp_path / "judge.py").write_text("score = 0\n")
    monkeypatch.setattr(found, "HARNESS", tmp_path)
    assert inputs_of(an_image()) != before


def test_the_manifest_sees_a_changed_byte_and_not_what_python_leaves_behind(tmp_path: Path) -> None:
    """Running the tests once must not make every image foreign."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.py").write_text("a = 1\n")
    before = manifest_sha256(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"bytecode")
    (tmp_path / ".a.py.swp").write_bytes(b"an editor's")
    assert manifest_sha256(tmp_path) == before
    assert b'"deep/a.py"' in manifest_bytes(tmp_path)
    (tmp_path / "deep" / "a.py").write_text("a = 2\n")
    assert manifest_sha256(tmp_path) != before


def test_the_context_carries_no_trace_of_the_host_and_is_the_same_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owners, times and stray files of one machine would make its image another image."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "b-1-py3-none-any.whl").write_bytes(b"b")
    (wheels / "a-1-py3-none-any.whl").write_bytes(b"a")
    (wheels / COMPLETE).write_bytes(b"")
    monkeypatch.setattr(context, "download_wheels", lambda *_: wheels)
    monkeypatch.setattr(context, "download_package", lambda *_: wheels / COMPLETE)
    settings = read_settings({}, state=tmp_path)

    def write() -> bytes:
        written = io.BytesIO()
        write_context(written, settings, IMAGES / "cpu.lock", "none", lambda _: None)
        return written.getvalue()

    first = write()
    (wheels / "a-1-py3-none-any.whl").touch()
    assert write() == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        entries = tar.getmembers()
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries} == {
        (0, 0, "", SOURCE_DATE_EPOCH)
    }
    names = [entry.name for entry in entries]
    assert {name.partition("/")[0] for name in names} == {
        "Dockerfile",
        "corpus",
        "harness",
        "kernels",
        "pins.toml",
        "wheels",
    }
    assert "harness/judge.py" in names
    assert not [name for name in names if name.endswith(".pyc")]


def test_where_pip_finds_no_cpu_build_of_torch_the_cuda_build_is_taken_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most indexes carry only the CUDA build; a stranger's first `make smoke` must not end there."""
    monkeypatch.setattr(
        wheelhouse, "_pip", lambda *_: "ERROR: No matching distribution found for torch==2.13.0+cpu"
    )
    said: list[str] = []
    settings = read_settings({}, state=tmp_path)
    assert choose_lock(settings, "cpu", said.append).name == "cuda.lock"
    assert "several GB larger" in said[-1]


def test_a_network_that_fails_is_not_taken_for_a_missing_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gigabytes of CUDA because of a dropped connection would be a poor remedy."""
    monkeypatch.setattr(wheelhouse, "_pip", lambda *_: "ERROR: connection reset")
    settings = read_settings({}, state=tmp_path)
    with pytest.raises(ImageError, match="could not be downloaded"):
        choose_lock(settings, "cpu", lambda _: None)


def test_a_wheel_with_another_hash_is_refused_by_pip_itself(tmp_path: Path) -> None:
    """The lock is the only reason to believe an index."""
    lock = tmp_path / "cpu.lock"
    real = (IMAGES / "cpu.lock").read_text()
    block = re.search(r"^iniconfig==.*?(?=^\S)", real, re.MULTILINE | re.DOTALL)
    assert block
    lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, block[0]))
    settings = read_settings({}, state=tmp_path / "state")
    with pytest.raises(ImageError, match="could not be downloaded"):
        download_wheels(settings, lock, lambda _: None)
    assert not list((tmp_path / "state").rglob(COMPLETE))


def test_each_kernel_is_found_where_the_image_has_it() -> None:
    """The `kernels` library looks here first; a name that is off by a letter would go to the network."""
    places = dict(entry.split("=") for entry in local_kernels("hub").split(":"))
    assert set(places) == {pin.repository for pin in read_pins().kernels}
    assert all(place.startswith("/opt/nightlab/kernels/") for place in places.values())
    assert local_kernels("none").count("=") == 1, "the library refuses an empty value"


def test_a_build_that_fails_says_what_failed_and_what_stood_before_it() -> None:
    """The engine's own message is only an exit code; the reason is the line above."""
    lines = [
        {"stream": "Step 1/2 : FROM scratch AS base\n"},
        {"stream": "E: Unable to locate package g++\n"},
        {"stream": " ---> Running in 123\n"},
        {"error": "The command returned a non-zero code: 100"},
    ]
    log, said = io.StringIO(), []
    failed = _follow(iter(lines), log, said.append)
    assert failed is not None
    assert "code: 100" in failed and "Unable to locate package" in failed
    assert "Unable to locate package" in log.getvalue()
    assert len(said) == 1
