"""A campaign on disk: one controller, facts that never change, and a folder that follows the ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from lab.agents import Proposal
from lab.campaign import open_campaign
from lab.errors import BadInput, CampaignBusy, CampaignError
from lab.facts import SCHEMA, Facts
from lab.fingerprint import Fingerprint, Subject
from lab.ledger import noise_of
from lab.runs import find_campaign, is_running, new_tag
from lab.verdict import Noise, Rule
from lab.waiting import Pending
from tests.unit.nights import make_kept, make_record

SEED = "x = 1\n"
FACTS = Facts(
    schema=SCHEMA,
    tag="nov23",
    created_at="2026-11-23T00:00:00+00:00",
    profile="smoke",
    agent="offline",
    seed=42,
    noise_runs=2,
    rule=Rule(bpb_per_line=0.0001),
    prior_noise=Noise(sd_bpb=0.0021, df=9),
    image_id="sha256:" + "1" * 64,
    variant="cpu",
    kernels="none",
    harness_sha256="2" * 64,
    data_sha256="3" * 64,
    train_sha256="4" * 64,
    fingerprint=Fingerprint(
        class_id="5" * 16,
        comparable={"cpu": "EPYC", "cores": 2.0, "isa": None},
        conditions={"kernel": "6"},
        private={"hostname": "6" * 24},
        missing={"isa": "the host does not say"},
    ),
)
SUBJECT = Subject(
    profile="smoke",
    image_id=FACTS.image_id,
    kernels="none",
    gpu_uuid=None,
    cpus=None,
    salt=b"s" * 32,
    checkout=Path("/somewhere"),
)
PENDING = Pending(
    number=1,
    kind="candidate",
    proposal=Proposal(title="t", hypothesis="h", train_py="x = 2\n", agent="a", facts={"k": "v"}),
    repeats=None,
    agent_s=1.5,
)


def test_one_controller_at_a_time(tmp_path: Path) -> None:
    """Two writers would braid one ledger out of two nights."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        assert is_running(campaign.folder)
        with (
            pytest.raises(CampaignBusy, match="another controller"),
            open_campaign(tmp_path, FACTS, seed_train_py=SEED),
        ):
            pass
    assert not is_running(tmp_path / "nov23")


def test_facts_are_those_of_the_first_start(tmp_path: Path) -> None:
    """A resumed night goes on with the seed and the rule that it began with."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED):
        pass
    later = replace(
        FACTS,
        seed=7,
        created_at="2026-11-24T00:00:00+00:00",
        rule=Rule(bpb_per_line=0.0),
        prior_noise=Noise(sd_bpb=1.0, df=99),
    )
    with open_campaign(tmp_path, later, seed_train_py="x = 9\n") as campaign:
        assert campaign.facts == FACTS
        assert campaign.workspace.read(campaign.workspace.head()) == SEED


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"image_id": "sha256:" + "9" * 64}, "image"),
        ({"data_sha256": "9" * 64}, "data"),
        ({"harness_sha256": "9" * 64}, "harness"),
        ({"profile": "cpu"}, "profile"),
        (
            {"fingerprint": replace(FACTS.fingerprint, comparable={"cpu": "Xeon", "cores": 4.0})},
            "number of cores was 2, now 4; processor was EPYC, now Xeon",
        ),
    ],
)
def test_scores_that_do_not_compare_are_not_mixed(
    tmp_path: Path, change: dict[str, object], word: str
) -> None:
    """The best of one GPU is not to be beaten by the baseline of another."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED):
        pass
    with (
        pytest.raises(CampaignError) as caught,
        open_campaign(tmp_path, replace(FACTS, **change), seed_train_py=SEED),  # type: ignore[arg-type]
    ):
        pass
    assert word in caught.value.why


def test_a_reading_that_is_gone_today_does_not_stop_a_resume(tmp_path: Path) -> None:
    """Nobody knows then, which is no other hardware; and the scores stay in the class that they began in."""
    found = FACTS.fingerprint
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED):
        pass
    for comparable in (found.comparable | {"cores": None}, found.comparable | {"isa": "avx2"}):
        now = replace(FACTS, fingerprint=replace(found, class_id="9" * 16, comparable=comparable))
        with open_campaign(tmp_path, now, seed_train_py=SEED) as campaign:
            assert campaign.facts.fingerprint == found


