"""Small train.py files, honest and not, for the tests of what can go wrong."""

from __future__ import annotations

HONEST_MODEL = """
import os, signal, socket, struct, subprocess, sys, time
import torch
from harness import prepare


class Bigram(torch.nn.Module):
    def __init__(self, vocab_size, width):
        super().__init__()
        self.into = torch.nn.Embedding(vocab_size, width)
        self.out = torch.nn.Linear(width, vocab_size)

    def forward(self, tokens):
        return self.out(self.into(tokens))


def build_model(config):
    return Bigram(**config)


CONFIG = {"vocab_size": prepare.VOCAB_SIZE, "width": 32}

if __name__ == "__main__":
    model = build_model(CONFIG)
"""


def train_file(main: str, *, before: str = "") -> str:
    """A train.py with an honest model and this main block (indented by four already or not at all)."""
    body = "\n".join(f"    {line}" if line.strip() else "" for line in main.strip().splitlines())
    return before + HONEST_MODEL + body + "\n"


HONEST = train_file(
    """
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
clock = prepare.start()
for step, (inputs, targets) in enumerate(prepare.batches(8)):
    loss = torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    prepare.report(step=step, loss=loss.item(), tokens=(step + 1) * inputs.numel())
    if step == 10 or clock.expired():
        break
prepare.save(model, CONFIG)
"""
)
