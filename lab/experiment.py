"""One experiment, from a proposal on disk to a record in the ledger, and the branch moved after it.

Owns    the order of writes that makes a night survive anything
Takes   a Pending proposal, an open night
Gives   a Record, already on disk and acted on
Never   chooses what to try
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.campaign import Campaign, Pending
from lab.contract import ContractBroken, check
from lab.interrupts import Interrupts
from lab.ledger import Record
from lab.night import Night
from lab.outcome import Status
from lab.show.results import write_results
from lab.show.screen import Screen
from lab.trial import Trial, reject, run_trial
from lab.verdict import Verdict, accept_baseline, decide, refuse
from lab.workspace import Candidate


@dataclass(frozen=True, slots=True)
class Follower:
    """The Watch of one experiment: what happens goes to the screen, what the user wants comes back."""

    screen: Screen
    interrupts: Interrupts
    pending: Pending

    def phase(self, name: str, *, cap_s: float) -> None:
        self.interrupts.check()
        number, title = self.pending.number, self.pending.proposal.title
        self.screen.phase(name, cap_s=cap_s, experiment=number, title=title)

    def advance(
        self,
        *,
        fraction: float | None = None,
        loss: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        self.interrupts.check()
        self.screen.advance(fraction=fraction, loss=loss, tokens_per_s=tokens_per_s)


def run_experiment(night: Night, pending: Pending) -> Record:
    """Try one idea and write down what came of it.

    Raises:
        StopNow: stopped at once; the proposal stays on disk for the next start.
        CampaignError: the record could not be written.
    """
    campaign = night.campaign
    night.screen.event(
        "experiment.proposed",
        experiment=pending.number,
        title=pending.proposal.title,
        hypothesis=pending.proposal.hypothesis,
        agent=pending.proposal.agent,
        repeats=pending.repeats,
    )
    began, engine_before = time.monotonic(), night.bench.engine.seconds
    started_at = _now()
    candidate: Candidate | None = None
    try:
        check(pending.proposal.train_py)
        candidate = _commit(campaign, pending)
        trial = _run(night, pending)
    except ContractBroken as broken:
        trial = reject(broken.reason)
    verdict = _decide(campaign, pending, trial)
    controller_s = (
        time.monotonic() - began - trial.total_s + night.bench.engine.seconds - engine_before
    )
    record = Record(
        number=pending.number,
        kind=pending.kind,
        title=pending.proposal.title,
        hypothesis=pending.proposal.hypothesis,
        agent=pending.proposal.agent,
        facts=pending.proposal.facts,
        cost_usd=pending.proposal.cost_usd,
        agent_tokens=pending.proposal.tokens,
        repeats=pending.repeats,
        parent=candidate.parent if candidate else None,
        commit=candidate.commit if candidate else None,
        lines_added=candidate.lines_added if candidate else None,
        lines_removed=candidate.lines_removed if candidate else None,
        program_sha256=hashlib.sha256(night.program.encode()).hexdigest(),
        started_at=started_at,
        finished_at=_now(),
        agent_s=pending.agent_s,
        controller_s=controller_s,
        trial=trial,
        verdict=verdict,
    )
    # The record goes first. If the power fails between these lines, the next start reads the verdict and
    # moves the branch; the other way round, the branch would have moved and nobody could say why.
    campaign.ledger.append(record)
    campaign.settle()
    _show(night, record)
    return record


def conclude(night: Night) -> None:
    """Leave the derived files as the ledger is."""
    write_results(night.campaign.folder, night.campaign.ledger.records)
    night.plotter.close()


def _commit(campaign: Campaign, pending: Pending) -> Candidate:
    best = campaign.ledger.best()
    proposal = pending.proposal
    candidate = campaign.workspace.commit(
        proposal.train_py,
        number=pending.number,
        parent=best.commit if best else campaign.workspace.root(),
        message=f"{pending.number:04d} {proposal.title}\n\n{proposal.hypothesis}\n",
    )
    folder = campaign.folder_of(pending.number)
    train_file = folder / "train.py"
    train_file.write_text(proposal.train_py, encoding="utf-8")
    train_file.chmod(0o644)  # the container's user is another one
    (folder / "change.diff").write_text(candidate.diff, encoding="utf-8")
    return candidate


def _run(night: Night, pending: Pending) -> Trial:
    return run_trial(
        night.bench,
        night.campaign.folder_of(pending.number),
        number=pending.number,
        seed=night.campaign.facts.seed + pending.number - 1,
        watch=Follower(night.screen, night.interrupts, pending),
    )


def _decide(campaign: Campaign, pending: Pending, trial: Trial) -> Verdict:
    best, noise = campaign.ledger.best(), campaign.ledger.noise()
    if trial.status is not Status.MEASURED or trial.val_bpb is None:
        return refuse(
            f"{trial.status.value}: {trial.reason}", best_bpb=best.val_bpb if best else None
        )
    if pending.kind == "baseline":
        return accept_baseline(trial.val_bpb)
    if best is None or noise is None:
        return refuse("there is no baseline to compare it with", best_bpb=None)
    return decide(
        val_bpb=trial.val_bpb,
        best_bpb=best.val_bpb,
        noise=noise,
        margin_sd=campaign.facts.noise_margin_sd,
    )


def _show(night: Night, record: Record) -> None:
    write_results(night.campaign.folder, night.campaign.ledger.records)
    night.screen.event(
        "experiment.finished",
        experiment=record.number,
        kind=record.kind,
        status=record.trial.status.value,
        kept=record.verdict.keep,
        val_bpb=record.trial.val_bpb,
        gain_bpb=record.verdict.gain_bpb,
        total_s=record.trial.total_s,
        title=record.title,
        reason=record.trial.reason or record.verdict.sentence,
    )
    night.show_standing()
    if record.verdict.keep:
        night.plotter.redraw()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
