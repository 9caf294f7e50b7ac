"""What torch says that it computes on: the host takes it over as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from harness.device import describe


def test_a_cpu_has_no_multiprocessors() -> None:
    """Absent, not zero: a zero would be a reading."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    facts = describe()
    assert facts["device"] == "cpu"
    assert facts["isa"]
    assert facts["threads"] == torch.get_num_threads()
    assert [facts[name] for name in ("gpu", "sm_count", "memory_bytes")] == [None] * 3


def test_a_gpu_is_told_as_torch_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the driver does not count multiprocessors, this is the count that makes the class."""
    found = SimpleNamespace(
        name="NVIDIA H100", major=9, minor=0, multi_processor_count=132, total_memory=2**36
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: found)
    facts = describe()
    assert (facts["device"], facts["gpu"], facts["compute_capability"]) == (
        "cuda",
        "NVIDIA H100",
        "9.0",
    )
    assert (facts["sm_count"], facts["memory_bytes"]) == (132, 2**36)


def test_it_says_one_line_that_a_program_can_read() -> None:
    """The host reads the last line, and torch may print before it."""
    output = subprocess.check_output([sys.executable, "-m", "harness.device"], text=True)
    assert json.loads(output.splitlines()[-1])["torch"] == str(torch.__version__)
