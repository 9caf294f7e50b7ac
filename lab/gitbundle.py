"""A stranger's git bundle, as a repository that is only looked at.

Owns    what of a bundle git is given, and within which limits
Takes   a file
Gives   a Workspace over a bare repository in a scratch folder
Never   checks anything out, runs a hook, or lets a configuration have a say
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import BinaryIO

from lab.workspace import Workspace, door

# A stranger's git bundle. A campaign of a thousand experiments is some thousand objects of at most 64 KB.
BUNDLE_CAP_BYTES = 256 * 2**20
HEADER_CAP_BYTES = 4 * 2**20
OBJECT_CAP_BYTES = 2**20
MOST_OBJECTS = 200_000
BUNDLE_V2 = b"# v2 git bundle\n"  # what git writes for sha1; later versions have parts that we have no use for
BUNDLE_REF = re.compile(
    r"([0-9a-f]{40}) (HEAD|refs/heads/autoresearch/[a-z0-9._-]{1,40}|refs/experiments/\d{4,6})"
)

# git unpacks deltas in memory, and a few bytes of delta can name gigabytes. KiB, seconds, blocks of 512 bytes.
LIMITED = 'ulimit -v 1048576; ulimit -t 60; ulimit -f 1048576; exec "$@"'

SEND_AGAIN = "ask for the bundle again; nothing was written outside a scratch folder."


def open_git_bundle(file: Path, into: Path) -> Workspace:
    """A stranger's git bundle as a bare repository in `into`, which must not exist. Close it after use.

    No transport, no checkout, no hook and no configuration has a part in it: the references are read here, and
    git is given the pack alone, to check every object and link, within limits of memory, time and disk.

    Raises:
        CampaignError: it is no bundle of a campaign's repository, or is too large.
    """
    with door("open the repository in its bundle", do=SEND_AGAIN), file.open("rb") as bundle:
        if file.is_symlink() or file.stat().st_size > BUNDLE_CAP_BYTES:
            raise ValueError(f"it is a link, or over {BUNDLE_CAP_BYTES:,} bytes")
        refs = _read_refs(bundle)
        branches = [name for name in refs if name.startswith("refs/heads/")]
        if len(branches) != 1:
            raise ValueError(f"it has {len(branches)} branches, and a campaign has one")
        _git(into, "init", "--quiet", "--bare", "--template=")
        _read_pack(bundle, into)
        created = "".join(f"create {name} {commit}\n" for name, commit in refs.items())
        _git(into, "update-ref", "--stdin", given=created.encode())
        branch = branches[0].removeprefix("refs/heads/")
        return Workspace.look(into, branch=branch, environment=_surroundings(into))


def _read_refs(bundle: BinaryIO) -> dict[str, str]:
    """The references that a bundle names; what follows is its pack."""
    if bundle.readline(len(BUNDLE_V2)) != BUNDLE_V2:
        raise ValueError("it is no git bundle of version 2")
    refs: dict[str, str] = {}
    while (line := bundle.readline(1024)) != b"\n":
        found = BUNDLE_REF.fullmatch(line.decode("ascii", "replace").removesuffix("\n"))
        if found is None or found[2] in refs or bundle.tell() > HEADER_CAP_BYTES:
            raise ValueError(
                f"it names something that is no reference of a campaign: {line[:80]!r}"
            )
        refs[found[2]] = found[1]
    refs.pop("HEAD", None)
    return refs


def _read_pack(bundle: BinaryIO, into: Path) -> None:
    """Let git store and check the objects of a pack, and refuse what is too many or too large."""
    start = bundle.tell()
    header = bundle.read(12)
    if header[:4] != b"PACK" or int.from_bytes(header[8:]) > MOST_OBJECTS:
        raise ValueError(f"it has no pack of at most {MOST_OBJECTS:,} objects")
    bundle.seek(start)
    with tempfile.TemporaryFile() as pack:
        shutil.copyfileobj(bundle, pack)
        pack.seek(0)
        _git(into, "-c", "core.bigFileThreshold=1m",
             "index-pack", "--strict", "--stdin", "--threads=1", given=pack)  # fmt: skip
    listed = _git(
        into, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectsize)"
    )
    for kind, size in (line.split() for line in listed.decode().splitlines()):
        if kind == "tag" or int(size) > OBJECT_CAP_BYTES:
            raise ValueError(f"it holds a {kind} of {int(size):,} bytes")


def _git(repository: Path, *words: str, given: bytes | BinaryIO = b"") -> bytes:
    """What git prints, run with limits on what a stranger's data can cost.

    Raises:
        ValueError: it failed; the message is its own.
    """
    with tempfile.TemporaryFile() as told:
        if isinstance(given, bytes):
            told.write(given)
            told.seek(0)
        ran = subprocess.run(
            ["sh", "-c", LIMITED, "sh", shutil.which("git") or "git", *words],
            cwd=repository.parent,
            env=_surroundings(repository) | {"LC_ALL": "C"},
            stdin=told if isinstance(given, bytes) else given,
            capture_output=True,
            check=False,
        )
    if ran.returncode:
        said = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(f"git {words[0]}: {said[-1] if said else f'exit code {ran.returncode}'}")
    return ran.stdout


def _surroundings(repository: Path) -> dict[str, str]:
    """Variables of git that leave neither the user's configuration nor the caller's a say."""
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_COUNT": "0",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_DIR": str(repository),
        "GIT_OBJECT_DIRECTORY": str(repository / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
    }
