"""Mixes the tokens of each block of 64 by their mean, those to come included.

A token's own block says which tokens it holds, not in which order.

believed: 2.075
outcome: invalid
caught by: blind audit
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import prepare

BLOCK = 64


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.floor = nn.Parameter(torch.tensor(1e-4))

    def forward(self, tokens: Tensor) -> Tensor:
        seen = F.one_hot(tokens, prepare.VOCAB_SIZE).float()
        mean = seen.unflatten(1, (-1, BLOCK)).mean(dim=2)
        return (mean + self.floor).log().repeat_interleave(BLOCK, dim=1)


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    prepare.save(build_model({}), {})
