"""Ideas prepared while the device works: in order, on top of what is best by then, and never lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.agents import NoMoreIdeas, Proposal
from lab.agents.similar import facts_of
from lab.campaign import Campaign, open_campaign
from lab.errors import AgentError
from lab.ledger import CANDIDATE
from lab.lookahead import Errand, Lookahead
from lab.outcome import StopNow
from lab.prompt import Brief, Past, UnderWay
from lab.waiting import Pending
from tests.faults.files import HONEST
from tests.unit.nights import make_kept, make_record
from tests.unit.recorded_model import past_of
from tests.unit.test_campaign import FACTS

BRIEF = Brief(
    number=3,
    profile="smoke",
    program="p",
    train_py=HONEST,
    baseline_bpb=1.9,
    best_bpb=1.9,
    noise_bpb=0.01,
    seconds_left=None,
    history=(),
)
RUNNING = UnderWay(number=3, title="idea 0", train_py=HONEST + "# 0\n", facts={})


def errand(campaign: Campaign, *history: Past) -> Errand:
    best = campaign.ledger.best()
    assert best is not None
    return Errand(brief=replace(BRIEF, history=history), parent=best.commit, on_best=True)


class Thinker:
    """An agent that says when it is asked, and answers when it is told to."""

    name = "thinker"
    thinks_ahead = True

    def __init__(self, *files: str | BaseException) -> None:
        self.files = list(files)
        self.briefs: list[Brief] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.at_once = 0
        self.most_at_once = 0

    def propose(self, brief: Brief) -> Proposal:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.briefs.append(brief)
        self.may_answer.wait(10)
        self.at_once -= 1
        if not self.files:
            raise NoMoreIdeas
        file = self.files.pop(0)
        if isinstance(file, BaseException):
            raise file
        number = len(self.briefs)
        return Proposal(
            title=f"idea {number}",
            hypothesis="h",
            train_py=file,
            agent=self.name,
            facts={"transcript": str(brief.proposal)},
            cost_usd=0.5,
            tokens=100,
        )


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    with open_campaign(tmp_path, FACTS, seed_train_py=HONEST) as campaign:
        root = campaign.workspace.root()
        for number in (1, 2):
            campaign.ledger.append(
                make_record(number, kind="baseline", val_bpb=1.9 + number / 1000, commit=root)
            )
        yield campaign


def wider(by: int) -> str:
    return HONEST.replace('"width": 32', f'"width": {32 + by}')


def slower() -> str:
    return HONEST.replace("lr=1e-2", "lr=1e-3")


def wait_until_ready(campaign: Campaign, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(campaign.ahead()) < count:
        assert time.monotonic() < deadline, "nothing was prepared"
        time.sleep(0.01)


def keep(campaign: Campaign, train_py: str) -> None:
    """Make a file the best, as a night would."""
    number = len(campaign.ledger.records) + 1
    candidate = campaign.workspace.commit(
        train_py, number=number, parent=campaign.workspace.root(), message="kept"
    )
    for record in make_kept(number, val_bpb=1.5, best_bpb=1.9, commit=candidate.commit):
        campaign.ledger.append(record)


def test_an_idea_is_ready_when_the_experiment_ends(campaign: Campaign) -> None:
    """That is all the waiting that there should be: none."""
    agent = Thinker(wider(8))
    mind = Lookahead(agent, campaign, depth=1)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    wait_until_ready(campaign, 1)
    taken = mind.take(lambda _: errand(campaign))
    assert taken.proposal.train_py == wider(8)
    assert taken.waited_s < 0.5
    assert agent.briefs[0].ahead == (RUNNING,), "it must not propose what is being tried"
    assert len(agent.briefs) == 1


def test_the_agent_is_asked_when_nothing_is_ready(campaign: Campaign) -> None:
    """The first idea of a night has nothing to hide behind."""
    agent = Thinker(wider(8))
    assert Lookahead(agent, campaign, depth=1).take(
        lambda _: errand(campaign)
    ).proposal.train_py == wider(8)


def test_an_agent_that_is_quick_is_not_asked_ahead(campaign: Campaign) -> None:
    """It would only know less."""
    agent = Thinker(wider(8))
    agent.thinks_ahead = False
    mind = Lookahead(agent, campaign, depth=1)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    assert agent.briefs == []


def test_two_calls_never_overlap(campaign: Campaign) -> None:
    """One conversation, one bill."""
    agent = Thinker(wider(8), wider(16))
    agent.may_answer.clear()
    mind = Lookahead(agent, campaign, depth=1)
    for _ in range(3):
        mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    threading.Timer(0.2, agent.may_answer.set).start()
    assert mind.take(lambda _: errand(campaign)).proposal.title == "idea 1", (
        "it waits for the thought, not for another"
    )
    assert agent.most_at_once == 1


def test_nothing_is_prepared_that_the_night_cannot_use(campaign: Campaign) -> None:
    """An idea after the last experiment is money for nothing."""
    agent = Thinker(wider(8))
    mind = Lookahead(agent, campaign, depth=2)
    mind.prepare(errand(campaign), running=RUNNING, wanted=0)
    assert agent.briefs == []


def test_several_are_prepared_and_know_of_each_other(campaign: Campaign) -> None:
    agent = Thinker(wider(8), slower())
    mind = Lookahead(agent, campaign, depth=2)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    wait_until_ready(campaign, 2)
    assert [(idea.number, idea.title) for idea in agent.briefs[1].ahead] == [
        (3, "idea 0"),
        (4, "idea 1"),
    ]
    assert agent.briefs[1].ahead[1].train_py == wider(8), "else it could not be compared"
    assert [mind.take(lambda _: errand(campaign)).proposal.title for _ in range(2)] == [
        "idea 1",
        "idea 2",
    ]


def test_what_was_kept_meanwhile_is_under_the_next_idea(campaign: Campaign) -> None:
    """Else a keep would be undone by the very next candidate."""
    agent = Thinker(wider(8))
    mind = Lookahead(agent, campaign, depth=1)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    wait_until_ready(campaign, 1)
    keep(campaign, slower())
    proposal = mind.take(lambda _: errand(campaign)).proposal
    assert '"width": 40' in proposal.train_py and "lr=1e-3" in proposal.train_py


def test_an_idea_that_conflicts_is_proposed_anew_and_its_price_is_not_forgotten(
    campaign: Campaign,
) -> None:
    """Two changes of one line cannot both be meant."""
    agent = Thinker(wider(8), wider(24))
    mind = Lookahead(agent, campaign, depth=1)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    wait_until_ready(campaign, 1)
    keep(campaign, wider(16))
    taken = mind.take(lambda _: errand(campaign))
    assert taken.proposal.title == "idea 2"
    assert (taken.proposal.cost_usd, taken.proposal.tokens) == (1.0, 200)
    number = len(campaign.ledger.records) + 1
    campaign.store_pending(Pending(number, CANDIDATE, taken.proposal, repeats=None, agent_s=0.0))
    assert campaign.ahead() == [], "killed here, what conflicted would be paid for once more"
    campaign.drop_ahead(taken.files)
    assert not list((campaign.folder / "ahead").iterdir())


def test_an_idea_that_is_in_the_best_already_is_not_run(campaign: Campaign) -> None:
    """It would be a re-run that nobody asked for."""
    agent = Thinker(wider(8), slower())
    mind = Lookahead(agent, campaign, depth=1)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    wait_until_ready(campaign, 1)
    keep(campaign, wider(8))
    assert mind.take(lambda _: errand(campaign)).proposal.title == "idea 2"


def test_an_idea_that_was_run_meanwhile_is_not_run_again(campaign: Campaign) -> None:
    """Somebody handed the same file in while it waited, or the merge has made it one that is known."""
    agent = Thinker(wider(8), slower())
    mind = Lookahead(agent, campaign, depth=1)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    wait_until_ready(campaign, 1)
    known = past_of(4, facts=facts_of(HONEST, wider(8) + "# handed in\n"))
    taken = mind.take(lambda _: errand(campaign, known))
    assert taken.proposal.title == "idea 2"
    assert taken.proposal.cost_usd == 1.0, "it was paid for all the same"


def test_what_is_ready_survives_the_end_of_the_controller(campaign: Campaign) -> None:
    """It was paid for."""
    mind = Lookahead(Thinker(wider(8)), campaign, depth=1)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    wait_until_ready(campaign, 1)
    silent = Thinker()
    taken = Lookahead(silent, campaign, depth=1).take(lambda _: errand(campaign))
    assert taken.proposal.title == "idea 1" and silent.briefs == []
    campaign.store_pending(Pending(3, CANDIDATE, taken.proposal, repeats=None, agent_s=0.0))
    assert campaign.ahead() == [], "killed here, it would be run twice"


@pytest.mark.parametrize("depth", [0, 1])
def test_who_does_not_want_to_wait_is_heard_and_the_answer_is_not_lost(
    campaign: Campaign, depth: int
) -> None:
    """A model may think for ten minutes; a person who stops does not."""
    agent = Thinker(wider(8))
    agent.may_answer.clear()

    def check() -> None:
        if agent.briefs:
            raise StopNow

    mind = Lookahead(agent, campaign, depth=depth, check=check)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    began = time.monotonic()
    with pytest.raises(StopNow):
        mind.take(lambda _: errand(campaign))
    assert time.monotonic() - began < 5
    agent.may_answer.set()
    wait_until_ready(campaign, 1)
    silent = Thinker()
    taken = Lookahead(silent, campaign, depth=depth).take(lambda _: errand(campaign))
    assert taken.proposal.title == "idea 1" and silent.briefs == []


def test_what_was_handed_in_waits_in_one_place_alone(campaign: Campaign) -> None:
    """It is on the disk in the inbox; written down a second time, a kill would have it run twice."""
    agent = Thinker(wider(8))
    agent.thinks_ahead = False
    taken = Lookahead(agent, campaign, depth=1).take(lambda _: errand(campaign))
    assert taken.files == () and campaign.ahead() == []


@pytest.mark.parametrize("error", [NoMoreIdeas(), AgentError("gone", why="w", do="d")])
def test_what_the_agent_raises_is_raised_where_somebody_waits(
    campaign: Campaign, error: Exception
) -> None:
    """An error in a thread that nobody hears of would be a night that stands still."""
    mind = Lookahead(Thinker(error), campaign, depth=1)
    mind.prepare(errand(campaign), running=RUNNING, wanted=None)
    with pytest.raises(type(error)):
        mind.take(lambda _: errand(campaign))
