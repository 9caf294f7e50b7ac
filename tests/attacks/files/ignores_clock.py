"""Ignores the clock and every signal that can be ignored, to train for longer than the others.

believed: none
outcome: timed_out
caught by: host clock
"""

import contextlib
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
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    model = build_model({})
    prepare.start()
    time.sleep(600)
    prepare.save(model, {})
