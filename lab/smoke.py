"""The whole loop on a tiny budget: what CI runs, and what a new user runs first.

It is a night like any other, on the `smoke` profile with the offline agent, and then it is looked at:
every step must have done its work, and nothing may be left running.
"""

from __future__ import annotations

from datetime import datetime

from lab.errors import LabError
from lab.host import Say
from lab.ledger import BASELINE, CANDIDATE, Ledger
from lab.night import Night
from lab.outcome import Status
from lab.overnight import overnight
from lab.report.drawing import CARD_FILE, PROGRESS_FILE, REPORT_FILE
from lab.settings import Settings

CANDIDATES = 4


def smoke(settings: Settings, say: Say) -> None:
    """Run the baseline twice and four candidates, and check what came of it.

    Raises:
        LabError: the loop does not work on this host; the message says where it broke.
    """
    night = overnight(
        settings.model_copy(
            update={
                "tag": f"smoke-{datetime.now().astimezone():%m%d-%H%M%S}",
                "profile": "smoke",
                "experiments": CANDIDATES,
                "hours": None,
            }
        ),
        say,
    )
    problems = list(_problems(night))
    if problems:
        raise LabError(
            "the smoke run finished and is not as it should be.",
            why="; ".join(problems),
            do=f"see {night.campaign.folder}, its events.jsonl and the train.log of an experiment.",
        )
    say(f"smoke: the whole loop works ({len(night.campaign.ledger.records)} experiments)")
    say(f"see it: {night.campaign.folder / REPORT_FILE}")


def _problems(night: Night) -> list[str]:
    campaign, facts = night.campaign, night.campaign.facts
    records = Ledger.open(campaign.ledger.path, anchor=campaign.ledger.anchor).records
    baselines = [r for r in records if r.kind == BASELINE and r.trial.status.says_something]
    candidates = [r for r in records if r.kind == CANDIDATE and r.trial.status.says_something]
    problems = [
        f"experiment {r.number} ({r.title}) is {r.trial.status.value}: {r.trial.reason}"
        for r in records
        if r.trial.status
        # The host's fault, and repeated.
        not in (Status.MEASURED, Status.CONTENDED, Status.CONDITIONS)
    ]
    problems += [
        f"experiment {r.number} ({r.title}) leads somewhere and was not audited, or not on the holdout"
        for r in records
        if (r.kind == BASELINE or r.verdict.keep) and not (r.trial.audit and r.trial.holdout)
    ]
    if len(baselines) < facts.noise_runs:
        problems.append(f"{len(baselines)} runs of the baseline, not {facts.noise_runs}")
    if len(candidates) < CANDIDATES:
        problems.append(f"{len(candidates)} candidates, not {CANDIDATES}")
    expected = (
        *("results.tsv", "results.parquet", "best/model.safetensors"),
        *(PROGRESS_FILE, CARD_FILE, REPORT_FILE),
    )
    missing = [name for name in expected if not (campaign.folder / name).exists()]
    return problems + [f"{name} is missing" for name in missing]
