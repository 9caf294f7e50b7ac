"""A whole night whose agent cheats as often as it works: only honest work is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.declared import HERE
from tests.faults.files import HONEST
from tests.faults.nights import Nightly

BETTER = HONEST.replace("step == 10", "step == 60")
BEST = HONEST.replace("step == 10", "step == 200")
WORSE = HONEST.replace("lr=1e-2", "lr=1e-5")
CHEATS = ("leak_one_token", "losses_zero", "state_counts_rows", "leak_on_one_percent_of_rows")


@pytest.fixture
def nightly(tmp_path: Path) -> Iterator[Nightly]:
    nightly = Nightly(tmp_path, tag="cheating")
    yield nightly
    nightly.end()


def test_only_honest_work_is_kept(nightly: Nightly) -> None:
    """One cheat that is kept poisons every comparison after it, and every bundle."""
    files = {
        f"{2 * n + 1:02d}": (HERE / "files" / f"{name}.py").read_text()
        for n, name in enumerate(CHEATS)
    }
    files |= {"02": BETTER, "04": WORSE, "06": BEST}
    nightly.write_script(**files)
    nightly.run()
    records = nightly.records()
    kept = [r for r in records if r["verdict"]["keep"]]
    honest = {
        r["number"] for r in records if r["title"] in ("02", "06") and r["kind"] == "candidate"
    }
    assert {r["original"] for r in kept} == honest, "both real gains, and nothing else"
    assert all(r["trial"]["audit"] and r["trial"]["holdout"] for r in kept)
    for r in records:
        if r["title"] in ("01", "03", "05", "07"):
            assert r["trial"]["status"] == "invalid", r["title"]
            assert r["trial"]["val"] is None
            assert r["kind"] == "candidate", "a cheat is found before it costs a re-run"
    assert (nightly.folder / "best" / "train.py").read_text() == BEST
    discarded = next(r for r in records if r["title"] == "04")
    assert discarded["trial"]["audit"] is None, (
        "nothing follows from a discard, so nobody doubts it"
    )
