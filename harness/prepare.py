"""What train.py may use of the lab. Read this first; nothing here can be changed by an experiment.

    from harness import prepare

    inputs, targets = prepare.warmup_batch(16)     # random tokens: build, compile and warm up on these
    clock = prepare.start()                        # the data gate opens, the budget begins
    for inputs, targets in prepare.batches(16):    # (B, T) int64 each, on prepare.DEVICE, without end
        ...                                        # one step
        prepare.report(step=step, loss=loss, tokens=tokens)
        if clock.expired():
            break
    prepare.save(model, config)                    # once; what is not saved in time is not a result

Everything before `start()` is free, up to a cap, and sees no data: the folder of training text is empty
until then. From `start()` on the host's clock runs. It allows TRAIN_BUDGET_S, then a few seconds for
`save()`, and then ends the process, whatever it is doing. `Clock` only tells the time that the host keeps.

`save()` hands the weights to the host over a socket. The score is then computed elsewhere: a fresh process
imports the same train.py, calls `build_model(config)`, loads the weights and predicts text that no training
process has ever had.

For work without a controller, NIGHTLAB_DEV=1 reads NIGHTLAB_DEV_DATA (a prepared data folder), opens the
gate at once, and saves into the folder NIGHTLAB_DEV_OUT, as model.safetensors and config.json.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from harness import wire
from harness.errors import ContractError
from harness.loader import row_batches, tensor_batches
from harness.profiles import PROFILES, Profile

# How often a person wants news. A step may take a hundredth of this.
REPORT_EVERY_S = 0.5


def _profile() -> Profile:
    name = os.environ.get(wire.PROFILE_VARIABLE, "")
    if name not in PROFILES:
        raise ContractError(
            f"there is no profile {name!r}." if name else "no profile was chosen.",
            why=f"the environment variable {wire.PROFILE_VARIABLE} names it.",
            do=f"set it to one of {', '.join(PROFILES)}.",
        )
    return PROFILES[name]


PROFILE: Profile = _profile()
SEQUENCE_LEN: int = PROFILE.sequence_len  # T, tokens a row
VOCAB_SIZE: int = PROFILE.vocab_size  # special tokens included
BOS_ID: int = VOCAB_SIZE - 4  # the token that begins every document, and so every row
DEVICE: str = PROFILE.device  # "cuda" or "cpu"
TRAIN_BUDGET_S: float = PROFILE.train_budget_s


class Clock:
    """The time since the gate opened, against the budget."""

    def __init__(self) -> None:
        self._opened_s = time.monotonic()

    def elapsed_s(self) -> float:
        """Seconds since the gate opened."""
        return time.monotonic() - self._opened_s

    def progress(self) -> float:
        """The share of the budget that has passed, 0 to 1."""
        return min(1.0, self.elapsed_s() / TRAIN_BUDGET_S)

    def expired(self) -> bool:
        """Whether the budget is spent: stop training and save."""
        return self.elapsed_s() >= TRAIN_BUDGET_S


class _Session:
    """What this process has said so far; one to a process."""

    gate: socket.socket | None = None  # None before start(), after save(), and in development
    clock: Clock | None = None  # None until the gate opens
    saved = False
    reported_s = -math.inf
    reported_tokens = 0


def _development() -> bool:
    return os.environ.get("NIGHTLAB_DEV") == "1" and not Path(wire.GATE_SOCKET).exists()


def _data_folder() -> Path:
    if not _development():
        return Path(wire.TRAIN_DATA)
    folder = Path(_development_setting("NIGHTLAB_DEV_DATA"))
    return folder / "train" if (folder / "train").is_dir() else folder


def _development_setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ContractError(
            f"{name} is not set.",
            why="NIGHTLAB_DEV=1 runs without a controller, which would have supplied it.",
            do=f"set {name} to a folder.",
        )
    return value


def warmup_batch(
    batch_rows: int, sequence_len: int = SEQUENCE_LEN
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens shaped like a batch: (inputs, targets), each (B, T) int64 on DEVICE."""
    pair = torch.randint(VOCAB_SIZE, (2, batch_rows, sequence_len), device=DEVICE)
    return pair[0], pair[1]


def start() -> Clock:
    """Say that start-up is over, wait for the data gate to open, and start the clock.

    Raises:
        ContractError: called twice, or there is no lab to answer.
    """
    if _Session.clock is not None:
        raise ContractError(
            "prepare.start() was called twice.", do="call it once, before training."
        )
    if not _development():
        _Session.gate = _connect()
        wire.send(_Session.gate, wire.Kind.STARTED)
        _expect(wire.Kind.OPEN)
    _Session.clock = Clock()
    return _Session.clock


def _connect() -> socket.socket:
    gate = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        gate.connect(wire.GATE_SOCKET)
    except OSError as error:
        gate.close()
        raise ContractError(
            "there is no lab to answer.",
            why=f"{wire.GATE_SOCKET}: {error}.",
            do="run it with `lab run FILE`, or set NIGHTLAB_DEV=1 and see harness/prepare.py.",
        ) from error
    return gate


def _expect(kind: wire.Kind) -> None:
    assert _Session.gate is not None
    received, _ = wire.receive(_Session.gate, cap_bytes=0)
    if received is not kind:
        raise wire.WireError(f"expected {kind.name}, the lab said {received.name}")


