"""How long a waiting OpenMP thread should spin: training steps in a few seconds, on a quiet and on a shared machine.

    make bench-spin

Runs inside the image, on the `cpu` profile, and is why the image sets GOMP_SPINCOUNT.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.machine import machine

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 5
SPINS = (None, 0, 1_000, 4_000, 20_000)  # None leaves the library's own
RUN = f"""
import runpy, torch
from harness import launch, prepare
launch.seed_everything(42)
torch.set_num_threads(launch.cpu_share())
prepare.TRAIN_BUDGET_S = {SECONDS}
runpy.run_path({str(ROOT / "workspace" / "train.py")!r}, run_name="__main__")
"""


def steps(spin: int | None, out: str) -> int:
    """Optimiser steps of the seed train.py in a few seconds."""
    environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    environment |= {
        "NIGHTLAB_PROFILE": "cpu",
        "NIGHTLAB_DEV": "1",
        "NIGHTLAB_DEV_DATA": str(ROOT / "data" / "cpu"),
        "NIGHTLAB_DEV_OUT": out,
    }
    if spin is not None:
        environment["GOMP_SPINCOUNT"] = str(spin)
    result = subprocess.run(
        [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True
    )
    found = re.search(r"trained (\d+) steps", result.stdout)
    assert found, result.stdout
    return int(found[1])


def main() -> None:
    """Each setting alone, then beside one busy process."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {SECONDS} s a run")
    rows: dict[str, dict[str, int]] = {}
    busy = [sys.executable, "-c", "while True: pass"]
    with tempfile.TemporaryDirectory() as out:
        for spin in SPINS:
            name = "default" if spin is None else str(spin)
            quiet = steps(spin, out)
            with subprocess.Popen(busy) as other:
                shared = steps(spin, out)
                other.kill()
            rows[name] = {"quiet_steps": quiet, "shared_steps": shared}
            print(f"spin {name:>8}: {quiet:>5} steps alone, {shared:>5} beside a busy process")
    print(json.dumps({"name": "spin", "machine": machine(), "seconds": SECONDS, "spins": rows}))


if __name__ == "__main__":
    main()
