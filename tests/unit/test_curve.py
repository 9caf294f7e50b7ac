"""The training curve: what a train.py claims of itself, kept as a table that says so."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.profiles import PROFILES
from lab import training
from lab.gate import Report, Sealed
from lab.training import CURVE_SOURCE, Claim, _Run, write_curve
from tests.conftest import QuietWatch


def test_a_curve_says_that_it_is_a_claim(tmp_path: Path) -> None:
    """The file travels without its record; who opens it must not take it for a measurement of ours."""
    claims = [
        Claim(0.5, 10, 10_000, 4.5),
        Claim(1.0, 20, 30_000, None),  # not a number
        Claim(1.0, 21, 31_000, 4.1),  # in the same moment
    ]
    write_curve(tmp_path / "curve.parquet", claims)
    table = pq.read_table(tmp_path / "curve.parquet")
    assert table.to_pydict() == {
        "step": [10, 20, 21],
        "train_s": [0.5, 1.0, 1.0],
        "loss_nats": [4.5, None, 4.1],
        "tokens": [10_000, 30_000, 31_000],
        "tokens_per_s": [20_000.0, 40_000.0, None],
    }
    assert table.schema.metadata == {b"source": CURVE_SOURCE.encode()}
    assert "claims of train.py" in CURVE_SOURCE


@pytest.mark.parametrize("tokens", [2**64 - 1, 2**63])
def test_a_claim_without_measure_breaks_no_table(tmp_path: Path, tokens: int) -> None:
    """A train.py may claim any 64 bits, and that must not cost the run its checkpoint."""
    write_curve(
        tmp_path / "curve.parquet", [Claim(0.5, tokens, tokens, 1.0), Claim(1.0, 1, 5, 1.0)]
    )
    (first, second) = pq.read_table(tmp_path / "curve.parquet").to_pylist()
    assert (first["step"], first["tokens"]) == (None, None)
    assert second["tokens_per_s"] < 0


def test_a_curve_that_cannot_be_written_is_only_lost(tmp_path: Path) -> None:
    """No decision reads it."""
    write_curve(tmp_path / "gone" / "curve.parquet", [Claim(0.5, 1, 1, 1.0)])
    assert list(tmp_path.iterdir()) == []


class Floods:
    """A gate behind which a train.py reports without end, and then saves."""

    def __init__(self, reports: int) -> None:
        self.left = reports

    def next_event(self, timeout_s: float) -> Report | Sealed:
        self.left -= 1
        return Report(1, 2, 3.0, None) if self.left >= 0 else Sealed(0.0, "a", "b", 1)


def test_a_flood_of_reports_does_not_fill_the_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    """An honest program reports twice a second; one that does so in a loop must not take the host's memory."""
    monkeypatch.setattr(training, "MOST_CLAIMS", 100)
    run = _Run(None, Floods(1000), PROFILES["smoke"], QuietWatch(), 0.0)  # type: ignore[arg-type]
    run.looked = float("inf")
    run._await_seal(time.monotonic())
    assert len(run.curve) == 100
    assert run.last_report is not None
