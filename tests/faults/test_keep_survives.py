"""What becomes of a would-be keep when the controller is killed on the way to it."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.setup import Ready
from tests.faults.files import HONEST
from tests.faults.nights import Nightly

BETTER = HONEST.replace("step == 10", "step == 60")


@pytest.fixture
def nightly(ready: Ready, tmp_path: Path) -> Iterator[Nightly]:
    nightly = Nightly(tmp_path, f"keep-{uuid.uuid4().hex[:8]}")
    yield nightly
    nightly.end()


@pytest.mark.parametrize(
    ("experiment", "phase"),
    [
        pytest.param(3, "audit", id="in-the-audit-of-the-first-run"),
        pytest.param(4, "training", id="in-the-first-re-run"),
        pytest.param(4, "audit", id="in-the-audit-of-a-re-run"),
    ],
)
def test_a_killed_keep_is_decided_by_the_next_start(
    nightly: Nightly, experiment: int, phase: str
) -> None:
    """Half an audit proves nothing, and a lost re-run must not turn the lucky first run into a keep."""
    nightly.write_script(better=BETTER)
    nightly.start()
    nightly.wait_for_phase(experiment, phase)
    nightly.started[-1].send_signal(signal.SIGKILL)
    nightly.started[-1].wait()
    before = nightly.records()
    assert len(before) == experiment - 1
    assert not any(r["verdict"]["keep"] for r in before)

    nightly.run()
    after = nightly.records()
    assert after[: len(before)] == before
    (kept,) = [r for r in after if r["verdict"]["keep"]]
    assert (kept["kind"], kept["original"]) == ("confirm", 3)
    assert all(r["trial"]["audit"] for r in after if r["kind"] == "confirm")
    assert kept["trial"]["holdout"] is not None
    assert (nightly.folder / "best" / "train.py").read_text() == BETTER
    assert nightly.containers() == []
