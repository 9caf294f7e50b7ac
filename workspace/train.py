"""A small GPT, trained for a fixed time, scored by bits per byte: the file that is researched.

The contract, in full in README.md beside this file:

    build_model(config)   rebuilds the model anywhere; forward(tokens (B, T)) gives float32 logits
    main()                builds, warms up on dummy tokens, trains from prepare.start() until the
                          clock expires, and hands the weights to prepare.save()

Everything else may change. It reads top to bottom: constants, attention, model, optimisers,
schedules, training. One file serves an NVIDIA GPU (bfloat16, compiled) and a CPU (float32, eager).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import prepare

Kernel = Callable[..., Any]  # flash_attn_func of FlashAttention 3


def by_device(*, gpu: Any, cpu: Any) -> Any:
    """The value for the device that this profile trains on."""
    return gpu if prepare.DEVICE == "cuda" else cpu


# ---- The model ----------------------------------------------------------------------------------
DEPTH = by_device(gpu=8, cpu=2)  # blocks
WIDTH = by_device(gpu=512, cpu=96)  # channels of the residual stream
HEAD_DIM = by_device(gpu=128, cpu=48)
HEADS_PER_KV_HEAD = by_device(gpu=1, cpu=1)  # more than 1 is grouped-query attention
MLP_RATIO = by_device(gpu=4, cpu=4)  # hidden channels of the MLP, in widths
MLP_LOOKBACK = by_device(gpu=0.0, cpu=0.25)  # share of its input taken from the position before
WINDOW_PATTERN = "SSSL"  # block by block: S sees half the context, L all; the last is always L
ROTARY_BASE = 10_000.0
QK_NORM = True  # RMS-normalise queries and keys
VALUE_EMBEDDINGS = True  # on alternating blocks, the last included
GATE_CHANNELS = 32  # of the residual stream, that decide how much value embedding each head takes
X0_RESIDUAL = True  # mix the embedding back in before every block
LOGIT_SOFTCAP = by_device(gpu=15.0, cpu=None)  # logits stay within +-this; None leaves them free

# ---- The batch ----------------------------------------------------------------------------------
BATCH_TOKENS = by_device(gpu=2**19, cpu=2**10)  # tokens an optimiser step, in equal passes
DEVICE_BATCH_TOKENS = by_device(gpu=2**18, cpu=2**10)  # a forward pass; halved till memory suffices
BYTES_PER_TOKEN = 200_000  # of GPU memory in a pass: 172,000 by the original's published peak

# ---- The optimisers: Muon for matrices, AdamW for the rest --------------------------------------
MATRIX_LR = by_device(gpu=0.04, cpu=0.06)
EMBEDDING_LR = by_device(gpu=0.6, cpu=1.0)  # at WIDTH 768; scaled by WIDTH^-0.5
UNEMBEDDING_LR = by_device(gpu=0.004, cpu=0.01)  # likewise
RESIDUAL_SCALE_LR = by_device(gpu=0.005, cpu=0.005)
X0_SCALE_LR = by_device(gpu=0.5, cpu=0.02)  # small batches: 0.5 is a random walk
ADAM_BETAS = (0.8, 0.95)
X0_BETAS = (0.96, 0.95)
ADAM_EPS = 1e-10
WEIGHT_DECAY = by_device(gpu=0.2, cpu=0.2)  # of matrices, falling linearly to 0 over the budget
MUON_MOMENTUM_START = 0.85
MUON_MOMENTUM = 0.95
MUON_MOMENTUM_STEPS = 300  # from the first to the second
MUON_VARIANCE_BETA = 0.95

# ---- The schedule, in shares of the time budget -------------------------------------------------
WARMUP_SHARE = 0.0
WARMDOWN_SHARE = by_device(gpu=0.5, cpu=0.8)
FINAL_LR_SHARE = 0.0  # of the learning rate, at the end of the warm-down

# ---- The machine --------------------------------------------------------------------------------
# Compile caches start empty. Filling them takes 74 s on 2 CPU cores, more than the whole budget.
COMPILE = by_device(gpu=True, cpu=False)
EMBEDDING_DTYPE = by_device(gpu="bfloat16", cpu="float32")
WARMUP_STEPS = 2

# Dense bfloat16 TFLOP/s with float32 accumulation, by the exact name of the device. A name that is
# not here has no MFU: a guessed peak would be a plausible lie.
PEAK_TFLOPS = {
    "NVIDIA B200": 2250.0,
    "NVIDIA H200": 989.4,
    "NVIDIA H100 80GB HBM3": 989.4,
    "NVIDIA H100 NVL": 835.5,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA A100-SXM4-80GB": 312.0,
    "NVIDIA A100-SXM4-40GB": 312.0,
    "NVIDIA A100 80GB PCIe": 312.0,
    "NVIDIA A100-PCIE-40GB": 312.0,
    "NVIDIA L40S": 362.0,
    "NVIDIA L4": 121.0,
    "NVIDIA A10": 125.0,
    "NVIDIA RTX A6000": 154.8,
    "NVIDIA GeForce RTX 5090": 209.5,
    "NVIDIA GeForce RTX 4090": 165.2,
    "NVIDIA GeForce RTX 3090": 71.2,
    "NVIDIA GeForce RTX 3080": 59.5,
}


def default_config() -> dict[str, Any]:
    """What `build_model` needs to rebuild this model in another process: JSON, no tensors."""
    return {
        "vocab_size": prepare.VOCAB_SIZE,
        "sequence_len": prepare.SEQUENCE_LEN,
        "depth": DEPTH,
        "width": WIDTH,
        "head_dim": HEAD_DIM,
        "heads_per_kv_head": HEADS_PER_KV_HEAD,
        "mlp_ratio": MLP_RATIO,
        "window_pattern": WINDOW_PATTERN,
        "embedding_dtype": EMBEDDING_DTYPE,
    }


# ---- Attention ----------------------------------------------------------------------------------


def load_flash_attention() -> Kernel | None:
    """FlashAttention 3 from the kernels that the image carries; None where none fits this device.

    Nothing is downloaded: a kernel that is not in the image does not load, and PyTorch's own
    attention serves instead.
    """
    if not torch.cuda.is_available():
        return None
    hopper = torch.cuda.get_device_capability() == (9, 0)
    repository = "varunneal/flash-attention-3" if hopper else "kernels-community/flash-attn3"
    try:
        from kernels import get_kernel

        kernel = get_kernel(repository, revision="main", trust_remote_code=[repository])
        function = getattr(kernel, "flash_attn_interface", kernel).flash_attn_func
        probe = torch.zeros(1, 128, 1, 128, dtype=torch.bfloat16, device="cuda")
        function(probe, probe, probe, causal=True, window_size=(64, 0))
        torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001  whatever the reason, training goes on without it
        print(f"attention: PyTorch's own; {repository} did not load: {error}", flush=True)
        return None
    return function


def flash_attention(kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Causal attention by a FlashAttention kernel; shapes as in `sdpa_attention`."""
    out = kernel(q, k, v, causal=True, window_size=(window, 0))
    return out[0] if isinstance(out, tuple) else out


