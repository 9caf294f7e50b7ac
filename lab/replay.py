"""`lab replay`: run another lab's claim here, and say whether its gain is here too.

Owns    the order: check the bundle, see that this checkout can, run, judge, write down
Takes   a bundle
Gives   a Replay: the verdict, its record in replay.json, and a paragraph to paste
Never   runs a line of a bundle before its records were checked, or compares scores across classes

A replay is a campaign like any other: a kill loses nothing, and the same command goes on. Its experiments are the
sender's baseline (another class) and the sender's train.py, in turns, with seeds that the sender has not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.manifest import manifest_sha256
from harness.profiles import PROFILES
from lab.agenda import spoilt
from lab.agents import Proposal
from lab.campaign import LEDGER_FILE
from lab.claim import Claim, claim_of
from lab.errors import BadInput
from lab.experiment import conclude, run_experiment
from lab.facts import FACTS_FILE, read_facts
from lab.gitbundle import open_git_bundle
from lab.host import Say
from lab.ledger import BASELINE, REPLAY, Ledger, Record, replays_of, scores_of
from lab.night import Night, open_night
from lab.outcome import Status, StopNow
from lab.overnight import mend_the_host, refuse_a_full_disk, wait_for_the_card
from lab.received import received
from lab.reproduction import (
    CANNOT_TELL,
    NOT_REPRODUCED,
    REPRODUCED,
    Reproduction,
    Runs,
    judge_gain,
    judge_scores,
    noise_within,
    not_judged,
)
from lab.settings import CHECKOUT, Settings
from lab.show.replayed import Replay, write_replay
from lab.show.words import one_line
from lab.verdict import Noise
from lab.waiting import Pending

AGENT = REPLAY  # by which `is_replay` of lab/show/folder.py knows such a campaign
MOST_FAILED = 2  # runs of one file; a second one without a score is no accident
EXIT_CODES = {REPRODUCED: 0, NOT_REPRODUCED: 20, CANNOT_TELL: 21}
SEEDS = 2**30  # fresh ones are drawn under this


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What is needed of a bundle: the claim, and the code that it is about."""

    claim: Claim
    baseline_py: str
    train_py: str
    sha256: str  # of the bundle
    ledger_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many measured runs a verdict rests on."""

    baseline: int
    best: int


def replay(
    settings: Settings, file: Path, *, experiment: int | None, runs: int, say: Say
) -> Replay:
    """Run experiment `experiment` of a bundle (None: its best) here, and judge its gain.

    Raises:
        BadInput: the bundle claims nothing of that experiment, or was made by another harness.
        LabError: it is no bundle, it failed its checks, or the lab could not run it.
    """
    sent = _receive(file, experiment)
    claim = sent.claim
    _refuse_another_harness(claim)
    say(
        f"experiment {claim.number} of {one_line(claim.facts.tag, 60)} claims a gain of "
        f"{claim.runs.gain_bpb:.4f}: {one_line(claim.title, 80)}"
    )
    with _seed_file(sent.baseline_py) as seed_file:
        chosen = settings.model_copy(
            update={
                "tag": tag_of(sent),
                "profile": claim.facts.profile,
                # The sender's kernels, so that the attention is the same.
                "kernels": claim.facts.kernels,
                "variant": claim.facts.variant,
                "train_file": seed_file,
                "noise_runs": max(2, runs),
                "seed": _fresh_seed(claim.seeds, runs),
                "hours": None,
            }
        )
        with open_night(chosen, tag=tag_of(sent), agent=AGENT, say=say) as night:
            return _replay_in(night, sent, runs)


def tag_of(sent: Sent) -> str:
    """The campaign's name: the same for the same claim, so that the same command goes on."""
    sender = re.sub(r"[^a-z0-9-]", "-", sent.claim.facts.tag.lower())[:16]
    return f"replay-{sender}-{sent.claim.number}-{sent.ledger_sha256[:8]}"


