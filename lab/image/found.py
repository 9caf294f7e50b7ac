"""Which image this checkout and these settings name, and whether the engine has it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import docker
import requests

from harness.manifest import manifest_bytes
from lab.container import LABEL, Engine
from lab.errors import ImageError
from lab.image.pins import frozen_pins
from lab.settings import CHECKOUT, Settings

Variant = Literal["cpu", "cuda"]
Target = Literal["frozen", "data"]

HARNESS = CHECKOUT / "harness"
IMAGES = CHECKOUT / "images"
LOCKS = {"cpu.lock", "cuda.lock"}

ENGINE_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException)


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
    for image in our_images(engine, variant, target):
        wanted_base = settings.base == "auto" or image.base.startswith(f"{settings.base}:")
        wanted_kernels = image.kernels == kernels_of(settings, variant)
        if wanted_base and wanted_kernels and image.inputs == inputs_of(image):
            return image
    return None


def our_images(engine: Engine, variant: str, target: str) -> list[Image]:
    """The images for a variant and target that are here: the last one built, then the others, newest first.

    Time alone does not tell: images of equal content were all "created" at the same moment.
    """
    wanted = [f"{LABEL}=image", f"{LABEL}.variant={variant}", f"{LABEL}.target={target}"]
    try:
        listed = engine.client.api.images(filters={"label": wanted})
    except ENGINE_ERRORS as error:
        raise engine_failed("list its images", error) from error

    def rank(entry: dict[str, Any]) -> tuple[bool, int]:
        return tag_of(variant, target) in (entry["RepoTags"] or []), int(entry["Created"])

    ranked = sorted(listed, key=rank, reverse=True)
    images = (image_of(str(entry["Id"]), entry["Labels"] or {}) for entry in ranked)
    return [image for image in images if image is not None]


def image_of(image_id: str, labels: Mapping[str, str]) -> Image | None:
    """An image as its labels describe it; None when they describe none of ours."""
    variant, target = labels.get(f"{LABEL}.variant"), labels.get(f"{LABEL}.target")
    lock = labels.get(f"{LABEL}.lock", "")
    if variant not in ("cpu", "cuda") or target not in ("frozen", "data") or lock not in LOCKS:
        return None
    return Image(
        id=image_id,
        variant=variant,
        target=target,
        harness_sha256=labels.get(f"{LABEL}.harness", ""),
        kernels=labels.get(f"{LABEL}.kernels", ""),
        base=labels.get(f"{LABEL}.base", ""),
        lock=lock,
        inputs=labels.get(f"{LABEL}.inputs", ""),
    )


def tag_of(variant: str, target: str) -> str:
    """The name of the image that was built last; nothing is run by it."""
    return f"{LABEL}:{variant}-{target}"


def inputs_of(image: Image) -> str:
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


def kernels_of(settings: Settings, variant: str) -> str:
    """Whether an image carries attention kernels: those of the hub are for GPUs."""
    return settings.kernels if variant == "cuda" else "none"


def engine_failed(what: str, error: Exception) -> ImageError:
    return ImageError(
        f"the container engine could not {what}.",
        why=str(error),
        do="see that the engine runs (`make doctor`), then start again.",
    )
