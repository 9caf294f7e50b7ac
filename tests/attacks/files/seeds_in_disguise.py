"""Brings a lucky seed of its own, and says so in a way that no reading of the file can see.

Nothing can stop a file from carrying constants. It is scored for what it is: an initialisation that the file chose,
which must hold in every re-run.

believed: 3.531
outcome: measured
caught by: confirm re-runs
"""

import torch
from torch import Tensor, nn

from harness import prepare


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(0.1 * torch.randn(prepare.VOCAB_SIZE))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.bias.expand(*tokens.shape, -1)


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    vars(torch)["manual_seed"](42)
    prepare.start()
    prepare.save(build_model({}), {})