def _receive(file: Path, experiment: int | None) -> Sent:
    """Take from a bundle what a replay needs; only one that passes levels 0 and 1 is looked at."""
    with received(file) as payload, tempfile.TemporaryDirectory() as scratch:
        facts_file, ledger_file = payload / FACTS_FILE, payload / LEDGER_FILE
        content = facts_file.read_bytes()
        ledger = Ledger.open(ledger_file, anchor=hashlib.sha256(content).hexdigest())
        claim = claim_of(read_facts(facts_file, content), ledger.records, experiment)
        workspace = open_git_bundle(payload / "repo.bundle", Path(scratch) / "repo")
        try:
            baseline_py = workspace.read(claim.baseline_commit)
            train_py = workspace.read(claim.commit)
        finally:
            workspace.close()
        return Sent(
            claim=claim,
            baseline_py=baseline_py,
            train_py=train_py,
            sha256=_sha256_of(file),
            ledger_sha256=_sha256_of(ledger_file),
        )


def _refuse_another_harness(claim: Claim) -> None:
    """Another harness is another judge and another clock: nothing would compare, not even gains."""
    facts = claim.facts
    for what, value, known in (
        ("profile", facts.profile, PROFILES),
        ("image variant", facts.variant, ("cpu", "cuda")),
        ("set of kernels", facts.kernels, ("hub", "none")),
    ):
        if value not in known:
            raise BadInput(
                f"this checkout has no {what} {one_line(value, 40)}.",
                do="check out the version that made the bundle; nothing was run.",
            )
    here, theirs = manifest_sha256(CHECKOUT / "harness"), facts.harness_sha256
    if here != theirs:
        raise BadInput(
            "the bundle was made by another version of the harness.",
            why=f"its harness is {theirs[:12]}, that of this checkout {here[:12]}.",
            do="check out the version that made it (its recipe/ holds harness/), and start again; "
            "nothing was run.",
        )


def _replay_in(night: Night, sent: Sent, runs: int) -> Replay:
    campaign, claim = night.campaign, sent.claim
    same_class = compares(night, claim)
    wanted = Wanted(baseline=0 if same_class else runs, best=runs)
    night.screen.event(
        "replay.started",
        tag=claim.facts.tag,
        experiment=claim.number,
        same_class=same_class,
        resumed_after=len(campaign.ledger.records),
    )
    night.show_standing()
    night.bench.engine.reap(campaign=campaign.facts.tag)
    campaign.settle()
    try:
        why = _run(night, sent, wanted)
    finally:
        conclude(night)
    found = judge(
        campaign.ledger.records,
        claim,
        wanted,
        same_class=same_class,
        prior=campaign.facts.prior_noise,
        why=why,
    )
    night.screen.event("replay.finished", outcome=found.outcome, reason=found.sentence)
    return write_replay(
        campaign.folder,
        found,
        claim,
        bundle_sha256=sent.sha256,
        facts=campaign.facts,
        records=campaign.ledger.records,
    )


def compares(night: Night, claim: Claim) -> bool:
    """Whether a score here may be held against the sender's: one class of hardware, and the same text."""
    here = night.campaign.facts
    same_text = here.data_sha256 == claim.facts.data_sha256
    return same_text and here.fingerprint.class_id == claim.facts.fingerprint.class_id


def _run(night: Night, sent: Sent, wanted: Wanted) -> str | None:
    """Run what is wanted; why it ended before that, or None."""
    try:
        while (pending := _next(night, sent, wanted)) is not None:
            if why := night.interrupts.why_stop():
                return why
            refuse_a_full_disk(night)
            if not wait_for_the_card(night):
                return night.interrupts.why_stop() or "the GPU is still in use"
            mend_the_host(night, run_experiment(night, pending))
    except StopNow:
        return "you asked to stop at once"
    return None


