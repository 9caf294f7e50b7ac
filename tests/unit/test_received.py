"""From a stranger's bundle to a verdict: real records, real git objects, the real checks before anything is run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import received as door
from lab.bundle.unpacked import Unpacked
from lab.compare import compare
from lab.errors import BadInput, BadRecords
from lab.ledger import best_of
from lab.replay import replay
from lab.reproduction import REPRODUCED
from lab.settings import Settings
from lab.show.folder import read_records
from tests.unit.bundles import Fields, make_campaign, make_payload, rewrite
from tests.unit.sent import SENDER, Host

WIDTHS = [40, 48, 56]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_campaign(tmp_path_factory.mktemp("night"), WIDTHS)


@pytest.fixture
def bundle(campaign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for a bundle; level 0 has tests of its own."""
    payload = make_payload(campaign, tmp_path / "payload" / "data")
    file = tmp_path / "nightlab-nov23.tar.zst"
    file.write_bytes(b"a bundle")

    @contextlib.contextmanager
    def opened(_: Path) -> Iterator[Unpacked]:
        scratch = tmp_path / "scratch"  # what is done to a payload must not reach the next one
        shutil.copytree(payload, scratch)
        try:
            yield Unpacked(payload=scratch, checks=())
        finally:
            shutil.rmtree(scratch)

    monkeypatch.setattr(door, "opened", opened)
    return file


def here(settings: Settings, tmp_path: Path) -> Settings:
    update: dict[str, Any] = {"data": tmp_path / "data", "min_free_bytes": 0}
    return settings.model_copy(update=update)


def test_a_bundle_is_replayed_from_its_records_and_its_commits(
    bundle: Path,
    campaign: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The code that runs is the commit that the records name, and the claim is what the re-runs say."""
    host = Host(monkeypatch, class_id=SENDER.fingerprint.class_id)
    best = best_of(read_records(campaign))
    assert best is not None
    host.best = [best.val_bpb + step for step in (0.001, 0.0, -0.001)]
    done = replay(here(settings, tmp_path), bundle, experiment=None, runs=3, say=print)
    assert done.found.outcome == REPRODUCED
    ran = (done.folder / "experiments" / "0001" / "train.py").read_text()
    assert ran == (campaign / "best" / "train.py").read_text()
    assert (done.folder / "replay.md").read_text() == done.markdown + "\n"


def test_what_was_forged_is_not_run(
    bundle: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Level 1 is seconds, a replay is a night; and a forger's code is the last that should run."""
    host = Host(monkeypatch, class_id=SENDER.fingerprint.class_id)
    host.best = [1.8] * 3

    def lower(records: list[Fields]) -> None:
        for record in records:
            if record["trial"]["val"] and record["kind"] == "confirm":
                record["trial"]["val"]["bpb"] -= 0.1

    rewrite(tmp_path / "payload" / "data", lower)
    with pytest.raises(BadRecords) as refused:
        replay(here(settings, tmp_path), bundle, experiment=None, runs=3, say=print)
    assert refused.value.exit_code == 11
    with pytest.raises(BadRecords):
        compare(tmp_path, [str(bundle), str(bundle)])
    assert host.ran == [] and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("experiment", "words"),
    [(1, "it is the baseline"), (99, "no experiment 99"), (0, "no experiment 0")],
)
def test_what_claims_nothing_is_refused(
    bundle: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    experiment: int,
    words: str,
) -> None:
    """Three runs of the baseline would show nothing."""
    Host(monkeypatch, class_id=SENDER.fingerprint.class_id)
    with pytest.raises(BadInput, match=r".*") as refused:
        replay(here(settings, tmp_path), bundle, experiment=experiment, runs=3, say=print)
    assert words in str(refused.value)


def test_a_first_run_is_no_claim(
    bundle: Path,
    campaign: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of many first runs the lowest was lucky; a re-run's number means its candidate."""
    host = Host(monkeypatch, class_id=SENDER.fingerprint.class_id)
    records = read_records(campaign)
    once = next(r for r in records if r.kind == "candidate" and not r.verdict.confirm)
    with pytest.raises(BadInput, match="claims no gain") as refused:
        replay(here(settings, tmp_path), bundle, experiment=once.number, runs=3, say=print)
    assert "a first run is no claim" in refused.value.why
    kept = next(r for r in records if r.verdict.keep)
    host.best = [1.8, 1.801, 1.802]
    done = replay(here(settings, tmp_path), bundle, experiment=kept.number, runs=3, say=print)
    assert f"Experiment {kept.original} (" in done.markdown


def test_a_bundle_and_a_folder_are_compared(bundle: Path, campaign: Path, tmp_path: Path) -> None:
    """What a friend sent, beside one's own."""
    comparison = compare(tmp_path, [str(bundle), str(campaign)])
    assert [host.checked for host in comparison.hosts] == [True, False]
    assert comparison.hosts[0].runs == comparison.hosts[1].runs
