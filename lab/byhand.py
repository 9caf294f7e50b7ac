"""What a person asks for by hand: one train.py, one audit, the noise of one file.

The same container, gate, judge and record as in a night.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from lab.agents import Proposal
from lab.campaign import Campaign
from lab.errors import BadInput
from lab.experiment import conclude, run_experiment
from lab.facts import FACTS_FILE
from lab.host import Say
from lab.ledger import AUDIT, CANDIDATE, Record, scores_of
from lab.night import open_night, read_text
from lab.noise import store_noise
from lab.overnight import overnight
from lab.runs import find_campaign
from lab.settings import Settings
from lab.verdict import pool_noise, sd_interval
from lab.waiting import Pending

AGENT = "by hand"


def run_by_hand(settings: Settings, file: Path, say: Say) -> Record:
    """Run `file` once in a campaign of its own, or as a candidate of the campaign that TAG names.

    Raises:
        LabError: the lab could not run it. A train.py that fails is a Record like any other.
    """
    train_py = read_text(file, "the train.py to run")
    tag = settings.tag or f"by-hand-{datetime.now().astimezone():%m%d-%H%M%S}"
    with open_night(settings, tag=tag, agent=AGENT, say=say) as night:
        proposal = Proposal(
            title=file.name, hypothesis="Run by hand.", train_py=train_py, agent=AGENT
        )
        campaign = night.campaign
        campaign.refuse_while_undecided()
        number = len(campaign.ledger.records) + 1
        record = run_experiment(
            night,
            campaign.store_pending(Pending(number, CANDIDATE, proposal, repeats=None, agent_s=0.0)),
        )
        conclude(night)
        night.screen.say(f"its log and checkpoint: {campaign.folder_of(number)}")
    return record


def audit_by_hand(settings: Settings, number: int | None, say: Say) -> Record:
    """Audit an experiment of a campaign, whatever became of it; the best one if none is named.

    The best one's own weights are audited. Those of any other are gone: it is trained again with the seed
    that it had.

    Raises:
        LabError: there is no such experiment, or the lab could not run it.
    """
    folder = find_campaign(settings.runs, settings.tag)
    profile = json.loads((folder / FACTS_FILE).read_bytes())["profile"]
    settings = settings.model_copy(update={"profile": profile})
    with open_night(settings, tag=folder.name, agent=AGENT, say=say) as night:
        campaign = night.campaign
        wanted = _number_of_the_best(campaign) if number is None else number
        original = _experiment(campaign.ledger.records, wanted)
        campaign.refuse_while_undecided()
        pending = campaign.run_again(original, kind=AUDIT)
        record = run_experiment(night, campaign.store_pending(pending))
        conclude(night)
        for line in describe_audit(record, original):
            night.screen.say(line)
    return record


def describe_audit(record: Record, original: Record) -> list[str]:
    """What an audit came to, in lines for a person."""
    found = record.trial.audit
    if found is None:
        return [f"it could not be audited: {record.trial.reason}"]
    lines = [f"audit of {original.number}: {'passed' if found.passed else 'FAILED'}"]
    if not found.passed:
        lines.append(record.trial.reason)
    was = original.trial.val_bpb
    lines.append(
        f"claimed {found.claimed_bpb:.6f} now"
        + (f", {was:.6f} on record" if was is not None else "")
        + f"; {found.blind_bpb:.6f} without the answers"
    )
    lines.append(
        f"{found.points} blind points: {found.mismatches} off by more than {found.tolerance_nats:.1e} nats; "
        f"worst {found.worst_difference_nats:.1e}, mean {found.mean_difference_nats:+.1e}"
    )
    lines.append(
        f"{found.order_rows} rows in another order: {found.order_mismatches} tokens off; "
        f"worst {found.order_worst_nats:.1e}"
    )
    lines.append(
        f"a cheat on 0.05 % of the tokens would have been caught with p = {found.power:.4f}"
    )
    return lines


def measure_noise(settings: Settings, file: Path, runs: int, say: Say) -> None:
    """Run `file` several times with different seeds; print its noise and leave it for later campaigns.

    Raises:
        LabError: it could not be measured.
    """
    tag = settings.tag or f"noise-{datetime.now().astimezone():%m%d-%H%M%S}"
    night = overnight(
        settings.model_copy(
            update={
                "tag": tag,
                "agent": "offline",  # nothing is proposed
                "train_file": file,
                "noise_runs": runs,
                "experiments": 0,
                "hours": None,
            }
        ),
        say,
    )
    scores = scores_of(night.campaign.ledger.baselines())
    noise = pool_noise([scores])
    if noise is None or len(scores) < runs:
        say(f"{len(scores)} of {runs} runs are done; the same TAG={tag} goes on")
        return
    low, high = sd_interval(noise)
    path = store_noise(settings.state, night.bench.class_id, noise, tag=tag)
    say(f"noise of {file}: sd {noise.sd_bpb:.5f}, {low:.5f} to {high:.5f} with 95 % confidence")
    say(f"mean {sum(scores) / len(scores):.5f} over {len(scores)} runs, seeds alone differ")
    say(f"later campaigns on this hardware, image and profile begin with it: {path}")


def _number_of_the_best(campaign: Campaign) -> int:
    best = campaign.ledger.best()
    if best is None:
        raise BadInput("the campaign has no best experiment yet.", do="name the one to audit.")
    return best.number


def _experiment(records: list[Record], number: int) -> Record:
    if not 1 <= number <= len(records):
        raise BadInput(f"there is no experiment {number}.", why=f"the campaign has {len(records)}.")
    record = records[number - 1]
    if record.commit is None:
        raise BadInput(
            f"experiment {number} never became code.", why=record.trial.reason or "it was rejected."
        )
    return record
