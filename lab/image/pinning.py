"""`lab image pin`: resolve whatever images/pins.toml still has unresolved."""

from __future__ import annotations

from collections.abc import Callable

from lab.container import Engine
from lab.errors import ImageError
from lab.image.found import our_images
from lab.image.pins import (
    PINS,
    read_pins,
    record_image,
    resolve_dataset,
    resolve_kernel,
    settle,
)
from lab.image.registry import ask_registry
from lab.settings import Settings


def pin_images(engine: Engine, settings: Settings) -> list[str]:
    """Resolve what is unresolved, and note the ids of the newest images that were built here.

    Returns:
        What could not be resolved and why, one line each; everything else is written.
    """
    pins = read_pins()
    problems: list[str] = []
    for pin in pins.kernels:
        if pin.revision is None or pin.build is None:
            problems += _attempt(resolve_kernel, pin.repository, settings.hub_mirror)
    if pins.dataset_revision is None or not all(pins.shards.values()):
        problems += _attempt(resolve_dataset, settings.hub_mirror)
    if pins.base_digest is None:
        if digest := ask_registry(engine, pins.base_image):
            settle(PINS, ("base", "digest"), digest)
        else:
            problems.append(f"{pins.base_image}: no container registry answers")
    for variant in ("cpu", "cuda"):
        for target in ("frozen", "data"):
            for image in our_images(engine, variant, target)[:1]:
                record_image(PINS, f"{variant}-{target}", image.id)
    return problems


def _attempt(resolve: Callable[..., None], *arguments: str | None) -> list[str]:
    try:
        resolve(PINS, *arguments)
    except ImageError as error:
        return [f"{error.what} {error.why}".strip()]
    return []
