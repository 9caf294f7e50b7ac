"""What the frozen harness is, as a list of sha256s: `python -m harness.manifest` inside the image.

The image is built with this list in it, and the controller computes the same list from its own checkout:
where the two differ, the image is not the harness that the checkout describes, and is refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def frozen_files(folder: Path) -> list[Path]:
    """The files of the harness, sorted by path; what Python or an editor leaves beside them is not one."""

    def is_left_over(path: Path) -> bool:
        return any(part == "__pycache__" or part.startswith(".") for part in path.parts)

    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not is_left_over(path.relative_to(folder))
    )


def manifest_bytes(folder: Path) -> bytes:
    """One JSON object, file to sha256, the same bytes wherever the same files lie."""
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in frozen_files(folder)
    }
    return json.dumps(digests, indent=1, sort_keys=True).encode() + b"\n"


def manifest_sha256(folder: Path) -> str:
    """The name of the harness as a whole: the sha256 of its manifest."""
    return hashlib.sha256(manifest_bytes(folder)).hexdigest()


if __name__ == "__main__":
    print(manifest_bytes(Path(__file__).resolve().parent).decode(), end="")
