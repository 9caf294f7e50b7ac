"""Batches out of packed rows: the one way in which text reaches a model in training.

    rows-<T>.npy         (N, T+1) uint16, packed once by `harness.data` for the profile's T
    tokens-*.npy         (tokens,) uint16 and
    documents-*.npy      (documents,) int64 starts: any other T is packed from these while it trains

A row of T+1 tokens gives T inputs and, shifted by one, T targets. The order is the lab's seed's alone:
every epoch is a fresh permutation, of the rows where they are packed, of the documents where they are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from harness.errors import DataError
from harness.packing import DocumentStore, Rows, pack, rows_file

# Rows packed at a time when T is not the profile's: enough to forget the cost of a call, still small.
PACKED_AT_ONCE = 256


def open_rows(path: Path, sequence_len: int) -> Rows:
    """Map packed rows, (N, T+1) uint16, read-only.

    Raises:
        DataError: not such an array, or no row in it.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path.name} cannot be read as packed rows.",
            why=str(error),
            do="delete the data folder and run `make data` again.",
        ) from error
    if (
        rows.dtype != np.uint16
        or rows.ndim != 2
        or rows.shape[1] != sequence_len + 1
        or not len(rows)
    ):
        raise DataError(
            f"{path.name} does not hold rows of {sequence_len + 1} tokens.",
            why=f"it is {rows.dtype} of shape {rows.shape}.",
            do="delete the data folder and run `make data` again.",
        )
    # Rows are read in random order. Asking for all of it now keeps a cold disk out of the training budget.
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    packed: Rows = rows
    return packed


def row_batches(folder: Path, *, batch_rows: int, sequence_len: int, seed: int) -> Iterator[Rows]:
    """Batches of rows, (B, T+1) uint16, without end; a batch may span two epochs, no row is dropped.

    A batch is valid until the next one is asked for.

    Raises:
        DataError: the folder holds nothing to read, or an epoch fills no row of this T.
    """
    path = rows_file(folder, sequence_len)
    if path.exists():
        return _batches_of_packed_rows(open_rows(path, sequence_len), batch_rows, seed)
    return _batches_packed_now(DocumentStore.open(folder), batch_rows, sequence_len, seed)


def _batches_of_packed_rows(rows: Rows, batch_rows: int, seed: int) -> Iterator[Rows]:
    waiting = np.empty(0, dtype=np.int64)
    epoch = 0
    while True:
        while len(waiting) < batch_rows:
            waiting = np.concatenate([waiting, _permutation(len(rows), seed, epoch)])
            epoch += 1
        yield rows.take(waiting[:batch_rows], axis=0)
        waiting = waiting[batch_rows:]


def _batches_packed_now(
    documents: DocumentStore, batch_rows: int, sequence_len: int, seed: int
) -> Iterator[Rows]:
    batch = np.empty((batch_rows, sequence_len + 1), dtype=np.uint16)
    filled = 0
    epoch = 0
    while True:
        packed = 0
        order = _permutation(len(documents), seed, epoch)
        for rows in pack(documents, order, sequence_len + 1, rows_at_once=PACKED_AT_ONCE):
            packed += len(rows)
            used = 0
            while used < len(rows):
                taken = min(batch_rows - filled, len(rows) - used)
                batch[filled : filled + taken] = rows[used : used + taken]
                used += taken
                filled += taken
                if filled == batch_rows:
                    yield batch
                    filled = 0
        # Without this an epoch that fills nothing would be repeated for ever.
        if not packed:
            raise DataError(
                f"the training text does not fill one row of {sequence_len + 1} tokens.",
                why=f"there are {documents.token_count} tokens in {len(documents)} documents.",
                do="use a shorter sequence.",
            )
        epoch += 1


def _permutation(count: int, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def tensor_batches(
    rows: Iterator[Rows], device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(inputs, targets), each (B, T) int64, contiguous, on the device.

    Every batch is in memory of its own: it stays as it is for as long as the caller keeps it.
    """
    return _cuda_batches(rows, device) if device.startswith("cuda") else _cpu_batches(rows)


def _cpu_batches(rows: Iterator[Rows]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for batch in rows:
        # A fresh allocation costs less than the conversion itself, and nothing is ever overwritten.
        pair = torch.empty((2, batch.shape[0], batch.shape[1] - 1), dtype=torch.int64)
        _split(batch, pair)
        yield pair[0], pair[1]


def _cuda_batches(rows: Iterator[Rows], device: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    # Two pinned buffers and an event each. With one, the next batch is written while the copy of the last
    # one is still under way, and the model trains on rows that never existed.
    staging: list[torch.Tensor | None] = [None, None]
    copied = [torch.cuda.Event(), torch.cuda.Event()]
    turn = 0
    for batch in rows:
        pinned = staging[turn]
        if pinned is None:
            pinned = staging[turn] = _pinned((2, batch.shape[0], batch.shape[1] - 1))
        copied[turn].synchronize()
        _split(batch, pinned)
        pair = _copy_to(pinned, device)
        copied[turn].record()
        turn = 1 - turn
        yield pair[0], pair[1]


def _pinned(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.int64, pin_memory=True)


def _copy_to(pinned: torch.Tensor, device: str) -> torch.Tensor:
    return pinned.to(device, non_blocking=True)


def _split(batch: Rows, pair: torch.Tensor) -> None:
    """Write inputs and targets of (B, T+1) uint16 into (2, B, T) int64."""
    out = pair.numpy()
    out[0] = batch[:, :-1]
    out[1] = batch[:, 1:]
