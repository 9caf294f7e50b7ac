"""One campaign on disk: its folder, its lock, its facts, its ledger and its repository.

    runs/<tag>/
      campaign.json       what every score in it was measured with; never changes
      ledger.jsonl        every experiment, in order
      repo/               every candidate, as commits
      ahead/              proposals whose turn has not come
      experiments/0007/   proposal.json, train.py, change.diff, train.log
      best/               train.py, model.safetensors, config.json, record.json
      events.jsonl  results.tsv  results.parquet  progress.png

Owns    the folder, and that one controller at a time holds it
Takes   the facts of this host, image and data
Gives   an open Campaign, resumed or new
Never   runs an experiment
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.agents import Proposal
from lab.errors import CampaignError
from lab.facts import FACTS_FILE, Facts, compare, read_facts, to_json
from lab.gate import CONFIG_FILE, WEIGHTS_FILE
from lab.ledger import Ledger, Record, noise_of, open_candidate
from lab.runs import IMPORTED_FILE, locked
from lab.verdict import Noise
from lab.waiting import Ahead, Pending, folder_of, read_ahead, read_pending
from lab.workspace import Workspace

LEDGER_FILE = "ledger.jsonl"


class Campaign:
    """An open campaign. Its lock is held until `open_campaign`'s block ends."""

    def __init__(self, folder: Path, facts: Facts, ledger: Ledger, workspace: Workspace) -> None:
        self.folder = folder
        self.facts = facts
        self.ledger = ledger
        self.workspace = workspace

    def noise(self, *, also: tuple[int, float] | None = None) -> Noise | None:
        """How much seeds alone move the score here, by all that is known; see `noise_of`."""
        return noise_of(self.ledger.records, self.facts.prior_noise, also=also)

    def folder_of(self, number: int) -> Path:
        return folder_of(self.folder, number)

    def store_pending(self, pending: Pending) -> Pending:
        """Write a proposal down before anything is done with it: it may have cost money."""
        pending = dataclasses.replace(pending, proposal=_as_unicode(pending.proposal))
        folder = self.folder_of(pending.number)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "proposal.json", _json(dataclasses.asdict(pending)))
        return pending

    def pending(self) -> Pending | None:
        """The proposal that an interrupted night had not finished, if there is one."""
        return self.pending_of(len(self.ledger.records) + 1)

    def pending_of(self, number: int) -> Pending | None:
        """The proposal of an experiment, as it was written down."""
        return read_pending(self.folder, number)

    def refuse_while_undecided(self) -> None:
        """What is asked for by hand must not come between a night and what it left unfinished.

        Raises:
            CampaignError: there is a proposal that was not run, or a candidate that is not decided.
        """
        pending, candidate = self.pending(), open_candidate(self.ledger.records)
        if pending or candidate:
            number = pending.number if pending else candidate.number if candidate else 0
            raise CampaignError(
                f"experiment {number} of {self.facts.tag} is not finished.",
                do=f"finish it first: make overnight TAG={self.facts.tag} EXPERIMENTS=0",
            )

    def store_ahead(self, proposal: Proposal, *, base: str, on_best: bool) -> Ahead:
        """Write down a proposal whose turn has not come: it may have cost money."""
        folder = self.folder / "ahead"
        folder.mkdir(exist_ok=True)
        last = max((int(path.stem) for path in folder.glob("*.json")), default=0)
        name = f"{last + 1:04d}.json"
        ahead = Ahead(proposal=_as_unicode(proposal), base=base, on_best=on_best, file=name)
        _write(folder / name, _json(dataclasses.asdict(ahead)))
        return ahead

    def ahead(self) -> list[Ahead]:
        """What is ready, oldest first."""
        return read_ahead(self.folder, self.ledger.records)

    def drop_ahead(self, files: Sequence[str]) -> None:
        """Forget proposals whose turn has come."""
        for name in files:
            (self.folder / "ahead" / name).unlink(missing_ok=True)

    def run_again(self, record: Record, *, kind: str) -> Pending:
        """The code of an earlier experiment, to be run with a fresh seed."""
        assert record.commit is not None, "only what became code is run again"
        proposal = Proposal(
            title=record.title,
            hypothesis=record.hypothesis,
            train_py=self.workspace.read(record.commit),
            agent=record.agent,
            facts=record.facts,
        )
        return Pending(
            len(self.ledger.records) + 1,
            kind,
            proposal,
            repeats=None,
            agent_s=0.0,
            original=record.number,
        )

    def settle(self) -> None:
        """Make branch and best/ what the ledger says. Doing it twice changes nothing.

        The record is written before this, so a crash in here is mended by the next start.
        """
        best = self.ledger.best()
        if best is not None:
            if self.workspace.head() != best.commit:
                self.workspace.advance(best.commit)
            if self._published() != best.number:
                self._publish(self.ledger.records[best.number - 1])
        for done in self.ledger.records[-2:]:  # what is no longer needed of the last two
            if done.trial.val_bpb is not None or not done.trial.status.says_something:
                shutil.rmtree(self.folder_of(done.number) / "checkpoint", ignore_errors=True)

    def restore_checkpoint(self, number: int, folder: Path) -> bool:
        """Put the weights of experiment `number` into `folder`, if they are the ones kept in best/."""
        if self._published() != number:
            return False
        place = folder / "checkpoint"
        place.mkdir(parents=True, exist_ok=True)
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            source = self.folder / "best" / name
            if not source.exists():
                return False
            shutil.copyfile(source, place / name)
            (place / name).chmod(0o644)
        return True

    def _published(self) -> int | None:
        """The experiment whose weights are in best/; None when there is none, or its record was torn."""
        try:
            return int(json.loads((self.folder / "best" / "record.json").read_bytes())["number"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _publish(self, record: Record) -> None:
        source = self.folder_of(record.number)
        draft, place = self.folder / "best.new", self.folder / "best"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for path in (
            source / "train.py",
            source / "checkpoint" / CONFIG_FILE,
            source / "checkpoint" / WEIGHTS_FILE,
        ):
            if path.exists():
                os.link(path, draft / path.name)
        _write(draft / "record.json", _json(dataclasses.asdict(record)))
        shutil.rmtree(place, ignore_errors=True)
        draft.replace(place)


@contextlib.contextmanager
def open_campaign(runs: Path, facts: Facts, *, seed_train_py: str) -> Iterator[Campaign]:
    """Open the campaign named by `facts.tag`, new or as it was left.

    Raises:
        CampaignBusy: another controller holds it.
        CampaignError: it was made with another image, data or hardware, or was altered.
    """
    folder = runs / facts.tag
    if (folder / IMPORTED_FILE).exists():
        raise CampaignError(
            f"{facts.tag} was imported, and nothing can be added to it.",
            why="a results.tsv has no code, no seeds and no noise to go on from.",
            do="start a new TAG; nothing was written.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        path = folder / FACTS_FILE
        if not path.exists():
            if (folder / LEDGER_FILE).exists():
                raise CampaignError(
                    f"{folder} has a ledger and no {FACTS_FILE}.",
                    why="without it nobody can say what its scores were measured with.",
                    do=f"restore {FACTS_FILE} from a copy, or start a new TAG; nothing was written.",
                )
            _write(path, _json(to_json(facts)))
        content = path.read_bytes()
        stored = read_facts(path, content)
        compare(stored, facts)
        ledger = Ledger.open(folder / LEDGER_FILE, anchor=hashlib.sha256(content).hexdigest())
        workspace = Workspace.open(folder / "repo", tag=facts.tag, seed=seed_train_py)
        try:
            yield Campaign(folder, stored, ledger, workspace)
        finally:
            workspace.close()


def _as_unicode(proposal: Proposal) -> Proposal:
    """A proposal that any file can hold: what is no character becomes U+FFFD, which is no Python."""
    texts: dict[str, Any] = {
        field.name: value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        for field in dataclasses.fields(proposal)
        if isinstance(value := getattr(proposal, field.name), str)
    }
    return dataclasses.replace(proposal, **texts)


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none of it, and wait until it is on the disk."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
