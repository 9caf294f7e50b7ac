"""A candidate that starts from other code than the best: what changes, and what must not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.agenda import _errand, next_proposal
from lab.agents import NoMoreIdeas, Proposal
from lab.agents.offline.memory import Memory, Outcome, facts_of
from lab.agents.similar import facts_of as digests_of
from lab.campaign import Campaign, open_campaign
from lab.experiment import _commit, _decide
from lab.history import write_brief
from lab.ledger import BASELINE, CANDIDATE
from lab.lookahead import Errand, Lookahead
from lab.night import Night
from lab.prompt import Brief
from lab.strategy import Decision
from lab.waiting import Pending
from tests.unit.nights import make_kept, make_record, make_run, make_score
from tests.unit.test_campaign import FACTS

SEED = "x = 1\ny = 2\n"
NEAR = "x = 1\ny = 3\n"
BEST = "x = 5\ny = 2\nz = 1\n"
CHILD = "x = 1\ny = 3\nw = 7\n"


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    """Two baselines, a near miss of the seed (3), and a best that came of the seed too (4 to 6)."""
    with open_campaign(tmp_path, FACTS, seed_train_py=SEED) as campaign:
        space = campaign.workspace
        root = space.root()
        near = space.commit(NEAR, number=3, parent=root, message="m\n")
        best = space.commit(BEST, number=4, parent=root, message="m\n")
        kept = make_kept(4, val_bpb=1.85, best_bpb=1.9, commit=best.commit)
        for record in (
            make_record(1, kind=BASELINE, val_bpb=1.901, commit=root, calibrated=True),
            make_record(2, kind=BASELINE, val_bpb=1.899, commit=root),
            replace(make_run(3, "discard", 1.899), commit=near.commit, parent=root),
            *(replace(record, parent=root) for record in kept),
        ):
            campaign.ledger.append(record)
        campaign.settle()
        yield campaign


def pending_from(campaign: Campaign, number: int, train_py: str = CHILD) -> Pending:
    proposal = Proposal(title="t", hypothesis="h", train_py=train_py, agent="a")
    return campaign.store_pending(
        Pending(
            len(campaign.ledger.records) + 1,
            CANDIDATE,
            proposal,
            repeats=None,
            agent_s=0.0,
            parent=campaign.ledger.records[number - 1].commit,
        )
    )


def test_its_commit_and_its_diff_are_against_what_it_changed(campaign: Campaign) -> None:
    """A diff against the best would show changes that nobody proposed."""
    pending = pending_from(campaign, 3)
    candidate = _commit(campaign, pending)
    assert candidate.parent == campaign.ledger.records[2].commit
    assert (candidate.lines_added, candidate.lines_removed) == (1, 0)
    assert "z = 1" not in (campaign.folder_of(pending.number) / "change.diff").read_text()
    assert campaign.workspace.read(campaign.workspace.head()) == BEST


def test_it_is_judged_against_the_best_whatever_it_changed(campaign: Campaign) -> None:
    """Where a search goes on is a matter of taste; what is kept is not."""
    trial = replace(make_record(9).trial, val=make_score(1.87))
    verdicts = [_decide(campaign, pending_from(campaign, number), trial) for number in (3, 4)]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].best_bpb == pytest.approx(1.85, abs=1e-6)
    assert not verdicts[0].confirm
    assert verdicts[0].price_bpb == 0.0, "three lines against three, though it added one"


def test_a_kept_child_of_a_near_miss_moves_the_branch_to_it(campaign: Campaign) -> None:
    """The branch goes where the best is, though that is no descendant of where it was."""
    candidate = _commit(campaign, pending_from(campaign, 3))
    number = len(campaign.ledger.records) + 1
    for record in make_kept(number, val_bpb=1.8, best_bpb=1.85, commit=candidate.commit):
        campaign.ledger.append(replace(record, parent=candidate.parent))
    campaign.settle()
    assert campaign.workspace.head() == candidate.commit
    assert campaign.workspace.read(campaign.workspace.head()) == CHILD
    assert campaign.workspace.read(campaign.workspace.root()) == SEED


def test_the_parent_is_on_disk_before_anything_is_run(campaign: Campaign) -> None:
    """A resumed night must not run a child of one file as a child of another."""
    pending = pending_from(campaign, 3)
    assert campaign.pending() == pending
    path = campaign.folder_of(pending.number) / "proposal.json"
    fields = json.loads(path.read_text())
    assert fields.pop("parent") == campaign.ledger.records[2].commit
    path.write_text(json.dumps(fields))
    assert campaign.pending() == replace(pending, parent=None), "as an earlier version wrote it"


def brief_of(campaign: Campaign) -> Brief:
    return write_brief(
        campaign.ledger,
        noise=campaign.noise(),
        profile="cpu",
        program="",
        train_py=NEAR,
        parent_number=3,
        seconds_left=None,
        folder_of=campaign.folder_of,
    )


def test_the_offline_agent_does_not_blame_an_idea_for_where_it_was_tried(
    campaign: Campaign,
) -> None:
    """Better than what it changed and worse than the best: a near miss of the idea, not a failure."""
    idea: Any = SimpleNamespace(move="m", family="f", value="7", old="6", direction=1)
    near = campaign.ledger.records[2].commit
    record = make_run(
        7, "discard", 1.895, parent=near, facts=facts_of([idea], parent=NEAR, train_py=CHILD)
    )
    campaign.ledger.append(record)
    brief = brief_of(campaign)
    past = brief.history[-1]
    assert brief.parent_number == 3
    assert past.number == 7
    assert past.over_parent_bpb == pytest.approx(1.899 - 1.895, abs=1e-6)
    told = Memory(brief)._tries[-1]
    assert (told.outcome, told.gain_bpb) == (Outcome.NEAR, past.over_parent_bpb)
    old = dataclasses.replace(past, over_parent_bpb=None, gain_bpb=-0.045)
    before = Memory(dataclasses.replace(brief, history=(old,)))._tries[-1]
    assert before.outcome is Outcome.MUCH_WORSE


class Choosy:
    """An agent that has ideas for some files only."""

    name = "choosy"
    thinks_ahead = False

    def __init__(self, *files: str) -> None:
        self.files = files
        self.asked: list[str] = []

    def propose(self, brief: Brief) -> Proposal:
        self.asked.append(brief.train_py)
        if brief.train_py not in self.files:
            raise NoMoreIdeas
        return Proposal(title="t", hypothesis="h", train_py=CHILD, agent=self.name)


@pytest.mark.parametrize(("files", "asked"), [((NEAR, BEST), [NEAR]), ((BEST,), [NEAR, BEST])])
def test_no_idea_for_another_parent_is_not_the_end_of_the_night(
    campaign: Campaign, files: tuple[str, ...], asked: list[str]
) -> None:
    """The agent may have a hundred ideas left for the best."""
    night: Any = SimpleNamespace(
        campaign=campaign, program="", contract="", prepare_py="", seconds_left=lambda: None
    )
    near = campaign.ledger.records[2].commit
    decision = Decision(parent=near or "", parent_number=3, parent_bpb=1.9, why="near")

    def errand(on_best: bool) -> Errand:
        return _errand(cast("Night", night), None if on_best else decision)

    agent = Choosy(*files)
    taken = Lookahead(agent, campaign, depth=0).take(errand)
    assert agent.asked == asked
    assert taken.parent == (near if NEAR in files else None)
    with pytest.raises(NoMoreIdeas):
        Lookahead(Choosy(), campaign, depth=0).take(errand)


def test_the_lab_takes_its_turn_when_that_is_due_and_the_agent_all_others(tmp_path: Path) -> None:
    """Nobody has to ask for it: the night itself does."""
    lines = [f"x{n} = 0\n" for n in range(9)]
    with open_campaign(tmp_path, FACTS, seed_train_py="".join(lines)) as campaign:
        parent = campaign.workspace.root()
        for number in (1, 2):
            record = make_record(number, kind=BASELINE, val_bpb=1.9, commit=parent)
            campaign.ledger.append(record)
        for line, score in ((1, 1.85), (7, 1.80)):
            lines[line] = f"x{line} = 1\n"
            number = len(campaign.ledger.records) + 1
            made = campaign.workspace.commit(
                "".join(lines), number=number, parent=parent, message="m\n"
            )
            for record in make_kept(
                number, val_bpb=score, best_bpb=score + 0.05, commit=made.commit
            ):
                campaign.ledger.append(replace(record, parent=parent))
            parent = made.commit
        night: Any = SimpleNamespace(
            campaign=campaign,
            program="",
            contract="",
            prepare_py="",
            seconds_left=lambda: None,
            settings=SimpleNamespace(strategy="greedy", ablate_every=3),
            screen=SimpleNamespace(phase=lambda *_, **__: None),
        )
        agent = Choosy("".join(lines))
        mind = Lookahead(agent, campaign, depth=0)
        pending = next_proposal(night, mind)
        assert (pending.proposal.agent, pending.parent) == ("choosy", None), "the best"
        campaign.ledger.append(
            make_record(pending.number, val_bpb=1.9, best_bpb=1.8, commit=parent)
        )
        asked = list(agent.asked)
        pending = next_proposal(night, mind)
        assert (pending.proposal.title, pending.parent) == ("without 3: Depth 2 to 3", parent)
        assert pending.proposal.train_py == "".join(lines).replace("x1 = 1", "x1 = 0")
        assert agent.asked == asked
        assert campaign.pending() == pending
        found = pending.proposal.facts
        assert found.items() >= digests_of("".join(lines), pending.proposal.train_py).items(), (
            "whoever proposed it, it is found again"
        )
