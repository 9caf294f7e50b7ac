"""What is handed in from outside: kept, in order, and run once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lab import inbox as inbox_module
from lab.agents import NightEnds
from lab.agents.human import HumanAgent, submitted, submitted_to
from lab.agents.similar import facts_of
from lab.inbox import MOST_WAITING, Edit, Inbox, Refused, Submission, apply_edits
from lab.outcome import Status
from lab.prompt import Brief
from tests.faults.files import HONEST
from tests.unit.handed_in import BEST, SO_FAR, finish, make_campaign, start, write_record
from tests.unit.nights import make_record
from tests.unit.recorded_model import past_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_campaign(tmp_path)


def idea(width: int = 64, **more: object) -> Submission:
    text = BEST.replace('"width": 48', f'"width": {width}')
    return Submission(  # type: ignore[arg-type]
        **{"title": f"Width {width}", "hypothesis": "", "train_py": text, "author": "human"} | more
    )


def brief() -> Brief:
    return Brief(
        number=SO_FAR + 1,
        profile="cpu",
        program="",
        train_py=BEST,
        baseline_bpb=1.9,
        best_bpb=1.85,
        noise_bpb=None,
        seconds_left=None,
        history=(),
    )


def test_what_came_first_is_run_first_and_once(folder: Path) -> None:
    """A ticket is a promise: each idea gets its experiment, and no idea gets two."""
    inbox = Inbox(folder)
    tickets = [inbox.submit(idea(width), best=BEST) for width in (64, 80, 96)]
    ran = []
    while proposal := submitted(inbox, BEST):
        number = start(folder, proposal)
        assert inbox.place(tickets[len(ran)]).experiment == number
        finish(folder, number, int(proposal.facts["ticket"]))
        ran.append(proposal.title)
    assert ran == ["Width 64", "Width 80", "Width 96"]
    experiments = [inbox.place(ticket).experiment for ticket in tickets]
    assert experiments == [SO_FAR + n for n in (1, 2, 3)]
    assert not list((folder / "inbox").glob("0*.json"))


def test_a_killed_night_neither_loses_nor_repeats_a_submission(folder: Path) -> None:
    """Between asking and writing down it is still in line; after, it is in line no more."""
    inbox = Inbox(folder)
    first, second = inbox.submit(idea(64)), inbox.submit(idea(80))
    asked = submitted(inbox, BEST)
    again = submitted(Inbox(folder), BEST)
    assert asked == again is not None
    assert inbox.place(first).state == "waiting"
    number = start(folder, again)
    assert (inbox.place(first).state, inbox.place(first).experiment) == ("taken", number)
    after = submitted(Inbox(folder), BEST)
    assert after is not None
    assert after.facts["ticket"] == str(second)


def test_a_submission_that_the_host_spoilt_is_followed_to_its_next_run(folder: Path) -> None:
    """The night runs it again by itself; the ticket must not be left at the lost one."""
    inbox = Inbox(folder)
    ticket = inbox.submit(idea())
    proposal = submitted(inbox, BEST)
    assert proposal is not None
    finish(folder, start(folder, proposal), ticket, status=Status.LOST)
    again = start(folder, proposal)
    assert again == SO_FAR + 2
    assert inbox.place(ticket).experiment == again
    assert submitted(inbox, BEST) is None


@pytest.mark.parametrize("step", [1, 3], ids=["while-counting", "while-writing"])
def test_a_killed_submitter_leaves_the_inbox_usable(folder: Path, step: int) -> None:
    """Its lock goes with it, and what it had not finished is no submission."""
    code = (
        "import os, sys; from pathlib import Path; from lab import inbox\n"
        "from tests.unit.test_inbox import idea\n"
        "left = int(sys.argv[2])\n"
        "def stop(*_):\n"
        " global left; left -= 1\n"
        " if not left: os.kill(os.getpid(), 9)\n"
        "inbox.os.fsync = stop\n"
        "inbox.Inbox(Path(sys.argv[1])).submit(idea())\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(step)], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    inbox = Inbox(folder)
    assert inbox.next(BEST) is None
    ticket = inbox.submit(idea())
    assert ticket == (1 if step == 1 else 2)
    assert inbox.place(ticket).state == "waiting"


def test_many_who_submit_at_once_get_a_ticket_each(folder: Path) -> None:
    """Two clients with one ticket would each see the other's result."""
    tickets: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: tickets.append(Inbox(folder).submit(idea(64 + n))))  # type: ignore[misc]
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tickets) == list(range(1, 13))
    assert Inbox(folder).waiting() == sorted(tickets)