def batches(
    batch_rows: int, sequence_len: int = SEQUENCE_LEN
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Training text without end: (inputs, targets), each (B, T) int64, contiguous, on DEVICE.

    Every row starts with BOS and is full. The lab's seed decides the order. A `sequence_len` other than
    SEQUENCE_LEN is packed as it is read, which costs a little time on the CPU.

    Raises:
        ContractError: called before `start()`, or a size is not positive.
        DataError: the text does not fill one row of this length.
    """
    if _Session.clock is None:
        raise ContractError(
            "there is no data before prepare.start().", do="call prepare.start() first."
        )
    if batch_rows < 1 or sequence_len < 1:
        raise ContractError(f"a batch of {batch_rows} x {sequence_len} tokens is empty.")
    rows = row_batches(
        _data_folder(),
        batch_rows=batch_rows,
        sequence_len=sequence_len,
        seed=int(os.environ.get(wire.SEED_VARIABLE, "0")),
    )
    return tensor_batches(rows, DEVICE)


def report(*, step: int, loss: float | torch.Tensor, tokens: int, mfu: float | None = None) -> None:
    """Tell people how it goes: a line in train.log, and the live view. Call it at every step.

    Most calls return at once; a line is written about twice a second.

    Args:
        step: optimiser steps so far.
        loss: mean cross-entropy of the step, in nats a token. A tensor is read only when a line is due,
            so that a GPU is not made to wait at every step.
        tokens: training tokens so far.
        mfu: share of the device's peak arithmetic, 0 to 1; None when the peak is not known.
    """
    clock = _Session.clock
    if clock is None:
        raise ContractError("there is nothing to report before prepare.start().")
    now_s = clock.elapsed_s()
    since_s = now_s - max(_Session.reported_s, 0.0)
    if now_s - _Session.reported_s < REPORT_EVERY_S:
        return
    tokens_per_s = (tokens - _Session.reported_tokens) / since_s if since_s > 0 else 0.0
    _Session.reported_s = now_s
    _Session.reported_tokens = tokens
    nats = float(loss)
    parts = [f"step {step}", f"loss {nats:.4f}", f"{tokens_per_s:,.0f} tok/s"]
    if mfu is not None:
        parts.append(f"mfu {mfu:.1%}")
    print(" | ".join([*parts, f"{clock.progress():.0%}"]), flush=True)
    if _Session.gate is not None:
        payload = wire.REPORT.pack(step, tokens, nats, math.nan if mfu is None else mfu)
        wire.send(_Session.gate, wire.Kind.REPORT, payload)


def save(model: torch.nn.Module, config: dict[str, Any]) -> None:
    """Hand the trained model to the host, which seals it. Once; the run ends here.

    Weights travel as safetensors. A model wrapped by `torch.compile` is unwrapped; tied weights are
    written once for each name.

    Args:
        model: what `build_model(config)` gives, trained.
        config: what `build_model` needs; JSON, at most 64 KiB.

    Raises:
        ContractError: called before `start()` or twice, config is not JSON, or either is over its cap.
    """
    if _Session.clock is None:
        raise ContractError("prepare.save() came before prepare.start().")
    if _Session.saved:
        raise ContractError("prepare.save() was called twice.", do="save once, at the end.")
    config_json = _config_json(config)
    weights = _weights(model)
    _Session.saved = True
    if _Session.gate is None:
        folder = Path(_development_setting("NIGHTLAB_DEV_OUT"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_bytes(config_json)
        (folder / "model.safetensors").write_bytes(weights)
        return
    wire.send(_Session.gate, wire.Kind.CONFIG, config_json)
    wire.send(_Session.gate, wire.Kind.WEIGHTS, weights)
    _expect(wire.Kind.SEALED)
    _Session.gate.close()
    _Session.gate = None


def _config_json(config: dict[str, Any]) -> bytes:
    try:
        encoded = json.dumps(config, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ContractError(
            "the config cannot be written as JSON.",
            why=str(error),
            do="keep numbers, strings, booleans, lists and dicts in it.",
        ) from error
    if len(encoded) > wire.CONFIG_CAP_BYTES:
        raise ContractError(
            f"the config is {len(encoded)} bytes of JSON, over {wire.CONFIG_CAP_BYTES}.",
            do="put tensors into the model, as parameters or buffers.",
        )
    return encoded


def _weights(model: torch.nn.Module) -> bytes:
    plain = getattr(model, "_orig_mod", model)
    state = plain.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ContractError(
                f"the state of the model holds {name!r}, which is not a tensor.",
                do="keep extra state out of the state dict.",
            )
    # Asked before anything is copied, so that a model far too large is an error and not a lack of memory.
    _check_size(sum(tensor.nbytes for tensor in state.values()))
    # A clone of its own for each: safetensors refuses tensors that share memory.
    weights: bytes = safetensors.torch.save(
        {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}
    )
    _check_size(len(weights))
    return weights


def _check_size(size_bytes: int) -> None:
    if size_bytes > PROFILE.checkpoint_cap_bytes:
        raise ContractError(
            f"the weights are {size_bytes} bytes, over {PROFILE.checkpoint_cap_bytes}.",
            do="make the model smaller, or save it in a shorter number format.",
        )
