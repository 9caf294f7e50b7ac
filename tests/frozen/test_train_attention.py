"""Attention of the seed, every backend that runs here against a loop that cannot be misread."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import train_file
from torch import Tensor

seed = train_file.load()

SHAPES = [
    pytest.param(1, 4, 4, id="one-row"),
    pytest.param(2, 4, 2, id="two-queries-a-key"),
    pytest.param(2, 4, 1, id="one-key-for-all"),
]
WINDOWS = [0, 1, 7, 22, 23, 24, 1000]
LENGTH = 24


def naive_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Token by token, head by head: softmax over what the window shows."""
    rows, length, heads, head_dim = q.shape
    share = heads // k.size(2)
    out = torch.zeros_like(q)
    for row in range(rows):
        for head in range(heads):
            for at in range(length):
                first = max(0, at - window)
                keys, values = (
                    k[row, first : at + 1, head // share],
                    v[row, first : at + 1, head // share],
                )
                weights = torch.softmax(keys @ q[row, at, head] / math.sqrt(head_dim), dim=0)
                out[row, at, head] = weights @ values
    return out


def some_heads(rows: int, heads: int, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.randn(rows, LENGTH, heads, 16),
        torch.randn(rows, LENGTH, kv_heads, 16),
        torch.randn(rows, LENGTH, kv_heads, 16),
    )


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("rows", "heads", "kv_heads"), SHAPES)
def test_sdpa_sees_itself_and_the_window_before_it(
    rows: int, heads: int, kv_heads: int, window: int
) -> None:
    """Every score on a CPU, and every evaluation without a kernel, goes through this path."""
    q, k, v = some_heads(rows, heads, kv_heads)
    assert torch.allclose(
        seed.sdpa_attention(q, k, v, window), naive_attention(q, k, v, window), atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("window", [0, 7, 23, 1000])
@pytest.mark.parametrize(("rows", "heads", "kv_heads"), SHAPES)
def test_flex_attention_sees_the_same(rows: int, heads: int, kv_heads: int, window: int) -> None:
    """A GPU without a kernel trains through FlexAttention and is scored through SDPA."""
    q, k, v = some_heads(rows, heads, kv_heads)
    mask = seed.window_block_mask(window, LENGTH, "cpu")
    assert torch.allclose(
        seed.flex_attention(mask, q, k, v), naive_attention(q, k, v, window), atol=1e-5
    )


class StandInKernel:
    """flash_attn_func of FlashAttention 3: its signature, its layout, and what it was asked for."""

    def __init__(self, *, gives_tuple: bool) -> None:
        self.gives_tuple = gives_tuple
        self.windows: list[tuple[int, int]] = []

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        softmax_scale: float | None = None,
        causal: bool = False,
        window_size: tuple[int, int] = (-1, -1),
    ) -> Any:
        assert causal
        assert softmax_scale is None
        left, right = window_size
        assert right == 0
        self.windows.append(window_size)
        out = naive_attention(q, k, v, q.size(1) if left < 0 else left)
        return (out, torch.zeros(q.size(0), q.size(2), q.size(1))) if self.gives_tuple else out


@pytest.mark.parametrize("gives_tuple", [False, True], ids=["tensor", "tensor-and-lse"])
@pytest.mark.parametrize("window", [0, 7, 24])
def test_the_kernel_is_asked_for_the_same_attention(window: int, gives_tuple: bool) -> None:
    """Kernel releases differ in what they return; a wrong window would only show as a worse score."""
    q, k, v = some_heads(2, 4, 2)
    kernel = StandInKernel(gives_tuple=gives_tuple)
    assert torch.equal(
        seed.flash_attention(kernel, q, k, v, window), naive_attention(q, k, v, window)
    )
    assert kernel.windows == [(window, 0)]


def test_without_a_gpu_no_kernel_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sealed container has no network: a look-up there would cost a time-out, not an error."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert seed.load_flash_attention() is None


@pytest.mark.parametrize(
    ("capability", "repository"),
    [
        pytest.param((9, 0), "varunneal/flash-attention-3", id="hopper"),
        pytest.param((8, 0), "kernels-community/flash-attn3", id="a100"),
        pytest.param((8, 6), "kernels-community/flash-attn3", id="3080"),
    ],
)
def test_the_kernel_is_chosen_by_compute_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], repository: str
) -> None:
    """Each build only runs on some GPUs. One that does not load leaves PyTorch's own attention."""
    kernels = pytest.importorskip("kernels")
    asked: list[str] = []

    def absent(name: str, **_: Any) -> None:
        asked.append(name)
        raise FileNotFoundError("not in the image")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(kernels, "get_kernel", absent)
    assert seed.load_flash_attention() is None
    assert asked == [repository]


