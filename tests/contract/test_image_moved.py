"""Images between hosts, with the real engine and images of a few kilobytes that hold this checkout's harness."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.manifest import frozen_files, manifest_bytes, manifest_sha256
from lab.container import Engine
from lab.errors import BadInput, ImageError
from lab.image import Image, export_image, export_oci, find_image, import_image
from lab.image.build import labels_of
from lab.image.canonical import make_canonical
from lab.image.found import ENGINE_ERRORS, HARNESS, inputs_of
from lab.image.prune import remove_images
from lab.image.twice import layer_differences
from lab.settings import read_settings
from lab.setup import connect

TAG = f"nightlab-test:{os.getpid()}"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine; no image is needed here but those that the tests build."""
    with connect(read_settings(os.environ), print) as engine:
        yield engine


@pytest.fixture
def built(engine: Engine) -> Iterator[Image]:
    """A tiny image that passes for the frozen one of a GPU host; gone afterwards."""
    image = build(engine)
    yield image
    forget(engine, image.id)


def build(engine: Engine, extra: dict[str, bytes] | None = None) -> Image:
    """Build an image of the harness and nothing else, and give it its canonical id."""
    top = "root/opt/nightlab"
    files = {
        f"{top}/harness/{file.relative_to(HARNESS).as_posix()}": file.read_bytes()
        for file in frozen_files(HARNESS)
    }
    files |= {f"{top}/harness-manifest.json": manifest_bytes(HARNESS)} | (extra or {})
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for folder in ("root", "root/opt", top, f"{top}/harness"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, content in {"Dockerfile": b"FROM scratch\nCOPY root /\n", **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o444
            tar.addfile(entry, io.BytesIO(content))
    context.seek(0)
    raw = f"{TAG}-raw"
    lines = list(
        engine.client.api.build(
            fileobj=context, custom_context=True, tag=raw, rm=True, nocache=True, decode=True
        )
    )
    assert not [line for line in lines if "error" in line]
    image = Image(
        id="",
        variant="cuda",
        target="frozen",
        harness_sha256=manifest_sha256(HARNESS),
        kernels="none",
        base="mmdebstrap:none",
        lock="cuda.lock",
        inputs="",
    )
    image = replace(image, inputs=inputs_of(image))
    image_id = make_canonical(engine, raw, labels_of(image), TAG)
    assert image_id is not None
    engine.client.api.remove_image(raw)
    return replace(image, id=image_id)


def forget(engine: Engine, image_id: str) -> None:
    with contextlib.suppress(*ENGINE_ERRORS):
        engine.client.api.remove_image(image_id, force=True)


def has(engine: Engine, image_id: str) -> bool:
    listed: list[dict[str, Any]] = engine.client.api.images()
    return image_id in {entry["Id"] for entry in listed}


def test_an_image_comes_back_under_the_same_id_and_is_found(
    engine: Engine, built: Image, tmp_path: Path
) -> None:
    """The id is what a ledger names: another id would be another class, and no score comparable."""
    file = tmp_path / "image.tar"
    export_image(engine, built.id, file)
    forget(engine, built.id)
    settings = read_settings({}, kernels="none")
    assert find_image(engine, settings, "cuda", "frozen") is None
    assert import_image(engine, file) == built
    assert find_image(engine, settings, "cuda", "frozen") == built
    assert import_image(engine, file) == built, "a second import changes nothing"


def test_two_exports_are_the_same_bytes_and_leave_nothing_beside_them(
    engine: Engine, built: Image, tmp_path: Path
) -> None:
    """A bundle that holds an image must be the same bundle tomorrow."""
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    export_image(engine, built.id, first)
    export_image(engine, built.id, second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]
    with tarfile.open(first) as tar:
        entries = tar.getmembers()
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(entry.mtime, entry.uid, entry.uname) for entry in entries} == {(0, 0, "")}
    with pytest.raises(BadInput, match="cannot be written"):
        export_image(engine, built.id, first)


def test_a_folder_is_imported_as_a_tar_is(engine: Engine, built: Image, tmp_path: Path) -> None:
    """A bundle holds the image as a folder."""
    export_oci(engine, built.id, tmp_path / "layout")
    forget(engine, built.id)
    assert import_image(engine, tmp_path / "layout") == built


def test_an_image_with_another_harness_does_not_stay(engine: Engine, tmp_path: Path) -> None:
    """Its labels are right and its digests too: only the files tell, and then it must not lie around."""
    file = tmp_path / "image.tar"
    altered = build(engine, {"root/opt/nightlab/harness/judge.py": b"score = 0\n"})
    export_image(engine, altered.id, file)
    forget(engine, altered.id)
    with pytest.raises(ImageError) as caught:
        import_image(engine, file)
    assert "judge.py" in caught.value.why
    assert not has(engine, altered.id)


def test_an_export_that_fails_leaves_no_file(engine: Engine, tmp_path: Path) -> None:
    """Half an image under the right name would be sent to somebody."""
    with pytest.raises(ImageError, match="there is no image"):
        export_image(engine, "sha256:" + "0" * 64, tmp_path / "image.tar")
    assert list(tmp_path.iterdir()) == []


def test_the_id_does_not_depend_on_when_it_was_built(engine: Engine) -> None:
    """A builder's clock in the config would make every build another image."""
    ids = [build(engine).id for _ in range(2)]
    for image_id in ids:
        forget(engine, image_id)
    assert ids[0] == ids[1]


def test_differing_layers_are_told_apart_file_by_file(tmp_path: Path) -> None:
    """What `--twice` prints is what somebody has to go and fix."""
    layers = []
    for name, mtime, content in (("one", 1, b"a"), ("two", 2, b"b")):
        layers.append(tmp_path / name)
        with tarfile.open(layers[-1], "w") as tar:
            for path in ("same", "differs", name):
                entry = tarfile.TarInfo(path)
                entry.size = 1
                entry.mtime = mtime if path == "differs" else 0
                tar.addfile(entry, io.BytesIO(content if path == "differs" else b"s"))
    assert list(layer_differences(*layers)) == [
        "differs: mtime 1 and 2, content",
        "one: only in the first",
        "two: only in the second",
    ]


def test_an_image_that_a_container_uses_is_not_removed(engine: Engine, built: Image) -> None:
    """A container of a campaign that runs names its image by id; nothing may pull it away."""
    (entry,) = [entry for entry in engine.client.api.images() if entry["Id"] == built.id]
    user = engine.client.api.create_container(built.id, command=["x"])["Id"]
    try:
        assert remove_images(engine, [entry]) == []
        assert has(engine, built.id)
    finally:
        engine.client.api.remove_container(user)
    assert len(remove_images(engine, [entry])) == 1
    assert not has(engine, built.id)
