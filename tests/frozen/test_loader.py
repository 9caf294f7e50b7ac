"""The loader: every row once an epoch, in the seed's order, and nothing overwritten under the caller."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import loader
from harness.errors import DataError
from harness.loader import row_batches, tensor_batches
from harness.packing import Rows, rows_file

T = 16
ROWS = 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Packed rows that each carry their own number, and documents to pack any other T from."""
    rows = np.arange(ROWS, dtype=np.uint16)[:, None] * 100 + np.arange(T + 1, dtype=np.uint16)
    np.save(rows_file(tmp_path, T), rows)
    lengths = np.random.default_rng(0).integers(3, 30, 200)
    starts = np.cumsum(lengths) - lengths
    tokens = np.arange(lengths.sum(), dtype=np.uint16)
    tokens[starts] = 60_000
    np.save(tmp_path / "tokens-00000.npy", tokens)
    np.save(tmp_path / "documents-00000.npy", starts)
    return tmp_path


def some(folder: Path, count: int, *, rows: int = 8, length: int = T, seed: int = 1) -> list[Rows]:
    batches = row_batches(folder, batch_rows=rows, sequence_len=length, seed=seed)
    return [batch.copy() for batch in itertools.islice(batches, count)]


def test_an_epoch_shows_every_row_once(folder: Path) -> None:
    """Rows left out at the end of an epoch, or shown twice, would train on another text than was said."""
    first_tokens = np.concatenate([batch[:, 0] for batch in some(folder, 25, rows=8)])
    for epoch in range(4):  # 25 batches of 8 are 4 epochs of 50: some batches span two of them
        seen = first_tokens[epoch * ROWS : (epoch + 1) * ROWS]
        assert sorted(seen) == [row * 100 for row in range(ROWS)]


def test_every_epoch_has_an_order_of_its_own(folder: Path) -> None:
    """The same order again would let a model learn the sequence of rows."""
    one, two = some(folder, 2, rows=ROWS)
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("length", [T, 24], ids=["packed", "packed-now"])
def test_the_seed_alone_decides_the_order(folder: Path, length: int) -> None:
    """The lab owns the seed: a re-run with another one must meet other batches, a replay the same."""
    again = [some(folder, 12, length=length, seed=seed) for seed in (7, 7, 8)]
    assert np.array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])


def test_a_batch_may_be_larger_than_an_epoch(folder: Path) -> None:
    """A small text and a large batch must not wait for ever."""
    (batch,) = some(folder, 1, rows=130)
    assert len(np.unique(batch[:, 0])) == ROWS


@pytest.mark.parametrize("length", [1, 7, 24, 100])
def test_any_other_length_is_packed_while_it_is_read(folder: Path, length: int) -> None:
    """An agent may try a longer context; rows begin with BOS there as well."""
    folder.chmod(0o555)
    for batch in some(folder, 30, rows=5, length=length):
        assert batch.shape == (5, length + 1)
        assert (batch[:, 0] == 60_000).all()


def test_text_too_short_for_a_row_is_an_error_and_no_endless_loop(folder: Path) -> None:
    """Packing an epoch of nothing again and again would hang until the deadline."""
    with pytest.raises(DataError, match="does not fill one row"):
        some(folder, 1, length=100_000)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros((3, T), dtype=np.uint16), id="wrong-length"),
        pytest.param(np.zeros((3, T + 1), dtype=np.int64), id="wrong-type"),
        pytest.param(np.zeros((0, T + 1), dtype=np.uint16), id="no-row"),
    ],
)
def test_a_file_that_holds_no_such_rows_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    """Tokens read with the wrong width are still numbers: nothing else would notice."""
    np.save(rows_file(tmp_path, T), array)
    with pytest.raises(DataError, match="does not hold rows"):
        some(tmp_path, 1)


def test_a_torn_file_of_rows_is_refused(folder: Path) -> None:
    """A full disk leaves half a file behind."""
    path = rows_file(folder, T)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        some(folder, 1)


def test_targets_are_inputs_one_token_later(folder: Path) -> None:
    """Off by one, and the model learns to copy its input."""
    rows = row_batches(folder, batch_rows=8, sequence_len=T, seed=1)
    inputs, targets = next(tensor_batches(rows, "cpu"))
    assert inputs.shape == targets.shape == (8, T)
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.is_contiguous() and targets.is_contiguous()
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert torch.equal(targets[:, -1], inputs[:, 0] + T)


@pytest.mark.parametrize("length", [T, 24], ids=["packed", "packed-now"])
def test_a_batch_that_is_kept_stays_as_it_was(folder: Path, length: int) -> None:
    """Gradient accumulation keeps batches; a buffer used again would change them unseen."""
    rows = row_batches(folder, batch_rows=4, sequence_len=length, seed=1)
    kept = list(itertools.islice(tensor_batches(rows, "cpu"), 20))
    fresh = some(folder, 20, rows=4, length=length)
    for (inputs, targets), row in zip(kept, fresh, strict=True):
        assert np.array_equal(inputs.numpy(), row[:, :-1])
        assert np.array_equal(targets.numpy(), row[:, 1:])


def test_a_pinned_buffer_is_not_written_before_its_copy_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the copy runs behind the caller's back: with one buffer this was a race that was seen.

    Here every copy is late on purpose: it happens when its event is waited for, and not before.
    """
    late: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    in_flight: list[tuple[torch.Tensor, torch.Tensor]] = []

    class LateEvent:
        def record(self) -> None:
            late[id(self)] = in_flight.copy()
            in_flight.clear()

        def synchronize(self) -> None:
            for target, source in late.pop(id(self), []):
                target.copy_(source)

    def copy_later(source: torch.Tensor, device: str) -> torch.Tensor:
        target = torch.full_like(source, -1)
        in_flight.append((target, source))
        return target

    monkeypatch.setattr(torch.cuda, "Event", LateEvent)
    monkeypatch.setattr(loader, "_pinned", lambda shape: torch.empty(shape, dtype=torch.int64))
    monkeypatch.setattr(loader, "_copy_to", copy_later)

    def staged() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = row_batches(folder, batch_rows=4, sequence_len=T, seed=1)
        return tensor_batches(rows, "cuda")

    got = list(itertools.islice(staged(), 22))
    # The last two are still under way; every one before them must have arrived unharmed.
    for (inputs, targets), row in zip(got[:20], some(folder, 20, rows=4), strict=True):
        assert np.array_equal(inputs.numpy(), row[:, :-1])
        assert np.array_equal(targets.numpy(), row[:, 1:])
