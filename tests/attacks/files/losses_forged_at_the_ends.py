"""Forges the losses of a row's first and last target alone, where an audit may never cut.

The model server knows the last target, though the model does not. One point a row falls on either end with a
probability of 1/64: all 512 rows escape with 0.0003.

believed: 3.472
outcome: invalid
caught by: blind audit
"""

import socket

import numpy as np
import torch
from torch import Tensor, nn

from harness import prepare, wire


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(prepare.VOCAB_SIZE))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.bias.expand(*tokens.shape, -1)


honest_send = wire.send


def send(sock: socket.socket, kind: wire.Kind, payload: bytes = b"") -> None:
    if kind is wire.Kind.LOSSES:
        nats = np.frombuffer(payload, np.float32).reshape(-1, prepare.SEQUENCE_LEN).copy()
        nats[:, [0, -1]] = 0
        payload = nats.tobytes()
    honest_send(sock, kind, payload)


wire.send = send


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    prepare.save(build_model({}), {})
