"""What a person types beside a night: `lab audit`, `lab noise`, `lab run`, in real containers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.settings import CHECKOUT
from tests.attacks.declared import HERE
from tests.faults.files import HONEST
from tests.faults.nights import Nightly


@pytest.fixture
def nightly(tmp_path: Path) -> Iterator[Nightly]:
    nightly = Nightly(tmp_path, tag="by-hand")
    yield nightly
    nightly.end()


def lab(nightly: Nightly, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", *words],
        cwd=CHECKOUT,
        env=nightly.variables(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_campaign_begins_with_the_noise_that_was_measured_and_can_be_audited(
    nightly: Nightly,
) -> None:
    """`lab noise` is worth its time only if a campaign finds it; an audit, only if it can fail."""
    nightly.environment["NIGHTLAB_STATE"] = str(nightly.place / "state")
    seed = nightly.place / "seed.py"
    seed.write_text(HONEST)
    measured = lab(
        nightly, "noise", str(seed), "--runs", "3", "--profile", "smoke", "--tag", "noise"
    )
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert "95 % confidence" in measured.stdout and "over 3 runs" in measured.stdout
    (written,) = (nightly.place / "state" / "noise").glob("*.json")
    found = json.loads(written.read_text())
    assert found["df"] == 2

    cheat = (HERE / "files" / "leak_one_token.py").read_text()
    nightly.write_script(**{"01": cheat})
    nightly.run()
    facts = json.loads((nightly.folder / "campaign.json").read_text())
    assert facts["prior_noise"] == {"sd_bpb": found["sd_bpb"], "df": 2}

    best = lab(nightly, "audit", "--tag", "by-hand")
    assert best.returncode == 0, best.stdout + best.stderr
    assert "audit of 2: passed" in best.stdout
    caught = lab(nightly, "audit", "3", "--tag", "by-hand")
    assert caught.returncode == 1
    assert "audit of 3: FAILED" in caught.stdout
    assert "audit of 2: passed" in best.stdout
    records = nightly.records()
    assert [r["kind"] for r in records[3:]] == ["audit", "audit"]
    assert records[3]["trial"]["val"] == records[1]["trial"]["val"], "the very weights of the best"
    missing = lab(nightly, "audit", "99", "--tag", "by-hand")
    assert missing.returncode == 2 and "no experiment 99" in missing.stderr
    assert nightly.containers() == []
