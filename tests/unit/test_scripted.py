"""The scripted agent: gives what is in its folder, in order, each reply once."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.agents import NoMoreIdeas, Proposal
from lab.agents.open import choose_agent
from lab.agents.scripted import ScriptedAgent
from lab.contract import ContractBroken, check
from lab.errors import AgentError, BadInput
from lab.prompt import Brief, Past
from lab.settings import Settings

DEMO = Path(__file__).parents[1] / "smoke" / "script"


def brief_after(*given: Proposal, train_py: str = "LR = 1\n") -> Brief:
    history = tuple(
        Past(
            number=number,
            kind="candidate",
            title=proposal.title,
            hypothesis=proposal.hypothesis,
            status="crashed",
            kept=False,
            val_bpb=None,
            gain_bpb=None,
            reason="",
            facts=proposal.facts,
            log_tail="",
        )
        for number, proposal in enumerate(given)
    )
    return Brief(
        number=len(given),
        profile="smoke",
        program="",
        train_py=train_py,
        baseline_bpb=None,
        best_bpb=None,
        noise_bpb=None,
        seconds_left=None,
        history=history,
    )


def test_replies_come_in_the_order_of_their_names_and_then_end(tmp_path: Path) -> None:
    """A test author must know which experiment runs which file."""
    for name in ("10-last.py", "02-second.py", "01-first-of-all.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "02-second.md").write_text("because\n")
    agent = ScriptedAgent(tmp_path)
    given: list[Proposal] = []
    for _ in range(3):
        given.append(agent.propose(brief_after(*given)))
    assert [reply.title for reply in given] == ["first of all", "second", "last"]
    assert given[1].train_py == "# 02-second.py\n"
    assert given[1].hypothesis == "because"
    with pytest.raises(NoMoreIdeas):
        agent.propose(brief_after(*given))


def test_a_new_agent_goes_on_where_the_history_stops(tmp_path: Path) -> None:
    """A night that was killed resumes with a new process."""
    (tmp_path / "1.py").write_text("a = 1\n")
    (tmp_path / "2.py").write_text("a = 2\n")
    first = ScriptedAgent(tmp_path).propose(brief_after())
    assert ScriptedAgent(tmp_path).propose(brief_after(first)).train_py == "a = 2\n"


@pytest.mark.parametrize("content", [b"def f(:\n", b"\xff\xfe\x00", b""])
def test_a_broken_file_is_replied_as_it_is(tmp_path: Path, content: bytes) -> None:
    """The lab's own tests feed it broken files; mending or refusing them here would hide the contract."""
    (tmp_path / "1-broken.py").write_bytes(content)
    reply = ScriptedAgent(tmp_path).propose(brief_after())
    assert reply.train_py.encode("utf-8", "surrogateescape") == content


def test_an_edit_changes_the_best_file_so_far(tmp_path: Path) -> None:
    """An edit builds on what an earlier reply achieved; a whole file would undo it."""
    (tmp_path / "1.toml").write_text(
        'title = "halve"\nhypothesis = "calmer"\n[[edit]]\nfind = "LR = 1"\nreplace = "LR = 0.5"\n'
    )
    reply = ScriptedAgent(tmp_path).propose(brief_after(train_py="# kept\nLR = 1\n"))
    assert (reply.title, reply.hypothesis) == ("halve", "calmer")
    assert reply.train_py == "# kept\nLR = 0.5\n"


@pytest.mark.parametrize("best", ["other = 1\n", "LR = 1\nLR = 1\n"])
def test_an_edit_that_does_not_fit_says_so(tmp_path: Path, best: str) -> None:
    """Replacing the wrong place, or none, would measure something that nobody proposed."""
    (tmp_path / "1.toml").write_text('[[edit]]\nfind = "LR = 1"\nreplace = "LR = 2"\n')
    with pytest.raises(AgentError, match="does not fit"):
        ScriptedAgent(tmp_path).propose(brief_after(train_py=best))


@pytest.mark.parametrize(
    "toml", ["[[edit]\n", 'title = "x"\n', '[[edit]]\nfind = ""\nreplace = "a"\n', "odd = 1\n"]
)
def test_a_bad_script_fails_before_the_night_starts(tmp_path: Path, toml: str) -> None:
    """A typing error found at experiment 7 costs the hour before it."""
    (tmp_path / "1.py").write_text("")
    (tmp_path / "2.toml").write_text(toml)
    with pytest.raises(BadInput, match=r"2\.toml"):
        ScriptedAgent(tmp_path)


def test_no_folder_or_an_empty_one_is_bad_input(tmp_path: Path) -> None:
    """A mistyped path must not look like a script that has ended."""
    for script in (None, tmp_path / "absent", tmp_path):
        with pytest.raises(BadInput):
            choose_agent(Settings(agent="scripted", script=script))


def test_auto_is_the_offline_agent_and_needs_nothing() -> None:
    """With no key and no network a night must still research."""
    assert choose_agent(Settings()).name == "offline"


def test_the_demonstration_script_fits_the_seed() -> None:
    """A demonstration that fails on an edit gone stale demonstrates the wrong thing."""
    agent = ScriptedAgent(DEMO)
    seed = Settings().train_file.read_text()
    given: list[Proposal] = []
    for _ in range(4):
        given.append(agent.propose(brief_after(*given, train_py=seed)))
    assert seed not in [proposal.train_py for proposal in given]
    refused = []
    for proposal in given:
        try:
            check(proposal.train_py)
        except ContractBroken:
            refused.append(proposal.title)
    assert refused == ["forgets to save"]
