"""A data folder and its manifest, which is written last: where there is one, the folder is complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from harness.errors import DataError

MANIFEST = "manifest.json"
PARTS = ("train", "judge")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder, or None when it was never completed.

    Raises:
        DataError: there is one, and it is not a manifest.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(manifest[key], dict) for key in ("files", "request", "source")):
            raise ValueError("files, request or source is not a table")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not a manifest.",
            why=f"{type(error).__name__}: {error}",
            do="delete the data folder and run `make data` again.",
        ) from error
    return dict(manifest)


def altered_files(folder: Path, manifest: dict[str, Any], *, every_byte: bool) -> list[str]:
    """Files that are missing or not as written: by size, or by sha256 as well."""
    altered = []
    for name, known in manifest["files"].items():
        path = folder / name
        if (
            not path.is_file()
            or path.stat().st_size != known["bytes"]
            or (every_byte and sha256_of(path) != known["sha256"])
        ):
            altered.append(name)
    return altered


def publish(making: Path, folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Move what was made into its place, and write the manifest of it last."""
    files = {
        path.relative_to(making).as_posix(): {
            "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
        }
        for part in PARTS
        for path in sorted((making / part).iterdir())
    }
    manifest = facts | {"files": files}
    # Without its manifest the old data is no data: from here on a crash means "make it again".
    (folder / MANIFEST).unlink(missing_ok=True)
    for part in PARTS:
        if (folder / part).exists():
            shutil.rmtree(folder / part)
        (making / part).rename(folder / part)
    unfinished = making / MANIFEST
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / MANIFEST)
    shutil.rmtree(making)
    return manifest


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