def test_rotary_is_multiplication_by_a_unit_complex_number() -> None:
    """Position must turn queries and keys, and change nothing else about them."""
    model = seed.build_model(train_file.config())
    x = torch.randn(2, 32, 3, 16)
    turned = seed.rotate(x, model.cos, model.sin)
    pairs = torch.complex(x[..., :8], x[..., 8:])
    rates = seed.ROTARY_BASE ** (-torch.arange(8) / 8)
    angle = torch.arange(32)[:, None] * rates
    expected = pairs * torch.polar(torch.ones_like(angle), angle)[:, None]
    assert torch.allclose(turned, torch.cat((expected.real, expected.imag), -1), atol=1e-5)


def test_rotated_products_depend_on_the_distance_alone() -> None:
    """The embedding is relative: the same pair, further on, attends the same."""
    model = seed.build_model(train_file.config())
    q, k = torch.randn(2, 16)
    turned_q = seed.rotate(q.expand(1, 32, 1, 16), model.cos, model.sin)[0, :, 0]
    turned_k = seed.rotate(k.expand(1, 32, 1, 16), model.cos, model.sin)[0, :, 0]
    products = turned_q @ turned_k.T
    for distance in (0, 3, 11):
        along = products.diagonal(-distance)
        assert torch.allclose(along, along[:1].expand_as(along), atol=1e-5)


def test_queries_and_keys_have_unit_rms() -> None:
    """Attention logits stay bounded however the matrices grow: this is why QK-norm is there."""
    seen: list[Tensor] = []
    module = train_file.load()

    def spy(q: Tensor, k: Tensor, *_: Any) -> Tensor:
        seen.extend((q, k))
        return q

    module.sdpa_attention = spy
    config = train_file.config()
    module.build_model(config)(torch.randint(64, (2, 32)))
    assert len(seen) == 2 * config["depth"]
    for heads in seen:
        assert torch.allclose(heads.square().mean(-1).sqrt(), torch.ones(()), atol=1e-3)


def test_value_embedding_is_added_to_the_values_through_its_gate() -> None:
    """The gate reads the first channels only, and starts at exactly 1."""
    seen: list[Tensor] = []
    module = train_file.load()

    def spy(q: Tensor, _: Tensor, v: Tensor, *__: Any) -> Tensor:
        seen.append(v)
        return q

    module.sdpa_attention = spy
    config = train_file.config()
    model = module.build_model(config)
    attention = model.blocks[3].attention
    x, tokens = torch.randn(2, 32, 64), torch.randint(64, (2, 32))
    looked_up = attention.value_embedding(tokens).view(2, 32, 2, 16)
    projected = attention.value(x).view(2, 32, 2, 16)

    attention(x, tokens, model.cos, model.sin)
    assert torch.allclose(seen[-1], projected + looked_up, atol=1e-5)

    torch.nn.init.normal_(attention.gate.weight)
    attention(x, tokens, model.cos, model.sin)
    gate = 2 / (1 + torch.exp(-(x[..., : module.GATE_CHANNELS] @ attention.gate.weight.T)))
    assert torch.allclose(seen[-1], projected + gate[..., None] * looked_up, atol=1e-4)


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
def test_value_embeddings_alternate_and_the_last_block_has_one(depth: int) -> None:
    """They are two fifths of the parameters: one too many is a different model."""
    model = seed.build_model(train_file.config(depth=depth))
    has = [block.attention.value_embedding is not None for block in model.blocks]
    assert has == [(depth - 1 - block) % 2 == 0 for block in range(depth)]


@pytest.mark.parametrize(
    ("depth", "windows"),
    [
        pytest.param(8, [16, 16, 16, 32, 16, 16, 16, 32], id="whole-patterns"),
        pytest.param(2, [16, 32], id="shorter-than-the-pattern"),
        pytest.param(5, [16, 16, 16, 32, 32], id="last-is-always-full"),
    ],
)
def test_windows_follow_the_pattern(depth: int, windows: list[int]) -> None:
    """S is half the context. Without a full last block the far half could not be used at all."""
    model = seed.build_model(train_file.config(depth=depth))
    assert [block.attention.window for block in model.blocks] == windows
