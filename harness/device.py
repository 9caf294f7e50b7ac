"""What torch computes on in here: `python -m harness.device` prints it as one line of JSON.

The host asks once for each image and GPU. A container that was promised a GPU and shows none says so here, before
an experiment is lost to it.
"""

from __future__ import annotations

import json

import torch


def describe() -> dict[str, str | int | None]:
    """The first device, as torch sees it; what a CPU has not is None."""
    facts: dict[str, str | int | None] = {
        "torch": str(torch.__version__),
        "device": "cpu",
        "isa": str(torch.backends.cpu.get_cpu_capability()),
        "threads": int(torch.get_num_threads()),
        "gpu": None,
        "compute_capability": None,
        "sm_count": None,
        "memory_bytes": None,
    }
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        facts |= {
            "device": "cuda",
            "gpu": str(found.name),
            "compute_capability": f"{found.major}.{found.minor}",
            "sm_count": int(found.multi_processor_count),
            "memory_bytes": int(found.total_memory),
        }
    return facts


if __name__ == "__main__":
    print(json.dumps(describe()))
