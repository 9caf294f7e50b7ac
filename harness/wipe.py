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

# What the driver hands out at once; a smaller chunk would leave the rest of it as it was.
GRAIN_BYTES = 2 * 2**20
ENOUGH = 0.95


def take_all(free_bytes: int, take: Callable[[int], bool]) -> int:
    """Take memory in halving chunks until nothing is left; returns how many bytes were taken.

    `take(size)` takes whole grains, or says False when there is no piece of that size.
    """
    taken, chunk = 0, free_bytes // GRAIN_BYTES * GRAIN_BYTES
    while chunk:
        if take(chunk):
            taken += chunk
        else:
            chunk = chunk // 2 // GRAIN_BYTES * GRAIN_BYTES
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
