"""What a reader can do from the page: end a night, pin a note, hand in a train.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.agents.human import submitted
from lab.imported import import_results
from lab.inbox import Inbox
from lab.interrupts import Interrupts
from lab.notes import MOST_CHARS, read_pinned
from lab.outcome import StopNow
from lab.runs import locked
from tests.unit.handed_in import BEST, make_campaign
from tests.unit.served import Site, served

TAG = "nov23"
WIDER = BEST.replace('"width": 48', '"width": 64')
IDEA = {"title": "Wider", "hypothesis": "more room", "train_py": WIDER}
TABLE = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\nabc1234\t1.0\t2.0\tkeep\tx\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    make_campaign(tmp_path / "runs")
    table = tmp_path / "results.tsv"
    table.write_text(TABLE)
    import_results(tmp_path / "runs", table, "theirs")
    with served(tmp_path / "runs") as site:
        yield site


def path(what: str, tag: str = TAG) -> str:
    return f"/api/campaigns/{tag}/{what}"


@pytest.mark.parametrize("when", ["after", "now"])
def test_a_night_can_be_stopped(site: Site, when: str) -> None:
    """Both ways, and the night itself understands it."""
    folder = site.runs / TAG
    with locked(folder):
        answer = site.post(path("stop"), {"when": when})
    assert answer.status == 200
    assert ("after this experiment" in answer.json["said"]) is (when == "after")
    interrupts = Interrupts(folder)
    assert interrupts.why_stop()
    if when == "now":
        with pytest.raises(StopNow):
            interrupts.check()
    else:
        interrupts.check()


def test_whoever_waited_long_enough_stops_now(site: Site) -> None:
    """The second button works after the first."""
    with locked(site.runs / TAG):
        for when in ("after", "now"):
            assert site.post(path("stop"), {"when": when}).status == 200
    with pytest.raises(StopNow):
        Interrupts(site.runs / TAG).check()


def test_only_what_runs_can_be_stopped(site: Site) -> None:
    """A STOP in a campaign that rests would end its next night before it began."""
    for tag in (TAG, "theirs"):
        answer = site.post(path("stop", tag), {"when": "now"})
        assert answer.status == 409 and "nothing to stop" in answer.error
        assert not (site.runs / tag / "STOP").exists()


def test_a_note_reaches_the_agent(site: Site) -> None:
    """As one line of the notes that every brief carries."""
    answer = site.post(path("note"), {"text": "try fewer\nheads"})
    assert answer.status == 200 and answer.json["said"]
    assert read_pinned(site.runs / TAG) == ("try fewer heads",)


@pytest.mark.parametrize("text", ["", "  \n", "x" * (MOST_CHARS + 1), "x" * 200_000, "\ud800"])
def test_a_note_that_cannot_be_pinned_is_said(site: Site, text: str) -> None:
    """Nothing is cut silently."""
    answer = site.post(path("note"), {"text": text})
    assert answer.status == 422 and answer.error
    assert read_pinned(site.runs / TAG) == ()


def test_a_train_file_is_queued(site: Site) -> None:
    """As `lab submit` would, so that the night takes it before the agent's next idea."""
    answer = site.post(path("queue"), IDEA)
    assert answer.status == 200
    assert "ticket 1" in answer.json["said"] and "no night is running" in answer.json["said"]
    proposal = submitted(Inbox(site.runs / TAG), BEST)
    assert proposal is not None
    assert (proposal.title, proposal.hypothesis) == ("Wider", "more room")
    assert (proposal.agent, proposal.train_py) == ("human", WIDER)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"train_py": BEST}, "without a change"),
        ({"train_py": "x = ("}, "does not parse"),
        ({"train_py": WIDER + "#" * 70_000}, "cap"),
        ({"train_py": "#" * 200_000}, "train_py"),
        ({"title": ""}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"title": "x" * 121}, "120"),
        ({"hypothesis": "x" * 2001}, "2000"),
    ],
)
def test_what_cannot_run_is_refused_with_its_reason(
    site: Site, change: dict[str, str], why: str
) -> None:
    """At once, not when its turn would have come."""
    answer = site.post(path("queue"), IDEA | change)
    assert answer.status == 422 and why in answer.error
    assert Inbox(site.runs / TAG).waiting() == []


def test_the_same_file_does_not_wait_twice(site: Site) -> None:
    """Somebody clicks again because the page was slow."""
    assert site.post(path("queue"), IDEA).status == 200
    answer = site.post(path("queue"), IDEA)
    assert answer.status == 422 and "waits already" in answer.error


@pytest.mark.parametrize("what", ["note", "queue"])
def test_what_was_imported_is_only_looked_at(site: Site, what: str) -> None:
    """It has no night, no agent and no train.py."""
    sent = IDEA if what == "queue" else {"text": "x"}
    before = sorted((site.runs / "theirs").iterdir())
    answer = site.post(path(what, "theirs"), sent)
    assert answer.status == 409 and "imported" in answer.error
    assert sorted((site.runs / "theirs").iterdir()) == before


def test_a_broken_campaign_takes_nothing(site: Site) -> None:
    """In words, not as a server error."""
    ledger = site.runs / TAG / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"number"', b'"nothing"', 1))
    answer = site.post(path("queue"), IDEA)
    assert answer.status == 409 and "ledger" in answer.error


@pytest.mark.parametrize("what", ["stop", "note", "queue"])
@pytest.mark.parametrize(
    "sent",
    [{}, [], 1, None, {"when": "later"}, {"text": 1}, {"text": "x", "more": 1}, {"title": "x"}],
)
def test_a_request_of_another_shape_is_said(site: Site, what: str, sent: Any) -> None:
    """An old page in a browser meets a new server."""
    with locked(site.runs / TAG):
        answer = site.post(path(what), sent)
    assert answer.status == 422 and answer.error
    assert site.ask(path(what), method="POST", body=b"{", headers={}).status == 403


@pytest.mark.parametrize("what", ["stop", "note", "queue"])
def test_a_campaign_must_be_there(site: Site, what: str) -> None:
    """A name is compared, and never joined to a path."""
    for tag in ("other", "..", "%2e%2e", "..%2fx"):
        assert site.post(path(what, tag), {"when": "now"}).status == 404
    assert site.ask(path(what)).status in (404, 405), "it is no page"


def test_a_page_that_only_shows_has_no_buttons(tmp_path: Path) -> None:
    """What is not there cannot be pressed, by whatever trick."""
    make_campaign(tmp_path)
    with served(tmp_path, actions=False) as site, locked(tmp_path / TAG):
        assert b'data-actions="no"' in site.ask("/").body
        assert site.get("/api/campaigns")["actions"] is False
        for what, sent in (("stop", {"when": "now"}), ("note", {"text": "x"}), ("queue", IDEA)):
            assert site.post(path(what), sent).status == 404
        assert not (tmp_path / TAG / "STOP").exists()
        assert Inbox(tmp_path / TAG).waiting() == []
