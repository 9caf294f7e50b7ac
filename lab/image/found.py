"""Which image this checkout and these settings name, and whether the engine has it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

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
    """The images that were built here for a variant and target, newest first."""
    wanted = [f"{LABEL}=image", f"{LABEL}.variant={variant}", f"{LABEL}.target={target}"]
    try:
        listed = engine.client.api.images(filters={"label": wanted})
    except ENGINE_ERRORS as error:
        raise engine_failed("list its images", error) from error
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