def _next(night: Night, sent: Sent, wanted: Wanted) -> Pending | None:
    """What to run next: what was interrupted, what was spoilt, then baseline and best in turns."""
    campaign = night.campaign
    records = campaign.ledger.records
    baselines, replays = campaign.ledger.baselines(), replays_of(records)
    if pending := campaign.pending():
        return pending
    if again := spoilt(campaign):
        return campaign.store_pending(again)
    if why_failed(records) is not None:
        return None
    # In turns, so that a host that slows down during the replay slows both.
    if len(baselines) < wanted.baseline and len(baselines) <= len(replays):
        title = f"the sender's baseline, run {len(baselines) + 1} of {wanted.baseline}"
        return _store(night, BASELINE, title, sent.baseline_py, "The start of the sender's gain.")
    if len(replays) < wanted.best:
        title = f"run {len(replays) + 1} of {wanted.best}: {sent.claim.title}"
        why = (
            f"Experiment {sent.claim.number} of another lab gained {sent.claim.runs.gain_bpb:.4f}."
        )
        return _store(night, REPLAY, title, sent.train_py, why)
    return None


def _store(night: Night, kind: str, title: str, train_py: str, hypothesis: str) -> Pending:
    proposal = Proposal(title=title, hypothesis=hypothesis, train_py=train_py, agent=AGENT)
    number = len(night.campaign.ledger.records) + 1
    return night.campaign.store_pending(Pending(number, kind, proposal, repeats=None, agent_s=0.0))


def why_failed(records: Sequence[Record]) -> Record | None:
    """The run after which no more of its file are made: two without a score, or one that failed its audit."""
    failed: dict[str, int] = {}
    for record in records:
        status = record.trial.status
        if record.kind in (BASELINE, REPLAY) and status.says_something and not record.trial.val:
            failed[record.kind] = failed.get(record.kind, 0) + 1
            if failed[record.kind] >= MOST_FAILED or status is Status.INVALID:
                return record
    return None


def judge(
    records: Sequence[Record],
    claim: Claim,
    wanted: Wanted,
    *,
    same_class: bool,
    prior: Noise | None,
    why: str | None,
) -> Reproduction:
    """The verdict on what was run; none before all wanted runs are made, so that nobody stops when it suits.

    `prior` is what `lab noise` knows of this host; `why` is why the runs ended early.
    """
    baseline = scores_of([r for r in records if r.kind == BASELINE])
    best = scores_of(replays_of(records))
    if (last := why_failed(records)) is not None:
        what = "the sender's baseline" if last.kind == BASELINE else "the experiment"
        how = last.trial.status.value.replace("_", " ")
        audited = last.trial.status is Status.INVALID
        return not_judged(
            claim.runs,
            f"{what} has no score here, experiment {last.number} is {how} "
            f"({one_line(last.trial.reason, 160)})",
            same_class=same_class,
            # That a model does not fit another card, or is too slow for it, says nothing against its gain.
            # Nor does a card that gets too warm.
            failed=last.kind == REPLAY
            and (same_class or audited)
            and last.trial.status is not Status.THROTTLED,
        )
    if len(best) < wanted.best or len(baseline) < wanted.baseline:
        done = f"{len(best)} of {wanted.best} runs are made"
        return not_judged(
            claim.runs,
            f"{done}, and the same command goes on ({why or 'the last run was lost'})",
            same_class=same_class,
        )
    if same_class:
        return judge_scores(claim.runs, best)
    noise = noise_within([baseline, best], prior)
    return judge_gain(claim.runs, Runs(baseline=tuple(baseline), best=tuple(best), noise=noise))


def _fresh_seed(used: frozenset[int], runs: int) -> int:
    """A first seed that nobody could have known when the bundle was made, and that leads to no used one."""
    while True:
        seed = secrets.randbelow(SEEDS)
        if not any(seed <= each <= seed + 100 * runs for each in used):
            return seed


@contextlib.contextmanager
def _seed_file(train_py: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.py"
        path.write_text(train_py, encoding="utf-8")
        yield path


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
