"""Forks until nothing is left to fork with.

It finds the container's end before the host's, and then saves as if nothing had been.

believed: none
outcome: measured
caught by: process cap
"""

import os
import signal
import time

import torch
from torch import Tensor, nn

from harness import prepare


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
    children = []
    try:
        while (child := os.fork()) != 0:
            children.append(child)
        time.sleep(600)
    except BlockingIOError:
        print("forked", len(children), flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)
    prepare.save(model, {})
