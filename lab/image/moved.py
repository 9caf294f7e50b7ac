"""The frozen image between hosts, as an OCI image layout: a folder, or one tar.

Its id is the sha256 of its config, and the config names its layers by theirs. So an image that arrives is the one
that was sent if its id is, however it travelled; whether it is the one that was promised, only the id can tell.

Owns    taking an image out of the engine, and bringing one in
Takes   an image's id, or a layout that came from anywhere
Gives   a layout, the same bytes for the same image; or an Image that passed every check of this checkout
Never   holds a layer in memory, or leaves half a file under the final name
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import docker

from lab.container import LABEL, Engine
from lab.errors import BadInput, ImageError
from lab.image.check import verify_image
from lab.image.found import ENGINE_ERRORS, Image, engine_failed, image_of, inputs_of, tag_of
from lab.image.layout import (
    BLOBS,
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    VERSION,
    Contents,
    as_json,
    files_of_folder,
    files_of_tar,
    index_of,
    read_layout,
)
from lab.image.loading import CHUNK_BYTES, LOAD_SILENCE_S, header, load, padding
from lab.image.registry import patience


def export_oci(engine: Engine, image_id: str, into: Path) -> None:
    """Write an image as an OCI layout into a new folder.

    Raises:
        ImageError: the engine does not give it, or names it by something else than its config.
    """
    blobs = into / BLOBS
    blobs.mkdir(parents=True)
    sizes = _take_out(engine, image_id, blobs)
    config_file = blobs / image_id.removeprefix("sha256:")
    if not config_file.exists():
        raise ImageError(
            "the engine names this image by something else than its config.",
            why="engines that keep images in containerd's store do, and their images have another id elsewhere",
            do="use an engine with its classic image store; nothing was written.",
        )
    config = config_file.read_bytes()
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    if missing := [digest for digest in diff_ids if digest.removeprefix("sha256:") not in sizes]:
        raise ImageError(f"the engine did not give the layer {missing[0]}.", do="start again.")
    manifest = as_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": image_id, "size": len(config)},
            "layers": [
                {"mediaType": LAYER_TYPE, "digest": digest, "size": sizes[digest[7:]]}
                for digest in diff_ids
            ],
        }
    )
    manifest_sha256 = hashlib.sha256(manifest).hexdigest()
    kept = {digest.removeprefix("sha256:") for digest in (image_id, *diff_ids)}
    for blob in blobs.iterdir():
        if blob.name not in kept:
            blob.unlink()  # what the engine's own format has besides
    (blobs / manifest_sha256).write_bytes(manifest)
    (into / "index.json").write_bytes(index_of(manifest))
    (into / "oci-layout").write_bytes(VERSION)


def export_image(engine: Engine, image_id: str, file: Path) -> None:
    """Write an image as one tar: sorted, no times, the same bytes for the same image.

    Raises:
        BadInput: the file is there already, or its folder is not.
        ImageError: the engine does not give the image.
    """
    if file.exists() or not file.parent.is_dir():
        why = "it is there already" if file.exists() else f"there is no folder {file.parent}"
        raise BadInput(f"{file} cannot be written.", why=why, do="name another file.")
    partial = file.with_name(f"{file.name}.partial")
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".nightlab-image-") as scratch:
            layout = Path(scratch, "layout")
            export_oci(engine, image_id, layout)
            with partial.open("wb") as out:
                _write_tar(layout, out)
                out.flush()
                os.fsync(out.fileno())
        partial.replace(file)
    except OSError as error:
        raise ImageError(
            f"{file} could not be written.", why=str(error), do="make room, or name another place."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def import_image(engine: Engine, source: Path) -> Image:
    """Bring in an image from a tar or a folder, if it is what this checkout froze.

    Raises:
        BadInput: there is no such file.
        ImageError: it is no such image, was altered, or holds another harness; it is not in the engine then.
    """
    try:
        files = files_of_folder(source) if source.is_dir() else files_of_tar(source)
        contents = read_layout(files)
        image = _described(contents)
        here = _has(engine, image.id)
        if not here:
            _load(engine, contents, image)
    except OSError as error:
        raise BadInput(f"{source} cannot be read.", why=str(error), do="name another.") from error
    try:
        verify_image(engine, image)
    except ImageError:
        if not here:
            engine.client.api.remove_image(_tag(image), force=True)
        raise
    return image


def _take_out(engine: Engine, image_id: str, blobs: Path) -> dict[str, int]:
    """Every plain file of the engine's own archive, by its sha256: name and size in bytes."""
    sizes: dict[str, int] = {}
    if not _has(engine, image_id):
        raise ImageError(f"there is no image {image_id}.", do="`make image` builds one.")
    try:
        with patience(engine, LOAD_SILENCE_S):
            chunks = engine.client.api.get_image(image_id)
            stream = cast(BinaryIO, io.BufferedReader(_Chunks(chunks), CHUNK_BYTES))
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for entry in tar:
                    opened = tar.extractfile(entry) if entry.isreg() else None
                    if opened:
                        digest, fresh = hashlib.sha256(), blobs / ".fresh"
                        with fresh.open("wb") as out:
                            while chunk := opened.read(CHUNK_BYTES):
                                digest.update(chunk)
                                out.write(chunk)
                        sizes[digest.hexdigest()] = entry.size
                        fresh.replace(blobs / digest.hexdigest())
    except (*ENGINE_ERRORS, tarfile.TarError) as error:
        raise engine_failed("give the image", error) from error
    return sizes


