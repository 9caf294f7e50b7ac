"""One train.py, run by hand: the same container, gate, judge and record as in a night, and no decision."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from lab.agents import Proposal
from lab.campaign import Pending, open_campaign
from lab.experiment import Night, conclude, run_experiment
from lab.host import Say
from lab.interrupts import Interrupts
from lab.ledger import Record
from lab.overnight import describe_campaign, read_text
from lab.settings import Settings
from lab.setup import set_up
from lab.show.progress import Plotter
from lab.show.screen import open_screen

AGENT = "by hand"


def run_by_hand(settings: Settings, file: Path, say: Say) -> Record:
    """Run `file` once in a campaign of its own, or as a candidate of the campaign that TAG names.

    Raises:
        LabError: the lab could not run it. A train.py that fails is a Record like any other.
    """
    train_py = read_text(file, "the train.py to run")
    program = read_text(settings.program, "the research brief")
    seed_train_py = read_text(settings.train_file, "the seed train.py")
    tag = settings.tag or f"by-hand-{datetime.now().astimezone():%m%d-%H%M%S}"
    with (
        set_up(settings, campaign=tag, say=say) as ready,
        open_campaign(
            settings.runs,
            describe_campaign(settings, ready, tag=tag, agent=AGENT, seed_train_py=seed_train_py),
            seed_train_py=seed_train_py,
        ) as campaign,
        Interrupts(campaign.folder) as interrupts,
        open_screen(campaign.folder / "events.jsonl") as screen,
    ):
        night = Night(
            settings=settings,
            bench=ready.bench,
            campaign=campaign,
            program=program,
            screen=screen,
            interrupts=interrupts,
            plotter=Plotter(campaign.folder),
        )
        proposal = Proposal(
            title=file.name, hypothesis="Run by hand.", train_py=train_py, agent=AGENT
        )
        number = len(campaign.ledger.records) + 1
        record = run_experiment(
            night,
            campaign.store_pending(
                Pending(number, "candidate", proposal, repeats=None, agent_s=0.0)
            ),
        )
        conclude(night)
        screen.say(f"its log and checkpoint: {campaign.folder_of(number)}")
    return record
