"""Handing an image to the engine, in the one format that every version of it loads: the docker archive.

Owns    that archive, made as it is sent; nothing of it is ever whole in memory or on the disk
Takes   an image's config, and its layers as far as the engine lacks them
Gives   the image in the engine, under the tag asked for
Never   says what the image is worth
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from lab.container import Engine
from lab.errors import ImageError
from lab.image.found import ENGINE_ERRORS, engine_failed
from lab.image.registry import patience

LOAD_SILENCE_S = 1800  # ten gigabytes of layers are unpacked without a word
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of an image, as an uncompressed tar that can be opened."""

    sha256: str
    size_bytes: int
    open: Callable[[], BinaryIO]


def load(
    engine: Engine, config: bytes, tag: str, diff_ids: Sequence[str], layers: Sequence[Layer]
) -> str | None:
    """Load an image; its id, None where the engine made something else of it or refused.

    A layer that the engine has already in the same place needs no bytes: `layers` may leave it out.

    Raises:
        ImageError: the engine does not answer.
    """
    archive = _docker_archive(config, tag, diff_ids, layers)
    api = engine.client.api
    try:
        with patience(engine, LOAD_SILENCE_S):
            for _ in api.load_image(archive):  # type: ignore[no-untyped-call]
                pass  # what it says is for terminals; what counts is what lies there afterwards
            if not api.images(name=tag):
                return None
            loaded = str(api.inspect_image(tag)["Id"])  # type: ignore[no-untyped-call]
    except ENGINE_ERRORS as error:
        raise engine_failed("load the image", error) from error
    return loaded if loaded == image_id(config) else None


def image_id(config: bytes) -> str:
    """The id of the image that a config describes."""
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def _docker_archive(
    config: bytes, tag: str, diff_ids: Sequence[str], layers: Sequence[Layer]
) -> Iterator[bytes]:
    """The archive as chunks: a config, the layers, and the manifest that names them."""
    name = f"{image_id(config).removeprefix('sha256:')}.json"
    manifest = {
        "Config": name,
        "RepoTags": [tag],
        "Layers": [f"{digest.removeprefix('sha256:')}.tar" for digest in diff_ids],
    }
    yield from _entry(name, config)
    for layer in {layer.sha256: layer for layer in layers}.values():
        yield header(f"{layer.sha256}.tar", layer.size_bytes)
        with layer.open() as opened:
            left = layer.size_bytes
            while left:
                chunk = opened.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise ImageError(
                        "a layer of the image became shorter while it was read.",
                        do="start again; nothing was loaded.",
                    )
                left -= len(chunk)
                yield chunk
        yield padding(layer.size_bytes)
    yield from _entry("manifest.json", json.dumps([manifest]).encode())
    yield bytes(2 * tarfile.BLOCKSIZE)


def _entry(name: str, content: bytes) -> Iterator[bytes]:
    yield header(name, len(content))
    yield content
    yield padding(len(content))


def header(name: str, size_bytes: int) -> bytes:
    """A regular file's header in a tar: owner root, time 0."""
    entry = tarfile.TarInfo(name)
    entry.size = size_bytes
    return entry.tobuf(tarfile.GNU_FORMAT)  # a layer may be larger than plain headers can say


def padding(size_bytes: int) -> bytes:
    """What fills a tar up to its next block."""
    return bytes(-size_bytes % tarfile.BLOCKSIZE)