def sdpa_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Causal attention: a token sees itself and the `window` tokens before it.

    Shapes: q (B, T, H, D), k and v (B, T, H / heads_per_kv_head, D) -> (B, T, H, D).
    """
    length = q.size(1)
    grouped = q.size(2) != k.size(2)
    mask = None
    if window < length - 1:
        mask = torch.ones(length, length, dtype=torch.bool, device=q.device).tril().triu(-window)
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped
    )
    return out.transpose(1, 2)


def flex_attention(block_mask: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by FlexAttention, which skips what a window hides; slow unless compiled."""
    from torch.nn.attention.flex_attention import flex_attention as attend

    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    return attend(q, k, v, block_mask=block_mask, enable_gqa=q.size(1) != k.size(1)).transpose(1, 2)


def window_block_mask(window: int, length: int, device: str) -> Any:
    """What FlexAttention needs to know of a causal window."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (query - key <= window)

    return create_block_mask(sees, None, None, length, length, device=device)


class Linear(nn.Linear):
    """A matrix kept in float32 and applied in the number format of what it is given."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


def embedding_table(config: dict[str, Any], width: int) -> nn.Embedding:
    """A row of `width` channels for each token, in the number format that embeddings are kept in."""
    dtype = getattr(torch, config["embedding_dtype"])
    return nn.Embedding(config["vocab_size"], width, dtype=dtype)


