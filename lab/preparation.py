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
from lab.settings import Settings

MANIFEST = "manifest.json"


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
    """Whether every file that the manifest names is there with its size."""
    try:
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        return all(
            (folder / name).stat().st_size == facts["bytes"] for name, facts in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def data_sha256(folder: Path) -> str:
    """The name of the prepared data: the sha256 of its manifest, which names every file's."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
