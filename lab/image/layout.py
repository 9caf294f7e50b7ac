"""An OCI image layout as `lab image export` writes it: read without trust, from a folder or from one tar.

    oci-layout  index.json  blobs/sha256/<64 hex digits>

Owns    which names, sizes and documents a layout may have
Takes   a folder or a tar that came from anywhere
Gives   Contents: the image's config and its layers, every digest checked
Never   writes anything, follows a link, or has more than a document in memory
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from lab.errors import ImageError
from lab.image.loading import CHUNK_BYTES, Layer, header, image_id, padding

VERSION = b'{"imageLayoutVersion":"1.0.0"}'
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
BLOBS = "blobs/sha256/"

DOCUMENT_BYTES = 1 << 20  # ours have a few thousand
LAYERS = 127  # overlay2 stacks no more
IMAGE_BYTES = 64 << 30  # the cuda image has about ten

Model = TypeVar("Model", bound=BaseModel)

_NAME = re.compile(rf"oci-layout|index\.json|{BLOBS}[0-9a-f]{{64}}")

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Descriptor(BaseModel):
    mediaType: str  # noqa: N815 - the specification's own names
    digest: Digest
    size: Annotated[int, Field(ge=0, le=IMAGE_BYTES)]


class _Index(BaseModel):
    schemaVersion: Literal[2]  # noqa: N815
    manifests: Annotated[list[_Descriptor], Field(min_length=1, max_length=1)]


class _Manifest(BaseModel):
    schemaVersion: Literal[2]  # noqa: N815
    config: _Descriptor
    layers: Annotated[list[_Descriptor], Field(min_length=1, max_length=LAYERS)]


class _RootFs(BaseModel):
    type: Literal["layers"]
    diff_ids: list[Digest]


class _RunBy(BaseModel):
    Labels: dict[str, str] = {}
    Volumes: None = None  # each would be a place that a sealed container can write
    OnBuild: None = None


class _Config(BaseModel):
    rootfs: _RootFs
    config: _RunBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a layout."""

    size_bytes: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """An image whose every byte is what its digests say."""

    id: str  # "sha256:...", of the config
    config: bytes
    labels: dict[str, str]  # what it says of itself
    layers: tuple[Layer, ...]  # lowest first


def read_layout(files: dict[str, Entry]) -> Contents:
    """Check all of a layout.

    Raises:
        ImageError: something is missing, too many, too large, or not what its digest says.
    """
    if _document(files, "oci-layout") != VERSION:
        raise refusal("oci-layout names another version than 1.0.0")
    named = _document(files, "index.json")
    index = _parse(_Index, named, "index.json")
    manifest_bytes = _blob(files, index.manifests[0], MANIFEST_TYPE)
    if named != index_of(manifest_bytes):  # the one document that no digest covers
        raise refusal("index.json is not written as ours are")
    manifest = _parse(_Manifest, manifest_bytes, "the manifest")
    config = _blob(files, manifest.config, CONFIG_TYPE)
    described = _parse(_Config, config, "the image's config")
    if described.rootfs.diff_ids != [layer.digest for layer in manifest.layers]:
        raise refusal("the image's config names other layers than the manifest")
    wanted = {"oci-layout", "index.json"} | {
        _path(blob) for blob in (index.manifests[0], manifest.config, *manifest.layers)
    }
    if extra := sorted(files.keys() - wanted):
        raise refusal(f"{extra[0]} belongs to nothing")
    for layer in {layer.digest: layer for layer in manifest.layers}.values():
        _check_layer(files, layer)
    return Contents(
        id=image_id(config),
        config=config,
        labels=described.config.Labels,
        layers=tuple(
            Layer(
                sha256=layer.digest.removeprefix("sha256:"),
                size_bytes=layer.size,
                open=files[_path(layer)].open,
            )
            for layer in manifest.layers
        ),
    )


def index_of(manifest: bytes) -> bytes:
    """The index.json of a layout with one image."""
    listed = {
        "mediaType": MANIFEST_TYPE,
        "digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}",
        "size": len(manifest),
    }
    return as_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [listed]})