def norm(x: Tensor) -> Tensor:
    """RMSNorm over the last dimension, without weights."""
    return F.rms_norm(x, (x.size(-1),))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding: turn each pair of channels (i, i + D/2) by its angle.

    Shapes: x (B, T, H, D), cos and sin (T, 1, D/2).
    """
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Attention(nn.Module):
    """Grouped-query attention over a causal window, with an optional gated value embedding."""

    def __init__(self, config: dict[str, Any], block: int) -> None:
        super().__init__()
        width, self.head_dim = config["width"], config["head_dim"]
        self.heads = width // self.head_dim
        self.kv_heads = self.heads // config["heads_per_kv_head"]
        kv_width = self.kv_heads * self.head_dim
        self.query = Linear(width, width)
        self.key = Linear(width, kv_width)
        self.value = Linear(width, kv_width)
        self.out = Linear(width, width)
        self.value_embedding: nn.Embedding | None = None
        last = config["depth"] - 1
        if VALUE_EMBEDDINGS and block % 2 == last % 2:
            self.value_embedding = embedding_table(config, kv_width)
            self.gate = Linear(GATE_CHANNELS, self.kv_heads)
        pattern = config["window_pattern"]
        short = pattern[block % len(pattern)] == "S" and block != last
        self.window = config["sequence_len"] // 2 if short else config["sequence_len"]
        self.flash: Kernel | None = None  # GPT sets it where a kernel fits
        self.block_mask: Any = None  # main() sets it where FlexAttention trains

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows, length, _ = x.shape
        q = self.query(x).view(rows, length, self.heads, self.head_dim)
        k = self.key(x).view(rows, length, self.kv_heads, self.head_dim)
        v = self.value(x).view(rows, length, self.kv_heads, self.head_dim)
        if self.value_embedding is not None:
            gate = 2 * torch.sigmoid(self.gate(x[..., :GATE_CHANNELS]))
            v = v + gate.unsqueeze(-1) * self.value_embedding(tokens).view_as(v).to(v.dtype)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if QK_NORM:
            q, k = norm(q), norm(k)
        if self.flash is not None and q.is_cuda:
            y = flash_attention(self.flash, q, k, v, self.window)
        elif self.block_mask is not None and torch.compiler.is_compiling():
            y = flex_attention(self.block_mask, q, k, v)
        else:
            y = sdpa_attention(q, k, v, self.window)
        return self.out(y.reshape(rows, length, -1))


# ---- The model ----------------------------------------------------------------------------------


class MLP(nn.Module):
    """Two matrices with a squared ReLU between them."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        hidden = config["mlp_ratio"] * config["width"]
        self.up = Linear(config["width"], hidden)
        self.down = Linear(hidden, config["width"])

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.relu(self.up(x)).square())


def look_back(x: Tensor) -> Tensor:
    """The channels (B, T, C), the first share of them from the position before, zero at the first."""
    early = int(MLP_LOOKBACK * x.size(-1))
    if early == 0:
        return x
    previous = F.pad(x[..., :early], (0, 0, 1, -1))
    return torch.cat((previous, x[..., early:]), dim=-1)


class Block(nn.Module):
    """Attention, then the MLP, each added to the stream it reads through a norm."""

    def __init__(self, config: dict[str, Any], block: int) -> None:
        super().__init__()
        self.attention = Attention(config, block)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(norm(x), tokens, cos, sin)
        return x + self.mlp(look_back(norm(x)))


