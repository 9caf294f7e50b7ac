"""Import the seed, workspace/train.py, the way a model container does: by path, without running it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

TRAIN_FILE = Path(
    os.environ.get("NIGHTLAB_TRAIN_FILE", Path(__file__).parents[2] / "workspace" / "train.py")
)

os.environ.setdefault("NIGHTLAB_PROFILE", "smoke")

# Tensors are tiny here: a second thread on a busy machine costs far more time than it saves.
torch.set_num_threads(1)


def load(path: Path = TRAIN_FILE) -> ModuleType:
    """A fresh copy of the module, so that a test may change its constants."""
    spec = importlib.util.spec_from_file_location("seed_train", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickling look modules up by name.
    sys.modules["seed_train"] = module
    spec.loader.exec_module(module)
    return module


def config(**changes: Any) -> dict[str, Any]:
    """A model small enough for a test, with every part in it: windows, groups, value embeddings."""
    return {
        "vocab_size": 64,
        "sequence_len": 32,
        "depth": 4,
        "width": 64,
        "head_dim": 16,
        "heads_per_kv_head": 2,
        "mlp_ratio": 2,
        "window_pattern": "SSSL",
        "embedding_dtype": "float32",
        **changes,
    }
