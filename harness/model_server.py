"""A model container: a sealed checkpoint and its train.py, answering the judge.

    python -m harness.model_server

It has no training data, no network, no memory of other runs, and nothing to write but /tmp. What it
knows of the validation text is the rows in front of it: whole ones in container A, which claims a loss for
every target; cut ones in container B, which gives its logits where it was cut. Whatever goes wrong leaves
as a class of failure, never as text, which could carry the rows out.

It runs the agent's code, so nothing that it says is trusted; the judge checks what can be checked.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F

from harness import wire
from harness.launch import cpu_share
from harness.profiles import PROFILES, Profile
from harness.wire import Failure, Kind

ROWS_CAP_BYTES = 256 * 2**20
CONNECT_EVERY_S = 0.05


class CannotScore(Exception):
    """The checkpoint gives no losses, for this class of reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


def load_model(train_file: Path, checkpoint: Path, device: str) -> torch.nn.Module:
    """Rebuild the trained model from its code, config and weights.

    Raises:
        CannotScore: any of the three is broken, or they do not fit together.
    """
    try:
        module = _import(train_file)
    except BaseException as error:
        raise CannotScore(Failure.TRAIN_FILE_BROKEN) from error
    try:
        config: dict[str, Any] = json.loads((checkpoint / "config.json").read_text())
        weights = safetensors.torch.load_file(checkpoint / "model.safetensors")
    except Exception as error:
        raise CannotScore(Failure.CHECKPOINT_UNREADABLE) from error
    try:
        model: torch.nn.Module = module.build_model(config)
    except BaseException as error:
        raise _out_of_memory_or(Failure.BUILD_FAILED, error) from error
    try:
        model.load_state_dict(weights, strict=True)
        return model.to(device).eval()
    except BaseException as error:
        raise _out_of_memory_or(Failure.CHECKPOINT_MISMATCH, error) from error


def _import(train_file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("train", train_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train"] = module
    spec.loader.exec_module(module)
    return module


def _out_of_memory_or(failure: Failure, error: BaseException) -> CannotScore:
    memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return CannotScore(Failure.OUT_OF_MEMORY if memory else failure)


def losses(model: torch.nn.Module, rows: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """Cross-entropy of every target.

    Shapes, with B rows of T + 1 tokens:
        rows    (B, T + 1)  int64
        return  (B, T)      float32, nats

    Raises:
        CannotScore: the forward pass failed, or its logits have another shape than (B, T, V).
    """
    logits = _forward(model, rows[:, :-1], vocab_size)
    # Row by row in float32: a batch of logits at 2048 x 8192 is 2 GB, and a copy of it another 2.
    return torch.stack(
        [
            F.cross_entropy(row_logits.float(), row_targets, reduction="none")
            for row_logits, row_targets in zip(logits, rows[:, 1:], strict=True)
        ]
    )


def logits_at(
    model: torch.nn.Module, inputs: torch.Tensor, cuts: torch.Tensor, vocab_size: int
) -> torch.Tensor:
    """The logits at one position of each row.

    Shapes: inputs (B, T) int64, cuts (B,) int64, return (B, V) float32.

    Raises:
        CannotScore: the forward pass failed, or its logits have another shape than (B, T, V).
    """
    logits = _forward(model, inputs, vocab_size)
    return logits[torch.arange(len(cuts), device=logits.device), cuts].float()


def _forward(model: torch.nn.Module, inputs: torch.Tensor, vocab_size: int) -> torch.Tensor:
    try:
        logits = model(inputs)
    except BaseException as error:
        raise _out_of_memory_or(Failure.FORWARD_FAILED, error) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (*inputs.shape, vocab_size):
        raise CannotScore(Failure.LOGITS_WRONG_SHAPE)
    return logits


def serve(judge: socket.socket, profile: Profile, model: torch.nn.Module) -> None:
    """Answer rows with losses, and cut rows with logits, until the judge hangs up."""
    wire.send(judge, Kind.READY)
    while True:
        try:
            kind, payload = wire.receive(judge, cap_bytes=ROWS_CAP_BYTES)
        except wire.WireError:
            return
        with torch.inference_mode():
            if kind is Kind.ROWS:
                shape = wire.ROWS_SHAPE.unpack_from(payload)
                rows = _tokens(payload, wire.ROWS_SHAPE.size, shape, profile.device)
                said, values = Kind.LOSSES, losses(model, rows, profile.vocab_size)
            elif kind is Kind.CUTS:
                shape = wire.CUTS_SHAPE.unpack_from(payload)
                inputs = _tokens(payload, wire.CUTS_SHAPE.size, shape, profile.device)
                at = wire.CUTS_SHAPE.size + 2 * inputs.numel()
                cuts = _tokens(payload, at, (shape[0],), profile.device)
                said, values = Kind.LOGITS, logits_at(model, inputs, cuts, profile.vocab_size)
            else:
                raise wire.WireError(f"a judge does not say {kind.name}")
        wire.send(judge, said, values.to("cpu", torch.float32).numpy().tobytes())


def _tokens(payload: bytes, offset: int, shape: tuple[int, ...], device: str) -> torch.Tensor:
    """uint16 of a message as int64 on the device."""
    flat = np.frombuffer(payload, dtype=np.uint16, offset=offset, count=math.prod(shape))
    return torch.from_numpy(flat.astype(np.int64).reshape(shape)).to(device)


def connect(path: str) -> socket.socket:
    """Connect to the judge, who may still be starting; the host's clock bounds the wait."""
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            time.sleep(CONNECT_EVERY_S)
        else:
            return sock


def main() -> int:
    """Load, serve, and end; 1 when the checkpoint could not be scored."""
    profile = PROFILES[os.environ[wire.PROFILE_VARIABLE]]
    torch.set_num_threads(cpu_share())
    with connect(wire.BENCH_SOCKET) as judge:
        try:
            model = load_model(Path(wire.TRAIN_FILE), Path(wire.CHECKPOINT), profile.device)
            serve(judge, profile, model)
        except CannotScore as error:
            wire.send(judge, Kind.FAILED, wire.FAILED.pack(error.failure))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
