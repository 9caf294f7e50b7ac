"""Sends 4 KB of weights that say they are a thousand tensors, all of them in the same place.

believed: none
outcome: invalid
caught by: checkpoint format
"""

import json
import struct
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


PLACE = {"dtype": "F32", "shape": [1024], "data_offsets": [0, 4096]}
HEADER = json.dumps({f"bias{number}": PLACE for number in range(1000)}).encode()


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    gate = prepare._Session.gate
    wire.send(gate, wire.Kind.CONFIG, b"{}")
    wire.send(gate, wire.Kind.WEIGHTS, struct.pack("<Q", len(HEADER)) + HEADER + bytes(4096))
    time.sleep(30)
    prepare.save(build_model({}), {})
