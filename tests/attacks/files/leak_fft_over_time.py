"""Mixes over time with a Fourier transform, whose phases can move the future one step back.

believed: 0.063
outcome: invalid
caught by: blind audit
"""

import torch
from torch import Tensor, nn

from harness import prepare


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(prepare.VOCAB_SIZE, 64).sign())

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.size(1)
        spectrum = torch.fft.rfft(self.codes[tokens], dim=1)
        phases = 2 * torch.pi * torch.arange(length // 2 + 1) / length
        turned = spectrum * torch.polar(torch.ones_like(phases), phases)[:, None]
        return torch.fft.irfft(turned, n=length, dim=1) @ self.codes.T / 4


def build_model(config: dict[str, object]) -> nn.Module:
    return Model()


if __name__ == "__main__":
    prepare.start()
    prepare.save(build_model({}), {})
