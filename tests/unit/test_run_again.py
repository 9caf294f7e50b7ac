"""Running the code of an earlier experiment again: re-runs, audits, and the weights that are still there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.byhand import describe_audit
from lab.campaign import Campaign, open_campaign
from lab.outcome import Status
from tests.unit.nights import make_audit, make_kept, make_record
from tests.unit.test_campaign import FACTS, SEED

WEIGHTS, CONFIG = b"weights of the best", b'{"width": 32}'


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    """A campaign whose second experiment was kept by its re-runs, the last of which is published in best/."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        root = campaign.workspace.root()
        campaign.ledger.append(make_record(1, kind="baseline", val_bpb=1.9, commit=root))
        campaign.settle()
        candidate = campaign.workspace.commit("x = 2\n", number=2, parent=root, message="m\n")
        for record in make_kept(
            2, val_bpb=1.8, best_bpb=1.9, commit=candidate.commit, facts={"k": "v"}
        ):
            checkpoint = campaign.folder_of(record.number) / "checkpoint"
            checkpoint.mkdir(parents=True)
            (checkpoint / "model.safetensors").write_bytes(WEIGHTS)
            (checkpoint / "config.json").write_bytes(CONFIG)
            campaign.ledger.append(record)
            campaign.settle()
        yield campaign


@pytest.mark.parametrize("kind", ["confirm", "audit"])
def test_what_is_run_again_is_the_very_code_of_the_experiment(
    campaign: Campaign, kind: str
) -> None:
    """A re-run of anything else would confirm something else."""
    candidate = campaign.ledger.records[1]
    pending = campaign.run_again(candidate, kind=kind)
    assert (pending.kind, pending.original) == (kind, candidate.number)
    assert pending.number == len(campaign.ledger.records) + 1
    assert pending.proposal.train_py == "x = 2\n"
    assert (pending.proposal.title, pending.proposal.facts) == (candidate.title, {"k": "v"})
    assert pending.proposal.cost_usd is None, "an idea is paid for once"
    assert (pending.repeats, pending.agent_s) == (None, 0.0)
    assert campaign.store_pending(pending) == pending == campaign.pending()


def test_the_seed_can_be_run_again_after_a_keep(campaign: Campaign) -> None:
    """The baseline is audited like anything else, though the branch has moved on."""
    pending = campaign.run_again(campaign.ledger.records[0], kind="audit")
    assert (pending.original, pending.proposal.train_py) == (1, SEED)


def test_the_weights_of_the_best_are_put_back(campaign: Campaign, tmp_path: Path) -> None:
    """An audit of the best is of the model that the user gets in the morning, not of one like it."""
    best = campaign.ledger.best()
    assert best is not None
    assert not (campaign.folder_of(best.number) / "checkpoint").exists(), "the control"
    folder = tmp_path / "again"
    assert campaign.restore_checkpoint(best.number, folder)
    for name, content in (("model.safetensors", WEIGHTS), ("config.json", CONFIG)):
        path = folder / "checkpoint" / name
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o444 == 0o444, "the container's user is another one"
        path.write_bytes(b"changed")
        assert (campaign.folder / "best" / name).read_bytes() == content, "a copy, not a link"
    assert campaign.restore_checkpoint(best.number, folder), "twice is once"
    assert (folder / "checkpoint" / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("number", [1, 2, 99])
def test_no_weights_are_taken_for_those_of_another_experiment(
    campaign: Campaign, tmp_path: Path, number: int
) -> None:
    """An audit of the wrong weights would acquit a cheat."""
    assert not campaign.restore_checkpoint(number, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("broken", ["model.safetensors", "config.json", "record.json"])
def test_what_is_missing_of_the_best_is_trained_again(
    campaign: Campaign, tmp_path: Path, broken: str
) -> None:
    """best/ is the user's: it may have been moved away in the morning."""
    best = campaign.ledger.best()
    assert best is not None
    (campaign.folder / "best" / broken).unlink()
    assert not campaign.restore_checkpoint(best.number, tmp_path / "again")


@pytest.mark.parametrize("content", [b"", b"{", b"{}"])
def test_a_torn_record_of_the_best_is_no_record(
    campaign: Campaign, tmp_path: Path, content: bytes
) -> None:
    """A copy that a full disk cut must cost a training, not the audit."""
    (campaign.folder / "best" / "record.json").write_bytes(content)
    assert not campaign.restore_checkpoint(1, tmp_path / "again")


def test_the_best_is_published_with_the_run_whose_weights_they_are(campaign: Campaign) -> None:
    """The first, lucky run is the one whose weights nobody should get."""
    published = json.loads((campaign.folder / "best" / "record.json").read_bytes())
    assert published["kind"] == "confirm"
    assert published["original"] == 2
    assert published["verdict"]["keep"] is True


# ---- what a person is told of an audit ----


def test_an_audit_is_told_with_its_numbers() -> None:
    """Whoever asks does so because of a doubt: a bare "passed" settles none."""
    original = make_record(4, val_bpb=1.8)
    passed = make_record(9, kind="audit", original=4, val_bpb=1.8)
    lines = "\n".join(describe_audit(passed, original))
    for words in ("audit of 4: passed", "1.800000 now, 1.800000 on record", "160 blind", "0.9700"):
        assert words in lines
    lost = make_record(9, kind="audit", original=4, status=Status.LOST)
    assert describe_audit(lost, original) == [f"it could not be audited: {lost.trial.reason}"]


def test_a_failed_audit_says_so_first() -> None:
    """A score that could not be reproduced is the one thing to take away."""
    record = make_record(9, kind="audit", original=4, status=Status.INVALID)
    audit = make_audit(1.2, passed=False)
    record = replace(record, trial=replace(record.trial, audit=audit))
    lines = describe_audit(record, make_record(4, val_bpb=1.2))
    assert lines[0] == "audit of 4: FAILED"
    assert lines[1] == record.trial.reason
    assert any("40 off" in line for line in lines)
