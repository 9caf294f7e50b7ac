"""The model of the seed: what it computes, how it starts, and that it can be rebuilt anywhere."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import train_file
from torch import Tensor, nn

seed = train_file.load()

GPU_CONFIG = {
    "vocab_size": 8192,
    "sequence_len": 2048,
    "depth": 8,
    "width": 512,
    "head_dim": 128,
    "heads_per_kv_head": 1,
    "mlp_ratio": 4,
    "window_pattern": "SSSL",
    "embedding_dtype": "bfloat16",
}


def stirred(config: dict[str, object]) -> nn.Module:
    """A model in which every part has an effect; a fresh one is the same as no blocks at all."""
    model = seed.build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_forward_gives_float32_logits_for_every_token() -> None:
    """The judge refuses any other shape."""
    model = seed.build_model(train_file.config())
    logits = model(torch.randint(64, (3, 32)))
    assert logits.shape == (3, 32, 64)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("length", [1, 9, 17, 32])
def test_shorter_rows_are_welcome(length: int) -> None:
    """A prefix must score as it does within the whole row."""
    model = stirred(train_file.config()).eval()
    tokens = torch.randint(64, (2, 32))
    assert torch.allclose(model(tokens[:, :length]), model(tokens)[:, :length], atol=1e-4)


@pytest.mark.parametrize("changed", [1, 15, 16, 31])
def test_no_logit_sees_a_later_token(changed: int) -> None:
    """A model that looks ahead is caught by the audit; the seed must be exactly blind, not nearly."""
    model = stirred(train_file.config()).eval()
    tokens = torch.randint(64, (2, 32))
    other = tokens.clone()
    other[:, changed:] = (other[:, changed:] + 1 + torch.randint(62, other[:, changed:].shape)) % 64
    with torch.inference_mode():
        before, after = model(tokens), model(other)
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert not torch.equal(before[:, changed], after[:, changed])


def test_rows_do_not_see_each_other() -> None:
    """Evaluation batches rows together; a neighbour must not matter."""
    model = stirred(train_file.config()).eval()
    tokens = torch.randint(64, (4, 32))
    assert torch.allclose(model(tokens)[2], model(tokens[2:3])[0], atol=1e-5)


def test_logits_stay_within_the_soft_cap() -> None:
    """The cap holds even for a model that has blown up."""
    module = train_file.load()
    module.LOGIT_SOFTCAP = 15.0
    model = module.build_model(train_file.config())
    model.load_state_dict(stirred(train_file.config()).state_dict())
    with torch.no_grad():
        model.unembedding.weight.mul_(1e4)
    logits = model(torch.randint(64, (2, 32)))
    assert logits.abs().max() <= 15.0
    assert logits.abs().max() > 0.9 * 15.0


def test_soft_cap_follows_the_formula() -> None:
    """Of plain logits z it gives cap * tanh(z / cap)."""
    config = train_file.config()
    model = stirred(config)
    tokens = torch.randint(64, (2, 32))
    logits = {}
    for cap in (15.0, None):
        module = train_file.load()
        module.LOGIT_SOFTCAP = cap
        rebuilt = module.build_model(config)
        rebuilt.load_state_dict(model.state_dict())
        logits[cap] = rebuilt(tokens)
    assert torch.allclose(logits[15.0], 15 * torch.tanh(logits[None] / 15), atol=1e-4)


def test_the_whole_forward_pass_is_the_published_flow() -> None:
    """Scales, x0, pre-norms, squared ReLU, last norm: written out once more, without the module."""
    config = train_file.config(depth=2, window_pattern="L")
    module = train_file.load()
    module.MLP_LOOKBACK, module.LOGIT_SOFTCAP = 0.0, 15.0  # as on a GPU
    model = module.build_model(config)
    model.load_state_dict(stirred(config).state_dict())
    tokens = torch.randint(64, (2, 32))

    def rms(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt()

    x = x0 = rms(model.embedding.weight[tokens])
    for i, block in enumerate(model.blocks):
        x = model.residual_scales[i] * x + model.x0_scales[i] * x0
        x = x + block.attention(rms(x), tokens, model.cos, model.sin)
        hidden = (rms(x) @ block.mlp.up.weight.T).clamp_min(0) ** 2
        x = x + hidden @ block.mlp.down.weight.T
    expected = 15 * torch.tanh(rms(x) @ model.unembedding.weight.T / 15)
    assert torch.allclose(model(tokens), expected, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_looking_back_takes_channels_from_the_position_before(share: float) -> None:
    """One position off, and the model would see its own answer, or nothing."""
    module = train_file.load()
    module.MLP_LOOKBACK = share
    x = torch.randn(2, 5, 8)
    early = int(8 * share)
    for t in range(5):
        before = x[:, t - 1, :early] if t else torch.zeros(2, early)
        assert torch.equal(module.look_back(x)[:, t, :early], before)
        assert torch.equal(module.look_back(x)[:, t, early:], x[:, t, early:])


def test_loss_is_the_cross_entropy_of_the_logits() -> None:
    """What is trained on must be what is scored."""
    model = stirred(train_file.config())
    tokens, targets = torch.randint(64, (2, 2, 32))
    losses = -model(tokens).log_softmax(-1).gather(-1, targets[..., None])
    assert torch.allclose(model.loss(tokens, targets), losses.mean(), atol=1e-5)


def test_at_depth_8_it_has_50_million_parameters() -> None:
    """The `gpu` profile is held against published figures, so it must be the published model."""
    with torch.device("meta"):
        model = seed.build_model(GPU_CONFIG)
    embeddings = 8192 * 512
    value_embeddings = 4 * 8192 * 512
    blocks = 8 * 12 * 512**2
    gates, scales = 4 * 4 * 32, 2 * 8
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == 2 * embeddings + value_embeddings + blocks + gates + scales
    assert round(count / 1e6, 1) == 50.3


def test_initial_weights_have_the_published_statistics() -> None:
    """A wrong initial scale costs more than most ideas gain, and nothing else would show it."""
    model = seed.build_model({**GPU_CONFIG, "depth": 2})
    bound = math.sqrt(3 / 512)
    first, last = model.blocks[0], model.blocks[1]
    assert model.embedding.weight.dtype == torch.bfloat16
    assert last.attention.value_embedding.weight.dtype == torch.bfloat16
    assert model.embedding.weight.float().std().item() == pytest.approx(1.0, rel=0.01)
    assert model.unembedding.weight.std().item() == pytest.approx(0.001, rel=0.01)
    uniform = [
        first.attention.query.weight,
        first.attention.key.weight,
        first.attention.value.weight,
        first.mlp.up.weight,
        last.attention.value_embedding.weight,
    ]
    for weight in uniform:
        assert weight.float().std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
        assert bound * 0.99 < weight.float().abs().max() <= bound * 1.01
    for weight in (first.attention.out.weight, first.mlp.down.weight, last.attention.gate.weight):
        assert not weight.any()
    assert torch.equal(model.residual_scales, torch.ones(2))
    assert torch.equal(model.x0_scales, torch.full((2,), 0.1))


def test_it_starts_by_knowing_nothing() -> None:
    """The first loss of every run is ln(vocabulary); anything above it is a mistake at the start."""
    model = seed.build_model(train_file.config())
    tokens, targets = torch.randint(64, (2, 4, 32))
    assert model.loss(tokens, targets).item() == pytest.approx(math.log(64), abs=0.01)


def test_another_process_rebuilds_it_from_config_and_weights() -> None:
    """The score is taken in another container: same code, config as JSON, weights, nothing else."""
    config = train_file.config()
    model = stirred(config)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    assert not any("_orig_mod" in name for name in weights)
    rebuilt = train_file.load().build_model(json.loads(json.dumps(config)))
    rebuilt.load_state_dict(weights, strict=True)
    tokens = torch.randint(64, (2, 32))
    assert torch.equal(model.eval()(tokens), rebuilt.eval()(tokens))


def test_default_config_is_json_and_builds() -> None:
    """The config travels as JSON; what it cannot say, the other container cannot know."""
    config = seed.default_config()
    assert json.loads(json.dumps(config)) == config
    with torch.device("meta"):
        seed.build_model(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VALUE_EMBEDDINGS", False),
        ("X0_RESIDUAL", False),
        ("LOGIT_SOFTCAP", 15.0),
        ("MLP_LOOKBACK", 0.0),
        ("QK_NORM", False),
        ("COMPILE", False),
    ],
)
def test_each_switch_leaves_a_model_that_trains(name: str, value: object) -> None:
    """Researchers turn parts off first; a switch that breaks the file would waste a run."""
    module = train_file.load()
    assert hasattr(module, name)
    setattr(module, name, value)
    model = module.build_model(train_file.config())
    optimiser = module.Optimiser(model)
    tokens, targets = torch.randint(64, (2, 4, 32))
    before = model.loss(tokens, targets)
    for step in range(8):
        model.loss(tokens, targets).backward()
        optimiser.step(step, 0.0)
        model.zero_grad(set_to_none=True)
    assert model.loss(tokens, targets) < before


def run_python(source: str, profile: str) -> str:
    """Standard output of a fresh process in `profile`."""
    return subprocess.run(
        [sys.executable, "-c", source, str(train_file.TRAIN_FILE)],
        env={**os.environ, "NIGHTLAB_PROFILE": profile},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


IMPORT = """
import importlib.util, sys
import torch
spec = importlib.util.spec_from_file_location("train", sys.argv[1])
train = importlib.util.module_from_spec(spec)
state = torch.get_rng_state()
spec.loader.exec_module(train)
"""


def test_importing_it_does_nothing() -> None:
    """A model container imports it beside validation text: no output, no threads, no randomness."""
    source = IMPORT + (
        "import threading\n"
        "assert torch.equal(state, torch.get_rng_state())\n"
        "assert threading.active_count() == 1\n"
        "assert 'kernels' not in sys.modules and 'torch._dynamo' not in sys.modules\n"
        "assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32\n"
    )
    assert run_python(source, "smoke") == ""


def test_the_gpu_profile_builds_on_a_machine_without_a_gpu() -> None:
    """A receiver of a bundle can open the best model of an H100 on a laptop."""
    source = IMPORT + (
        "config = train.default_config()\n"
        "model = train.build_model({**config, 'depth': 2}).eval()\n"
        "print(config['depth'], model(torch.randint(8192, (1, 64))).dtype)\n"
    )
    assert run_python(source, "gpu").split() == ["8", "torch.float32"]


def test_in_bfloat16_everything_before_the_logits_stays_so(tmp_path: Path) -> None:
    """FlashAttention takes no float32; one silent promotion and a GPU run stops, or slows by half."""
    chosen = "torch.bfloat16 if tokens.is_cuda else torch.float32"
    source = train_file.TRAIN_FILE.read_text()
    assert chosen in source
    as_on_a_gpu = tmp_path / "train.py"
    as_on_a_gpu.write_text(source.replace(chosen, "torch.bfloat16"))
    module = train_file.load(as_on_a_gpu)
    seen: list[Tensor] = []

    def spy(q: Tensor, k: Tensor, v: Tensor, *_: object) -> Tensor:
        seen.extend((q, k, v))
        return q

    module.sdpa_attention = spy
    model = module.build_model(train_file.config(embedding_dtype="bfloat16"))
    model.unembedding.register_forward_hook(lambda _, inputs, out: seen.extend((*inputs, out)))
    tokens = torch.randint(64, (2, 32))
    assert model(tokens).dtype == torch.float32
    model.loss(tokens, tokens).backward()
    assert len(seen) == 2 * (4 * 3 + 2)
    assert {tensor.dtype for tensor in seen} == {torch.bfloat16}
    for name, parameter in model.named_parameters():
        table = name.endswith("embedding.weight") and not name.startswith("unembedding")
        assert parameter.dtype == (torch.bfloat16 if table else torch.float32)
        assert parameter.grad is None or parameter.grad.dtype == parameter.dtype
