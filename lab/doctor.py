"""Every precondition of a night, with its state and what to do about it.

Owns    the list, and which of them stop the main job
Takes   the settings
Gives   Checks, and a table of them; exit code 0 only when `make overnight` can run
Never   changes anything: what `make overnight` sets up by itself is said, not done
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich.table import Table

from harness.profiles import GIB, Profile
from lab.agents.open import choose_agent
from lab.container import Engine
from lab.engine import REMEDY, Answer, ask, default_sockets, find_engine
from lab.errors import LabError
from lab.fingerprint import (
    Gpu,
    Unreadable,
    known_escapes,
    list_gpus,
    toolkit_programs,
    toolkit_version,
)
from lab.host import Host, look_at_host
from lab.image import Image, Variant, find_image, verify_image
from lab.image.pins import read_pins
from lab.preparation import is_prepared
from lab.settings import Settings, profile_of
from lab.setup import variant_of

# Disk that a set-up from nothing takes, measured for cpu (wheels, context, layers of the builder), and for
# cuda the sizes of its wheels in the same proportion.
SETUP_BYTES = {"cpu": 7 * GIB, "cuda": 32 * GIB}
GPU_DATA_BYTES = 6 * GIB  # eleven shards, and their tokens


class State(Enum):
    """What a check found; the value is what a person reads."""

    OK = "ok"
    WILL = "will be set up"
    WARN = "look at this"
    FAIL = "stops the night"


STYLES = {State.OK: "green", State.WILL: "cyan", State.WARN: "yellow", State.FAIL: "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One precondition."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def examine(settings: Settings, *, host: Host | None = None) -> list[Check]:
    """Look at everything a night stands on."""
    host = host or look_at_host()
    gpus = list_gpus()
    profile = profile_of(settings, has_gpu=bool(gpus))
    variant = variant_of(settings, profile)
    checks = [_check_python(), _check_git(), _check_engine(settings, host)]
    checks += _check_gpus(profile, gpus)
    image, image_check = _check_image(settings, variant)
    checks += [image_check]
    if variant == "cuda" and image is None:
        checks.append(_check_kernels(settings))
    has_data = is_prepared(settings.data / profile.name)
    checks.append(_check_disk(settings, variant, profile, image is None, has_data))
    checks.append(_check_data(settings, profile, has_data))
    checks.append(_check_agent(settings))
    return checks


def exit_code(checks: Sequence[Check]) -> int:
    """0 when the main job can run, 1 when a check stops it."""
    return int(any(check.state is State.FAIL for check in checks))


def draw(checks: Sequence[Check]) -> Table:
    """The checks as a table for the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("check", "state", "found"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        table.add_row(check.name, f"[{STYLES[check.state]}]{check.state.value}[/]", check.detail)
        if check.remedy and check.state is not State.OK:
            table.add_row("", "", f"[dim]do: {check.remedy}[/]")
    return table


def _check_python() -> Check:
    return Check(name="Python", state=State.OK, detail=f"{platform.python_version()} in .venv")


def _check_git() -> Check:
    if path := shutil.which("git"):
        return Check(name="git", state=State.OK, detail=path)
    return Check(
        name="git",
        state=State.FAIL,
        detail="not found; every campaign is a git repository",
        remedy="install git (on Debian or Ubuntu: `apt-get install git`)",
    )


def _check_engine(settings: Settings, host: Host) -> Check:
    name = "container engine"
    if url := find_engine(settings):
        try:
            with Engine.connect(url) as engine:
                detail = f"{engine.version()} at {url}"
        except LabError as error:
            return Check(name=name, state=State.FAIL, detail=f"{url}: {error.what}", remedy=REMEDY)
        return Check(name=name, state=State.OK, detail=detail)
    if settings.docker_host:
        return Check(
            name=name,
            state=State.FAIL,
            detail=f"DOCKER_HOST is {settings.docker_host}, which does not answer",
            remedy="start it, or unset DOCKER_HOST",
        )
    if any(ask(url) is Answer.FORBIDDEN for url in default_sockets()):
        return Check(
            name=name,
            state=State.FAIL,
            detail="one runs, but this user may not talk to it",
            remedy='`sudo usermod -aG docker "$USER"`, and log in again',
        )
    if settings.install_engine and host.can_install:
        detail = f"none; docker.io of {host.distribution} will be installed and started"
        return Check(name=name, state=State.WILL, detail=detail)
    return Check(name=name, state=State.FAIL, detail="none", remedy=REMEDY)


def _check_gpus(profile: Profile, gpus: list[Gpu]) -> list[Check]:
    """The driver, the toolkit that hands a GPU to a container, and each GPU with its other users."""
    if not gpus:
        needed = profile.device == "cuda"
        return [
            Check(
                name="NVIDIA driver",
                state=State.FAIL if needed else State.OK,
                detail=f"no GPU is shown; the {profile.name} profile "
                + ("needs one" if needed else "runs on the CPU"),
                remedy="install the NVIDIA driver, or use PROFILE=cpu",
            )
        ]
    needed = profile.device == "cuda"
    checks = [
        Check(name="NVIDIA driver", state=State.OK, detail=gpus[0].driver or "version unknown")
    ]
    checks.append(_check_toolkit(needed=needed))
    all_busy = all(gpu.processes for gpu in gpus)
    for number, gpu in enumerate(gpus):
        memory = f"{gpu.memory_bytes / GIB:.0f} GiB" if gpu.memory_bytes else "memory unknown"
        users = ", ".join(map(str, gpu.processes))
        state = State.OK
        if gpu.processes:
            state = State.FAIL if all_busy and needed else State.WARN
        checks.append(
            Check(
                name=f"GPU {number}",
                state=state,
                detail=f"{gpu.name}, {memory}, "
                + (f"used by processes {users}" if users else "free"),
                remedy="end those processes: a shared card gives worse scores",
            )
        )
    return checks


def _check_toolkit(*, needed: bool) -> Check:
    name = "container toolkit"
    if not toolkit_programs():
        return Check(
            name=name,
            state=State.FAIL if needed else State.WARN,
            detail="not found: no container would see a GPU",
            remedy="install nvidia-container-toolkit, run `nvidia-ctk runtime configure "
            "--runtime=docker` and restart the engine",
        )
    try:
        version = toolkit_version()
    except Unreadable as error:
        return Check(name=name, state=State.WARN, detail=f"installed, but {error}")
    if escapes := known_escapes(version):
        return Check(
            name=name,
            state=State.WARN,
            detail=f"{version} lets a container out onto the host: {', '.join(escapes)}",
            remedy="renew nvidia-container-toolkit",
        )
    return Check(name=name, state=State.OK, detail=version)


def _check_image(settings: Settings, variant: Variant) -> tuple[Image | None, Check]:
    name = "frozen image"
    url = find_engine(settings)
    if url is None:
        detail = f"the {variant} image will be built, once the engine runs"
        return None, Check(name=name, state=State.WILL, detail=detail)
    try:
        with Engine.connect(url) as engine:
            image = find_image(engine, settings, variant, "frozen")
            if image is None:
                detail = f"none that matches harness/ and images/; {variant} will be built"
                return None, Check(name=name, state=State.WILL, detail=detail)
            verify_image(engine, image)
    except LabError as error:
        detail = f"{error.what} {error.why}".strip()
        return None, Check(name=name, state=State.FAIL, detail=detail, remedy=error.do)
    detail = f"{variant}, {image.id.removeprefix('sha256:')[:12]}, holds this harness/"
    return image, Check(name=name, state=State.OK, detail=detail)


def _check_kernels(settings: Settings) -> Check:
    name = "attention kernels"
    if settings.kernels == "none":
        return Check(name=name, state=State.OK, detail="left out; attention is PyTorch's own")
    open_pins = [pin.repository for pin in read_pins().kernels if pin.revision is None]
    if open_pins:
        return Check(
            name=name,
            state=State.WILL,
            detail=f"not pinned yet: {', '.join(open_pins)}; the build asks the hub",
            remedy="where the hub cannot be reached: HUB_MIRROR=address or KERNELS=none",
        )
    return Check(name=name, state=State.OK, detail="pinned; the build fetches them")


def _check_disk(
    settings: Settings, variant: Variant, profile: Profile, needs_image: bool, has_data: bool
) -> Check:
    needed = settings.min_free_bytes
    if needs_image:
        needed += SETUP_BYTES[variant]
    if not has_data and profile.dataset == "climbmix":
        needed += GPU_DATA_BYTES
    places = [settings.runs, Path("/var/lib/docker")]
    free = min(shutil.disk_usage(_existing(place)).free for place in places)
    return Check(
        name="free disk",
        state=State.OK if free >= needed else State.FAIL,
        detail=f"{free / GIB:.0f} GiB, {needed / GIB:.0f} GiB needed"
        + (" with what will be set up" if needed > settings.min_free_bytes else ""),
        remedy="free some, or put the checkout and the engine's storage on a larger disk",
    )


def _existing(place: Path) -> Path:
    """The folder, or the nearest one above it that exists and may be looked at."""
    for folder in (place.absolute(), *place.absolute().parents):
        try:
            if folder.exists():
                return folder
        except OSError:
            continue
    return Path("/")


def _check_data(settings: Settings, profile: Profile, has_data: bool) -> Check:
    folder = settings.data / profile.name
    if has_data:
        return Check(name="data", state=State.OK, detail=f"{profile.name}, complete in {folder}")
    source = {"books": "from the books in the image", "climbmix": "from climbmix shards of the hub"}
    if settings.parquet:
        source["climbmix"] = f"from the shards in {settings.parquet}"
    detail = f"{profile.name} will be prepared {source[profile.dataset]}"
    return Check(name="data", state=State.WILL, detail=detail)


def _check_agent(settings: Settings) -> Check:
    try:
        detail = choose_agent(settings).line.removeprefix("agent: ")
        return Check(name="agent", state=State.OK, detail=detail)
    except LabError as error:
        return Check(name="agent", state=State.FAIL, detail=error.what, remedy=error.do)
