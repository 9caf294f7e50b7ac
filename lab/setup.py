"""Everything a night stands on, made ready: engine, image, data, hardware.

Owns    the order of the set-up, and which profile and GPU are used
Takes   the settings
Gives   a Ready bench, once each step is done or was done already
Never   opens a campaign
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.profiles import Profile
from lab.container import Engine
from lab.engine import ensure_engine
from lab.errors import BadInput, LabError
from lab.fingerprint import (
    Gpu,
    Readings,
    Subject,
    Unreadable,
    held,
    known_escapes,
    list_gpus,
    read_inside,
    read_salt,
    take_fingerprint,
    toolkit_version,
)
from lab.host import Say
from lab.image import Image, ensure_image, named_image
from lab.preparation import is_prepared, prepare_data, verify_data
from lab.runs import is_running
from lab.sandbox import device_spec
from lab.settings import CHECKOUT, Settings, profile_of
from lab.trial import Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a campaign needs from its host."""

    bench: Bench
    image: Image
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
    with connect(settings, say) as engine, held():
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
        subject = _subject(engine, settings, profile, gpu, image, campaign=campaign, say=say)
        yield Ready(
            bench=Bench(
                engine=engine,
                image=image.id,
                profile=profile,
                campaign=campaign,
                data=data,
                gpu_uuid=gpu.uuid if gpu else None,
                cpus=settings.cpus,
                subject=subject,
                fingerprint=take_fingerprint(subject),
                throttled_share=settings.throttled_share,
            ),
            image=image,
            data_sha256=verify_data(data),
        )


def _subject(
    engine: Engine,
    settings: Settings,
    profile: Profile,
    gpu: Gpu | None,
    image: Image,
    *,
    campaign: str,
    say: Say,
) -> Subject:
    """What every fingerprint of the campaign is taken of."""
    salt = read_salt(settings.state)
    software = _read_software(engine, gpu, say)
    spec = device_spec(
        campaign=campaign,
        image=image.id,
        gpu_uuid=gpu.uuid if gpu else None,
        cpus=settings.cpus,
    )
    inside = read_inside(
        engine,
        spec,
        cache=settings.state / "devices",
        driver=gpu.driver if gpu else None,
        salt=salt,
    )
    if "torch" in inside.missing:
        say(f"torch could not be asked what it computes on: {inside.missing['torch']}")
    return Subject(
        profile=profile.name,
        image_id=image.id,
        kernels=image.kernels,
        gpu_uuid=gpu.uuid if gpu else None,
        cpus=settings.cpus,
        salt=salt,
        checkout=CHECKOUT,
        software=software.facts | inside.facts,
        software_missing=software.missing | inside.missing,
    )


def _read_software(engine: Engine, gpu: Gpu | None, say: Say) -> Readings:
    """The programs between the host and a container, and why one is not known; a warning where one is known to leak."""
    readings = Readings()
    engine_version, *parts = engine.versions()
    readings.take("engine", lambda: engine_version)
    for name in ("containerd", "runc"):
        readings.take(name, functools.partial(_version_of, name, parts))
    if gpu is not None:
        readings.take("container_toolkit", toolkit_version)
        version = readings.facts["container_toolkit"]
        if isinstance(version, str) and (escapes := known_escapes(version)):
            say(
                f"the NVIDIA container toolkit {version} lets a container out onto the host "
                f"({', '.join(escapes)}); renew it before you run code that you do not trust"
            )
    return readings


def _version_of(name: str, parts: list[str]) -> str:
    for part in parts:
        if part.startswith(f"{name} "):
            return part.removeprefix(f"{name} ")
    raise Unreadable("the engine does not name it")


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
