"""Building the image: what is missing is fetched first, then one build, whose output goes to a log."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Any

from harness.manifest import manifest_sha256
from lab.container import LABEL, Engine
from lab.errors import ImageError
from lab.host import Say
from lab.image.base import SOURCE_DATE_EPOCH
from lab.image.canonical import make_canonical
from lab.image.check import verify_image
from lab.image.context import local_kernels, write_context
from lab.image.found import (
    ENGINE_ERRORS,
    HARNESS,
    Image,
    Target,
    Variant,
    engine_failed,
    find_image,
    inputs_of,
    kernels_of,
    tag_of,
)
from lab.image.pins import PINS, read_pins, resolve_kernel
from lab.image.registry import ensure_base_image
from lab.image.wheelhouse import choose_lock
from lab.settings import Settings

# Steps that are silent for long are normal: torch's CUDA wheels take minutes to unpack on a slow disk.
BUILD_SILENCE_S = 1800

# What a person reads while a stage of images/Dockerfile is built.
STAGES = {
    "base": "installing the compiler",
    "wheels": "installing torch and its companions",
    "harness": "freezing the harness",
    "packages": "fetching the books",
    "corpus": "reading the books",
}


def ensure_image(
    engine: Engine, settings: Settings, variant: Variant, target: Target, say: Say
) -> Image:
    """The image, built if it is not there, or if what is there is not what its labels say.

    Raises:
        ImageError: a part could not be had, or a step of the build failed.
    """
    if image := find_image(engine, settings, variant, target):
        # Images travel: what is here may have been pulled or loaded by anyone. It costs half a second.
        try:
            verify_image(engine, image)
        except ImageError as error:
            say(f"{image.id[:19]} is not used: {error.what} {error.why}")
        else:
            return image
    say(f"building the {variant} image ({target})")
    base = ensure_base_image(engine, settings, say)
    build_image(engine, settings, variant, target, base, tag_of(variant, target), say)
    built = find_image(engine, settings, variant, target)
    if built is None:
        raise ImageError(
            "the image was built, but cannot be found.",
            why="harness/ or images/ changed during the build",
            do="start again.",
        )
    verify_image(engine, built)
    return built


def build_image(
    engine: Engine,
    settings: Settings,
    variant: Variant,
    target: Target,
    base: tuple[str, str],
    tag: str,
    say: Say,
    *,
    anew: bool = False,
) -> str:
    """Build an image from a base (what to build from, what to remember it by), and tag it; its id.

    Raises:
        ImageError: a part could not be had, or a step of the build failed.
    """
    kernels = kernels_of(settings, variant)
    if kernels == "hub":
        for pin in read_pins().kernels:
            if pin.revision is None:
                resolve_kernel(PINS, pin.repository, settings.hub_mirror)
    lock = choose_lock(settings, variant, say)
    image = Image(
        id="",
        variant=variant,
        target=target,
        harness_sha256=manifest_sha256(HARNESS),
        kernels=kernels,
        base=base[1],
        lock=lock.name,
        inputs="",
    )
    with tempfile.TemporaryFile(dir=settings.state) as context:
        write_context(context, settings, lock, kernels, say)
        # The builder's own image stays, so that the next build finds its steps again.
        scratch = f"{LABEL}-build:{tag.replace(':', '-')}"
        _build(engine, settings, context, base[0], image, scratch, {LABEL: "build"}, say, anew=anew)
        if image_id := make_canonical(engine, scratch, labels_of(image), tag):
            return image_id
        say(
            "this engine does not let an image have a canonical id; its id holds the time of its build"
        )
        context.seek(0)
        _build(engine, settings, context, base[0], image, tag, labels_of(image), say)
    try:
        return str(engine.client.api.inspect_image(tag)["Id"])  # type: ignore[no-untyped-call]
    except ENGINE_ERRORS as error:
        raise engine_failed("describe what it built", error) from error


def labels_of(image: Image) -> dict[str, str]:
    """What an image says of itself, and is found by."""
    return {
        LABEL: "image",
        f"{LABEL}.variant": image.variant,
        f"{LABEL}.target": image.target,
        f"{LABEL}.harness": image.harness_sha256,
        f"{LABEL}.kernels": image.kernels,
        f"{LABEL}.base": image.base,
        f"{LABEL}.lock": image.lock,
        f"{LABEL}.inputs": inputs_of(image),
    }


def _build(
    engine: Engine,
    settings: Settings,
    context: IO[bytes],
    base: str,
    image: Image,
    tag: str,
    labels: dict[str, str],
    say: Say,
    *,
    anew: bool = False,
) -> None:
    """Run the build; every line goes to a log, each stage is said."""
    log_file = settings.state.resolve() / f"build-{image.variant}.log"
    with log_file.open("w") as log:
        try:
            lines = engine.client.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                target=image.target,
                buildargs={
                    "BASE": base,
                    "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
                    "LOCAL_KERNELS": local_kernels(image.kernels),
                    "NIGHTLAB_KERNELS": image.kernels,
                },
                labels=labels,
                nocache=anew,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=BUILD_SILENCE_S,
            )
            failed = _follow(lines, log, say)
        except ENGINE_ERRORS as error:
            raise engine_failed("build the image", error) from error
    if failed:
        raise ImageError(
            f"the {image.variant} image could not be built.",
            why=failed,
            do=f"read the end of {log_file}; steps that succeeded are kept for the next try.",
        )


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
