"""The machine that a figure was measured on, as one small dict."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from pathlib import Path


def machine() -> dict[str, str | int | None]:
    """CPU model, cores this process may use, GPU, and torch where there is one: in the image."""
    here = importlib.util.find_spec("torch") is not None
    torch = importlib.import_module("torch") if here else None
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None,
        "torch": torch.__version__ if torch else None,
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
