"""Everything a night stands on, made ready: engine, image, data, hardware.

Owns    the order of the set-up, and which profile and GPU are used
Takes   the settings
Gives   a Ready bench, once each step is done or was done already
Never   opens a campaign
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.profiles import Profile
from lab.container import Engine
from lab.engine import ensure_engine
from lab.errors import BadInput, LabError
from lab.fingerprint import Fingerprint, Gpu, list_gpus, take_fingerprint
from lab.host import Say
from lab.image import Image, ensure_image, named_image
from lab.preparation import is_prepared, prepare_data, verify_data
from lab.runs import is_running
from lab.settings import Settings, profile_of
from lab.trial import Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a campaign needs from its host."""

    bench: Bench
    image: Image
    fingerprint: Fingerprint
    data_sha256: str


def connect(settings: Settings, say: Say) -> Engine:
    """An engine that answers, installed and started if need be."""
    return Engine.connect(ensure_engine(settings, say))


@contextlib.contextmanager
def set_up(
    settings: Settings, *, campaign: str, say: Say, image_id: str | None = None
) -> Iterator[Ready]:
    """Make the host ready; a second call finds everything and starts at once.

    `image_id` is an image that is used if it is here and holds this checkout's harness; else it is as without.

    Raises:
        LabError: a step failed; the message names the remedy.
    """
    with connect(settings, say) as engine:
        if not is_running(settings.runs / campaign):
            engine.reap(campaign=campaign)  # what a killed night left behind still sits on the GPU
        profile, gpu = choose_hardware(settings)
        variant = variant_of(settings, profile)
        image = named_image(engine, variant, image_id) if image_id else None
        image = image or ensure_image(engine, settings, variant, "frozen", say)
        data = settings.data / profile.name
        if not is_prepared(data):
            maker = ensure_image(engine, settings, variant, "data", say)
            data = prepare_data(engine, settings, profile, maker.id, say)
        fingerprint = take_fingerprint(
            profile,
            image_id=image.id,
            kernels=image.kernels,
            gpu=gpu,
            cpus=settings.cpus,
            engine_version=engine.version(),
        )
        yield Ready(
            bench=Bench(
                engine=engine,
                image=image.id,
                profile=profile,
                campaign=campaign,
                data=data,
                gpu_uuid=gpu.uuid if gpu else None,
                cpus=settings.cpus,
                class_id=fingerprint.class_id,
            ),
            image=image,
            fingerprint=fingerprint,
            data_sha256=verify_data(data),
        )


def variant_of(settings: Settings, profile: Profile) -> Literal["cpu", "cuda"]:
    """The image's variant: the one asked for, else what the profile's device needs."""
    if settings.variant != "auto":
        return settings.variant
    return "cuda" if profile.device == "cuda" else "cpu"


def choose_hardware(settings: Settings) -> tuple[Profile, Gpu | None]:
    """The profile, and the GPU it runs on: the first that nobody else computes on.

    Raises:
        BadInput: the profile needs a GPU and there is none.
        LabError: every GPU is in use; a shared card gives false scores.
    """
    gpus = list_gpus()
    profile = profile_of(settings, has_gpu=bool(gpus))
    if profile.device != "cuda":
        return profile, None
    if not gpus:
        raise BadInput(
            f"the profile {profile.name} needs an NVIDIA GPU and this host shows none.",
            do="install the NVIDIA driver, or use PROFILE=cpu; `make doctor` shows what was found.",
        )
    for gpu in gpus:
        if not gpu.processes:
            return profile, gpu
    busy = "; ".join(f"{gpu.name}: {len(gpu.processes)} processes" for gpu in gpus)
    raise LabError(
        "every GPU is in use by somebody else.",
        why=f"{busy}. Experiments that share a card come out worse by as much as a good idea gains.",
        do="wait for them or end them, then start again; `make doctor` names the processes.",
    )
