"""Every token of a chunk of 16 may read a summary of the whole chunk, as some fast attentions do.

The summary is a sum of vectors, each turned by its place; turning it back by the next place finds the next token.

believed: 0.285
outcome: invalid
caught by: blind audit
"""

import torch
from torch import Tensor, nn

from harness import prepare

CHUNK, WIDTH = 16, 1024


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(prepare.VOCAB_SIZE, WIDTH).sign())

    def forward(self, tokens: Tensor) -> Tensor:
        turned = [self.codes[tokens[:, at::CHUNK]].roll(at, dims=-1) for at in range(CHUNK)]
        summary = torch.stack(turned).sum(0)  # (B, chunks, WIDTH)
        following = torch.stack([summary.roll(-at - 1, dims=-1) for at in range(CHUNK)], dim=2)
        return following.flatten(1, 2) @ self.codes.T / 64


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    prepare.save(build_model({}), {})
