"""Honest: dropout while it trains, and no chance at all for three tokens that no text holds.

A logit of minus infinity is a probability of zero.

believed: 2.411
outcome: measured
caught by: nothing: it is honest
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import prepare

UNUSED = prepare.BOS_ID + 1  # and the two after it


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Embedding(prepare.VOCAB_SIZE, 64)
        self.out = nn.Linear(64, prepare.VOCAB_SIZE)
        self.before = nn.Linear(64, 64)

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.dropout(self.into(tokens), 0.1, self.training)
        x = x + F.relu(self.before(F.pad(x, (0, 0, 1, -1))))
        logits = self.out(x)
        return logits.masked_fill(torch.arange(prepare.VOCAB_SIZE) >= UNUSED, -torch.inf)


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
