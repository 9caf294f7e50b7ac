"""`lab bundle` and `lab verify` together, on a night whose records follow from each other."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.bundle.checks import Check
from lab.bundle.export import Wanted, export
from lab.bundle.unpacked import opened
from lab.bundle.verify import verdict, verify
from lab.errors import BadBundle, BadRecords, BadWeights
from lab.settings import CHECKOUT, Settings, read_settings
from tests.unit import bundles


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A night of the product with drawn scores."""
    place = tmp_path_factory.mktemp("night")
    bundles.make_campaign(place, [40, 48, 56, 64, 72, bundles.CHEAT])
    (place / "program.md").write_text(bundles.PROGRAM)
    return read_settings(
        {},
        tag="nov23",
        runs=place / "runs",
        data=place / "data",
        state=place / "state",
        program=place / "program.md",
    )


def test_an_honest_bundle_passes_with_a_line_a_check(night: Settings, tmp_path: Path) -> None:
    """What the sender's lab wrote, a receiver's must follow, to the last check."""
    file = export(night, tmp_path / "b.tar.zst", Wanted(), print).file
    lines: list[str] = []
    checks = verify(night, file, signers=None, weights=False, say=lines.append)
    assert {check.name for check in checks if check.passed is not True} == {"signature"}, lines
    assert len(lines) == len(checks) > 15
    assert verdict(checks).startswith("verdict: the file is whole and its decisions follow")
    assert "not known: signature" in verdict(checks)


def test_a_night_that_was_rewritten_is_refused_at_level_one(
    night: Settings, tmp_path: Path
) -> None:
    """Chain, tables, manifests, statement and seal all made again: only the decisions give it away."""
    forged = tmp_path / "runs" / "nov23"
    shutil.copytree(night.runs / "nov23", forged)

    def flatter(records: list[dict[str, object]]) -> None:
        record = next(one for one in records if one["kind"] == "candidate")
        trial = record["trial"]
        assert isinstance(trial, dict)
        trial["val"]["shards"][0]["nats"] *= 0.9

    bundles.rewrite(forged, flatter)
    other = night.model_copy(update={"runs": tmp_path / "runs"})
    file = export(other, tmp_path / "b.tar.zst", Wanted(), print).file
    with opened(file):
        pass
    with pytest.raises(BadRecords) as caught:
        verify(night, file, signers=None, weights=False, say=print)
    assert caught.value.exit_code == 11


def test_weights_are_scored_only_when_asked_for(
    night: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Level 2 takes a container engine; without --rescore nothing of it is imported."""
    file = export(night, tmp_path / "b.tar.zst", Wanted(weights=True), print).file
    monkeypatch.delitem(sys.modules, "lab.bundle.rescore", raising=False)
    verify(night, file, signers=None, weights=False, say=print)
    assert "lab.bundle.rescore" not in sys.modules
    asked: list[Path] = []

    def rescore(settings: Settings, payload: Path, say: object) -> list[Check]:
        asked.append(payload)
        return [Check(level=2, name="score", passed=False, words="2.1 here, 1.8 claimed")]

    monkeypatch.setitem(sys.modules, "lab.bundle.rescore", SimpleNamespace(rescore=rescore))
    with pytest.raises(BadWeights, match="are not what its weights score") as caught:
        verify(night, file, signers=None, weights=True, say=print)
    assert caught.value.exit_code == 12 and not asked[0].exists()


def test_the_verdict_says_how_far_it_goes() -> None:
    """A whole file is no true file; the last line must not promise more than was looked at."""
    whole = Check(level=0, name="seal", passed=True, words="")
    assert verdict([whole]) == "verdict: the file is whole"
    scored = dataclasses.replace(whole, level=2, name="audit", passed=None)
    assert verdict([whole, scored]) == "verdict: the file is whole; not known: audit"
    assert verdict([whole, dataclasses.replace(scored, passed=True)]).endswith("what it claims")


def test_the_commands_say_what_they_did(night: Settings, tmp_path: Path) -> None:
    """The exit codes are the interface of a script that collects bundles."""
    environment = {
        "NIGHTLAB_RUNS": str(night.runs),
        "NIGHTLAB_DATA": str(night.data),
        "NIGHTLAB_STATE": str(night.state),
        "NIGHTLAB_PROGRAM": str(night.program),
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }

    def lab(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    file = str(tmp_path / "b.tar.zst")
    made = lab("bundle", "nov23", "--output", file)
    assert made.returncode == 0 and "MB, sha256" in made.stdout, made.stderr
    checked = lab("verify", file)
    assert checked.returncode == 0 and "verdict: " in checked.stdout, checked.stderr
    Path(file).write_bytes(Path(file).read_bytes()[:-5])
    cut = lab("verify", file)
    assert cut.returncode == BadBundle.exit_code == 10
    assert "0 FAILED seal" in cut.stdout and "Traceback" not in cut.stderr
    assert lab("verify", file + ".absent").returncode == 2
    assert lab("bundle", "absent").returncode == 2


def test_the_night_of_these_tests_has_every_ending(night: Settings) -> None:
    """Else an honest bundle that passes would show little: a crash and a caught cheat are in it."""
    ledger = (night.runs / "nov23" / "ledger.jsonl").read_text().splitlines()
    statuses = {json.loads(line)["trial"]["status"] for line in ledger}
    assert {"measured", "crashed", "invalid"} <= statuses
