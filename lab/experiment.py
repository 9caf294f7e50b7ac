"""One experiment, from a proposal on disk to a record in the ledger, and the branch moved after it.

Owns    the order of writes that makes a night survive anything
Takes   a Pending proposal, an open night
Gives   a Record, already on disk and acted on
Never   chooses what to try

What a score leads to is asked of lab/weighing.py: before the audit, and after it.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from harness.findings import Plan, Score
from lab.campaign import Campaign
from lab.contract import ContractBroken, check
from lab.gate import Training
from lab.glimpse import Glimpse
from lab.interrupts import Interrupts
from lab.ledger import AUDIT, Record
from lab.lines import count_code_lines
from lab.night import Night
from lab.outcome import Status
from lab.show.results import write_results
from lab.show.screen import Screen
from lab.show.words import ending, name_of
from lab.trial import Bench, Trial, reject, run_trial
from lab.verdict import Verdict
from lab.waiting import Pending
from lab.weighing import Case, decide, doubt
from lab.workspace import Candidate

# Of the slowest baseline's time from container to score; a model that is worth its budget is not so much dearer.
EVALUATION_TIMES = 3.0
EVALUATION_SLACK_S = 10.0


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

    def running(self, glimpse: Glimpse) -> None:
        self.screen.running(glimpse)


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
        kind=pending.kind,
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
        original=pending.original,
        parent=candidate.parent if candidate else None,
        commit=candidate.commit if candidate else None,
        lines_added=candidate.lines_added if candidate else None,
        lines_removed=candidate.lines_removed if candidate else None,
        net_lines=_net_lines(campaign, pending) if candidate else None,
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
    proposal = pending.proposal
    folder = campaign.folder_of(pending.number)
    train_file = folder / "train.py"
    train_file.write_text(proposal.train_py, encoding="utf-8")
    train_file.chmod(0o644)  # the container's user is another one
    if pending.original is not None:
        return _committed(campaign, pending.original)
    best = campaign.ledger.best()
    head = best.commit if best else campaign.workspace.root()
    candidate = campaign.workspace.commit(
        proposal.train_py,
        number=pending.number,
        parent=pending.parent or head,
        message=f"{pending.number:04d} {proposal.title}\n\n{proposal.hypothesis}\n",
    )
    (folder / "change.diff").write_text(candidate.diff, encoding="utf-8")
    return candidate


def _committed(campaign: Campaign, number: int) -> Candidate:
    """The commit of an experiment that is run again."""
    original = campaign.ledger.records[number - 1]
    assert original.commit is not None, "only what became code is run again"
    return Candidate(
        number=number,
        commit=original.commit,
        parent=original.parent or "",
        lines_added=original.lines_added or 0,
        lines_removed=original.lines_removed or 0,
        diff="",
    )


def _run(night: Night, pending: Pending) -> Trial:
    campaign = night.campaign
    seed, sealed = campaign.facts.seed + pending.number - 1, None
    if pending.kind == AUDIT and pending.original is not None:
        original = campaign.ledger.records[pending.original - 1]
        seed = original.trial.seed if original.trial.seed is not None else seed
        if campaign.restore_checkpoint(original.number, campaign.folder_of(pending.number)):
            sealed = original.trial.training
    trial = run_trial(
        _bench(night),
        campaign.folder_of(pending.number),
        number=pending.number,
        seed=seed,
        watch=Follower(night.screen, night.interrupts, pending),
        doubt=lambda score, training: _doubt(campaign, pending, score, training),
        sealed=sealed,
    )
    return _final(campaign, pending, trial)


def _final(campaign: Campaign, pending: Pending, trial: Trial) -> Trial:
    """What is throttled twice in a row is given up: a card that is always warm must not hold the night.

    It may be the idea that heats it. So it counts as tried and the agent hears of it, but nobody judges it.
    """
    if trial.status is not Status.CONDITIONS or pending.repeats is None:
        return trial
    if campaign.ledger.records[pending.repeats - 1].trial.status is not Status.CONDITIONS:
        return trial
    reason = f"twice in a row, so it was not judged: {trial.reason}"
    return replace(trial, status=Status.THROTTLED, reason=reason)


def _bench(night: Night) -> Bench:
    """The bench, with as much time for the judging as the baseline's suggests.

    What a model container computes before it answers is time that training did not pay for.
    """
    taken = [r.trial.evaluation_s for r in night.campaign.ledger.baselines()]
    known = [seconds for seconds in taken if seconds is not None]
    if not known:
        return night.bench
    profile = night.bench.profile
    most = EVALUATION_TIMES * max(known) + EVALUATION_SLACK_S
    return replace(
        night.bench,
        profile=replace(
            profile,
            load_cap_s=min(profile.load_cap_s, most),
            evaluation_cap_s=min(profile.evaluation_cap_s, most),
        ),
    )


def _doubt(campaign: Campaign, pending: Pending, score: Score, training: Training) -> Plan | None:
    return doubt(_case(campaign, pending, became_code=True), score.bpb, training)


def _decide(campaign: Campaign, pending: Pending, trial: Trial) -> Verdict:
    became_code = trial.status is not Status.REJECTED
    return decide(_case(campaign, pending, became_code=became_code), trial)


def _case(campaign: Campaign, pending: Pending, *, became_code: bool) -> Case:
    """What the rule looks at; what was rejected may not even parse, so nobody counts its lines."""
    return Case(
        past=campaign.ledger.records,
        rule=campaign.facts.rule,
        prior=campaign.facts.prior_noise,
        kind=pending.kind,
        original=pending.original,
        net_lines=_net_lines(campaign, pending) if became_code else None,
    )


def _net_lines(campaign: Campaign, pending: Pending) -> int:
    """Lines of code added minus removed, against the best."""
    best = campaign.ledger.best()
    before = campaign.workspace.read(best.commit if best else campaign.workspace.root())
    return count_code_lines(pending.proposal.train_py) - count_code_lines(before)


def _show(night: Night, record: Record) -> None:
    write_results(night.campaign.folder, night.campaign.ledger.records)
    night.screen.event(
        "experiment.finished",
        experiment=record.number,
        kind=record.kind,
        status=record.trial.status.value,
        ending=ending(record),
        audited=record.trial.audit is not None,
        val_bpb=record.trial.val_bpb,
        gain_bpb=record.verdict.gain_bpb,
        total_s=record.trial.total_s,
        title=name_of(record),
        reason=record.trial.reason or record.verdict.sentence,
    )
    night.show_standing()
    if record.verdict.keep:
        night.plotter.redraw()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
