"""Everything that is open while a campaign runs, opened in order and closed on every path.

Owns    what a night holds, and what its campaign is said to be
Takes   the settings
Gives   an open Night
Never   runs an experiment
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from lab.agents import Proposal
from lab.bulletin import Bulletin
from lab.campaign import Campaign, open_campaign
from lab.errors import BadInput
from lab.facts import SCHEMA, Facts
from lab.host import Say
from lab.interrupts import Interrupts
from lab.ledger import BASELINE
from lab.noise import read_noise
from lab.report.drawing import Plotter
from lab.settings import CHECKOUT, Settings
from lab.setup import Ready, set_up
from lab.show.screen import Screen, open_screen
from lab.show.view import standing_of
from lab.trial import Bench
from lab.verdict import Rule
from lab.waiting import Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """Everything that is open while a campaign runs."""

    settings: Settings
    bench: Bench
    campaign: Campaign
    program: str
    contract: str  # of train.py, for the agent to read
    prepare_py: str  # what train.py may call
    screen: Screen
    interrupts: Interrupts
    plotter: Plotter
    deadline: float | None = None  # host monotonic clock
    planned: int | None = None  # candidates tried when a limit by count is reached

    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def why_end(self) -> str | None:
        """Why nothing more should be proposed; None to go on."""
        if why := self.interrupts.why_stop():
            return why
        return "the time is up" if self.seconds_left() == 0.0 else None

    def hardware(self) -> str:
        traits = self.campaign.facts.fingerprint.comparable
        return str(traits.get("gpu") or traits.get("cpu") or "")

    def baseline(self, number: int) -> Pending:
        """The next run of the seed train.py."""
        facts = self.campaign.facts
        run = len(self.campaign.ledger.baselines()) + 1
        proposal = Proposal(
            title=f"baseline, run {run} of {facts.noise_runs}",
            hypothesis="The seed as it is: what there is to beat, and how much seeds alone move it.",
            train_py=self.campaign.workspace.read(self.campaign.workspace.root()),
            agent="seed",
        )
        return Pending(number, BASELINE, proposal, repeats=None, agent_s=0.0)

    def show_standing(self) -> None:
        """Tell the screen where the campaign is, between two experiments."""
        facts, records = self.campaign.facts, self.campaign.ledger.records
        self.screen.standing(
            standing_of(
                records,
                tag=facts.tag,
                profile=facts.profile,
                hardware=self.hardware(),
                prior=facts.prior_noise,
                experiments_limit=self.planned,
                seconds_left=self.seconds_left(),
            )
        )


@contextlib.contextmanager
def open_night(settings: Settings, *, tag: str, agent: str, say: Say) -> Iterator[Night]:
    """Set the host up and open the campaign, new or as it was left.

    Raises:
        LabError: a step failed; the message names the remedy.
    """
    program = read_text(settings.program, "the research brief")
    seed_train_py = read_text(settings.train_file, "the seed train.py")
    with (
        set_up(settings, campaign=tag, say=say) as ready,
        open_campaign(
            settings.runs,
            _describe_campaign(settings, ready, tag=tag, agent=agent, seed_train_py=seed_train_py),
            seed_train_py=seed_train_py,
        ) as campaign,
        Interrupts(campaign.folder) as interrupts,
        open_screen(campaign.folder / "events.jsonl") as screen,
        Bulletin(campaign.folder, screen, agent=campaign.facts.agent),
    ):
        yield Night(
            settings=settings,
            # A reading that is missing today is no other class: the campaign's own id goes on.
            bench=replace(ready.bench, fingerprint=campaign.facts.fingerprint),
            campaign=campaign,
            program=program,
            contract=read_text(CHECKOUT / "workspace" / "README.md", "the contract"),
            prepare_py=read_text(CHECKOUT / "harness" / "prepare.py", "the harness"),
            screen=screen,
            interrupts=interrupts,
            plotter=Plotter(campaign.folder),
        )


def _describe_campaign(
    settings: Settings, ready: Ready, *, tag: str, agent: str, seed_train_py: str
) -> Facts:
    """What every score of this campaign will have been measured with."""
    profile = ready.bench.profile
    return Facts(
        schema=SCHEMA,
        tag=tag,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        profile=profile.name,
        agent=agent,
        seed=settings.seed,
        noise_runs=settings.noise_runs or profile.noise_runs,
        rule=rule_of(settings),
        prior_noise=read_noise(settings.state, ready.bench.class_id),
        image_id=ready.image.id,
        variant=ready.image.variant,
        kernels=ready.image.kernels,
        harness_sha256=ready.image.harness_sha256,
        data_sha256=ready.data_sha256,
        train_sha256=hashlib.sha256(seed_train_py.encode()).hexdigest(),
        fingerprint=ready.bench.fingerprint,
    )


def rule_of(settings: Settings) -> Rule:
    """The rule of keep and discard, as the settings have it."""
    return Rule(**{field.name: getattr(settings, field.name) for field in fields(Rule)})


def read_text(path: Path, what: str) -> str:
    """A file that the user gave, as text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{what} cannot be read: {path}", why=str(error)) from error