def test_a_number_is_never_given_twice(folder: Path) -> None:
    """A ticket that was done must not become somebody else's, even when the counter is lost."""
    inbox = Inbox(folder)
    ticket = inbox.submit(idea(64))
    proposal = submitted(inbox, BEST)
    assert proposal is not None
    finish(folder, start(folder, proposal), ticket)
    assert inbox.next(BEST) is None
    (folder / "inbox" / "last").write_bytes(b"")
    assert inbox.submit(idea(80)) == ticket + 1


@pytest.mark.parametrize(
    ("submission", "words"),
    [
        pytest.param(idea(train_py="x = (\n"), "does not parse", id="no-python"),
        pytest.param(idea(train_py=BEST), "without a change", id="no-change"),
        pytest.param(idea(train_py="x = 1\n"), "build_model", id="no-model"),
        pytest.param(idea(train_py="#" * 2**19), "the cap", id="too-large"),
        pytest.param(idea(title=""), "title", id="no-title"),
        pytest.param(idea(title="two\nlines"), "title", id="two-lines"),
        pytest.param(idea(title="\x1b[2J"), "title", id="terminal-sequence"),
        pytest.param(idea(hypothesis="x" * 5000), "hypothesis", id="long-hypothesis"),
        pytest.param(idea(hypothesis="\ud800"), "hypothesis", id="no-text"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    folder: Path, submission: Submission, words: str
) -> None:
    """Its author is there now; in an hour, when its turn comes, nobody may be."""
    with pytest.raises(Refused, match=words):
        Inbox(folder).submit(submission, best=BEST)
    assert Inbox(folder).waiting() == []


def test_the_line_has_an_end(folder: Path) -> None:
    """A client in a loop fills neither the disk nor the night."""
    inbox = Inbox(folder)
    for n in range(MOST_WAITING):
        inbox.submit(idea(64 + n))
    with pytest.raises(Refused, match=f"{MOST_WAITING} submissions"):
        inbox.submit(idea(7))
    assert len(inbox.waiting()) == MOST_WAITING


def test_the_same_file_does_not_wait_twice(folder: Path) -> None:
    """A client that repeats a call after a timeout asks for one experiment."""
    ticket = Inbox(folder).submit(idea())
    with pytest.raises(Refused, match=f"ticket {ticket}"):
        Inbox(folder).submit(idea())


def test_what_was_tried_while_it_waited_is_refused_when_its_turn_comes(folder: Path) -> None:
    """Two who hand in one idea, or a model that had it first: the second learns who was."""
    inbox = Inbox(folder)
    first, second = inbox.submit(idea(64)), inbox.submit(idea(80))
    tried = replace(brief(), history=(past_of(9, facts=facts_of(BEST, idea(64).train_py)),))
    proposal = submitted_to(inbox, tried)
    assert proposal is not None
    assert proposal.facts["ticket"] == str(second)
    assert inbox.place(first).reason == "experiment 9 tried this file already."


def test_edits_are_made_on_the_best_of_their_turn(folder: Path) -> None:
    """An edit that waited must not take back what was kept meanwhile."""
    edits = (Edit('"width": 48', '"width": 64'),)
    inbox = Inbox(folder)
    inbox.submit(idea(64, edits=edits), best=BEST)
    faster = BEST.replace("lr=1e-2", "lr=3e-2")
    proposal = submitted(inbox, faster)
    assert proposal is not None
    assert '"width": 64' in proposal.train_py
    assert "lr=3e-2" in proposal.train_py


def test_an_edit_that_no_longer_fits_is_refused_with_the_reason(folder: Path) -> None:
    """Its author learns why; those behind it get their turn."""
    inbox = Inbox(folder)
    first = inbox.submit(idea(64, edits=(Edit('"width": 48', '"width": 64'),)), best=BEST)
    second = inbox.submit(idea(80))
    proposal = submitted(inbox, HONEST)
    assert proposal is not None
    assert proposal.facts["ticket"] == str(second)
    place = inbox.place(first)
    assert place.state == "refused"
    assert "has changed" in place.reason
    assert "stands 0 times" in place.reason


@pytest.mark.parametrize(
    ("find", "words"),
    [("width", "stands [0-9]+ times"), ("nowhere", "stands 0 times"), ("", "empty")],
)
def test_an_edit_must_match_exactly_once(find: str, words: str) -> None:
    """Twice would be a guess, and never is a misreading."""
    with pytest.raises(Refused, match=words):
        apply_edits(BEST, [Edit(find, "x")])


def test_a_torn_file_in_the_inbox_does_not_stop_the_night(folder: Path) -> None:
    """Somebody's editor, a full disk: the others still get their turn."""
    inbox = Inbox(folder)
    ticket = inbox.submit(idea(64))
    second = inbox.submit(idea(80))
    path = folder / "inbox" / f"{ticket:06d}.json"
    path.write_text(path.read_text()[:50])
    (folder / "inbox" / "notes.txt").write_text("mine")
    proposal = submitted(inbox, BEST)
    assert proposal is not None
    assert proposal.facts["ticket"] == str(second)
    assert inbox.place(ticket).state == "refused"


def test_only_its_own_fact_makes_a_ticket_taken(folder: Path) -> None:
    """Another agent's notes may have that word, or any other, in them."""
    inbox = Inbox(folder)
    ticket = inbox.submit(idea())
    write_record(folder, make_record(SO_FAR + 1, facts={"note": 'the "ticket" is 1'}))
    write_record(folder, make_record(SO_FAR + 2, facts={"ticket": "soon"}))
    assert inbox.place(ticket).state == "waiting"
    assert inbox.place(99).state == "unknown"


def test_a_held_lock_never_stops_the_night(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submitter that hangs may hold up other submitters; the controller takes no lock."""
    monkeypatch.setattr(inbox_module, "LOCK_PATIENCE_S", 0.1)
    inbox = Inbox(folder)
    inbox.submit(idea(64))
    with inbox._locked():
        with pytest.raises(Refused, match="busy"):
            Inbox(folder).submit(idea(80))
        began = time.monotonic()
        assert submitted(Inbox(folder), BEST) is not None
        assert time.monotonic() - began < 0.05


def test_a_human_is_waited_for(folder: Path) -> None:
    """The night waits for a person as long as it lasts, and takes what comes."""
    inbox = Inbox(folder)
    late = threading.Timer(0.3, lambda: inbox.submit(idea()))
    late.start()
    proposal = HumanAgent(inbox, stop=lambda: None).propose(brief())
    late.join()
    assert (proposal.title, proposal.agent) == ("Width 64", "human")


def test_waiting_ends_with_the_night(folder: Path) -> None:
    """A person who went to bed must not keep the lab from ending at its limit."""
    asked: list[float] = []

    def stop() -> str | None:
        asked.append(time.monotonic())
        return "the time is up" if len(asked) > 2 else None

    with pytest.raises(NightEnds, match="the time is up"):
        HumanAgent(Inbox(folder), stop).propose(brief())
    assert len(asked) == 3


def test_the_folder_holds_what_it_says(folder: Path) -> None:
    """A person can read what waits with any editor; no draft is left behind."""
    ticket = Inbox(folder).submit(idea())
    stored = json.loads((folder / "inbox" / f"{ticket:06d}.json").read_bytes())
    assert stored["title"] == "Width 64"
    assert stored["submitted_at"].endswith("+00:00")
    names = {path.name for path in (folder / "inbox").iterdir()}
    assert names == {"000001.json", "last", "lock", "refused"}
