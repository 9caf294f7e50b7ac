"""Whether an image holds what this checkout froze. Nothing in the image is run to find out."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker

from harness.manifest import manifest_bytes, manifest_sha256
from lab.container import LABEL, Engine
from lab.errors import ImageError
from lab.image.found import ENGINE_ERRORS, HARNESS, Image, engine_failed, our_images

FROZEN_HARNESS = "/opt/nightlab/harness"
FROZEN_MANIFEST = "/opt/nightlab/harness-manifest.json"


def named_image(engine: Engine, variant: str, image_id: str) -> Image | None:
    """The frozen image of this id, if it was built here and holds this checkout's harness; else None.

    Raises:
        ImageError: its label says so, and its files are others.
    """
    for image in our_images(engine, variant, "frozen"):
        if image.id == image_id and image.harness_sha256 == manifest_sha256(HARNESS):
            verify_image(engine, image)
            return image
    return None


def verify_image(engine: Engine, image: Image) -> None:
    """See that the image holds this checkout's harness, owned by root and writable by nobody.

    Nothing in the image is run for it: the files are copied out of a container that never starts.

    Raises:
        ImageError: it holds something else; the message names the first file that differs.
    """
    wanted = json.loads(manifest_bytes(HARNESS))
    found: dict[str, str] = {}
    loose: list[str] = []
    for entry, content in _read_out(engine, image.id, FROZEN_HARNESS):
        name = entry.name.partition("/")[2]
        if entry.uid != 0 or entry.mode & 0o022:
            loose.append(entry.name)
        if not entry.isdir():
            # A link is not a frozen file, whatever it points to.
            found[name] = hashlib.sha256(content).hexdigest() if entry.isfile() else "a link"
    stated = b"".join(content for _, content in _read_out(engine, image.id, FROZEN_MANIFEST))
    differing = sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )
    if stated != manifest_bytes(HARNESS) and not differing:
        differing = [Path(FROZEN_MANIFEST).name]
    if differing or loose:
        raise ImageError(
            f"the {image.variant} image is not what this checkout froze.",
            why=(
                f"{differing[0]} differs ({len(differing)} in all)"
                if differing
                else f"{loose[0]} can be changed by others than root"
            ),
            do="`make image` builds one that matches; nothing was run in this one.",
        )


def _read_out(engine: Engine, image_id: str, path: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The files below a path of an image, copied out of a container that is never started."""
    try:
        container = engine.client.api.create_container(
            image_id, command=["true"], network_disabled=True, labels={LABEL: "reader"}
        )
        try:
            chunks, _ = engine.client.api.get_archive(container["Id"], path)
            archive = io.BytesIO(b"".join(chunks))
        finally:
            engine.client.api.remove_container(container["Id"], force=True, v=True)
    except docker.errors.NotFound as error:
        raise ImageError(
            f"the image has no {path}, or is gone itself.",
            why=str(error.explanation),
            do="`make image` builds one.",
        ) from error
    except ENGINE_ERRORS as error:
        raise engine_failed("read the image", error) from error
    with tarfile.open(fileobj=archive) as tar:
        for entry in tar:
            opened = tar.extractfile(entry) if entry.isfile() else None
            yield entry, opened.read() if opened else b""
