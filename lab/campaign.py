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
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from lab.agents import Proposal
from lab.errors import BadInput, CampaignBusy, CampaignError
from lab.fingerprint import Fingerprint
from lab.gate import CONFIG_FILE, WEIGHTS_FILE
from lab.ledger import Ledger, Record, noise_of, open_candidate
from lab.verdict import Noise, Rule
from lab.workspace import Workspace

LOCK_FILE = "lock"
FACTS_FILE = "campaign.json"
LEDGER_FILE = "ledger.jsonl"
SCHEMA = 2
LOOK_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What every score of a campaign was measured with. The ledger's chain begins at its sha256."""

    schema: int
    tag: str
    created_at: str  # UTC, ISO 8601
    profile: str
    agent: str
    seed: int
    noise_runs: int
    rule: Rule
    prior_noise: Noise | None  # measured on this host by `lab noise`; None when it never was
    image_id: str
    variant: str
    kernels: str
    harness_sha256: str
    data_sha256: str  # of the data's manifest
    train_sha256: str  # of the seed train.py
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Pending:
    """A proposal that is on disk and not in the ledger: it is run, or run again, next."""

    number: int
    kind: str
    proposal: Proposal
    repeats: int | None
    agent_s: float
    original: int | None = (
        None  # the experiment whose code it runs again, for "confirm" and "audit"
    )
    parent: str | None = None  # the commit that it changes; None is the best


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A proposal that was made while another experiment ran, on top of what was best then."""

    proposal: Proposal
    base: str  # commit of what it changes
    on_best: bool  # which was the best there was; else it was chosen for itself
    file: str | None  # in ahead/; None when it was not made ahead


_AHEAD = TypeAdapter(Ahead)
_FACTS = TypeAdapter(Facts)
_PENDING = TypeAdapter(Pending)


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
        return self.folder / "experiments" / f"{number:04d}"

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
        path = self.folder_of(number) / "proposal.json"
        try:
            return _PENDING.validate_json(path.read_bytes())
        except (OSError, ValidationError):  # never written, or torn by the same power cut
            return None

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
        """What an earlier night had ready, oldest first."""
        found = []
        pending = self.pending()
        for path in sorted((self.folder / "ahead").glob("*.json")):
            try:
                ahead = _AHEAD.validate_json(path.read_bytes())
            except (OSError, ValidationError):
                continue
            # Killed between the two writes of taking it: it is the next to be run already.
            if pending is None or pending.proposal.title != ahead.proposal.title:
                found.append(ahead)
        return found

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
        if best is None:
            return
        if self.workspace.head() != best.commit:
            self.workspace.advance(best.commit)
        record = self.ledger.records[best.number - 1]
        if self._published() != best.number:
            self._publish(record)
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
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        path = folder / FACTS_FILE
        if not path.exists():
            if (folder / LEDGER_FILE).exists():
                raise CampaignError(
                    f"{folder} has a ledger and no {FACTS_FILE}.",
                    why="without it nobody can say what its scores were measured with.",
                    do=f"restore {FACTS_FILE} from a copy, or start a new TAG; nothing was written.",
                )
            _write(path, _json(_to_json(facts)))
        content = path.read_bytes()
        stored = _read_facts(path, content)
        _compare(stored, facts)
        ledger = Ledger.open(folder / LEDGER_FILE, anchor=hashlib.sha256(content).hexdigest())
        workspace = Workspace.open(folder / "repo", tag=facts.tag, seed=seed_train_py)
        try:
            yield Campaign(folder, stored, ledger, workspace)
        finally:
            workspace.close()


def is_running(folder: Path) -> bool:
    """Whether a controller holds this campaign now."""
    try:
        with (folder / LOCK_FILE).open("rb") as lock:
            # Shared: two who look at the same moment must not take each other for a controller.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def new_tag(runs: Path, today: datetime) -> str:
    """A tag that is not taken: nov23, nov23-2, ..."""
    stem = today.strftime("%b%d").lower()
    tag, count = stem, 1
    while (runs / tag).exists():
        count += 1
        tag = f"{stem}-{count}"
    return tag


def find_campaign(runs: Path, tag: str | None) -> Path:
    """The folder of a campaign: the one named, else the one that was written to last.

    Raises:
        BadInput: there is none.
    """
    if tag is not None and (runs / tag / FACTS_FILE).exists():
        return runs / tag
    found = sorted(
        (path.parent for path in runs.glob(f"*/{FACTS_FILE}")),
        key=lambda folder: max(f.stat().st_mtime for f in folder.iterdir()),
    )
    if tag is None and found:
        return found[-1]
    names = ", ".join(folder.name for folder in found) or "none yet"
    raise BadInput(
        f"there is no campaign {tag}." if tag else "there is no campaign yet.",
        why=f"campaigns in {runs}: {names}.",
        do="name one of them with TAG=, or start one with `make overnight`.",
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the campaign. The kernel lets go when the process ends, however it ends."""
    with (folder / LOCK_FILE).open("ab") as lock:
        try:
            _lock(lock)
        except BlockingIOError as error:
            raise CampaignBusy(
                f"another controller is working on the campaign {folder.name}.",
                why=f"it holds {folder / LOCK_FILE}.",
                do="wait for it, stop it, or choose another TAG; nothing was changed.",
            ) from error
        yield


def _lock(lock: BinaryIO) -> None:
    """Take the lock; somebody who only looks (`is_running`) has it for microseconds, and is waited for."""
    deadline = time.monotonic() + LOOK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _compare(stored: Facts, now: Facts) -> None:
    """Refuse to mix scores that do not compare."""
    differences = [
        f"{name} was {old}, now {new}"
        for name, old, new in (
            ("profile", stored.profile, now.profile),
            ("image", stored.image_id[:19], now.image_id[:19]),
            ("harness", stored.harness_sha256[:12], now.harness_sha256[:12]),
            ("data", stored.data_sha256[:12], now.data_sha256[:12]),
            ("hardware", stored.fingerprint.class_id, now.fingerprint.class_id),
        )
        if old != new
    ]
    if differences:
        raise CampaignError(
            f"the campaign {stored.tag} cannot be resumed here.",
            why="its scores would not compare: " + "; ".join(differences) + ".",
            do="start a new TAG, or restore what changed; nothing was written.",
        )


def _read_facts(path: Path, content: bytes) -> Facts:
    try:
        fields = json.loads(content)
        if fields["schema"] != SCHEMA:
            raise CampaignError(
                f"the campaign in {path.parent} was made by another version of the lab.",
                why=f"its facts have schema {fields['schema']}, this version writes {SCHEMA}.",
                do="go on with the version that made it, or start a new TAG; nothing was written.",
            )
        fields["fingerprint"]["comparable"] = fields["fingerprint"].pop("class")
        return _FACTS.validate_python(fields)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise CampaignError(
            f"{path} was altered.",
            why=str(error).splitlines()[0],
            do="restore the file from a copy, or start a new TAG; nothing was written.",
        ) from error


def _to_json(facts: Facts) -> dict[str, Any]:
    fields = dataclasses.asdict(facts)
    fields["fingerprint"]["class"] = fields["fingerprint"].pop("comparable")
    return fields


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
