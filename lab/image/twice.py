"""`lab image build --twice`: is the image a function of its inputs? Build it from nothing two times, and look.

Owns    two builds that share nothing but what is checked by hash: wheels, kernels, books
Takes   the settings
Gives   a Comparison: the ids, and where they differ every file that does
Never   takes the place of an image that something runs on; what it built is removed again
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.container import LABEL, Engine
from lab.host import Say
from lab.image.build import build_image
from lab.image.found import ENGINE_ERRORS, Target, Variant, engine_failed
from lab.image.layout import BLOBS, files_of_folder, read_layout
from lab.image.loading import CHUNK_BYTES
from lab.image.moved import export_oci
from lab.image.registry import ensure_base_image
from lab.settings import Settings

# `frozen` after `data`, whose steps it finds again: everything is built once for both, and twice in all.
TARGETS: tuple[Target, ...] = ("data", "frozen")

# What decides a file in a layer: type, mode, owner, time, size, where a link leads, sha256 of the content.
_File = tuple[bytes, int, int, int, float, int, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two builds of one image."""

    target: Target
    first: str  # ids
    second: str
    differences: tuple[str, ...]  # one line each; empty where the ids are equal

    @property
    def equal(self) -> bool:
        return self.first == self.second


def build_twice(engine: Engine, settings: Settings, variant: Variant, say: Say) -> list[Comparison]:
    """Build each target two times from nothing, the base included, and compare.

    Raises:
        ImageError: a build failed.
    """
    ids: dict[Target, list[str]] = {target: [] for target in TARGETS}
    with _cleared_away(engine):
        for turn in (1, 2):
            say(f"build {turn} of 2, from nothing")
            with tempfile.TemporaryDirectory(dir=_made(settings.state)) as scratch:
                elsewhere = settings.model_copy(update={"state": Path(scratch)})
                base = ensure_base_image(engine, elsewhere, say)
            for target in TARGETS:
                ids[target].append(
                    build_image(
                        engine,
                        settings,
                        variant,
                        target,
                        base,
                        f"{LABEL}-twice:{turn}-{variant}-{target}",
                        say,
                        anew=target == TARGETS[0],
                    )
                )
        return [
            Comparison(
                target=target,
                first=first,
                second=second,
                differences=tuple(_differences(engine, settings, first, second, say)),
            )
            for target, (first, second) in ids.items()
        ]


def layer_differences(first: Path, second: Path) -> Iterator[str]:
    """How two layers differ, one line a file; nothing when only the order of their files does."""
    ours, theirs = _listing(first), _listing(second)
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None:
            yield f"{name}: only in the {'second' if one is None else 'first'}"
        elif one != other:
            words = ("type", "mode", "uid", "gid", "mtime", "size", "link", "content")
            differing = [
                f"{word} {a} and {b}" if word not in ("content", "type") else word
                for word, a, b in zip(words, one, other, strict=True)
                if a != b
            ]
            yield f"{name}: {', '.join(differing)}"


def _differences(
    engine: Engine, settings: Settings, first: str, second: str, say: Say
) -> Iterator[str]:
    if first == second:
        return
    say("the ids differ: looking for the files that do")
    with tempfile.TemporaryDirectory(dir=settings.state) as scratch:
        places = [Path(scratch, name) for name in ("first", "second")]
        for image_id, place in zip((first, second), places, strict=True):
            export_oci(engine, image_id, place)
        one, other = (read_layout(files_of_folder(place)) for place in places)
        configs = [json.loads(contents.config) for contents in (one, other)]
        for part in sorted(configs[0].keys() | configs[1].keys()):
            if configs[0].get(part) != configs[1].get(part) and part != "rootfs":
                yield f"config: {part}"
        for number, (a, b) in enumerate(zip(one.layers, other.layers, strict=False), start=1):
            if a.sha256 != b.sha256:
                lines = list(
                    layer_differences(places[0] / BLOBS / a.sha256, places[1] / BLOBS / b.sha256)
                )
                yield from (
                    f"layer {number}: {line}" for line in lines or ["the order of its files"]
                )
        if len(one.layers) != len(other.layers):
            yield f"{len(one.layers)} layers and {len(other.layers)}"


def _listing(layer: Path) -> dict[str, _File]:
    files: dict[str, _File] = {}
    with tarfile.open(layer, mode="r:") as tar:
        for entry in tar:
            digest = hashlib.sha256()
            opened = tar.extractfile(entry) if entry.isreg() else None
            while opened and (chunk := opened.read(CHUNK_BYTES)):
                digest.update(chunk)
            files[entry.name] = (
                entry.type,
                entry.mode,
                entry.uid,
                entry.gid,
                entry.mtime,
                entry.size,
                entry.linkname,
                digest.hexdigest(),
            )
    return files


@contextlib.contextmanager
def _cleared_away(engine: Engine) -> Iterator[None]:
    """Remove what the block built, and what its builds left; never what something else uses."""
    before = {entry["Id"] for entry in _left_overs(engine)}
    try:
        yield
    finally:
        left = _left_overs(engine)
        names = [
            tag
            for entry in left
            for tag in entry["RepoTags"] or []
            if tag.startswith((f"{LABEL}-twice:", f"{LABEL}-build:{LABEL}-twice"))
        ]
        unnamed = [
            entry["Id"]
            for entry in left
            if entry["Id"] not in before
            and set(entry["RepoTags"] or ["<none>:<none>"]) == {"<none>:<none>"}
        ]
        for name in [*names, *unnamed]:
            with contextlib.suppress(*ENGINE_ERRORS):  # in use: it stays
                engine.client.api.remove_image(name)


def _left_overs(engine: Engine) -> list[dict[str, Any]]:
    try:
        ours = [
            entry
            for role in ("image", "build")
            for entry in engine.client.api.images(filters={"label": f"{LABEL}={role}"})
        ]
    except ENGINE_ERRORS as error:
        raise engine_failed("list its images", error) from error
    return ours


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
