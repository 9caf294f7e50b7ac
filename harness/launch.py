"""How every training process starts: `python -m harness.launch [FILE]`.

Seeds every generator with the lab's seed, so that a lucky seed is never a discovery, gives torch as many
threads as the container has cores, and then runs train.py as the main program.
"""

from __future__ import annotations

import math
import os
import random
import runpy
import sys
from pathlib import Path

import numpy as np
import torch

from harness import wire


def seed_everything(seed: int) -> None:
    """Seed random, numpy and torch, on the CPU and on every GPU."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (train.py may use the global generator)
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def cpu_share(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Whole cores this container may use: its affinity, or its CPU quota where that is less.

    torch by itself would start a thread for every core of the host, and they would wait for each other.
    """
    cores = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Cores allowed by cgroup v2 (`cpu.max`) or v1 (`cpu.cfs_*`); None without a limit."""
    try:
        if (cgroup / "cpu.max").exists():
            allowed, period = (cgroup / "cpu.max").read_text().split()
        else:
            allowed = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        return None if allowed in ("max", "-1") else int(allowed) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def main(arguments: list[str]) -> None:
    """Seed, set the threads, and become the file that was given."""
    seed_everything(int(os.environ.get(wire.SEED_VARIABLE, "0")))
    torch.set_num_threads(cpu_share())
    file = arguments[0] if arguments else wire.TRAIN_FILE
    sys.argv = [file]
    runpy.run_path(file, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
