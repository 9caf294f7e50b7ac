"""Sends a pickle as its weights, which would run a command of its own where it is loaded.

believed: none
outcome: invalid
caught by: checkpoint format
"""

import os
import pickle
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


class Command:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/unpickled",)


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    gate = prepare._Session.gate
    wire.send(gate, wire.Kind.CONFIG, b"{}")
    wire.send(gate, wire.Kind.WEIGHTS, pickle.dumps(Command()))
    time.sleep(30)
    prepare.save(build_model({}), {})
