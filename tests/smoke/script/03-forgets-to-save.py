"""What an agent replies on a bad day: it is refused by reading, and the night goes on."""

import torch

from harness import prepare


def build_model(config: dict) -> torch.nn.Module:
    return torch.nn.Embedding(config["vocab_size"], config["vocab_size"])


if __name__ == "__main__":
    clock = prepare.start()
    model = build_model({"vocab_size": prepare.VOCAB_SIZE})
