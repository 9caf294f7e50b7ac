"""Sends a megabyte of training text as its config, to have it at hand when it is scored.

believed: none
outcome: invalid
caught by: gate protocol
"""

import time
from pathlib import Path

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
    model = build_model({})
    prepare.start()
    text = Path("/data/train/rows-128.npy").read_bytes()[: 2**20]
    wire.send(prepare._Session.gate, wire.Kind.CONFIG, text)
    time.sleep(30)
    prepare.save(model, {})
