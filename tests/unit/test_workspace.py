"""The campaign's repository: every candidate kept, the branch only where the ledger says."""

from __future__ import annotations

from pathlib import Path

import git
import pytest

from lab.errors import CampaignError
from lab.workspace import Workspace

SEED = "x = 1\ny = 2\nz = 3\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "repo", tag="nov23", seed=SEED)


def test_a_candidate_is_stored_without_moving_the_branch(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A discarded idea must stay readable, and must not become the parent of the next."""
    root = workspace.head()
    candidate = workspace.commit("x = 1\nz = 4\n", number=7, parent=root, message="idea\n")
    assert workspace.head() == root == candidate.parent
    assert workspace.read(candidate.commit) == "x = 1\nz = 4\n"
    assert (candidate.lines_added, candidate.lines_removed) == (1, 2)
    assert "-y = 2" in candidate.diff
    repo = git.Repo(tmp_path / "repo")
    assert repo.commit("refs/experiments/0007").hexsha == candidate.commit
    assert repo.active_branch.name == "autoresearch/nov23"
    repo.close()


def test_a_kept_candidate_moves_branch_and_files(workspace: Workspace, tmp_path: Path) -> None:
    """A person who opens repo/train.py must see the best file."""
    candidate = workspace.commit("x = 5\n", number=1, parent=workspace.head(), message="idea\n")
    for _ in range(2):  # a crash may make it happen twice
        workspace.advance(candidate.commit)
        assert workspace.head() == candidate.commit
        assert (tmp_path / "repo" / "train.py").read_text() == "x = 5\n"
    assert not git.Repo(tmp_path / "repo").is_dirty(untracked_files=True)


def test_a_second_opening_finds_everything(workspace: Workspace, tmp_path: Path) -> None:
    """A resumed night must go on from the same commit, with the same root."""
    candidate = workspace.commit("x = 5\n", number=1, parent=workspace.head(), message="idea\n")
    workspace.advance(candidate.commit)
    again = Workspace.open(tmp_path / "repo", tag="nov23", seed="another seed")
    assert again.head() == candidate.commit
    assert again.read(again.root()) == SEED


def test_the_same_idea_twice_is_two_experiments(workspace: Workspace, tmp_path: Path) -> None:
    """A lost run is run again; both must be found under their numbers."""
    root = workspace.head()
    for number in (1, 2):
        workspace.commit("x = 5\n", number=number, parent=root, message=f"{number}\n")
    repo = git.Repo(tmp_path / "repo")
    assert repo.commit("refs/experiments/0001").tree == repo.commit("refs/experiments/0002").tree
    repo.close()


def test_odd_text_survives(workspace: Workspace) -> None:
    """Models write what they like: no newline at the end, carriage returns, other alphabets."""
    for number, text in enumerate(["# ünïcödé ✓", "a\r\nb\r\n", "", "\t\n\n\n"], start=1):
        candidate = workspace.commit(text, number=number, parent=workspace.head(), message="m\n")
        assert workspace.read(candidate.commit) == text


def test_the_users_git_configuration_has_no_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed commits, hooks and line-ending rules of the user would change what is stored."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "commit-msg", "post-checkout"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\n hooksPath = {hooks}\n autocrlf = true\n[commit]\n gpgSign = true\n"
        "[diff]\n external = /bin/false\n noprefix = true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    workspace = Workspace.open(tmp_path / "repo", tag="t", seed="a\r\nb\n")
    candidate = workspace.commit("a\r\nc\n", number=1, parent=workspace.head(), message="m\n")
    workspace.advance(candidate.commit)
    assert workspace.read(candidate.commit) == "a\r\nc\n"
    assert (candidate.lines_added, candidate.lines_removed) == (1, 1)


def test_an_unknown_commit_is_an_error_of_ours(workspace: Workspace) -> None:
    """git's own exceptions say nothing about what to do."""
    with pytest.raises(CampaignError) as caught:
        workspace.read("0" * 40)
    assert caught.value.do
