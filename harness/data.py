"""Text into a data folder, once: `python -m harness.data --profile cpu --out /out`.

    manifest.json   what this is, where it came from, how much of it, and {file: {sha256, bytes}}
    train/          tokenizer.json, tokens-*.npy, documents-*.npy, rows-<T>.npy    for training containers
    judge/          val.npy, holdout.npy, byte_lengths.npy, upstream_byte_lengths.npy    for the judge alone

The manifest is written last: a folder that has one is complete. A second call finds it, compares sizes
and returns; `--check` reads every byte again. The same text gives the same files, byte for byte.
Every line on stdout is one step done. What goes wrong is said on stderr, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tiktoken

from harness.books import Books
from harness.climbmix import TRAIN_SHARDS, Climbmix, read_pins
from harness.datafolder import PARTS, altered_files, publish, read_manifest, sha256_of
from harness.errors import DataError
from harness.packing import DocumentStore, rows_file
from harness.profiles import PROFILES, Profile
from harness.shards import Text, write_rows, write_tokens
from harness.tokenizer import (
    byte_lengths,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
    upstream_byte_lengths,
)

CORPUS = Path("/opt/nightlab/corpus")
PINS = Path("/opt/nightlab/pins.toml")

# What decides the bytes of a data folder besides the text. When one of these changes, it is made again.
_CODE = ("books", "climbmix", "corpus", "data", "packing", "shards", "tokenizer")

Say = Callable[[str], None]


class Source(Protocol):
    """Where text comes from: `harness.books` or `harness.climbmix`."""

    def identity(self) -> dict[str, Any]:
        """What decides the text, as JSON; a folder made from another identity is made again."""
        ...

    def tokenizer_text(self) -> Iterator[str]:
        """Documents of train, for the tokenizer to learn from."""
        ...

    def shards(self, split: str, say: Say) -> Iterator[Iterator[Sequence[str]]]:
        """The shards of a split, each as batches of documents."""
        ...


def make_data(
    profile: Profile, source: Source, out: Path, say: Say, threads: int | None = None
) -> dict[str, Any]:
    """Fill a data folder, unless it is complete already; returns its manifest.

    Raises:
        DataError: text is absent, altered or too little.
    """
    request = _request(profile, source)
    manifest = read_manifest(out)
    if manifest is not None and manifest.get("request") == request:
        altered = altered_files(out, manifest, every_byte=False)
        if not altered:
            say("data is complete")
            return manifest
        say(f"{', '.join(altered)} changed since it was made; making the data again")
    elif manifest is not None:
        say(
            "this data was made from other text, for another profile or by older code; making it again"
        )
    started_s = time.monotonic()
    making = out / ".making"
    if making.exists():
        shutil.rmtree(making)
    for part in PARTS:
        (making / part).mkdir(parents=True)
    counts = _make(profile, source, making, say, threads or len(os.sched_getaffinity(0)))
    # Asked again: hashes that nobody knew are known once everything was read.
    request = _request(profile, source)
    facts = {"request": request, "source": request["source"], "counts": counts}
    manifest = publish(making, out, {"profile": profile.name} | facts)
    say(f"data is complete after {time.monotonic() - started_s:.1f} s")
    return manifest


def _request(profile: Profile, source: Source) -> dict[str, Any]:
    fields = ("sequence_len", "vocab_size", "document_chars", "val_rows", "holdout_rows")
    sizes = {name: getattr(profile, name) for name in fields}
    code = {name: sha256_of(Path(__file__).with_name(f"{name}.py")) for name in _CODE}
    return {"profile": profile.name, "source": source.identity(), "code": code} | sizes


def _make(
    profile: Profile, source: Source, making: Path, say: Say, threads: int
) -> dict[str, dict[str, Any]]:
    """Tokenizer, then train, then what is held out; returns the counts of each split."""
    row_len = profile.sequence_len + 1
    train = making / "train"
    judge = making / "judge"

    save_tokenizer(
        train_tokenizer(source.tokenizer_text(), profile.vocab_size), train / "tokenizer.json"
    )
    # Read back, so that what is used is what was written.
    tokenizer = load_tokenizer(train / "tokenizer.json")
    say(f"tokenizer: {tokenizer.n_vocab} tokens learned from train")
    np.save(judge / "byte_lengths.npy", byte_lengths(tokenizer))
    np.save(judge / "upstream_byte_lengths.npy", upstream_byte_lengths(tokenizer))

    counts = {}
    rows = rows_file(train, profile.sequence_len)
    counts["train"] = _make_split(
        "train", source, tokenizer, train, rows, row_len, None, say, threads
    )
    for split, wanted in (("val", profile.val_rows), ("holdout", profile.holdout_rows)):
        # Their tokens are needed no longer than it takes to pack them.
        scratch = making / split
        rows = judge / f"{split}.npy"
        counts[split] = _make_split(
            split, source, tokenizer, scratch, rows, row_len, wanted, say, threads
        )
        shutil.rmtree(scratch)
    return counts


def _make_split(
    split: str,
    source: Source,
    tokenizer: tiktoken.Encoding,
    folder: Path,
    rows: Path,
    row_len: int,
    wanted: int | None,
    say: Say,
    threads: int,
) -> dict[str, Any]:
    text = Text(documents=0, bytes=0, tokens=0)
    for shard in write_tokens(folder, source.shards(split, say), tokenizer, threads):
        text += shard
        say(f"{split}: {text.tokens:,} tokens of {text.documents:,} documents")
    packed = write_rows(DocumentStore.open(folder), rows, row_len, wanted)
    bytes_per_token = text.bytes / (text.tokens - text.documents)
    say(
        f"{split}: {packed.rows:,} rows of {row_len} tokens, {packed.cropped_share:.1%} cropped,"
        f" {bytes_per_token:.3f} bytes a token"
    )
    return asdict(text) | {
        "rows": packed.rows,
        "row_tokens": packed.tokens,
        "cropped_share": packed.cropped_share,
        "bytes_per_token": bytes_per_token,
    }


def check_data(out: Path, say: Say) -> None:
    """Read every byte of a data folder again and compare.

    Raises:
        DataError: never completed, or not what was written.
    """
    manifest = read_manifest(out)
    if manifest is None:
        raise DataError(
            f"{out} holds no complete data.", why="it has no manifest.", do="run `make data`."
        )
    if altered := altered_files(out, manifest, every_byte=True):
        raise DataError(
            f"the data in {out} is not what was written.",
            why=f"altered or missing: {', '.join(altered)}.",
            do="delete the folder and run `make data` again.",
        )
    say(f"{len(manifest['files'])} files are as written")


def open_source(profile: Profile, arguments: argparse.Namespace) -> Source:
    """The source that a profile names."""
    if profile.dataset == "books":
        return Books(arguments.corpus, profile)
    return Climbmix(
        downloads=arguments.out / "downloads",
        train_shards=arguments.shards,
        local=arguments.parquet,
        pins=read_pins(arguments.pins),
        seen=(read_manifest(arguments.out) or {}).get("source", {}),
    )


def read_arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.data", description="Make a data folder."
    )
    parser.add_argument("--profile", choices=PROFILES, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the data folder")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of the books' text")
    parser.add_argument("--parquet", type=Path, help="folder of local climbmix shards")
    parser.add_argument(
        "--shards", type=int, default=TRAIN_SHARDS, help="climbmix shards to train on"
    )
    parser.add_argument("--pins", type=Path, default=PINS, help="what is pinned, as TOML")
    parser.add_argument("--check", action="store_true", help="read every byte again, make nothing")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Make or check a data folder; 0 when it is complete."""
    arguments = read_arguments(words)

    def say(line: str) -> None:
        print(line, flush=True)

    try:
        if arguments.check:
            check_data(arguments.out, say)
        else:
            profile = PROFILES[arguments.profile]
            arguments.out.mkdir(parents=True, exist_ok=True)
            make_data(profile, open_source(profile, arguments), arguments.out, say)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"the data folder cannot be written.\n  why: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
