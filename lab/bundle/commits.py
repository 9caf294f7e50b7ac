"""Level 1, the code: every record's commit is in the git bundle, and is the change that the record describes.

Owns    what a campaign's repository may hold
Takes   Evidence
Gives   Checks, and the price of every change in lines, for the verdicts
Never   checks out, runs or imports a file
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from lab.bundle.checks import Check
from lab.bundle.evidence import Evidence, Findings, look, not_looked_at, read_capped
from lab.contract import MAX_BYTES, ContractBroken, check
from lab.errors import LabError
from lab.gitbundle import open_git_bundle
from lab.ledger import BASELINE, Record, best_of
from lab.lines import count_code_lines
from lab.workspace import TRAIN_FILE, Snapshot, Workspace

REPO_FILE = "repo.bundle"
REGULAR = 0o100644


def check_commits(evidence: Evidence) -> tuple[list[Check], dict[int, int] | None]:
    """The checks, and the net lines of each record that became code; None when that cannot be known."""
    with tempfile.TemporaryDirectory(prefix="nightlab-verify-") as scratch:
        try:
            workspace = open_git_bundle(evidence.payload / REPO_FILE, Path(scratch) / "repo")
        except LabError as error:
            why = f"{error.what} {error.why}".strip()
            failed = look("commits", lambda: _only(why))
            return [failed, not_looked_at("lines", "there is no repository to count in.")], None
        try:
            return _check(evidence, workspace)
        finally:
            workspace.close()


def _only(problem: str) -> Findings:
    yield problem
    return ""


def _check(evidence: Evidence, workspace: Workspace) -> tuple[list[Check], dict[int, int] | None]:
    found: dict[str, Snapshot] = {}
    checks = [look("commits", lambda: _commits(evidence, workspace, found))]
    if not checks[0].passed:
        return [*checks, not_looked_at("lines", "the commits are not those of the records.")], None
    net_lines: dict[int, int] = {}
    checks.append(look("seed train.py", lambda: _seed(evidence, workspace, found)))
    checks.append(look("best train.py", lambda: _published(evidence, workspace, found)))
    checks.append(look("lines", lambda: _lines(evidence, workspace, found, net_lines)))
    complete = all(r.commit is None or r.number in net_lines for r in evidence.records)
    return checks, net_lines if complete else None


def _commits(evidence: Evidence, workspace: Workspace, found: dict[str, Snapshot]) -> Findings:
    """Reference, commit, parent and tree of every record; all that is looked at is put into `found`."""
    refs, root, records = workspace.refs(), workspace.root(), evidence.records
    branch = f"refs/heads/autoresearch/{evidence.facts.tag}"
    if branch not in refs:
        yield f"the repository has no branch autoresearch/{evidence.facts.tag}"
        return ""
    found[root] = workspace.look_at(root)
    if wrong := _not_ours(found[root]):
        yield f"the seed's commit {wrong}"
    if found[root].parents:
        yield "the seed's commit has a parent"
    known = {root}
    for record in records:
        ref = refs.get(f"refs/experiments/{record.number:04d}")
        made = record.commit if record.original is None else None
        if ref != made:
            yield f"experiment {record.number} made {_short(made)}, and its reference names {_short(ref)}"
        if (record.commit is None) is not (record.parent is None):
            yield f"experiment {record.number} has a commit without a parent, or the reverse"
        if record.commit is None or record.parent is None:
            continue
        found[record.commit] = found.get(record.commit) or workspace.look_at(record.commit)
        snapshot = found[record.commit]
        if snapshot.parents != (record.parent,):
            yield f"experiment {record.number} changed {_short(record.parent)}, its commit another"
        if wrong := _not_ours(snapshot):
            yield f"the commit of experiment {record.number} {wrong}"
        if record.parent not in known:
            yield f"experiment {record.number} changed {_short(record.parent)}, which is no earlier code"
        if record.kind == BASELINE and snapshot.tree != found[root].tree:
            yield f"experiment {record.number} is a baseline of something else than the seed"
        if record.verdict.keep and (broken := _breaks_contract(snapshot)):
            yield f"experiment {record.number} was kept, and the lab would have refused it: {broken}"
        if record.original is not None and _described(record) != _described(
            records[record.original - 1]
        ):
            yield f"experiment {record.number} describes another change than {record.original}"
        known.add(record.commit)
    best = best_of(records)
    if refs[branch] != (best.commit if best else root):
        yield f"the branch is at {_short(refs[branch])}, and the best is {_short(best.commit if best else root)}"
    stray = _stray(refs, records)
    if stray:
        yield f"{stray[0]} belongs to no experiment"
    return f"{len(known) - 1} commits, each on the parent that its record names, each changes train.py alone."


def _not_ours(snapshot: Snapshot) -> str | None:
    """Why the lab did not make this commit; None when it could have."""
    if snapshot.entries != ((TRAIN_FILE, REGULAR),):
        names = ", ".join(f"{name} ({mode:o})" for name, mode in snapshot.entries[:4])
        return f"holds something else than one regular train.py: {names or 'nothing'}"
    if snapshot.train_py is None or len(snapshot.train_py) > MAX_BYTES:
        return f"has a train.py of over {MAX_BYTES:,} bytes"
    return None


def _breaks_contract(snapshot: Snapshot) -> str | None:
    try:
        check((snapshot.train_py or b"").decode())
    except ContractBroken as broken:
        return broken.reason
    return None


def _described(record: Record) -> tuple[object, ...]:
    return record.commit, record.parent, record.lines_added, record.lines_removed


def _stray(refs: dict[str, str], records: list[Record]) -> list[str]:
    """References of no record; the one after the last is of an experiment that a kill interrupted."""
    numbers = {
        int(name.rpartition("/")[2]): name for name in refs if name.startswith("refs/experiments/")
    }
    return [name for number, name in numbers.items() if not 1 <= number <= len(records) + 1]


def _seed(evidence: Evidence, workspace: Workspace, found: dict[str, Snapshot]) -> Findings:
    sha256 = hashlib.sha256(found[workspace.root()].train_py or b"").hexdigest()
    if sha256 != evidence.facts.train_sha256:
        yield f"its sha256 is {sha256[:12]}, and campaign.json names {evidence.facts.train_sha256[:12]}"
    return f"the branch begins with the file that campaign.json names, sha256 {sha256[:12]}."


def _published(evidence: Evidence, workspace: Workspace, found: dict[str, Snapshot]) -> Findings:
    best = best_of(evidence.records)
    path = evidence.payload / "best" / TRAIN_FILE
    if best is None:
        if path.exists():
            yield "there is a best train.py, and nothing was measured"
        return "nothing was measured, and nothing is published."
    if read_capped(path, MAX_BYTES) != found[best.commit].train_py:
        yield f"best/train.py is not the file of experiment {best.number}, commit {_short(best.commit)}"
    return f"best/train.py is the file of experiment {best.number}, commit {_short(best.commit)}."


def _lines(
    evidence: Evidence,
    workspace: Workspace,
    found: dict[str, Snapshot],
    net_lines: dict[int, int],
) -> Findings:
    """Lines of the diff and of the price, counted again."""
    became_code = [r for r in evidence.records if r.commit is not None and r.parent is not None]
    pairs = [(found[r.parent or ""].tree, found[r.commit or ""].tree) for r in became_code]
    code = _Code(found)
    root = workspace.root()
    for record, counts in zip(became_code, workspace.count_lines(pairs), strict=True):
        if (record.lines_added, record.lines_removed) != counts:
            told = f"+{record.lines_added} -{record.lines_removed}"
            yield f"experiment {record.number} says {told} lines, its diff has +{counts[0]} -{counts[1]}"
        best = best_of(evidence.records[: record.number - 1])
        net = code.lines(record.commit or "") - code.lines(best.commit if best else root)
        net_lines[record.number] = net
        if record.net_lines != net:
            yield f"experiment {record.number} says {record.net_lines} net lines of code, and has {net}"
    for record in evidence.records:
        if record.commit is None and (record.lines_added, record.net_lines) != (None, None):
            yield f"experiment {record.number} never became code, and has lines"
    return f"{len(became_code)} changes, their lines counted again from the two files of each."


class _Code:
    """Lines of code by commit, each counted once."""

    def __init__(self, found: dict[str, Snapshot]) -> None:
        self._found = found
        self._counted: dict[str, int] = {}

    def lines(self, commit: str) -> int:
        snapshot = self._found[commit]
        if snapshot.tree not in self._counted:
            self._counted[snapshot.tree] = count_code_lines((snapshot.train_py or b"").decode())
        return self._counted[snapshot.tree]


def _short(commit: str | None) -> str:
    return commit[:8] if commit else "nothing"