class _Chunks(io.RawIOBase):
    """What comes in chunks, as a file that can be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        self._left = self._left or next(self._chunks, b"")
        taken, self._left = self._left[: len(into)], self._left[len(into) :]
        into[: len(taken)] = taken
        return len(taken)


def _write_tar(layout: Path, out: BinaryIO) -> None:
    for file in sorted(path for path in layout.rglob("*") if path.is_file()):
        size_bytes = file.stat().st_size
        out.write(header(file.relative_to(layout).as_posix(), size_bytes))
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK_BYTES):
                out.write(chunk)
        out.write(padding(size_bytes))
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _described(contents: Contents) -> Image:
    """The image that a layout says it has, if that is one this checkout names."""
    image = image_of(contents.id, contents.labels)
    if image is None or contents.labels.get(LABEL) != "image":
        raise ImageError(
            f"{contents.id[:19]} is not an image of this lab.",
            why="its labels do not say what it was built from",
            do="export one with `lab image export`; nothing was loaded.",
        )
    if image.inputs != inputs_of(image):
        raise ImageError(
            f"{contents.id[:19]} was built from another checkout than this one.",
            why=f"its harness is {image.harness_sha256[:12]}, and what decides an image's content differs here",
            do="check out the commit that it was built from; nothing was loaded.",
        )
    return image


def _has(engine: Engine, image_id: str) -> bool:
    try:
        engine.client.api.inspect_image(image_id)  # type: ignore[no-untyped-call]
    except docker.errors.ImageNotFound:
        return False
    except ENGINE_ERRORS as error:
        raise engine_failed("look for the image", error) from error
    return True


def _load(engine: Engine, contents: Contents, image: Image) -> None:
    diff_ids = [f"sha256:{layer.sha256}" for layer in contents.layers]
    if load(engine, contents.config, _tag(image), diff_ids, contents.layers) is None:
        raise ImageError(
            f"the engine did not take {image.id[:19]} for what it is.",
            why="it refused the image, or names images by something else than their config",
            do="see the engine's log; use an engine with its classic image store.",
        )


def _tag(image: Image) -> str:
    """A name of its own: it does not take the place of what was built here."""
    return f"{tag_of(image.variant, image.target)}-{image.id[7:19]}"
