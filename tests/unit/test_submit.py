"""`lab submit`: a person at another terminal joins the campaign."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

from lab.agents.human import submitted
from lab.errors import BadInput, CampaignBusy
from lab.inbox import Inbox
from lab.mcp import submit_by_hand
from lab.runs import LOCK_FILE, is_running, locked
from lab.settings import Settings
from tests.unit.handed_in import BEST, SO_FAR, finish, make_campaign, start

WIDER = BEST.replace('"width": 48', '"width": 64')


def hand_in(
    runs: Path, text: str, *, title: str = "Wider", again: bool = False, wait: bool = False
) -> list[str]:
    """The lines that a person sees."""
    file, said = runs / "mine.py", []
    file.write_text(text)
    settings = Settings(runs=runs, tag="nov23")
    submit_by_hand(
        settings, file, title=title, hypothesis="", again=again, wait=wait, say=said.append
    )
    return said


def test_a_person_gets_a_ticket(tmp_path: Path) -> None:
    """What was handed in is on the disk, and its author knows what became of it."""
    folder = make_campaign(tmp_path)
    assert hand_in(tmp_path, WIDER) == [
        "ticket 1 of nov23: waiting, 0 before it; no night is running"
    ]
    proposal = submitted(Inbox(folder), BEST)
    assert proposal is not None
    assert (proposal.title, proposal.agent, proposal.train_py) == ("Wider", "human", WIDER)


def test_a_person_can_wait_for_the_result(tmp_path: Path) -> None:
    """One command from idea to score."""
    folder = make_campaign(tmp_path)

    def night() -> None:
        while (proposal := submitted(Inbox(folder), BEST)) is None:
            time.sleep(0.01)
        finish(folder, start(folder, proposal), 1)

    worker = threading.Thread(target=night)
    worker.start()
    said = hand_in(tmp_path, WIDER, wait=True)
    worker.join()
    assert said[-1].startswith(f"ticket 1: experiment {SO_FAR + 1}: discarded; ")


@pytest.mark.parametrize(
    ("text", "title", "why"),
    [
        ("x = (", "Wider", "does not parse"),
        (BEST, "Wider", "without a change"),
        (WIDER, "", "title"),
        (WIDER, "x" * 121, "120"),
        (WIDER, "a\tb", "title"),
        (WIDER + "#" * 300_000, "Wider", "cap|256|262"),
    ],
)
def test_a_person_learns_at_once_what_is_wrong(
    tmp_path: Path, text: str, title: str, why: str
) -> None:
    """Exit code 2 and a reason; nothing is in line."""
    folder = make_campaign(tmp_path)
    with pytest.raises(BadInput, match=why):
        hand_in(tmp_path, text, title=title)
    assert Inbox(folder).waiting() == []


def test_a_person_runs_what_was_tried_only_knowingly(tmp_path: Path) -> None:
    """Another comment makes no other experiment; somebody may want to see it again all the same."""
    folder = make_campaign(tmp_path)
    again = BEST + "# once more\n"
    with pytest.raises(BadInput, match="experiment 3 tried this file already") as caught:
        hand_in(tmp_path, again)
    assert "--again" in (caught.value.do or "")
    hand_in(tmp_path, again, again=True)
    proposal = submitted(Inbox(folder), BEST, lambda train_py: "it was tried")
    assert proposal is not None
    assert proposal.train_py == again


def test_there_must_be_a_campaign(tmp_path: Path) -> None:
    """A typing error in TAG must not make a folder in which an idea waits for ever."""
    with pytest.raises(BadInput, match="no campaign nov23"):
        hand_in(tmp_path, WIDER)
    assert not (tmp_path / "nov23").exists()


def test_who_looks_is_not_taken_for_a_controller(tmp_path: Path) -> None:
    """Ten clients that ask for the status at once must not tell each other that a night runs."""
    folder = make_campaign(tmp_path)
    with (folder / LOCK_FILE).open("ab") as another:
        fcntl.flock(another, fcntl.LOCK_SH)
        assert not is_running(folder)
    with locked(folder):
        assert is_running(folder)
        with pytest.raises(CampaignBusy), locked(folder):
            pass


def test_who_looks_does_not_keep_a_night_from_starting(tmp_path: Path) -> None:
    """The lock of one who looks lasts microseconds; a night must not fail over it."""
    folder = make_campaign(tmp_path)
    looks = (folder / LOCK_FILE).open("ab")
    fcntl.flock(looks, fcntl.LOCK_SH)
    leaves = threading.Timer(0.1, looks.close)
    leaves.start()
    with locked(folder):
        assert is_running(folder)
    leaves.join()
