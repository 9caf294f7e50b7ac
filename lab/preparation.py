"""The training data: made once per profile by our own code in the `data` image, and checked.

Owns    what the preparing container is given, and what counts as prepared
Takes   an engine, the id of a `data` image, a profile
Gives   the folder of a prepared profile, and the sha256 that names it
Never   reads a token itself
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from harness.profiles import Profile
from lab.container import Engine
from lab.errors import DataError
from lab.sandbox import prepare_spec
from lab.settings import CHECKOUT, Settings

MANIFEST = "manifest.json"
HARNESS = CHECKOUT / "harness"


def prepare_data(
    engine: Engine, settings: Settings, profile: Profile, image: str, say: Callable[[str], None]
) -> Path:
    """Make the data of a profile unless it is complete; its folder.

    Raises:
        DataError: it could not be made; the message is the preparing program's own.
    """
    folder = settings.data / profile.name
    if is_prepared(folder):
        return folder
    settings.data.mkdir(parents=True, exist_ok=True)
    say(f"preparing the data of the {profile.name} profile, once, in {folder}")
    spec = prepare_spec(
        profile=profile,
        image=image,
        data=settings.data,
        parquet=settings.parquet,
        shards=settings.shards,
        hub_mirror=settings.hub_mirror,
        user=f"{os.getuid()}:{os.getgid()}",
    )
    with engine.start(spec) as container:
        for line in container.lines():
            say(f"  {line}")
        ended = container.finish()
    if ended.exit_code != 0:
        complaint = ended.log.decode("utf-8", "replace").strip().splitlines()[-12:]
        raise DataError(
            f"the data of the {profile.name} profile could not be prepared.",
            why="\n       ".join(complaint) or f"exit code {ended.exit_code}",
            do="mend that and run `make data` again; what was fetched is kept.",
        )
    if not is_prepared(folder):
        raise DataError(f"{folder} is incomplete after preparing it.", do="run `make data` again.")
    return folder


def is_prepared(folder: Path) -> bool:
    """Whether every file that the manifest names is there with its size, made by this checkout's code."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return all(
            (folder / name).stat().st_size == facts["bytes"]
            for name, facts in manifest["files"].items()
        ) and all(
            _sha256(HARNESS / f"{module}.py") == digest
            for module, digest in manifest["request"]["code"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def verify_data(folder: Path) -> str:
    """Read every byte of the prepared data again; gives its name, the sha256 of its manifest.

    Two gigabytes take a few seconds, once a night: a shard that changed would make every score false.

    Raises:
        DataError: a file is not what was prepared.
    """
    content = (folder / MANIFEST).read_bytes()
    for name, facts in json.loads(content)["files"].items():
        if _sha256(folder / name) != facts["sha256"]:
            raise DataError(
                f"{folder / name} is not what was prepared.",
                why="its sha256 differs from the one in manifest.json.",
                do=f"delete {folder} and run `make data`; no experiment was started.",
            )
    return hashlib.sha256(content).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
