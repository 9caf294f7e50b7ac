"""How good the seed is before any research: val_bpb of the `cpu` profile in its real budget.

    python -m benchmarks.seed_quality [DATA]        DATA, or NIGHTLAB_DATA, or data/cpu of this checkout

Each seed is trained as in a night, by `python -m harness.launch workspace/train.py`, start to finish on the
clock; only the container is missing. The weights are then loaded and scored as the model server and the
judge do it, on every validation row. What counts is wall time, so a busy machine gives a worse score:
the load average stands beside each figure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import harness
from benchmarks.machine import machine
from harness.judge import bits_per_byte
from harness.model_server import load_model, losses
from harness.profiles import PROFILES, Profile

REPOSITORY = Path(__file__).resolve().parents[1]
TRAIN_FILE = REPOSITORY / "workspace" / "train.py"
SEEDS = (42, 43, 44)

# What the seed says at the end of a run.
TRAINED = re.compile(r"trained (\d+) steps, (\d+) tokens in ([\d.]+) s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One seed, trained and scored."""

    seed: int
    val_bpb: float
    steps: int
    tokens: int
    train_s: float  # from the gate to the last step
    startup_s: float  # imports, build and warm-up, and writing the checkpoint
    evaluation_s: float
    load_average: float  # of the last minute, at the end of training


def train(profile: Profile, data: Path, seed: int, out: Path) -> tuple[int, int, float, float]:
    """Train one seed; gives (steps, tokens, train_s, seconds in all).

    Raises:
        SystemExit: the run failed, or did not say what it did.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(harness.__file__).parents[1]),
        "NIGHTLAB_DEV": "1",
        "NIGHTLAB_DEV_DATA": str(data),
        "NIGHTLAB_DEV_OUT": str(out),
        "NIGHTLAB_PROFILE": profile.name,
        "NIGHTLAB_SEED": str(seed),
    }
    started_s = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "harness.launch", str(TRAIN_FILE)],
        env=environment,
        cwd=out,
        capture_output=True,
        text=True,
        check=False,
    )
    total_s = time.monotonic() - started_s
    found = TRAINED.search(result.stdout)
    if result.returncode or not found:
        raise SystemExit(
            f"seed {seed}: exit code {result.returncode}\n{result.stdout}{result.stderr}"
        )
    return int(found[1]), int(found[2]), float(found[3]), total_s


@torch.inference_mode()
def score(profile: Profile, data: Path, checkpoint: Path) -> float:
    """val_bpb of a checkpoint, over every validation row."""
    os.environ["NIGHTLAB_PROFILE"] = profile.name  # the seed reads it on import
    model = load_model(TRAIN_FILE, checkpoint, profile.device)
    rows = np.load(data / "judge" / "val.npy")
    byte_lengths = np.load(data / "judge" / "byte_lengths.npy").astype(np.int64)
    nats = [
        losses(
            model, torch.from_numpy(batch.astype(np.int64)).to(profile.device), profile.vocab_size
        )
        for batch in np.array_split(rows, -(-len(rows) // profile.evaluation_batch_rows))
    ]
    return bits_per_byte(torch.cat(nats).cpu().numpy(), byte_lengths[rows[:, 1:]])


def run_seed(profile: Profile, data: Path, seed: int) -> Run:
    """Train and score one seed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        steps, tokens, train_s, total_s = train(profile, data, seed, out)
        load_average = os.getloadavg()[0]
        started_s = time.monotonic()
        val_bpb = score(profile, data, out)
    return Run(
        seed=seed,
        val_bpb=val_bpb,
        steps=steps,
        tokens=tokens,
        train_s=train_s,
        startup_s=total_s - train_s,
        evaluation_s=time.monotonic() - started_s,
        load_average=load_average,
    )


def main() -> None:
    """Print a table as it fills, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("NIGHTLAB_DATA", str(REPOSITORY / "data" / "cpu"))
    parser.add_argument("data", nargs="?", type=Path, default=Path(default))
    parser.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    if not (data / "judge" / "val.npy").is_file():
        parser.error(f"there is no validation text in {data}: run `make data` first")

    profile = PROFILES[arguments.profile]
    print("seed  val_bpb   steps  tokens/s  train_s  startup_s  evaluation_s  load")
    runs = []
    for seed in arguments.seeds:
        run = run_seed(profile, data, seed)
        runs.append(run)
        print(
            f"{run.seed:4}  {run.val_bpb:.5f}  {run.steps:6}  {run.tokens / run.train_s:8,.0f}"
            f"  {run.train_s:7.2f}  {run.startup_s:9.2f}  {run.evaluation_s:12.2f}"
            f"  {run.load_average:4.2f}",
            flush=True,
        )
    print(
        json.dumps(
            {
                "name": "seed_quality",
                "machine": machine(),
                "profile": profile.name,
                "seeds": [run.seed for run in runs],
                "val_bpb": [run.val_bpb for run in runs],
                "train_s": [run.train_s for run in runs],
                "tokens_per_s": [run.tokens / run.train_s for run in runs],
                "load_average": [run.load_average for run in runs],
            }
        )
    )


if __name__ == "__main__":
    main()
