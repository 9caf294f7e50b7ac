"""`make test` and `make bench`: our own code, each part run where it belongs.

What needs torch runs inside the frozen image, sealed as an experiment is; the rest runs here.

Owns    where a test or a benchmark runs, and what it is given
Takes   the settings, and names of benchmarks
Gives   an exit code, pytest's or the benchmark's own
Never   gives a test in the image a network, or a writable place but /tmp
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness.profiles import GIB
from lab.container import Engine
from lab.engine import ensure_engine
from lab.errors import BadInput
from lab.host import Say
from lab.image import ensure_image
from lab.sandbox import Mount, SealedSpec
from lab.settings import CHECKOUT, Settings
from lab.setup import set_up

INSIDE = "/checkout"
MOUNTED = ("benchmarks", "data", "pyproject.toml", "tests", "workspace")
DEADLINE_S = 1800.0

BENCHMARKS = CHECKOUT / "benchmarks"


def run_tests(settings: Settings, say: Say) -> int:
    """All tests: those of the host, then those of the frozen image. The first exit code that is not 0."""
    command = [sys.executable, "-m", "pytest", "tests", "--ignore=tests/frozen"]
    on_host = subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, check=False)
    return on_host.returncode or run_frozen_tests(settings, say)


def run_frozen_tests(settings: Settings, say: Say) -> int:
    """tests/frozen, inside the image: pytest's exit code."""
    # The books are in the `data` image; everything else is the same as in `frozen`.
    with Engine.connect(ensure_engine(settings, say)) as engine:
        image = ensure_image(engine, settings, "cpu", "data", say)
        say("running tests/frozen inside the image")
        here = f"{INSIDE}/tests/frozen"
        # Above it, tests/conftest.py is the host's: it imports the controller, which is not in there.
        command = ("python", "-m", "pytest", "-p", "no:cacheprovider", f"--confcutdir={here}", here)
        return run_inside(engine, settings, image.id, "tests", command)


def run_benchmarks(settings: Settings, names: list[str], say: Say) -> int:
    """Benchmarks by name, dashes or underscores; all of them when none is named.

    Raises:
        BadInput: there is no benchmark of that name.
    """
    known = {file.stem: file for file in sorted(BENCHMARKS.glob("*.py")) if _is_program(file)}
    wanted = [name.replace("-", "_") for name in names] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise BadInput(
            f"there is no benchmark {unknown[0]}.",
            do=f"one of: {', '.join(name.replace('_', '-') for name in known)}",
        )
    worst = 0
    for name in wanted:
        say(f"benchmark {name.replace('_', '-')}")
        if _imports_torch(known[name]):
            worst = _benchmark_inside(settings, name, say) or worst
        else:
            command = [sys.executable, "-m", f"benchmarks.{name}"]
            worst = subprocess.run(command, cwd=CHECKOUT, check=False).returncode or worst
    return worst


def _benchmark_inside(settings: Settings, name: str, say: Say) -> int:
    cpu = settings.model_copy(update={"profile": "cpu"})
    with set_up(cpu, campaign="bench", say=say) as ready:
        command = ("python", "-m", f"benchmarks.{name}")
        return run_inside(ready.bench.engine, settings, ready.image.id, "bench", command)


def run_attacks() -> int:
    """Every attack and every honest control, as a table; its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "tests.attacks"], cwd=CHECKOUT, check=False
    ).returncode


def print_now(line: str) -> None:
    print(line, flush=True)


def run_inside(
    engine: Engine,
    settings: Settings,
    image: str,
    campaign: str,
    command: tuple[str, ...],
    *,
    show: Callable[[str], None] = print_now,
) -> int:
    """Run a command in a sealed container with the checkout's code read-only, its lines shown as they come."""
    places = [(CHECKOUT / name, name) for name in MOUNTED if name != "data"]
    places.append((settings.data, "data"))
    spec = SealedSpec(
        role="tool",
        campaign=f"{campaign}-{os.getpid()}",
        experiment=0,
        image=image,
        command=("sh", "-c", 'exec "$@" 2>&1', "sh", *command),  # one stream, in order
        mounts=tuple(
            Mount(source=source, target=f"{INSIDE}/{name}")
            for source, name in places
            if source.exists()
        ),
        # The image's own harness comes first; the checkout's is not even mounted.
        environment={"PYTHONPATH": f"/opt/nightlab:{INSIDE}"},
        gpu_uuid=None,
        cpus=settings.cpus,
        memory_bytes=8 * GIB,
        scratch_bytes=4 * GIB,
        deadline_s=DEADLINE_S,
    )
    with engine.start(spec) as container:
        for line in container.lines():
            show(line)
        return container.finish().exit_code


def _is_program(file: Path) -> bool:
    """A benchmark is a file that can be run; what several of them share is not one."""
    return '__name__ == "__main__"' in file.read_text()


def _imports_torch(file: Path) -> bool:
    """Whether it needs the image: there is no torch on the host."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    return "torch" in imported
