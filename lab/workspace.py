"""The campaign's own git repository: every candidate, kept or not. The only door to git.

Owns    runs/<tag>/repo: branch autoresearch/<tag>, and refs/experiments/0007 for every candidate
Takes   a proposed train.py
Gives   a Candidate, which is a commit
Never   touches the user's own checkout, configuration or hooks
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import git
from git import Actor, Commit, Repo
from git.objects import Blob, Tree
from git.objects.fun import tree_entries_from_data
from gitdb import IStream

from lab.errors import CampaignError
from lab.gitpack import write_pack

AUTHOR = Actor("Nightlab", "nightlab@localhost")
TRAIN_FILE = "train.py"

# What git writes around a conflict. A line of `=======` alone is a heading in many a docstring.
CONFLICT_MARKER = re.compile(r"^(<{7}|>{7}|\|{7})", re.MULTILINE)
MOST_CONFLICTS = 127  # `git merge-file` exits with their number, at most this; above it, it failed

COMMIT_NAME = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A commit as it is, whoever made it."""

    parents: tuple[str, ...]
    tree: str
    entries: tuple[tuple[str, int], ...]  # what its folder holds: names and modes
    train_py: bytes | None  # None: there is no regular file of that name


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A proposed change, as a commit on top of the best so far."""

    number: int
    commit: str
    parent: str
    lines_added: int
    lines_removed: int
    diff: str


class Workspace:
    """An open campaign repository."""

    def __init__(self, repo: Repo, branch: str) -> None:
        self._repo = repo
        self._branch = branch

    @classmethod
    def open(cls, folder: Path, *, tag: str, seed: str) -> Workspace:
        """Open the repository, or make it with the seed train.py as its first commit.

        Raises:
            CampaignError: the folder is there and is not this campaign's repository.
        """
        branch = f"autoresearch/{tag}"
        with door("open its repository"):
            if not (folder / ".git").exists():
                repo = Repo.init(folder, initial_branch=branch)
                workspace = cls(repo, branch)
                root = workspace._write_commit(seed, message="Seed\n", parents=[])
                workspace._move_to(root)
            workspace = cls(Repo(folder), branch)
            workspace.head()
        return workspace

    @classmethod
    def look(cls, folder: Path, *, branch: str, environment: dict[str, str]) -> Workspace:
        """A repository that is only looked at, by a git with these variables."""
        repo = Repo(folder)
        repo.git.update_environment(**environment)
        return cls(repo, branch)

    def head(self) -> str:
        """The commit that the branch is at: the best so far."""
        return str(self._repo.commit(self._branch).hexsha)

    def root(self) -> str:
        """The commit of the seed train.py, where the branch began."""
        with door("find its first commit"):
            return str(self._repo.git.rev_list(self._branch, max_parents=0)).strip()

    def read(self, commit: str) -> str:
        """The train.py of a commit."""
        with door(f"read commit {commit[:8]}"):
            blob = self._repo.commit(commit).tree / TRAIN_FILE
            return bytes(blob.data_stream.read()).decode()

    def commit(self, train_py: str, *, number: int, parent: str, message: str) -> Candidate:
        """Store a candidate under refs/experiments/, without moving the branch."""
        with door(f"store experiment {number}"):
            base = self._repo.commit(parent)
            commit = self._write_commit(train_py, message=message, parents=[base])
            self._repo.git.update_ref(f"refs/experiments/{number:04d}", commit.hexsha)
            added, removed = self._count_lines(base, commit)
            diff = self._repo.git.diff(base.hexsha, commit.hexsha, no_color=True, no_ext_diff=True)
        return Candidate(
            number=number,
            commit=str(commit.hexsha),
            parent=str(base.hexsha),
            lines_added=added,
            lines_removed=removed,
            diff=diff + "\n",
        )

    def merge(self, base: str, ours: str, theirs: str) -> str | None:
        """What `theirs` changed in `base`, done to `ours`: three texts of train.py; None on a conflict.

        Neither the branch nor a file of the repository is touched. A text that git would not merge line by line,
        or that looks like a conflict that somebody left unresolved, counts as one.

        Raises:
            CampaignError: git could not be asked.
        """
        if any("\0" in text for text in (base, ours, theirs)):
            return None
        with door("merge two changes"), tempfile.TemporaryDirectory() as folder:
            for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
                (Path(folder) / name).write_bytes(text.encode())
            status, merged, error = self._repo.git.merge_file(
                *(str(Path(folder) / name) for name in ("ours", "base", "theirs")),
                stdout=True,
                quiet=True,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
            if not 0 <= status <= MOST_CONFLICTS:
                raise git.exc.GitCommandError("merge-file", status, error)
            text = bytes(merged).decode()
        return None if status or CONFLICT_MARKER.search(text) else text

    def advance(self, commit: str) -> None:
        """Move the branch and its files to a kept commit. Doing it twice changes nothing."""
        with door(f"move the branch to {commit[:8]}"):
            self._move_to(self._repo.commit(commit))

    def write_bundle(self, path: Path) -> None:
        """Write branch and experiments as a git bundle: `git clone` and `git fetch` read it.

        The same refs always give the same bytes, packed or loose, whatever the version of git: every object is
        stored whole, in the order in which history reaches it. What carries the file compresses it.

        Raises:
            CampaignError: an object is missing.
        """
        with door("write a git bundle"):
            named = ("refs/experiments/", f"refs/heads/{self._branch}")
            refs = sorted(ref for ref in self.refs().items() if ref[0].startswith(named))
            objects = [self._read_object(oid) for oid in self._reached_from(refs)]
            head = "# v2 git bundle\n" + "".join(f"{commit} {ref}\n" for ref, commit in refs)
            path.write_bytes(head.encode() + b"\n" + write_pack(objects))

    def refs(self) -> dict[str, str]:
        """Every reference, and the commit that it names."""
        with door("list its references"):
            lines = self._repo.git.for_each_ref(format="%(refname) %(objectname)").splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def look_at(self, commit: str) -> Snapshot:
        """What a commit holds, nothing of it taken for granted.

        Raises:
            CampaignError: there is no such commit.
        """
        with door(f"read commit {commit[:8]}"):
            if not COMMIT_NAME.fullmatch(commit):
                raise ValueError("that is no name of a commit")
            found = self._repo.odb.stream(bytes.fromhex(commit))
            if found.type != b"commit":
                raise ValueError("that is no commit")
            # Not GitPython's own reading: it believes what a commit says of its encoding.
            heads = [
                line.partition(b" ") for line in found.read().partition(b"\n\n")[0].split(b"\n")
            ]
            tree = heads[0][2].decode()
            listed = self._repo.odb.stream(bytes.fromhex(tree)).read()
            entries = [(str(name), mode, sha) for sha, mode, name in tree_entries_from_data(listed)]
            blobs = [sha for name, mode, sha in entries if (name, mode) == (TRAIN_FILE, 0o100644)]
            return Snapshot(
                parents=tuple(value.decode() for key, _, value in heads if key == b"parent"),
                tree=tree,
                entries=tuple((name, mode) for name, mode, _ in entries),
                train_py=bytes(self._repo.odb.stream(blobs[0]).read()) if blobs else None,
            )

    def count_lines(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
        """Lines added and removed from one tree to another, for many pairs at the price of one."""
        with door("count lines"), tempfile.TemporaryFile() as asked:
            asked.write("".join(f"{before} {after}\n" for before, after in pairs).encode())
            asked.seek(0)
            told = self._repo.git.diff_tree(stdin=True, numstat=True, istream=asked).splitlines()
            counts: list[tuple[int, int]] = []
            # A line names a pair; the next counts its lines, unless the two are the same.
            for line in told:
                fields = line.split("\t")
                if len(fields) == 1:
                    counts.append((0, 0))
                else:
                    counts[-1] = (int(fields[0]), int(fields[1]))
            return counts

    def close(self) -> None:
        self._repo.close()

    def _read_object(self, oid: bytes) -> tuple[str, bytes]:
        stream = self._repo.odb.stream(oid)
        return stream.type.decode(), bytes(stream.read())

    def _reached_from(self, refs: Sequence[tuple[str, str]]) -> Iterator[bytes]:
        """The binary id of every object that refs need, parents before children, each once."""
        seen: set[bytes] = set()
        for _, tip in refs:
            waiting = [self._repo.commit(tip)]
            while waiting:
                commit = waiting[-1]
                missing = [parent for parent in commit.parents if parent.binsha not in seen]
                if missing and commit.binsha not in seen:
                    waiting += reversed(missing)
                    continue
                waiting.pop()
                for one in (*_below(commit.tree), commit):
                    if one.binsha not in seen:
                        seen.add(one.binsha)
                        yield one.binsha

    def _move_to(self, commit: Commit) -> None:
        self._repo.git.update_ref(f"refs/heads/{self._branch}", commit.hexsha)
        self._repo.head.reset(commit, index=True, working_tree=True)

    def _write_commit(self, train_py: str, *, message: str, parents: list[Commit]) -> Commit:
        blob = self._store("blob", train_py.encode())
        tree = self._store("tree", b"100644 " + TRAIN_FILE.encode() + b"\0" + blob)
        return Commit.create_from_tree(
            self._repo,
            Tree(self._repo, tree),
            message,
            parent_commits=parents,
            head=False,
            author=AUTHOR,
            committer=AUTHOR,
        )

    def _store(self, kind: str, content: bytes) -> bytes:
        """Write one git object; its binary id."""
        stored = self._repo.odb.store(IStream(kind.encode(), len(content), BytesIO(content)))
        return bytes(stored.binsha)

    def _count_lines(self, base: Commit, commit: Commit) -> tuple[int, int]:
        # git's default by name: a user's other choice would count other lines than whoever verifies them.
        counts = self._repo.git.diff(
            base.hexsha, commit.hexsha, numstat=True, diff_algorithm="myers", no_ext_diff=True
        ).split()
        return (int(counts[0]), int(counts[1])) if counts else (0, 0)


def _below(tree: Tree) -> Iterator[Tree | Blob]:
    """A tree's files and folders, then the tree itself."""
    for entry in sorted(tree, key=lambda entry: str(entry.name)):
        if isinstance(entry, Tree):
            yield from _below(entry)
        elif isinstance(entry, Blob):
            yield entry
    yield tree


LOOK = "look at the repo/ folder of the campaign; the ledger names every commit it needs."


@contextlib.contextmanager
def door(what: str, *, do: str = LOOK) -> Iterator[None]:
    """Turn git's exceptions into ours."""
    try:
        yield
    except (git.exc.GitError, ValueError, KeyError, OSError) as error:
        raise CampaignError(f"the campaign could not {what}.", why=str(error), do=do) from error
