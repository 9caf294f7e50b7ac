"""Runs inside the frozen image: trains each train.py of a folder for a moment, and checks the model it saves.

Prints one JSON object a file. Each file has a process of its own, forked after torch is imported.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from pathlib import Path

import torch

from harness import model_server, prepare
from harness.launch import cpu_share, seed_everything

BUDGET_S = 0.4
ROWS = 3


def try_file(file: Path, out: Path) -> None:
    """Train, save, rebuild, and see that no logit depends on a later token."""
    os.environ["NIGHTLAB_DEV_OUT"] = str(out)
    prepare.TRAIN_BUDGET_S = BUDGET_S
    seed_everything(1)
    runpy.run_path(str(file), run_name="__main__")
    model = model_server.load_model(file, out, "cpu")
    rows = torch.randint(prepare.VOCAB_SIZE, (ROWS, prepare.SEQUENCE_LEN + 1))
    with torch.inference_mode():
        nats = model_server.losses(model, rows, prepare.VOCAB_SIZE)
        cut = prepare.SEQUENCE_LEN // 2
        other = rows.clone()
        other[:, cut:] = torch.randint_like(other[:, cut:], prepare.VOCAB_SIZE)
        blind = model(other[:, :-1])[:, :cut]
        seeing = model(rows[:, :-1])[:, :cut]
    assert torch.isfinite(nats).all(), "losses are not finite"
    assert nats.min() >= 0, "losses are negative"
    assert torch.equal(blind, seeing), "a logit depends on a later token"


def main() -> None:
    """Every file of the folder, one line each."""
    torch.set_num_threads(cpu_share())
    for number, file in enumerate(sorted(Path(sys.argv[1]).glob("*.py"))):
        trace = Path(f"/tmp/trace-{number}")
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = 0
            try:
                try_file(file, Path(f"/tmp/out-{number}"))
            except BaseException:  # noqa: BLE001, whatever it is, it is what this file did
                trace.write_text(traceback.format_exc())
                code = 1
            os._exit(code)
        _, status = os.waitpid(child, 0)
        problem = trace.read_text()[-600:] if trace.exists() else ""
        print(json.dumps({"file": file.name, "ok": status == 0, "problem": problem}), flush=True)


main()
