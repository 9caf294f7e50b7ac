"""What torch inside the frozen image says that it computes on.

Owns    the answer of each image on each device, kept so that it is asked for once
Takes   an open engine, the spec of a container that asks
Gives   Readings
Never   ends a set-up: a container that cannot answer leaves readings missing, and says why
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lab.container import Engine
from lab.errors import EngineError
from lab.fingerprint.readings import Readings, Unreadable
from lab.sandbox import SealedSpec

NAMES = ("torch", "torch_isa", "torch_threads", "torch_sm_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One line of harness/device.py."""

    torch: str
    device: str  # "cpu" or "cuda"
    isa: str
    threads: int
    gpu: str | None
    compute_capability: str | None
    sm_count: int | None
    memory_bytes: int | None


_DEVICE = TypeAdapter(Device)


def read_inside(
    engine: Engine, spec: SealedSpec, *, cache: Path, driver: str | None, salt: bytes
) -> Readings:
    """Ask once for each image, device, driver and number of cores; `cache` is the folder of the answers."""
    readings = Readings()
    key = json.dumps([spec.image, spec.gpu_uuid, spec.cpus, driver, salt.hex()])
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    try:
        found = _remembered(path) or _ask(engine, spec, path)
    except Unreadable as error:
        readings.give_up(NAMES, str(error))
        return readings
    readings.take("torch", lambda: found.torch)
    readings.take("torch_isa", lambda: found.isa)
    readings.take("torch_threads", lambda: found.threads)
    if spec.gpu_uuid is not None:
        readings.take("torch_sm_count", lambda: found.sm_count)
    return readings


def _remembered(path: Path) -> Device | None:
    try:
        return _DEVICE.validate_json(path.read_bytes())
    except (OSError, ValidationError):  # never asked, or torn by a power cut
        return None


def _ask(engine: Engine, spec: SealedSpec, path: Path) -> Device:
    try:
        with engine.start(spec) as container:
            lines = list(container.lines())
            ended = container.finish()
    except EngineError as error:
        # The engine's own words can name the card and this host's folders, and this goes into a record.
        raise Unreadable("no container could be started to ask torch") from error
    if ended.exit_code != 0:
        raise Unreadable(f"the container that asks torch ended with code {ended.exit_code}")
    try:
        found = _DEVICE.validate_json(lines[-1] if lines else "")
    except ValidationError as error:
        raise Unreadable("the container that asks torch gave no answer") from error
    if spec.gpu_uuid is not None and found.device != "cuda":
        raise Unreadable("a container shows torch no GPU")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(found), indent=1) + "\n")
    draft.replace(path)
    return found