def as_json(document: dict[str, Any]) -> bytes:
    """A document as we write it: the same bytes for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def files_of_folder(folder: Path) -> dict[str, Entry]:
    """The files of a layout that lies in a folder.

    Raises:
        ImageError: something in it is no plain file, or has another name than a layout's files.
    """
    files: dict[str, Entry] = {}
    for here, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(here, name)
            relative = path.relative_to(folder).as_posix()
            status = path.lstat()
            if (
                name in folders
                and stat.S_ISDIR(status.st_mode)
                and BLOBS.startswith(f"{relative}/")
            ):
                continue
            if not stat.S_ISREG(status.st_mode) or not _NAME.fullmatch(relative):
                raise refusal(f"{relative!r} does not belong into an image layout")
            files[relative] = Entry(size_bytes=status.st_size, open=partial(_open_plain, path))
    return files


def files_of_tar(file: Path) -> dict[str, Entry]:
    """The files of a layout that is one uncompressed tar.

    Header by header, and plain ones only: a tar that needs more (long names, sparse files, links, a compressor)
    is none of ours, and what would read it has been fooled before.

    Raises:
        ImageError: it is no such tar, or holds something else than a layout's plain files, each once.
    """
    files: dict[str, Entry] = {}
    with file.open("rb") as opened:
        size_bytes = os.fstat(opened.fileno()).st_size
        while any(block := opened.read(tarfile.BLOCKSIZE)):
            try:
                entry = tarfile.TarInfo.frombuf(block, "ascii", "backslashreplace")
            except (tarfile.TarError, ValueError) as error:
                raise refusal(f"it cannot be read as a tar: {error}") from error
            if entry.type != tarfile.REGTYPE or not _NAME.fullmatch(entry.name):
                raise refusal(f"{entry.name!r} does not belong into an image layout")
            if entry.name in files or len(files) > LAYERS + 4:
                raise refusal(f"{entry.name} is there twice, or there are too many files")
            start = opened.tell()
            after = start + entry.size + len(padding(entry.size))
            if entry.size < 0 or after > size_bytes:
                raise refusal(f"{entry.name} is said to have {entry.size} bytes")
            part = partial(_open_part, file, start, entry.size)
            files[entry.name] = Entry(size_bytes=entry.size, open=part)
            filled = opened.seek(start + entry.size) and opened.read(after - start - entry.size)
            if block != header(entry.name, entry.size) or filled != padding(entry.size):
                raise refusal(f"{entry.name} is not packed as ours are")
        if block != bytes(tarfile.BLOCKSIZE) or opened.read(2 * len(block)) != block:
            raise refusal("it does not end where a tar ends")
    return files


class _Part(io.RawIOBase):
    """A stretch of a file."""

    def __init__(self, file: Path, start: int, size_bytes: int) -> None:
        self._opened = file.open("rb")
        self._opened.seek(start)
        self._left = size_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        chunk = self._opened.read(min(len(into), self._left))
        into[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)

    def close(self) -> None:
        self._opened.close()
        super().close()


def refusal(why: str) -> ImageError:
    """The one error for what is not an image of ours."""
    return ImageError(
        "this is not an image that `lab image export` wrote, or it was altered.",
        why=why,
        do="ask its sender for it again; nothing was loaded.",
    )


def _open_plain(path: Path) -> BinaryIO:
    """Open a file that is no link, whatever happened since it was listed."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _open_part(file: Path, start: int, size_bytes: int) -> BinaryIO:
    return io.BufferedReader(_Part(file, start, size_bytes))


def _document(files: dict[str, Entry], name: str) -> bytes:
    entry = files.get(name)
    if entry is None:
        raise refusal(f"{name} is missing")
    if entry.size_bytes > DOCUMENT_BYTES:
        raise refusal(f"{name} has {entry.size_bytes} bytes")
    with entry.open() as opened:
        return opened.read(DOCUMENT_BYTES)


def _blob(files: dict[str, Entry], wanted: _Descriptor, kind: str) -> bytes:
    """A document by its digest."""
    if wanted.mediaType != kind:
        raise refusal(f"{wanted.mediaType[:200]!r} where {kind} belongs")
    content = _document(files, _path(wanted))
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != wanted.digest:
        raise refusal(f"{_path(wanted)} is not what its digest says")
    return content


def _check_layer(files: dict[str, Entry], wanted: _Descriptor) -> None:
    if wanted.mediaType != LAYER_TYPE:
        raise refusal(f"{wanted.mediaType[:200]!r} where {LAYER_TYPE} belongs")
    entry = files.get(_path(wanted))
    if entry is None:
        raise refusal(f"{_path(wanted)} is missing")
    if entry.size_bytes != wanted.size:
        raise refusal(f"{_path(wanted)} has {entry.size_bytes} bytes, not {wanted.size}")
    digest = hashlib.sha256()
    with entry.open() as opened:
        while chunk := opened.read(CHUNK_BYTES):
            digest.update(chunk)
    if f"sha256:{digest.hexdigest()}" != wanted.digest:
        raise refusal(f"{_path(wanted)} is not what its digest says")


def _parse(model: type[Model], document: bytes, name: str) -> Model:
    try:
        return model.model_validate_json(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise refusal(f"{name}: {place} {first['msg']}") from error


def _path(blob: _Descriptor) -> str:
    return BLOBS + blob.digest.removeprefix("sha256:")
