"""The rules of the house, read from the source: who may know whom, and who may touch what."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = sorted((ROOT / "lab").rglob("*.py"))
HARNESS = sorted((ROOT / "harness").rglob("*.py"))

# Data flows one way: a module imports only what stands on a line above its own.
FLOW = [
    "errors",
    "redaction",
    "parquet",
    "settings",
    "host",
    "engine",
    "compose",
    "cgroup",
    "prompt",
    "contract",
    "inbox",
    "agents",
    "notes",
    "notebook",
    "lines",
    "gitpack",
    "workspace",
    "gitbundle",
    "glimpse",
    "outcome",
    "sandbox",
    "container",
    "image",
    "gate",
    "training",
    "evaluation",
    "fingerprint",
    "gauges",
    "samples",
    "telemetry",
    "contention",
    "trial",
    "verdict",
    "contrast",
    "reproduction",
    "noise",
    "ledger",
    "weighing",
    "lineage",
    "strategy",
    "preparation",
    "vitals",
    "history",
    "facts",
    "claim",
    "runs",
    "waiting",
    "campaign",
    "imported",
    "show",
    "story",
    "page",
    "report",
    "serving",
    "mcp",
    "interrupts",
    "recovery",
    "setup",
    "bulletin",
    "night",
    "forwarding",
    "jail",
    "experiment",
    "lookahead",
    "agenda",
    "overnight",
    "byhand",
    "bundle",
    "received",
    "replay",
    "compare",
    "smoke",
    "doctor",
    "bench",
    "watch",
    "dashboard",
    "team",
    "cli",
    "__main__",
]

# One door for each outside thing.
DOORS = {
    "docker": {"lab/container.py", "lab/image/"},
    "git": {"lab/workspace.py"},
    "gitdb": {"lab/workspace.py"},
    "pynvml": {"lab/fingerprint/", "lab/telemetry.py"},
    "structlog": {"lab/show/events.py"},
    "rich": {"lab/show/", "lab/doctor.py", "lab/cli/", "lab/watch.py"},
    "matplotlib": {"lab/show/", "lab/report/"},
    "pyarrow": {"lab/parquet.py"},
    "libcst": {"lab/agents/offline/"},
    "typer": {"lab/cli/"},
    "scipy": {"lab/verdict.py", "lab/contrast.py"},
    "anthropic": {"lab/agents/providers/anthropic.py"},
    "openai": {"lab/agents/providers/openai.py", "lab/agents/providers/compatible.py"},
    "mcp": {"lab/mcp/"},
    "mcp_types": {"lab/mcp/"},
    "starlette": {"lab/serving.py", "lab/mcp/", "lab/dashboard/"},
    "sse_starlette": {"lab/dashboard/"},
    "uvicorn": {"lab/serving.py", "lab/mcp/"},
    "h11": {"lab/serving.py"},
    "pygments": {"lab/story/"},
    "anyio": {"lab/mcp/"},
    "zstandard": {"lab/bundle/archive.py"},
}
VAGUE = {"utils", "util", "helpers", "common", "core", "manager", "misc", "tools"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room(module: str) -> str:
    """The line of FLOW that a module of lab stands on: `lab.agents.offline.dials` is in `agents`."""
    return module.split(".")[1]


@pytest.mark.parametrize("path", LAB, ids=name_of)
def test_data_flows_one_way(path: Path) -> None:
    """With one direction there are no cycles, and a reader can start at either end."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[1] == "__init__":
        return
    here = FLOW.index(parts[1])
    for module in imports(path):
        if module.startswith("lab.") and room(module) != parts[1]:
            there = FLOW.index(room(module))
            assert there < here, f"{name_of(path)} imports {module}, which stands below it"


@pytest.mark.parametrize("path", LAB, ids=name_of)
def test_each_outside_thing_has_one_door(path: Path) -> None:
    """Foreign exceptions, versions and quirks are met in one place."""
    name = name_of(path)
    for module in imports(path):
        doors = DOORS.get(module.split(".")[0])
        assert doors is None or any(name.startswith(door) for door in doors), (
            f"{name} imports {module}; its door is {', '.join(sorted(doors))}"
        )


@pytest.mark.parametrize("path", LAB, ids=name_of)
def test_only_settings_reads_the_environment(path: Path) -> None:
    """A choice that can come from anywhere cannot be shown, tested or recorded."""
    if name_of(path) in (
        "lab/settings.py",
        "lab/cli/options.py",
    ):  # cli hands os.environ to settings
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            read = node.value.id == "os" and node.attr in ("environ", "getenv")
            assert not read, f"{name_of(path)}:{node.lineno} reads the environment"


@pytest.mark.parametrize("path", HARNESS, ids=name_of)
def test_the_frozen_side_knows_nothing_of_the_controller(path: Path) -> None:
    """It is in an image that has no lab, and must mean the same in every lab."""
    assert not any(module.split(".")[0] == "lab" for module in imports(path))


@pytest.mark.parametrize("name", ["wire", "profiles"])
def test_what_both_sides_read_needs_the_standard_library_alone(name: str) -> None:
    """The controller has no torch, and the corpus is read before anything is installed."""
    import sys

    for module in imports(ROOT / "harness" / f"{name}.py"):
        assert module.split(".")[0] in sys.stdlib_module_names | {"__future__"}


@pytest.mark.parametrize("path", [*LAB, *HARNESS], ids=name_of)
def test_a_name_says_what_is_inside(path: Path) -> None:
    """A room called `utils` has a place for everything, so everything ends there."""
    assert not VAGUE & {part.removesuffix(".py") for part in path.parts}


@pytest.mark.parametrize("path", HARNESS, ids=name_of)
def test_nothing_is_unpickled(path: Path) -> None:
    """A pickle from the agent's side would be code on ours."""
    source = path.read_text()
    assert "pickle" not in {module.split(".")[0] for module in imports(path)}
    assert "torch.load(" not in source
    assert "allow_pickle=True" not in source


def test_no_commit_names_a_package_registry() -> None:
    """The clients of the host know where to go; mirrors and air-gapped sites depend on it."""
    hosts = ("files.python" + "hosted.org", "py" + "pi.org", "deb.deb" + "ian.org")
    for path in ROOT.rglob("*"):
        skipped = {".git", ".venv", ".nightlab", "runs", "data", "node_modules"}
        if path.is_file() and not skipped & set(path.relative_to(ROOT).parts):
            try:
                text = path.read_text()
            except UnicodeDecodeError:
                continue
            assert not any(host in text for host in hosts), path


def test_the_teams_page_imports_nothing_that_its_image_lacks() -> None:
    """It has a third of the host's wheels; an import too many would be found only by who builds it."""
    code = f"""
import importlib.metadata, re, sys
locked = set(re.findall(r"^([a-z0-9.-]+)==", open({str(ROOT / "requirements" / "dashboard.lock")!r}).read(), re.M))
owners = importlib.metadata.packages_distributions()

class Missing:
    def find_spec(self, name, path=None, target=None):
        owned = {{re.sub("[._]", "-", owner).lower() for owner in owners.get(name, [])}}
        if owned and not owned & locked:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import lab.cli, lab.dashboard.pages
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
