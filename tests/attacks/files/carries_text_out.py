"""Fails with the validation text in its message and its output, for the agent to read in the morning.

believed: none
outcome: invalid
caught by: failures are a class, not text
"""

import torch
from torch import Tensor, nn

from harness import prepare


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(prepare.VOCAB_SIZE))

    def forward(self, tokens: Tensor) -> Tensor:
        print("stolen:", tokens.tolist(), flush=True)
        raise ValueError(f"stolen: {tokens[0].tolist()}")


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    prepare.save(build_model({}), {})
