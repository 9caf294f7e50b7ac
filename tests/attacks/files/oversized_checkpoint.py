"""Announces a petabyte of weights, for the host to make room for.

believed: none
outcome: invalid
caught by: gate protocol
"""

import time

import torch
from torch import Tensor, nn

from harness import prepare, wire


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(prepare.VOCAB_SIZE))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.bias.expand(*tokens.shape, -1)


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    gate = prepare._Session.gate
    wire.send(gate, wire.Kind.CONFIG, b"{}")
    gate.sendall(wire.HEADER.pack(wire.MAGIC, wire.Kind.WEIGHTS, 2**50))
    time.sleep(30)
    prepare.save(build_model({}), {})
