"""The campaign's repository: every candidate kept, the branch only where the ledger says."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

import git
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.errors import CampaignError
from lab.gitbundle import open_git_bundle
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


# ---- merging ----

BASE = "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\n"


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        pytest.param(
            BASE,
            BASE.replace("1", "10"),
            BASE.replace("5", "50"),
            "a = 10\nb = 2\nc = 3\nd = 4\ne = 50\n",
            id="apart",
        ),
        pytest.param(BASE, BASE, BASE.replace("3", "30"), BASE.replace("3", "30"), id="theirs-only"),
        pytest.param(BASE, BASE.replace("3", "30"), BASE, BASE.replace("3", "30"), id="ours-only"),
        pytest.param(
            BASE,
            BASE.replace("3", "30"),
            BASE.replace("3", "30"),
            BASE.replace("3", "30"),
            id="the-same-change",
        ),
        pytest.param(BASE, BASE.replace("3", "30"), BASE.replace("3", "31"), None, id="same-line"),
        pytest.param(BASE, BASE.replace("3", "30"), BASE.replace("4", "40"), None, id="next-line"),
        pytest.param(BASE, BASE.replace("c = 3\n", ""), BASE.replace("3", "9"), None, id="deleted"),
        pytest.param("", "", "", "", id="all-empty"),
        pytest.param(BASE, "", BASE, "", id="nothing-left"),
        pytest.param(BASE, BASE, "", "", id="nothing-left-of-theirs"),
        pytest.param("", "x = 1\n", "y = 1\n", None, id="two-beginnings"),
        pytest.param(
            BASE.replace("\n", "\r\n"),
            BASE.replace("\n", "\r\n").replace("1", "10"),
            BASE.replace("\n", "\r\n").replace("5", "50"),
            "a = 10\r\nb = 2\r\nc = 3\r\nd = 4\r\ne = 50\r\n",
            id="carriage-returns",
        ),
        pytest.param(
            BASE, BASE.replace("\n", "\r\n"), BASE.replace("5", "50"), None, id="other-line-endings"
        ),
        pytest.param(
            BASE[:-1],
            BASE[:-1].replace("1", "10"),
            BASE[:-1].replace("3", "30"),
            "a = 10\nb = 2\nc = 30\nd = 4\ne = 5",
            id="no-final-newline",
        ),
        pytest.param(
            BASE, BASE[:-1], BASE.replace("1", "10"), BASE.replace("1", "10")[:-1], id="loses-it"
        ),
        pytest.param(
            BASE + "\n\n", BASE + "\n\n", "# é ✓\n" + BASE + "\n\n", "# é ✓\n" + BASE + "\n\n",
            id="blank-lines-and-other-alphabets",
        ),
        pytest.param(BASE, BASE, "x = '\0'\n" + BASE, None, id="binary"),
    ],
)  # fmt: skip
def test_two_changes_are_merged_or_refused(
    workspace: Workspace, base: str, ours: str, theirs: str, merged: str | None
) -> None:
    """A change that came apart in a merge would be judged under the name of one that works."""
    assert workspace.merge(base, ours, theirs) == merged


@pytest.mark.parametrize("marker", ["<<<<<<< ours", ">>>>>>> theirs", "||||||| base", "<<<<<<<"])
def test_what_looks_like_a_conflict_is_none_of_ours(workspace: Workspace, marker: str) -> None:
    """A file with conflict markers is a waste of a run, wherever they came from."""
    odd = BASE + f'doc = """\n{marker}\n"""\n'
    assert workspace.merge(BASE, BASE, odd) is None
    heading = BASE + 'doc = """\nTitle\n=======\n"""\n'
    assert workspace.merge(BASE, BASE.replace("1", "10"), heading) == heading.replace("= 1", "= 10")


LINES = st.lists(st.sampled_from(["a = 1", "b = 2", "c = 3", "", "d = 4\r"]), max_size=6)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(base=LINES, ours=LINES, theirs=LINES)
def test_a_merge_is_clean_text_of_the_lines_it_was_given(
    workspace: Workspace, base: list[str], ours: list[str], theirs: list[str]
) -> None:
    """Whatever models write, what comes out has no line of its own and no marker."""
    merged = workspace.merge("\n".join(base), "\n".join(ours), "\n".join(theirs))
    if merged is not None:
        assert set(merged.split("\n")) <= {*base, *ours, *theirs, ""}
    if base == ours:
        assert merged == "\n".join(theirs)
    if base == theirs:
        assert merged == "\n".join(ours)


def test_a_merge_touches_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """It is asked between two experiments, and the branch belongs to the ledger."""
    head = workspace.head()
    assert workspace.merge(BASE, BASE.replace("1", "10"), BASE.replace("1", "11")) is None
    assert workspace.merge(BASE, BASE.replace("1", "10"), BASE) == BASE.replace("1", "10")
    assert workspace.head() == head
    with git.Repo(tmp_path / "repo") as repo:
        assert not repo.is_dirty(untracked_files=True)
        assert [reference.path for reference in repo.refs] == ["refs/heads/autoresearch/nov23"]


def test_a_merge_that_git_cannot_do_is_an_error_of_ours(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken git must not look like a conflict: every idea would be refused, and nobody would know."""
    real = Path.write_bytes
    monkeypatch.setattr(
        Path, "write_bytes", lambda path, data: 0 if path.name == "base" else real(path, data)
    )
    with pytest.raises(CampaignError, match="merge two changes"):
        workspace.merge(BASE, BASE, BASE)


