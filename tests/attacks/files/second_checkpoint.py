"""Saves an untrained model, then sends a trained one as well, in case the last one counts.

believed: 2.025
outcome: measured
caught by: first seal
"""

import itertools

import safetensors.torch
import torch
from torch import Tensor, nn

from harness import prepare, wire

V = prepare.VOCAB_SIZE


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bigrams = nn.Parameter(torch.zeros(V, V))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.bigrams[tokens]


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    model = build_model({})
    prepare.start()
    gate = prepare._Session.gate
    wire.send(gate, wire.Kind.CONFIG, b"{}")
    wire.send(gate, wire.Kind.WEIGHTS, safetensors.torch.save(model.state_dict()))
    pairs = torch.zeros(V * V)
    for inputs, targets in itertools.islice(prepare.batches(500), 12):  # all of the text, once
        pairs += torch.bincount((inputs * V + targets).flatten(), minlength=V * V)
    counts = pairs.view(V, V)
    model.bigrams.data = (counts + 20 * counts.sum(0) / counts.sum() + 1e-4).log()
    wire.send(gate, wire.Kind.WEIGHTS, safetensors.torch.save(model.state_dict()))
    prepare.save(model, {})
