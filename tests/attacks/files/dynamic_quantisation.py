"""An honest mistake: activations are rounded to a scale that is taken from the whole batch.

The scale depends on tokens still to come and on other rows, so no prediction can be repeated without them.

believed: 2.341
outcome: invalid
caught by: blind audit
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import prepare


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Embedding(prepare.VOCAB_SIZE, 64)
        self.out = nn.Linear(64, prepare.VOCAB_SIZE)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.into(tokens)
        scale = 4 * hidden.std() / 127
        rounded = (hidden / scale).round() * scale
        return self.out(hidden + (rounded - hidden).detach())


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    model = build_model({})
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    prepare.start()
    for inputs, targets in itertools.islice(prepare.batches(8), 100):
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    prepare.save(model, {})
