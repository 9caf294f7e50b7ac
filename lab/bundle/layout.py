"""What a bundle may hold: every name, and how large it may be.

Owns    the layout and the limits, of which a stranger's file may exceed none
Takes   names
Gives   how many bytes a file of that name may have; None for a name that has no place here
Never   opens a file
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from lab.settings import TAG_PATTERN

SUFFIX = ".tar.zst"
TOP_PREFIX = "nightlab-"
PAYLOAD = "data"
CRATE = "ro-crate-metadata.json"
GIT_BUNDLE = "repo.bundle"
PROGRAM = "program.md"
DATA_MANIFEST = "data-manifest.json"
WEIGHTS = "data/best/model.safetensors"

MIB, GIB = 2**20, 2**30

# Regular expressions over the names below the top folder; what matches none is refused. All are ASCII.
_FILES: tuple[tuple[str, int], ...] = (
    (r"bagit\.txt|bag-info\.txt", 4 * 2**10),
    (r"manifest-sha256\.txt|tagmanifest-sha256\.txt|statement\.json", 16 * MIB),
    (r"statement\.json\.sig", 16 * 2**10),
    (r"data/ro-crate-metadata\.json", 32 * MIB),
    (r"data/campaign\.json|data/program\.md", 1 * MIB),
    (r"data/ledger\.jsonl|data/results\.(tsv|parquet)", 64 * MIB),
    (r"data/progress\.png", 16 * MIB),
    (r"data/repo\.bundle", 256 * MIB),
    (r"data/experiments/[0-9]{4,6}/audit\.json", 1 * MIB),
    (r"data/experiments/[0-9]{4,6}/(telemetry|curve)\.parquet", 8 * MIB),
    (r"data/experiments/[0-9]{4,6}/train\.log", 8 * MIB),
    (r"data/best/(train\.py|config\.json|record\.json)", 1 * MIB),
    (r"data/best/model\.safetensors", 7 * GIB),
    (r"data/recipe/data-manifest\.json", 1 * MIB),
    (r"data/recipe/(images|harness)(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){1,3}", 2 * MIB),
    (r"data/image/(oci-layout|index\.json|manifest\.json)", 1 * MIB),
    (r"data/image/blobs/sha256/[0-9a-f]{64}", 7 * GIB),
    (r"data/transcripts/[a-z0-9][A-Za-z0-9._-]{0,63}", 64 * MIB),
)
_LIMITS = tuple((re.compile(pattern), most) for pattern, most in _FILES)
_LARGE = re.compile(r"data/(best/model\.safetensors|image/.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What all files together may come to, before a byte of them is written anywhere."""

    files: int = 60_000
    total_bytes: int = 24 * GIB
    small_bytes: int = 1 * GIB  # of everything but weights and image
    ratio: int = 400  # bytes unpacked for each packed one; text of a campaign has about 10


def most_bytes(name: str) -> int | None:
    """How large the file of this name may be, its name below the top folder; None: it has no place."""
    for pattern, most in _LIMITS:
        if pattern.fullmatch(name):
            return most
    return None


def is_large(name: str) -> bool:
    """Whether this file counts against the total alone: weights, or a part of the image."""
    return _LARGE.fullmatch(name) is not None


def top_of(tag: str) -> str:
    """The one folder that everything is in."""
    return f"{TOP_PREFIX}{tag}"


def tag_of(top: str) -> str | None:
    """The campaign that a top folder names; None when it names none."""
    tag = top.removeprefix(TOP_PREFIX)
    return tag if top != tag and TAG_PATTERN.fullmatch(tag) else None


def folded(name: str) -> str:
    """What a name becomes on a file system that ignores case or composes characters."""
    return unicodedata.normalize("NFKC", name).casefold()
