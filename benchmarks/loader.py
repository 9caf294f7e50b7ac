"""How fast the loader alone is: B=128, T=2048, vocabulary 8192, against the plain best-fit algorithm.

    python -m benchmarks.loader        in the frozen image, from the checkout's root

Three ways to the same rows. `plain` packs as anyone would write it first. `packed now` is the indexed
packing that serves any T but the profile's. `rows` reads what was packed once, at prepare time, and is what
an experiment gets. Every one hands out (B, T) int64 batches; the first two are compared row by row.
Documents are made up, with lengths spread like those of web text; the loader does not look at tokens.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import machine
from benchmarks.plain_packing import plain_rows
from harness.loader import row_batches, tensor_batches
from harness.packing import DocumentStore, pack, rows_file
from harness.shards import write_rows

BATCH_ROWS = 128
SEQUENCE_LEN = 2048
VOCAB_SIZE = 8192
SEED = 42

TOKENS = 24_000_000  # 11,000 rows and more: 90 batches an epoch
PLAIN_BATCHES = 10
PACKED_BATCHES = 60
ROWS_BATCHES = 800


def make_documents(folder: Path) -> None:
    """Write shards of made-up documents, 24 M tokens, lengths log-normal around 500."""
    random = np.random.default_rng(SEED)
    for number in range(2):
        lengths = np.clip(random.lognormal(6.2, 1.0, TOKENS // 1600), 8, 40_000).astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        tokens = random.integers(0, VOCAB_SIZE - 4, lengths.sum(), dtype=np.uint16)
        tokens[starts] = VOCAB_SIZE - 4
        np.save(folder / f"tokens-{number:05d}.npy", tokens)
        np.save(folder / f"documents-{number:05d}.npy", starts)


def plain_batches(documents: list[list[int]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches by the plain algorithm, rows and all, as lists."""
    rows = plain_rows(documents, SEQUENCE_LEN + 1)
    while batch := list(itertools.islice(rows, BATCH_ROWS)):
        pair = torch.tensor(batch, dtype=torch.int64)
        yield pair[:, :-1].contiguous(), pair[:, 1:].contiguous()


def tokens_per_s(batches: Iterator[tuple[torch.Tensor, torch.Tensor]], count: int) -> float:
    """Tokens a second over `count` batches, the first one not counted."""
    next(batches)
    started_s = time.perf_counter()
    tokens = sum(inputs.numel() for inputs, _ in itertools.islice(batches, count))
    return tokens / (time.perf_counter() - started_s)


def best_of(times: int, folder: Path, count: int) -> float:
    """The fastest of some measurements: a neighbour on the machine can only slow one down."""
    return max(
        tokens_per_s(
            tensor_batches(
                row_batches(folder, batch_rows=BATCH_ROWS, sequence_len=SEQUENCE_LEN, seed=SEED),
                "cpu",
            ),
            count,
        )
        for _ in range(times)
    )


def main() -> None:
    """Measure, print a table, and one line of JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_documents(folder)
        store = DocumentStore.open(folder)
        order = np.arange(len(store))

        documents = [
            store.shards[shard][start:end].tolist()
            for shard, start, end in zip(store.shard_of, store.starts, store.ends, strict=True)
        ]
        reference = tokens_per_s(plain_batches(documents), PLAIN_BATCHES)
        wanted = np.array(
            list(itertools.islice(plain_rows(documents, SEQUENCE_LEN + 1), 2048)), dtype=np.uint16
        )
        got = next(pack(store, order, SEQUENCE_LEN + 1, rows_at_once=len(wanted)))
        del documents

        packed_now = best_of(3, folder, PACKED_BATCHES)
        path = rows_file(folder, SEQUENCE_LEN)
        started_s = time.perf_counter()
        packed = write_rows(store, path, SEQUENCE_LEN + 1, None)
        prepare_s = time.perf_counter() - started_s
        on_disk = np.load(path, mmap_mode="r")[: len(wanted)]
        identical = np.array_equal(wanted, got) and np.array_equal(wanted, on_disk)
        rows = best_of(3, folder, ROWS_BATCHES)

    print(f"{len(store):,} documents, {packed.rows:,} rows, {packed.cropped_share:.1%} cropped")
    print(f"plain best fit      {reference / 1e6:8.2f} M tokens/s")
    print(f"packed now          {packed_now / 1e6:8.2f} M tokens/s")
    print(f"rows                {rows / 1e6:8.2f} M tokens/s   (packed once in {prepare_s:.2f} s)")
    print(f"identical rows      {identical} ({len(wanted):,} compared)")
    result = {
        "name": "loader",
        "machine": machine(),
        "tokens_per_s": round(rows),
        "packed_now_tokens_per_s": round(packed_now),
        "reference_tokens_per_s": round(reference),
        "ratio": round(rows / reference, 1),
        "identical": bool(identical),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
