"""A machine with NVIDIA GPUs, for tests: a stand-in for the driver's library, and the file that it plays.

The C files of this folder are built as one libnvidia-ml.so.1, which speaks NVML's real C interface, so
everything above it is the real thing: nvidia-ml-py, and our own code. pynvml keeps the library it has
loaded, so a test runs what it tests in a process of its own, with `environment(...)`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.sandbox import Mount, SealedSpec
from lab.trial import Bench

SOURCES = Path(__file__).parent
ROOT = SOURCES.parents[1]
LIBRARY = "libnvidia-ml.so.1"
COMPILERS = ("cc", "gcc", "clang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One MIG instance of a card."""

    uuid: str
    slice: str = "1g.10gb"
    facts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One GPU. A fact that is not in `facts` or `texts` is a reading that this card does not support."""

    uuid: str = "GPU-6f1d2c4e-0000-0000-0000-000000000000"
    name: str = "NVIDIA H100 80GB HBM3"
    facts: dict[str, int] = field(
        default_factory=lambda: {
            "memory_bytes": 85_520_809_984,
            "compute_major": 9,
            "compute_minor": 0,
            "power_limit_mw": 700_000,
            "ecc": 1,
            "mig": 0,
        }
    )
    texts: dict[str, str] = field(default_factory=dict)
    instances: dict[int, Instance] = field(default_factory=dict)  # MIG, by instance id


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process on a card, as the driver lists it."""

    pid: int
    bytes: int | None = 2**30  # None where the driver does not tell
    card: int = 0
    instance: int | None = None
    mps: bool = False  # a client of the multi-process service


def build(folder: Path, *, image: Callable[[], Bench]) -> Path:
    """Build the library in `folder`, by the host's compiler or, without one, by that of the frozen image."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    if compiler is not None:
        command = [compiler, *options, "-o", str(folder / LIBRARY)]
        command += [str(SOURCES / name) for name in _names()]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        code, words = built.returncode, built.stderr
    else:
        code, words = _build_in_image(folder, image(), ["gcc", *options])
    if code:
        pytest.fail(f"the stand-in for NVML was not built:\n{words}")
    return folder


def _build_in_image(folder: Path, bench: Bench, command: list[str]) -> tuple[int, str]:
    folder.chmod(0o777)  # the container's user is another one
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    spec = SealedSpec(
        role="tool",
        campaign=f"nvml-{os.getpid()}",
        experiment=0,
        image=bench.image,
        command=(*command, "-o", f"/out/{LIBRARY}", *(f"/source/{name}" for name in _names())),
        mounts=(
            Mount(source=SOURCES, target="/source"),
            Mount(source=folder, target="/out", writable=True),
        ),
        gpu_uuid=None,
        cpus=None,
        memory_bytes=2**30,
        scratch_bytes=2**26,
        deadline_s=60.0,
    )
    with bench.engine.start(spec) as container:
        lines = list(container.lines())
        ended = container.finish()
    return ended.exit_code, "\n".join(lines) + ended.log.decode("utf-8", "replace")


def _names() -> list[str]:
    """The C files that make the library."""
    return sorted(path.name for path in SOURCES.glob("*.c"))


def environment(library: Path, machine: Path) -> dict[str, str]:
    """The variables of a process that finds the stand-in in `library`, playing `machine`."""
    return os.environ | {"LD_LIBRARY_PATH": str(library), "NVML_STANDIN": str(machine)}


def ask(library: Path, machine: Path, program: str, *arguments: str) -> Any:
    """Run a program in a process of its own on `machine`; what it assigns to `answer` comes back, through JSON.

    Its sys.argv[1] is the machine's file, and `arguments` follow. What it says on stderr fails the test.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nprint(json.dumps(answer))\n", str(machine), *arguments],
        cwd=ROOT,
        env=environment(library, machine),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def write_machine(
    path: Path,
    *,
    cards: tuple[Card, ...] = (),
    processes: tuple[Process, ...] = (),
    driver: str = "580.65.06",
    fail: dict[str, int] | None = None,
    delay_ms: dict[str, int] | None = None,
) -> None:
    """What the library plays from now on. A reader sees the old machine or the new one, never a half."""
    lines = [f"driver {driver}"]
    for index, card in enumerate(cards):
        lines.append(f"card {card.uuid} {card.name}")
        lines += [f"set {index} {name} {value}" for name, value in card.facts.items()]
        lines += [f"text {index} {name} {value}" for name, value in card.texts.items()]
        for number, instance in card.instances.items():
            lines.append(
                f"instance {index} {instance.uuid} {number} {card.name} MIG {instance.slice}"
            )
            lines += [f"set {index}.{number} {fact} {v}" for fact, v in instance.facts.items()]
    for process in processes:
        size = "-" if process.bytes is None else str(process.bytes)
        instance = "" if process.instance is None else f" {process.instance}"
        word = "mps" if process.mps else "process"
        lines.append(f"{word} {process.card} {process.pid} {size}{instance}")
    lines += [f"fail {entry} {code}" for entry, code in (fail or {}).items()]
    lines += [f"delay {entry} {ms}" for entry, ms in (delay_ms or {}).items()]
    draft = path.with_name(path.name + ".new")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.replace(path)
