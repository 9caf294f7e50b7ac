"""Packing: the fast one equals the plain one, every token of every row is text."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks import plain_packing
from harness import packing
from harness.errors import DataError
from harness.packing import DocumentStore, Rows

BOS = 60_000


def store_of(lengths: list[int], shards: int = 1) -> DocumentStore:
    """Documents of these lengths; every token differs from its neighbours, so a mix-up is seen."""
    tokens, starts = [], []
    for part in np.array_split(np.arange(len(lengths)), shards):
        sizes = np.array([lengths[index] for index in part], dtype=np.int64)
        begin = np.cumsum(sizes) - sizes
        shard = np.arange(sizes.sum(), dtype=np.int64) % 50_000
        shard[begin] = BOS
        tokens.append(shard.astype(np.uint16))
        starts.append(begin)
    return DocumentStore.of(tokens, starts)


def fast(store: DocumentStore, row_len: int, at_once: int = 7) -> list[list[int]]:
    blocks = packing.pack(store, np.arange(len(store)), row_len, rows_at_once=at_once)
    return [row for block in blocks for row in block.tolist()]


def plain(store: DocumentStore, row_len: int) -> list[list[int]]:
    documents = [
        store.shards[shard][start:end].tolist()
        for shard, start, end in zip(store.shard_of, store.starts, store.ends, strict=True)
    ]
    return list(plain_packing.plain_rows(documents, row_len))


@pytest.mark.parametrize("seed", range(300))
def test_the_fast_packing_equals_the_plain_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are held against figures of the plain algorithm; another packing would be another data set."""
    chance = random.Random(seed)
    longest = chance.choice([2, 10, 40])
    lengths = [chance.randint(1, longest) for _ in range(chance.randint(1, 80))]
    row_len = chance.randint(1, 30)
    buffered = chance.randint(1, 20)
    monkeypatch.setattr(packing, "BUFFER_DOCUMENTS", buffered)
    monkeypatch.setattr(plain_packing, "BUFFER_DOCUMENTS", buffered)
    store = store_of(lengths, shards=chance.randint(1, 3))
    assert fast(store, row_len, at_once=chance.randint(1, 9)) == plain(store, row_len)


def test_they_are_equal_with_the_real_buffer() -> None:
    """Small examples never fill a buffer of 1000; this one empties and refills it."""
    assert packing.BUFFER_DOCUMENTS == plain_packing.BUFFER_DOCUMENTS == 1000
    lengths = np.random.default_rng(1).lognormal(4, 1, 3000).astype(int).clip(1, 900).tolist()
    store = store_of(lengths, shards=2)
    rows = fast(store, 257, at_once=256)
    assert rows == plain(store, 257)
    assert len(rows) > 300


@pytest.mark.parametrize("seed", range(20))
def test_every_row_begins_with_a_document_and_none_comes_twice(seed: int) -> None:
    """A row that began mid-document would be scored without its context."""
    chance = random.Random(seed)
    lengths = [chance.randint(1, 60) for _ in range(60)]
    row_len = chance.randint(2, 50)
    store = store_of(lengths)
    rows = fast(store, row_len)
    assert all(row[0] == BOS and len(row) == row_len for row in rows)
    assert 0 < sum(row.count(BOS) for row in rows) <= len(lengths)


def test_the_longest_that_fits_comes_first_and_the_shortest_is_cropped() -> None:
    """The rule itself, on an example that a person can check."""
    rows = fast(store_of([7, 3, 5, 6]), 10)
    # 7, then 3, fill the first row; 6 begins the second, and 5 is cropped to the 4 that are left.
    assert [[token == BOS for token in row].index(True, 1) for row in rows] == [7, 6]


def test_the_share_cropped_is_of_the_documents_that_were_placed() -> None:
    """It says how much text a profile throws away; a document still waiting was not thrown away."""
    store = store_of([8, 8, 8, 8])
    assert packing.cropped_share(store, np.arange(4), 10, rows=2) == pytest.approx(1 - 20 / 32)
    assert packing.cropped_share(store, np.arange(4), 8, rows=3) == 0


def save(folder: Path, tokens: Rows, starts: list[int]) -> None:
    np.save(folder / "tokens-00000.npy", tokens)
    np.save(folder / "documents-00000.npy", np.array(starts, dtype=np.int64))


def test_an_empty_folder_says_that_the_gate_is_closed(tmp_path: Path) -> None:
    """A training file that reads too early meets an empty folder, and its author must learn why."""
    with pytest.raises(DataError, match="no training text"):
        DocumentStore.open(tmp_path)


@pytest.mark.parametrize("file", ["tokens-00000.npy", "documents-00000.npy"])
def test_a_torn_shard_is_an_error(tmp_path: Path, file: str) -> None:
    """Half a file must not train half a model."""
    save(tmp_path, np.arange(100, dtype=np.uint16), [0, 40])
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) - 4])
    with pytest.raises(DataError, match="cannot be read"):
        DocumentStore.open(tmp_path)
