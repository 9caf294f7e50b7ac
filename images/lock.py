"""Write the hash locks: `python images/lock.py [host] [dashboard] [crate] [cpu] [cuda]`, all when none is named.

A maintainer runs this, with `uv` installed, to move to newer versions; a build only ever reads the locks.
uv takes hashes from an index's metadata, so the CUDA lock costs no gigabytes. It does not look at pip's
find-links, where a CPU build of torch may lie, so they are handed on. No index is named here or in a lock.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).resolve().parent
REQUIREMENTS = IMAGES.parent / "requirements"

TORCH = "2.13.0"
PYTHON = "3.11"  # of Debian bookworm, the base of the image
PLATFORM = "x86_64-manylinux_2_28"


def main(names: list[str]) -> None:
    in_image = ["--python-platform", PLATFORM, "--only-binary", ":all:"]
    for name in names or ["host", "dashboard", "crate", "cpu", "cuda"]:
        wanted, lock = REQUIREMENTS / f"{name}.in", REQUIREMENTS / f"{name}.lock"
        if name in ("host", "crate"):
            _lock(wanted, lock, ["--universal"])
            continue
        if name == "dashboard":  # the host's versions, as wheels for the image
            _lock(wanted, lock, [*in_image, f"--constraint={REQUIREMENTS / 'host.lock'}"])
            continue
        build = {"cpu": f"{TORCH}+cpu", "cuda": TORCH}[name]
        options = list(in_image)
        if name == "cpu":
            options += [f"--find-links={place}" for place in _find_links()]
        with tempfile.NamedTemporaryFile("w", suffix=".in") as draft:
            draft.write(f"torch=={build}\n" + (IMAGES / "image.in").read_text())
            draft.flush()
            _lock(Path(draft.name), IMAGES / f"{name}.lock", options)


def _lock(wanted: Path, lock: Path, options: list[str]) -> None:
    command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header"]
    command += ["--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--upgrade", f"--python-version={PYTHON}", *options, str(wanted)]
    locked = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    head = f"# Written by images/lock.py from {wanted.name if wanted.parent == REQUIREMENTS else 'image.in'}.\n"
    lock.write_text(head + locked)
    print(f"{lock.relative_to(IMAGES.parent)}: {locked.count('==')} packages")


def _find_links() -> list[str]:
    """The places where the maintainer's own pip looks besides its indexes."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    places = [
        line.partition("=")[2].strip("'\"").split()
        for line in listed.splitlines()
        if line.partition("=")[0].endswith("find-links")
    ]
    return sorted({place for group in places for place in group})


if __name__ == "__main__":
    main(sys.argv[1:])