@pytest.mark.parametrize("prior", [None, Noise(sd_bpb=0.1 + 0.2, df=9)])
def test_the_rule_and_the_prior_survive_the_disk(tmp_path: Path, prior: Noise | None) -> None:
    """A resumed night must decide exactly as it did before, whatever the defaults are by then."""
    rule = Rule(bpb_per_line=0.00012345678901234567, most_reruns=7, tie_error=0.25)
    facts = replace(FACTS, rule=rule, prior_noise=prior)
    with open_campaign(tmp_path, facts, seed_train_py=SEED) as campaign:
        assert campaign.noise() == prior
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        assert campaign.facts == facts
        for number, score in enumerate((1.9, 1.898), start=1):
            campaign.ledger.append(make_record(number, kind="baseline", val_bpb=score))
        assert campaign.noise() == noise_of(campaign.ledger.records, prior)
        assert campaign.noise(also=(1, 1.7)) == campaign.noise(), "no candidate has that number"


def test_a_rule_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    """A looser rule written in afterwards would make keeps of the discards to come."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        campaign.ledger.append(make_record(1, kind="baseline"))
    path = tmp_path / "nov23" / "campaign.json"
    facts = json.loads(path.read_bytes())
    facts["rule"]["confirm_error"] = 0.49
    path.write_text(json.dumps(facts))
    with (
        pytest.raises(CampaignError, match="altered"),
        open_campaign(tmp_path, FACTS, seed_train_py=SEED),
    ):
        pass


def test_a_changed_campaign_file_is_refused(tmp_path: Path) -> None:
    """The chain begins at campaign.json: other hardware cannot be claimed afterwards."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        campaign.ledger.append(make_record(1, kind="baseline"))
    path = tmp_path / "nov23" / "campaign.json"
    facts = json.loads(path.read_bytes())
    facts["fingerprint"]["conditions"]["kernel"] = "7"
    path.write_text(json.dumps(facts))
    with (
        pytest.raises(CampaignError, match="altered"),
        open_campaign(tmp_path, FACTS, seed_train_py=SEED),
    ):
        pass


def test_a_proposal_survives_a_crash_unchanged(tmp_path: Path) -> None:
    """It may have cost money; it is run again, not asked for again."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        assert campaign.pending() is None
        campaign.store_pending(PENDING)
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        assert campaign.pending() == PENDING
        (campaign.folder_of(1) / "proposal.json").write_bytes(b'{"number": 1, "kin')
        assert campaign.pending() is None


def test_text_that_is_no_unicode_can_be_written_down(tmp_path: Path) -> None:
    """A model's broken reply must become a rejected experiment, not a dead controller."""
    broken = replace(PENDING, proposal=replace(PENDING.proposal, train_py="x = '\udc80'\n"))
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        stored = campaign.store_pending(broken)
        assert campaign.pending() == stored
        assert "\ufffd" in stored.proposal.train_py


def test_the_folder_follows_the_ledger_after_a_crash(tmp_path: Path) -> None:
    """The record is written first; branch and best/ are mended from it by the next start."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        root = campaign.workspace.head()
        campaign.ledger.append(make_record(1, kind="baseline", val_bpb=1.9, commit=root))
        campaign.settle()
        candidate = campaign.workspace.commit("x = 2\n", number=2, parent=root, message="m\n")
        night = make_kept(2, val_bpb=1.8, best_bpb=1.9, commit=candidate.commit)
        last = night[-1].number
        for record in night[:-1]:
            campaign.ledger.append(record)
            campaign.settle()
        folder = campaign.folder_of(last)
        (folder / "checkpoint").mkdir(parents=True)
        (folder / "train.py").write_text("x = 2\n")
        (folder / "checkpoint" / "model.safetensors").write_bytes(b"weights")
        campaign.ledger.append(night[-1])
        # Killed here: the record is on disk, nothing was done about it.
        assert campaign.workspace.head() == root
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        campaign.settle()
        campaign.settle()
        assert campaign.workspace.head() == candidate.commit
        best = campaign.folder / "best"
        assert (best / "model.safetensors").read_bytes() == b"weights"
        assert (best / "train.py").read_text() == "x = 2\n"
        assert json.loads((best / "record.json").read_bytes())["number"] == last
        assert not (campaign.folder_of(last) / "checkpoint").exists()


def test_a_new_night_gets_a_name_of_its_own(tmp_path: Path) -> None:
    """Two nights of one day must not run into each other by default."""
    today = datetime(2026, 11, 23)  # noqa: DTZ001, a tag is the user's own local day
    assert new_tag(tmp_path, today) == "nov23"
    (tmp_path / "nov23").mkdir()
    assert new_tag(tmp_path, today) == "nov23-2"


def test_an_unknown_campaign_names_the_known_ones(tmp_path: Path) -> None:
    """A typing error should cost one look, not a search."""
    with pytest.raises(BadInput, match="no campaign yet"):
        find_campaign(tmp_path, None)
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED):
        pass
    assert find_campaign(tmp_path, None) == find_campaign(tmp_path, "nov23")
    with pytest.raises(BadInput) as caught:
        find_campaign(tmp_path, "nov24")
    assert "nov23" in caught.value.why
