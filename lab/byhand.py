"""One train.py, run by hand: the same container, gate, judge and record as in a night, and no decision."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from lab.agents import Proposal
from lab.campaign import Pending
from lab.experiment import conclude, run_experiment
from lab.host import Say
from lab.ledger import Record
from lab.night import open_night, read_text
from lab.settings import Settings

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
        number = len(campaign.ledger.records) + 1
        record = run_experiment(
            night,
            campaign.store_pending(
                Pending(number, "candidate", proposal, repeats=None, agent_s=0.0)
            ),
        )
        conclude(night)
        night.screen.say(f"its log and checkpoint: {campaign.folder_of(number)}")
    return record
