"""Takes memory until the machine has none.

believed: none
outcome: out_of_memory
caught by: memory cap
"""

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
    prepare.start()
    hoard = [b"x" * 2**28 for _ in range(4096)]
    prepare.save(build_model({}), {"hoard": len(hoard)})
