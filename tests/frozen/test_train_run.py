"""Training with the seed: warm-up, fail-fast, utilisation, and a whole run in a process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import safetensors.torch
import torch
import train_file
from torch import Tensor

seed = train_file.load()


def small(module: ModuleType) -> torch.nn.Module:
    """A small model of the profile's own vocabulary, on small batches of its own length."""
    module.DEVICE_BATCH_TOKENS = 2 * module.prepare.SEQUENCE_LEN
    module.BATCH_TOKENS = 4 * module.prepare.SEQUENCE_LEN
    return module.build_model({**module.default_config(), "width": 64, "head_dim": 32})


def counting(module: ModuleType, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Text that can be learnt: each token is followed by the next number."""
    while True:
        start = torch.randint(50, (rows, 1))
        ids = (start + torch.arange(module.prepare.SEQUENCE_LEN + 1)) % 50
        yield ids[:, :-1], ids[:, 1:]


def test_a_few_steps_learn_to_count() -> None:
    """The parts together must learn; a sign error anywhere shows here. Steps, not seconds."""
    module = train_file.load()
    trainer = module.Trainer(small(module))
    batches = counting(module, trainer.rows)
    losses = [trainer.step(batches, step, progress=step / 25) for step in range(25)]
    assert losses[0] == pytest.approx(math.log(module.prepare.VOCAB_SIZE), abs=0.05)
    assert losses[-1] < 0.6 * losses[0]


def test_accumulated_passes_are_one_large_batch() -> None:
    """A GPU with less memory takes more passes; the step must be the same."""
    results = []
    for passes in (1, 4):
        module = train_file.load()
        torch.manual_seed(3)
        model = small(module)
        module.BATCH_TOKENS = 8 * module.prepare.SEQUENCE_LEN
        module.DEVICE_BATCH_TOKENS = module.BATCH_TOKENS // passes
        trainer = module.Trainer(model)
        assert trainer.passes == passes
        assert trainer.tokens_per_step == module.BATCH_TOKENS
        torch.manual_seed(4)
        batch = next(counting(module, 8))
        pieces = zip(*(half.chunk(passes) for half in batch), strict=True)
        loss = trainer.step(iter(list(pieces)), 0, 0.0)
        results.append((loss, model.unembedding.weight.detach().clone()))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-5)
    # Adam's first step is the sign of the gradient: where that is rounding, the sign is too.
    differing = (results[0][1] - results[1][1]).abs() > 1e-4
    assert differing.float().mean() < 1e-3


def test_warm_up_leaves_nothing_behind() -> None:
    """Untimed steps that train are a known way to cheat; ours must not, even on noise."""
    module = train_file.load()
    model = small(module)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = module.Trainer(model)
    trainer.warm_up()
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not trainer.optimiser.adamw.state
    assert not any(momentum.any() for momentum in trainer.optimiser.muon.momenta)
    assert not any(moment.any() for moment in trainer.optimiser.muon.second_moments)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e6])
def test_a_run_that_blew_up_stops_at_once(loss: float) -> None:
    """Four minutes of NaN are four minutes less of night; the message says what happened."""
    with pytest.raises(SystemExit) as stopped:
        seed.check_loss(loss, step=7)
    assert "diverged" in str(stopped.value.code)
    assert "step 7" in str(stopped.value.code)


def test_an_ordinary_loss_goes_on() -> None:
    """The first loss of every run is ln(vocabulary)."""
    seed.check_loss(math.log(seed.prepare.VOCAB_SIZE) + 0.5, step=0)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        pytest.param("NVIDIA H100 80GB HBM3", 989.4e12, id="known"),
        pytest.param("NVIDIA GeForce RTX 3080 Laptop GPU", None, id="a-lookalike"),
        pytest.param("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None, id="a-slice"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="no-gpu"),
    ],
)
def test_peak_is_known_by_exact_name_or_not_at_all(name: str | None, peak: float | None) -> None:
    """Utilisation against a guessed peak is a plausible lie; against 0 it is infinite."""
    assert seed.peak_flops(name) == peak


def test_flops_count_matrices_and_attention_but_no_look_ups() -> None:
    """An embedding is read, not multiplied; counted as work it would flatter utilisation by half."""
    config = train_file.config(depth=2, heads_per_kv_head=1)
    model = seed.build_model(config)
    matrices = 2 * (4 * 64 * 64 + 2 * 2 * 64 * 64) + 64 * 64 + 4 * seed.GATE_CHANNELS
    attended = 16 * 64 + 32 * 64  # one short window, one full
    assert model.flops_per_token() == 6 * matrices + 12 * attended


@pytest.mark.parametrize(
    ("memory_gb", "tokens"),
    [
        pytest.param(None, 2**18, id="cpu"),
        pytest.param(80, 2**18, id="h100"),
        pytest.param(40, 2**17, id="a100-40"),
        pytest.param(24, 2**16, id="3090"),
        pytest.param(10, 2**15, id="3080"),
    ],
)
def test_a_smaller_gpu_takes_smaller_passes(memory_gb: int | None, tokens: int) -> None:
    """The baseline has to run on any card; the step stays the same, in more passes."""
    memory_bytes = None if memory_gb is None else memory_gb * 10**9
    assert seed.tokens_that_fit(2**18, memory_bytes) == tokens


RUN = """
import runpy, sys
from harness import prepare
prepare.TRAIN_BUDGET_S = 3.0
from harness.launch import seed_everything
seed_everything(7)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of rows to train on: counting, in the smoke profile's shape."""
    train = tmp_path / "data" / "train"
    train.mkdir(parents=True)
    start = np.arange(512)[:, None] * 7
    np.save(train / "rows-128.npy", ((start + np.arange(129)) % 50).astype(np.uint16))
    return tmp_path / "data"


def run(train_py: Path, data: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, str(train_py)],
        env={
            **os.environ,
            "NIGHTLAB_DEV": "1",
            "NIGHTLAB_DEV_DATA": str(data),
            "NIGHTLAB_DEV_OUT": str(out),
            "NIGHTLAB_PROFILE": "smoke",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_whole_run_saves_a_model_that_has_learnt(data: Path, tmp_path: Path) -> None:
    """From import to checkpoint, in a process of its own, and back through build_model."""
    result = run(train_file.TRAIN_FILE, data, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "loss" in result.stdout
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    weights = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    model = seed.build_model(config)
    model.load_state_dict(weights, strict=True)
    ids = torch.arange(129).remainder(50)[None]
    with torch.inference_mode():
        loss = model.eval().loss(ids[:, :-1], ids[:, 1:])
    assert loss < math.log(config["vocab_size"]) - 0.3


def test_a_run_that_diverges_exits_with_its_reason_and_saves_nothing(
    data: Path, tmp_path: Path
) -> None:
    """A checkpoint of NaN must not reach the judge, and the agent is told why."""
    source = train_file.TRAIN_FILE.read_text()
    line = "    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:"
    assert line in source
    broken = tmp_path / "train.py"
    spoilt = line.replace("def loss", "def honest_loss")
    broken.write_text(
        source.replace(
            line,
            "    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:\n"
            "        return self.honest_loss(tokens, targets) * float('nan')\n\n" + spoilt,
        )
    )
    result = run(broken, data, tmp_path / "out")
    assert result.returncode == 1
    assert "diverged: the loss is nan" in result.stderr
    assert not (tmp_path / "out").exists()