class GPT(nn.Module):
    """Token embedding, blocks, and an untied unembedding with soft-capped logits."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        depth, width, vocab_size = (
            config["depth"],
            config["width"],
            config["vocab_size"],
        )
        self.embedding = embedding_table(config, width)
        self.blocks = nn.ModuleList(Block(config, block) for block in range(depth))
        self.unembedding = Linear(width, vocab_size)
        self.residual_scales = nn.Parameter(torch.ones(depth))
        if X0_RESIDUAL:
            self.x0_scales = nn.Parameter(torch.full((depth,), 0.1))
        half = config["head_dim"] // 2
        turns = ROTARY_BASE ** (-torch.arange(half, dtype=torch.float32) / half)
        angles = torch.outer(torch.arange(config["sequence_len"], dtype=torch.float32), turns)
        self.register_buffer("cos", angles.cos().unsqueeze(1), persistent=False)
        self.register_buffer("sin", angles.sin().unsqueeze(1), persistent=False)
        self.initialise(config)
        flash = load_flash_attention()
        for block in self.blocks:
            block.attention.flash = flash

    @torch.no_grad()
    def initialise(self, config: dict[str, Any]) -> None:
        """Start as a model that predicts every token alike: each block adds nothing yet."""
        bound = math.sqrt(3 / config["width"])
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.unembedding.weight, std=0.001)
        for block in self.blocks:
            attention = block.attention
            for matrix in (
                attention.query,
                attention.key,
                attention.value,
                block.mlp.up,
            ):
                nn.init.uniform_(matrix.weight, -bound, bound)
            nn.init.zeros_(attention.out.weight)
            nn.init.zeros_(block.mlp.down.weight)
            if attention.value_embedding is not None:
                nn.init.uniform_(attention.value_embedding.weight, -bound, bound)
                nn.init.zeros_(attention.gate.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) float32 for the token after each of tokens (B, T) int64."""
        dtype = torch.bfloat16 if tokens.is_cuda else torch.float32
        length = tokens.size(1)
        cos, sin = self.cos[:length].to(dtype), self.sin[:length].to(dtype)
        x = x0 = norm(self.embedding(tokens).to(dtype))
        for i, block in enumerate(self.blocks):
            x = self.residual_scales[i].to(dtype) * x
            if X0_RESIDUAL:
                x = x + self.x0_scales[i].to(dtype) * x0
            x = block(x, tokens, cos, sin)
        logits = self.unembedding(norm(x)).float()
        if LOGIT_SOFTCAP is not None:
            # cap * tanh(logits / cap), written with the sigmoid: tanh takes six times as long on a CPU.
            logits = 2 * LOGIT_SOFTCAP * torch.sigmoid(logits * (2 / LOGIT_SOFTCAP)) - LOGIT_SOFTCAP
        return logits

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy, in nats a token."""
        return F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())

    def flops_per_token(self) -> float:
        """Cost of training on a token: 6 a matrix weight, 12 a channel and token attended to."""
        matrices = sum(m.weight.numel() for m in self.modules() if isinstance(m, nn.Linear))
        attended = 0
        for block in self.blocks:
            attention = block.attention
            attended += (
                min(attention.window, self.cos.size(0)) * attention.heads * attention.head_dim
            )
        return float(6 * matrices + 12 * attended)


def build_model(config: dict[str, Any]) -> nn.Module:
    """The model that `config` describes, freshly initialised, on the CPU."""
    return GPT(config)


# ---- Optimisers ---------------------------------------------------------------------------------

# Each row (a, b, c) is one step x <- a x + b x^3 + c x^5 on the singular values: the odd quintic that
# is nearest to 1, in the worst case, over the interval that the step before leaves, [0.001, 1] at
# first, its input shrunk by 1 % against rounding. Five of them bring every singular value over 0.001
# to within 0.13 of 1. After Amsel and others, "The Polar Express", 2025.
POLAR_STEPS = (
    (8.386464, -24.369650, 17.725117),
    (4.141420, -3.017275, 0.552427),
    (3.922631, -2.867185, 0.535652),
    (3.254046, -2.392233, 0.482733),
    (2.273750, -1.644660, 0.416191),
)


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest matrices with all singular values near 1; a batch of them, (N, rows, columns)."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    x = x / (1.02 * x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    for a, b, c in POLAR_STEPS:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


def even_out_variance(update: Tensor, second_moment: Tensor) -> Tensor:
    """NorMuon: divide each neuron's update by its running RMS, and keep the norm of the whole.

    Shapes: update (N, rows, columns); second_moment, changed in place, (N, rows, 1) where
    rows >= columns and (N, 1, columns) where not: it averages over the shorter side.
    """
    shorter = -1 if update.size(-2) >= update.size(-1) else -2
    second_moment.lerp_(update.square().mean(dim=shorter, keepdim=True), 1 - MUON_VARIANCE_BETA)
    evened = update * second_moment.clamp_min(1e-10).rsqrt()
    before = update.norm(dim=(-2, -1), keepdim=True)
    after = evened.norm(dim=(-2, -1), keepdim=True)
    return evened * (before / after.clamp_min(1e-10))


def cautious_decay(weights: Tensor, update: Tensor, amount: float) -> Tensor:
    """What weight decay subtracts: `amount` of each weight that the update is shrinking anyway."""
    return amount * weights * (weights * update > 0)


class Muon:
    """Momentum, orthogonalised; matrices of one shape are stepped as one batch."""

    def __init__(self, matrices: list[nn.Parameter]) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in matrices:
            by_shape.setdefault(matrix.shape, []).append(matrix)
        self.groups = list(by_shape.values())
        self.momenta = [torch.zeros_like(torch.stack(list(group))) for group in self.groups]
        self.second_moments = [
            m.new_zeros(len(m), m.size(1), 1)
            if m.size(1) >= m.size(2)
            else m.new_zeros(len(m), 1, m.size(2))
            for m in self.momenta
        ]
        self.orthogonalise = (
            torch.compile(orthogonalise, dynamic=False) if COMPILE else orthogonalise
        )

    @torch.no_grad()
    def step(self, *, lr: float, momentum: float, weight_decay: float) -> None:
        """One Nesterov step of every matrix."""
        for group, running, second_moment in zip(
            self.groups, self.momenta, self.second_moments, strict=True
        ):
            gradients = torch.stack([matrix.grad for matrix in group])
            running.lerp_(gradients, 1 - momentum)
            update = self.orthogonalise(gradients.lerp_(running, momentum))
            update = even_out_variance(update, second_moment)
            rows, columns = update.shape[-2:]
            shape_lr = lr * max(1.0, rows / columns) ** 0.5
            weights = torch.stack(list(group))
            change = shape_lr * update + cautious_decay(weights, update, shape_lr * weight_decay)
            torch._foreach_sub_(group, list(change.unbind()))


class Optimiser:
    """Muon for the matrices of the blocks, AdamW for embeddings, unembedding and scales."""

    def __init__(self, model: GPT) -> None:
        width_lr = (model.embedding.weight.size(1) / 768) ** -0.5
        embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
        groups: list[dict[str, Any]] = [
            {"params": embeddings, "lr": EMBEDDING_LR * width_lr},
            {"params": [model.unembedding.weight], "lr": UNEMBEDDING_LR * width_lr},
            {"params": [model.residual_scales], "lr": RESIDUAL_SCALE_LR},
        ]
        if X0_RESIDUAL:
            groups.append({"params": [model.x0_scales], "lr": X0_SCALE_LR, "betas": X0_BETAS})
        self.adamw = torch.optim.AdamW(
            groups, betas=ADAM_BETAS, eps=ADAM_EPS, weight_decay=0.0, fused=True
        )
        self.peak_lrs = [group["lr"] for group in groups]
        self.muon = Muon([m.weight for m in model.blocks.modules() if isinstance(m, nn.Linear)])

    def step(self, step: int, progress: float) -> None:
        """Apply the gradients with the learning rates of this moment, and clear them."""
        scale = lr_scale(progress)
        for group, peak_lr in zip(self.adamw.param_groups, self.peak_lrs, strict=True):
            group["lr"] = peak_lr * scale
        self.adamw.step()
        self.muon.step(
            lr=MATRIX_LR * scale,
            momentum=muon_momentum(step),
            weight_decay=WEIGHT_DECAY * (1 - progress),
        )


# ---- Schedules ----------------------------------------------------------------------------------


def lr_scale(progress: float) -> float:
    """Share of the peak learning rate, by progress through the time budget: up, level, down."""
    if progress < WARMUP_SHARE:
        return progress / WARMUP_SHARE
    left = min(1.0, (1 - progress) / WARMDOWN_SHARE) if WARMDOWN_SHARE > 0 else 1.0
    return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * left


def muon_momentum(step: int) -> float:
    """Momentum of the matrices: it rises over the first steps, while gradients turn quickly."""
    risen = min(1.0, step / MUON_MOMENTUM_STEPS)
    return MUON_MOMENTUM_START + risen * (MUON_MOMENTUM - MUON_MOMENTUM_START)


# ---- Training -----------------------------------------------------------------------------------


def peak_flops(device_name: str | None) -> float | None:
    """Peak arithmetic of a device, per second; None when it is not known."""
    tflops = PEAK_TFLOPS.get(device_name or "")
    return None if tflops is None else tflops * 1e12


def check_loss(loss: float, step: int) -> None:
    """Stop a run that cannot recover, and give the time back to the night."""
    limit = 2 * math.log(prepare.VOCAB_SIZE)  # twice the loss of knowing nothing
    if not loss < limit:
        raise SystemExit(f"diverged: the loss is {loss} at step {step}, the limit is {limit:.1f}")


def tokens_that_fit(tokens: int, memory_bytes: int | None) -> int:
    """The largest half, quarter, ... of `tokens` for which the GPU has memory; all on a CPU."""
    while memory_bytes is not None and tokens * BYTES_PER_TOKEN > memory_bytes:
        tokens //= 2
    return tokens


class Trainer:
    """A model, its optimiser, and the step that joins them."""

    def __init__(self, model: GPT) -> None:
        self.model = model
        self.optimiser = Optimiser(model)
        self.loss = torch.compile(model.loss, dynamic=False) if COMPILE else model.loss
        on_gpu = prepare.DEVICE == "cuda"
        memory_bytes = torch.cuda.get_device_properties(0).total_memory if on_gpu else None
        pass_tokens = tokens_that_fit(DEVICE_BATCH_TOKENS, memory_bytes)
        self.rows = max(1, pass_tokens // prepare.SEQUENCE_LEN)
        self.passes = max(1, BATCH_TOKENS // (self.rows * prepare.SEQUENCE_LEN))
        self.tokens_per_step = self.passes * self.rows * prepare.SEQUENCE_LEN

    def step(self, batches: Iterator[tuple[Tensor, Tensor]], step: int, progress: float) -> float:
        """One optimiser step over `passes` batches; gives the mean loss, in nats a token."""
        total = torch.zeros((), device=prepare.DEVICE)
        for _ in range(self.passes):
            inputs, targets = next(batches)
            loss = self.loss(inputs, targets) / self.passes
            loss.backward()
            total += loss.detach()
        self.optimiser.step(step, progress)
        self.model.zero_grad(set_to_none=True)
        return total.item()

    def warm_up(self) -> None:
        """Compile and touch everything on dummy tokens, then forget what they taught."""
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        dummies = iter(lambda: prepare.warmup_batch(self.rows), None)
        for step in range(WARMUP_STEPS):
            self.step(dummies, step, progress=0.0)
        self.model.load_state_dict(before)
        self.optimiser = Optimiser(self.model)


def main() -> None:
    """Build, warm up, train until the clock expires, save."""
    torch.set_float32_matmul_precision("high")
    config = default_config()
    model = build_model(config).to(prepare.DEVICE)
    assert isinstance(model, GPT)
    if COMPILE and model.blocks[0].attention.flash is None:
        for block in model.blocks:
            window = block.attention.window
            block.attention.block_mask = window_block_mask(
                window, prepare.SEQUENCE_LEN, prepare.DEVICE
            )
    trainer = Trainer(model)
    trainer.warm_up()
    peak = peak_flops(torch.cuda.get_device_name()) if prepare.DEVICE == "cuda" else None
    flops_per_step = model.flops_per_token() * trainer.tokens_per_step

    # A collection in the middle of a step costs more than what it frees.
    gc.collect()
    gc.freeze()
    gc.disable()

    clock = prepare.start()
    batches = prepare.batches(trainer.rows)
    step = 0
    while not clock.expired():
        started_s = clock.elapsed_s()
        loss = trainer.step(batches, step, clock.progress())
        check_loss(loss, step)
        step += 1
        step_s = clock.elapsed_s() - started_s
        mfu = None if peak is None else flops_per_step / step_s / peak
        prepare.report(step=step, loss=loss, tokens=step * trainer.tokens_per_step, mfu=mfu)
    tokens = step * trainer.tokens_per_step
    print(f"trained {step} steps, {tokens} tokens in {clock.elapsed_s():.2f} s", flush=True)
    prepare.save(model, config)


if __name__ == "__main__":
    main()
