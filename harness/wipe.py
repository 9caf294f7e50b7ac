"""Overwrite the GPU's free memory: `python -m harness.wipe [--expect-gpu]`.

A GPU does not clear what a process leaves behind, so a container that saw validation text could leave some of it
to the next training run. This container runs between the two, and runs no code of the agent.

What the driver itself keeps for this process's own context, some hundred megabytes, is not free and is not
overwritten; the next process gets a context there too, and no way to read it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

# torch asks the driver for whole pieces of 2 MiB, so a chunk that is no multiple of it would leave the rest of its
# last piece as it was. For chunks under 10 MiB it asks for 20 at once, and where there are none left, only
# chunks of 1 MiB or less still get 2; so the last chunks are of 1 MiB, two to a piece.
GRAIN_BYTES = 2 * 2**20
SMALLEST_BYTES = 2**20
ENOUGH = 0.95


def take_all(free_bytes: int, take: Callable[[int], bool]) -> int:
    """Take memory in halving chunks until nothing is left; returns how many bytes were taken.

    `take(size)` takes a chunk of whole grains, or of SMALLEST_BYTES, or says False when there is none.
    """
    taken, size = 0, free_bytes
    while size >= SMALLEST_BYTES:
        chunk = size // GRAIN_BYTES * GRAIN_BYTES or SMALLEST_BYTES
        if take(chunk):
            taken += chunk
        else:
            size = chunk // 2
    return taken


def overwrite() -> tuple[int, int]:
    """Overwrite the free memory of the first GPU: bytes overwritten, and bytes that were free."""
    held: list[torch.Tensor] = []

    def take(size: int) -> bool:
        try:
            held.append(torch.zeros(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            return False
        return True

    # The driver loads the code that fills memory when it is first used; later there is no room for it.
    torch.zeros(1, dtype=torch.uint8, device="cuda")
    torch.cuda.empty_cache()
    free_bytes, _ = torch.cuda.mem_get_info()
    overwritten = take_all(free_bytes, take)
    torch.cuda.synchronize()
    held.clear()
    torch.cuda.empty_cache()
    return overwritten, free_bytes


def main(arguments: list[str]) -> int:
    """Overwrite and say how much; 1 when it was too little, or when the expected GPU is not there."""
    if not torch.cuda.is_available():
        print("wipe: there is no GPU here, nothing was overwritten")
        return 1 if "--expect-gpu" in arguments else 0
    overwritten, free_bytes = overwrite()
    print(f"wipe: {overwritten} of {free_bytes} free bytes overwritten")
    return 0 if overwritten >= ENOUGH * free_bytes else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
