"""climbmix: parquet shards of web text, downloaded at a pinned revision or read from a local folder.

Every shard is checked before a word of it is read. Its sha256 is known from the pins in the image; where
they are silent, from the manifest of an earlier download; and the first time, from the hub itself. What
was learned is written into the manifest and holds from then on.

A download that broke off is taken up where it stopped, and a finished one is kept for the next time.
HF_ENDPOINT names a mirror.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.datafolder import sha256_of
from harness.errors import DataError

REPOSITORY = "karpathy/climbmix-400b-shuffle"

# Validation is upstream's; holdout is the shard before it, which no default run trains on.
TRAIN_SHARDS = 10
HOLDOUT_SHARD = 6541
VAL_SHARD = 6542

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"shard_{number:05d}.parquet"


def read_pins(path: Path) -> dict[str, Any]:
    """What `[dataset]` of the pins says: `revision`, and `shards` by file name; what is unresolved is left out.

    Raises:
        DataError: the file is there and is not TOML.
    """
    try:
        pins = tomllib.loads(path.read_text(encoding="utf-8")).get("dataset", {})
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"the pins in {path} cannot be read.", why=str(error)) from error
    shards = pins.get("shards", {}).items()
    resolved = {name: sha256 for name, sha256 in shards if _SHA256.fullmatch(sha256)}
    revision = pins.get("revision", "")
    return {"shards": resolved} | ({"revision": revision} if _COMMIT.fullmatch(revision) else {})


class Climbmix:
    """Shards of climbmix, one at a time, each checked against what is known of it."""

    def __init__(
        self,
        *,
        downloads: Path,
        train_shards: int = TRAIN_SHARDS,
        local: Path | None = None,
        pins: dict[str, Any],
        seen: dict[str, Any],
    ) -> None:
        """Nothing is read or downloaded yet.

        Args:
            downloads: where downloaded shards lie.
            train_shards: how many, from shard 0 on.
            local: a folder of shards to read instead of downloading.
            pins: what is pinned, as `read_pins` gives it.
            seen: the `source` of an earlier manifest; the pins have the last word.
        """
        if not 1 <= train_shards <= HOLDOUT_SHARD:
            raise DataError(
                f"there cannot be {train_shards} training shards.",
                why=f"shards {HOLDOUT_SHARD} and {VAL_SHARD} are held out.",
                do=f"ask for 1 to {HOLDOUT_SHARD}.",
            )
        self._downloads = downloads
        self._local = local
        self._numbers = {
            "train": range(train_shards),
            "val": range(VAL_SHARD, VAL_SHARD + 1),
            "holdout": range(HOLDOUT_SHARD, HOLDOUT_SHARD + 1),
        }
        self._revision = pins.get("revision") or seen.get("revision") or ""
        known = seen.get("shards", {}) | pins.get("shards", {})
        self._known: dict[str, str] = {name: sha256 for name, sha256 in known.items() if sha256}
        self._checked: dict[str, Path] = {}

    def identity(self) -> dict[str, Any]:
        """Repository, revision, and the sha256 of every shard that is known by now."""
        names = [shard_name(number) for split in self._numbers.values() for number in split]
        return {
            "dataset": "climbmix",
            "repository": REPOSITORY,
            "revision": self._revision or None,
            "shards": {name: self._known.get(name) for name in names},
        }

    def tokenizer_text(self) -> Iterator[str]:
        """Documents of the training shards, in order."""
        for number in self._numbers["train"]:
            for documents in read_documents(self._shard(number)):
                yield from documents

    def shards(self, split: str, say: Callable[[str], None]) -> Iterator[Iterator[Sequence[str]]]:
        """The shards of a split, each as batches of documents."""
        for number in self._numbers[split]:
            path = self._shard(number)
            say(f"{split}: {path.name} is checked")
            yield read_documents(path)

    def _shard(self, number: int) -> Path:
        name = shard_name(number)
        if name not in self._checked:
            path = self._local / name if self._local is not None else self._download(name)
            self._check(path)
            self._checked[name] = path
        return self._checked[name]

    def _check(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(
                f"the shard {path.name} is missing.",
                why=f"there is no {path}.",
                do="put it there, ask for fewer --shards, or let it be downloaded.",
            )
        found = sha256_of(path)
        expected = self._known.setdefault(path.name, found)
        if found == expected:
            return
        if self._local is None:
            path.unlink()
        raise DataError(
            f"the shard {path.name} is not the one that was pinned.",
            why=f"its sha256 is {found}, not {expected}; it was cut short or altered.",
            do="try again; if the same comes again, ask whoever serves it.",
        )

    def _download(self, name: str) -> Path:
        """Fetch one shard, or take up where an earlier call was cut off.

        huggingface_hub takes a broken connection up again by itself, but forgets a download whose process
        ended. So the half that is there lies in a file of ours, and its `http_get` goes on from its end.
        """
        whole = self._downloads / name
        if whole.is_file() and name in self._known:
            return whole
        # The image says "offline" to everything else; this container has a network. The package reads
        # these when it is imported, so they come first.
        os.environ["HF_HUB_OFFLINE"] = "0"
        os.environ["HF_HUB_DISABLE_XET"] = "1"  # plain HTTP can be resumed, and mirrored by anyone
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get

        endpoint = os.environ.get("HF_ENDPOINT") or None
        revision = self._revision or "main"
        try:
            url = hf_hub_url(
                REPOSITORY, name, repo_type="dataset", revision=revision, endpoint=endpoint
            )
            served = get_hf_file_metadata(url, endpoint=endpoint, retry_on_errors=True)
            if not self._revision and _COMMIT.fullmatch(served.commit_hash or ""):
                self._revision = str(served.commit_hash)
            # For a large file the hub's ETag is its sha256.
            if name not in self._known and _SHA256.fullmatch(served.etag or ""):
                self._known[name] = str(served.etag)
            if not whole.is_file():
                self._downloads.mkdir(parents=True, exist_ok=True)
                part = whole.with_suffix(".part")
                with part.open("ab") as file:
                    if served.size is not None and file.tell() > served.size:
                        file.truncate(0)
                        file.seek(0)
                    here = file.tell()
                    http_get(served.location, file, resume_size=here, expected_size=served.size)
                part.rename(whole)
        # Everything: what the client raises is what its transport raises, and that has changed before.
        except Exception as error:
            raise DataError(
                f"the shard {name} could not be downloaded.",
                why=f"{type(error).__name__}: {(str(error) or 'no reason given').splitlines()[0]}",
                do="try again, it goes on where it stopped; set HF_ENDPOINT to a mirror; or give --parquet.",
            ) from error
        return whole


def read_documents(path: Path) -> Iterator[list[str]]:
    """The `text` column of a shard, a row group at a time; rows without text are passed over.

    Raises:
        DataError: not a whole parquet file, no such column, or no text at all.
    """
    empty = True
    try:
        with pq.ParquetFile(path) as shard:
            for group in range(shard.num_row_groups):
                column = shard.read_row_group(group, columns=["text"]).column("text")
                documents = [text for text in column.to_pylist() if text]
                if documents:
                    empty = False
                    yield documents
    except (pa.ArrowException, KeyError, OSError) as error:
        raise DataError(
            f"the shard {path.name} cannot be read.",
            why=f"{type(error).__name__}: {error}; a download that broke off looks like this.",
            do=f"delete {path} and try again.",
        ) from error
    if empty:
        raise DataError(
            f"the shard {path.name} holds no text.",
            why="its `text` column is empty.",
            do="check where it came from.",
        )
