"""Honest: every weight and activation is rounded to bfloat16, then kept as float32.

Products of bfloat16 numbers take a hundred times longer on a CPU, and round no differently here.

believed: 2.376
outcome: measured
caught by: nothing: it is honest
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import prepare


def rounded(x: Tensor) -> Tensor:
    """To eight bits of mantissa; gradients pass as if nothing had been."""
    return x + (x.bfloat16().float() - x).detach()


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Embedding(prepare.VOCAB_SIZE, 64)
        self.mix = nn.Conv1d(64, 64, 5)
        self.out = nn.Linear(64, prepare.VOCAB_SIZE)

    def forward(self, tokens: Tensor) -> Tensor:
        x = rounded(F.embedding(tokens, rounded(self.into.weight)))
        past = F.pad(x.transpose(1, 2), (4, 0))
        mixed = F.conv1d(past, rounded(self.mix.weight), rounded(self.mix.bias)).transpose(1, 2)
        x = rounded(x + F.relu(rounded(mixed)))
        return rounded(F.linear(x, rounded(self.out.weight), rounded(self.out.bias)))


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    model = build_model({})
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    clock = prepare.start()
    for inputs, targets in itertools.islice(prepare.batches(8), 80):
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if clock.expired():
            break
    prepare.save(model, {})
