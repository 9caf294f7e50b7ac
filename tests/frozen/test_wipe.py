"""The wipe: nothing that is free stays as it was, and a wipe that did not happen is not called one."""

from __future__ import annotations

import pytest

from harness import wipe
from harness.wipe import GRAIN_BYTES, SMALLEST_BYTES, take_all

MIB = 2**20


class Memory:
    """A GPU's free memory as it is after hours: in several pieces."""

    def __init__(self, *pieces: int) -> None:
        self.pieces = list(pieces)
        self.asked = 0

    def take(self, size: int) -> bool:
        assert size > 0
        assert size % GRAIN_BYTES == 0 or size == SMALLEST_BYTES
        self.asked += 1
        for index, piece in enumerate(self.pieces):
            if piece >= size:
                self.pieces[index] -= size
                return True
        return False


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((80 * 1024 * MIB,), id="one-piece"),
        pytest.param((80 * 1024 * MIB - 2 * MIB,), id="odd"),
        pytest.param((50 * 1024 * MIB, 20 * 1024 * MIB, 6 * MIB, 2 * MIB), id="fragments"),
        pytest.param(tuple([2 * MIB] * 300), id="crumbs"),
        pytest.param((2 * MIB,), id="one-grain"),
        pytest.param((10 * MIB, 9 * MIB, 1 * MIB), id="halves-of-grains"),
        pytest.param((), id="nothing-free"),
    ],
)
def test_everything_free_is_taken(pieces: tuple[int, ...]) -> None:
    """What is left as it was may be somebody's validation text."""
    memory = Memory(*pieces)
    assert take_all(sum(pieces), memory.take) == sum(pieces)
    assert not any(memory.pieces)
    assert memory.asked <= 400


def test_what_cannot_be_taken_is_not_counted() -> None:
    """The driver calls some memory free that it never gives; the figure must not claim it."""
    memory = Memory(100 * MIB)
    assert take_all(160 * MIB + 12345, memory.take) == 100 * MIB


def test_a_search_that_finds_nothing_ends() -> None:
    """A card whose free memory nobody gets must not hold the night."""
    memory = Memory()
    assert take_all(80 * 1024 * MIB, memory.take) == 0
    assert memory.asked < 20
    assert take_all(SMALLEST_BYTES - 1, memory.take) == 0


@pytest.mark.parametrize(
    ("overwritten", "code"), [(95, 0), (94, 1), (0, 1)], ids=["enough", "too-little", "none"]
)
def test_too_little_is_a_failure(
    overwritten: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Somebody else's process holds the rest, or the wipe is broken; either must be known."""
    monkeypatch.setattr(wipe.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(wipe, "overwrite", lambda: (overwritten, 100))
    assert wipe.main([]) == code
    assert capsys.readouterr().out == f"wipe: {overwritten} of 100 free bytes overwritten\n"


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a CPU there is nothing to wipe; where a GPU was given, its absence is a failure."""
    monkeypatch.setattr(wipe.torch.cuda, "is_available", lambda: False)
    assert wipe.main([]) == 0
    assert "no GPU" in capsys.readouterr().out
    assert wipe.main(["--expect-gpu"]) == 1


def test_what_is_taken_is_filled_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the CPU in the GPU's place: every chunk is written before any is let go."""
    cuda, zeros, made, done = wipe.torch.cuda, wipe.torch.zeros, [], []
    pieces = Memory(48 * MIB)

    def on_cpu(size: int, *, dtype: object, device: str) -> object:
        assert device == "cuda"
        if size == 1:  # the warm-up
            return zeros(size, dtype=dtype)
        if not pieces.take(size):
            raise wipe.torch.OutOfMemoryError
        made.append(zeros(size, dtype=dtype))
        return made[-1]

    monkeypatch.setattr(wipe.torch, "zeros", on_cpu)
    monkeypatch.setattr(cuda, "mem_get_info", lambda: (50 * MIB, 80 * MIB))
    monkeypatch.setattr(cuda, "synchronize", lambda: done.append(len(made)))
    monkeypatch.setattr(cuda, "empty_cache", lambda: done.append("given back"))
    assert wipe.overwrite() == (48 * MIB, 50 * MIB)
    assert sum(chunk.numel() for chunk in made) == 48 * MIB
    assert not any(bool(chunk.any()) for chunk in made)
    assert done == ["given back", len(made), "given back"]
