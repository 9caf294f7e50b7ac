"""Begins to save in time and sends a byte now and then, to go on training under cover of the save.

believed: none
outcome: timed_out
caught by: host clock
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
    gate.sendall(wire.HEADER.pack(wire.MAGIC, wire.Kind.WEIGHTS, 4096))
    for _ in range(4096):
        gate.sendall(b" ")
        time.sleep(0.1)
    prepare.save(build_model({}), {})