# ---- a stranger's git bundle ----


@pytest.fixture
def bundle(workspace: Workspace, tmp_path: Path) -> Path:
    """A campaign with one candidate, as its sender bundles it."""
    workspace.commit("x = 5\ny = 2\nz = 3\n", number=1, parent=workspace.head(), message="m\n")
    file = tmp_path / "repo.bundle"
    git.Repo(tmp_path / "repo").git.bundle("create", str(file), "--all")
    return file


def test_a_bundle_is_looked_at_as_it_was_sent(
    workspace: Workspace, bundle: Path, tmp_path: Path
) -> None:
    """What a receiver sees of a commit must be what the sender stored."""
    opened = open_git_bundle(bundle, tmp_path / "received")
    commit = opened.refs()["refs/experiments/0001"]
    assert set(opened.refs()) == {"refs/heads/autoresearch/nov23", "refs/experiments/0001"}
    assert (opened.head(), opened.root()) == (workspace.head(), workspace.root())
    seen, root = opened.look_at(commit), opened.look_at(opened.root())
    assert seen.parents == (opened.root(),)
    assert seen.entries == (("train.py", 0o100644),)
    assert seen.train_py == b"x = 5\ny = 2\nz = 3\n"
    pairs = [(root.tree, seen.tree), (root.tree, root.tree), (seen.tree, root.tree)]
    assert opened.count_lines(pairs) == [(1, 1), (0, 0), (1, 1)]
    assert opened.count_lines([]) == []
    opened.close()
    assert not (tmp_path / "received" / "train.py").exists(), "nothing is checked out"


def test_neither_the_receivers_hooks_nor_his_other_repositories_have_a_part(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lab verify` may be called inside a git hook, where GIT_DIR points to the caller's own work."""
    hooks, mark = tmp_path / "hooks", tmp_path / "ran"
    hooks.mkdir()
    (hooks / "reference-transaction").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (hooks / "reference-transaction").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n hooksPath = {hooks}\n")
    mine = git.Repo.init(tmp_path / "mine")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(mine.git_dir))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "mine" / ".git" / "objects"))
    opened = open_git_bundle(bundle, tmp_path / "received")
    assert opened.look_at(opened.head()).train_py == SEED.encode()
    opened.close()
    assert not mark.exists()
    assert list((tmp_path / "mine" / ".git" / "objects").glob("??")) == []


@pytest.mark.parametrize("commit", ["0" * 40, "HEAD", "--help", "", "refs/experiments/0001"])
def test_a_ledger_cannot_name_anything_but_a_commit(
    bundle: Path, tmp_path: Path, commit: str
) -> None:
    """The name comes out of a stranger's record."""
    opened = open_git_bundle(bundle, tmp_path / "received")
    with pytest.raises(CampaignError):
        opened.look_at(commit)
    with pytest.raises(CampaignError):
        opened.look_at(opened.look_at(opened.head()).tree)
    opened.close()


def packed(kind: int, size: int, content: bytes, base: bytes = b"") -> bytes:
    """One object of a pack: kind 3 is a blob, 7 a delta against the object named `base`."""
    head, size = [kind << 4 | size & 15], size >> 4
    while size:
        head[-1] |= 128
        head.append(size & 127)
        size >>= 7
    return bytes(head) + base + zlib.compress(content)


def number(value: int) -> bytes:
    """A size as a delta writes it."""
    out = []
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_a_few_bytes_that_name_gigabytes_are_refused(bundle: Path, tmp_path: Path) -> None:
    """A delta copies its base as often as it says; git would build the result in memory."""
    base, times = b"\0" * (15 << 20), 200
    name = hashlib.sha1(b"blob %d\0" % len(base) + base).digest()
    copy = bytes([0x80 | 0x70]) + len(base).to_bytes(3, "little")
    delta = number(len(base)) + number(len(base) * times) + copy * times
    objects = packed(3, len(base), base) + packed(7, len(delta), delta, name)
    pack = b"PACK" + (2).to_bytes(4) + (2).to_bytes(4) + objects
    header = bundle.read_bytes().partition(b"\n\n")[0]
    bundle.write_bytes(header + b"\n\n" + pack + hashlib.sha1(pack).digest())
    assert bundle.stat().st_size < 100_000
    with pytest.raises(CampaignError) as caught:
        open_git_bundle(bundle, tmp_path / "received")
    assert "memory" in caught.value.why


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda content: content[:-30], id="cut"),
        pytest.param(lambda content: content[:40], id="header-cut"),
        pytest.param(lambda content: content[:-40] + b"x" + content[-39:], id="bit-flipped"),
        pytest.param(lambda content: content.replace(b"v2", b"v3", 1), id="version"),
        pytest.param(lambda content: content.replace(b"0001\n", b"0001 \n", 1), id="odd-reference"),
        pytest.param(
            lambda content: content.replace(b"refs/experiments/0001", b"refs/experiments/../x"),
            id="path-as-reference",
        ),
        pytest.param(lambda content: b"# v2 git bundle\n" + b"a" * (8 << 20), id="endless-line"),
    ],
)
def test_what_is_no_bundle_of_ours_is_an_error_of_ours(
    bundle: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """It comes from a stranger, over a network."""
    content = spoil(bundle.read_bytes())
    assert content != bundle.read_bytes()
    bundle.write_bytes(content)
    with pytest.raises(CampaignError) as caught:
        open_git_bundle(bundle, tmp_path / "received")
    assert "ask for the bundle again" in caught.value.do
