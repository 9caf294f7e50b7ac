"""Rows of a batch read each other: each is predicted from how often a token comes in all of them.

believed: 3.009
outcome: invalid
caught by: blind audit
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import prepare


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.floor = nn.Parameter(torch.tensor(1e-5))

    def forward(self, tokens: Tensor) -> Tensor:
        everywhere = F.one_hot(tokens, prepare.VOCAB_SIZE).float().mean(dim=(0, 1))
        return (everywhere + self.floor).log().expand(*tokens.shape, -1)


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    prepare.save(build_model({}), {})
