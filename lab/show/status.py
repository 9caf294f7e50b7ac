"""`lab status`: one campaign, as its folder tells it, whether it runs or not.

Owns    what is shown of a campaign at rest
Takes   the campaign's folder, and whether a controller holds it
Gives   a rich renderable, or the same as JSON
Never   opens the ledger for writing, so looking cannot disturb a night that runs
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from lab.errors import CampaignError
from lab.ledger import Record, best_of
from lab.samples import TelemetrySummary
from lab.show.folder import (
    hardware_of,
    is_replay,
    prior_of,
    read_campaign,
    read_records,
    told_version,
)
from lab.show.replayed import REPLAY_FILE
from lab.show.tally import Tally, tally
from lab.show.view import FittedTable, cost_in_words, energy, result_of
from lab.show.words import ending, gain_in_words, one_line, replays_in_words
from lab.verdict import sd_interval

SHORT_DIGEST = 19  # "sha256:" and twelve digits


def describe(folder: Path, *, running: bool) -> RenderableType:
    """A campaign for a person: head, every experiment, and what to do next.

    Raises:
        CampaignError: there is no campaign in `folder`, or it was altered.
    """
    campaign, records = _read(folder)
    counted = tally(records, prior_of(campaign))
    device = device_in_words([record.trial.telemetry for record in records])
    parts: list[RenderableType] = [*_head(campaign, counted, device, running=running), Text()]
    if records:
        table = FittedTable([result_of(r) for r in records], [_train_s(r) for r in records])
        parts += [table, Text()]
    parts.append(_next_step(folder, campaign, counted, running=running))
    return Group(*parts)


def as_json(folder: Path, *, running: bool) -> str:
    """The same facts for a program, at full precision, as one JSON object.

    Raises:
        CampaignError: there is no campaign in `folder`, or it was altered.
    """
    campaign, records = _read(folder)
    counted = tally(records, prior_of(campaign))
    best = best_of(records)
    facts = {
        "tag": campaign.get("tag"),
        "profile": campaign.get("profile"),
        "agent": campaign.get("agent"),
        "hardware": hardware_of(campaign) or None,
        "image_id": campaign.get("image_id"),
        "created_at": campaign.get("created_at"),
        "running": running,
        "tried": counted.tried,
        "kept": counted.kept,
        "baseline_bpb": counted.baseline_bpb,
        "best_bpb": counted.best_bpb,
        "best_experiment": best.number if best else None,
        "best_commit": best.commit if best else None,
        "replays": counted.replays,
        "replay_bpb": counted.replay_bpb,
        "noise_sd_bpb": counted.noise.sd_bpb if counted.noise else None,
        "noise_df": counted.noise.df if counted.noise else None,
        "holdout_gain_bpb": counted.holdout_gain_bpb,
        "audited": counted.audited,
        "audit_share": counted.audit_share,
        "idle_share": counted.idle_share,
        "cost_usd": counted.cost_usd,
        "agent_tokens": counted.agent_tokens,
        "margin_bpb": counted.margin_bpb,
        "experiments": [_as_dict(record) for record in records],
    }
    return json.dumps(facts, indent=2)


def _read(folder: Path) -> tuple[dict[str, Any], list[Record]]:
    campaign = read_campaign(folder)
    try:
        return campaign, read_records(folder)
    except CampaignError as error:
        raise told_version(error, folder, campaign) from error


def _as_dict(record: Record) -> dict[str, Any]:
    telemetry = record.trial.telemetry
    return {
        "number": record.number,
        "kind": record.kind,
        "original": record.original,
        "status": record.trial.status.value,
        "ending": ending(record),
        "val_bpb": record.trial.val_bpb,
        "holdout_bpb": record.trial.holdout.bpb if record.trial.holdout else None,
        "audited": record.trial.audit is not None,
        "gain_bpb": record.verdict.gain_bpb,
        "train_s": _train_s(record),
        "telemetry": dataclasses.asdict(telemetry) if telemetry else None,
        "commit": record.commit,
        "title": record.title,
        "verdict": record.verdict.sentence,
    }


def _train_s(record: Record) -> float | None:
    return record.trial.training.train_s if record.trial.training else None


def device_in_words(summaries: Sequence[TelemetrySummary | None]) -> str:
    """What the device did in the last run that tells of it; energy is of all runs whose own is known."""
    told = [summary for summary in summaries if summary]
    if not told:
        return ""
    last = told[-1]
    clocks = (("SM", last.mean_sm_clock_mhz), ("cores", last.mean_cpu_mhz))
    clock = next((f"{what} at {mhz:.0f} MHz" for what, mhz in clocks if mhz is not None), "")
    joules = [summary.energy_j for summary in told if summary.energy_j is not None]
    words = [
        clock,
        f"{last.mean_power_w:.0f} W" if last.mean_power_w is not None else "",
        f"{last.peak_temperature_c:.0f} °C at most" if last.peak_temperature_c is not None else "",
        f"throttled {last.throttled_s:.0f} s" if last.throttled_s is not None else "",
        f"{energy(sum(joules))} in {len(joules)} training{'s' * (len(joules) > 1)}"
        if joules
        else "",
    ]
    return ", ".join(filter(None, words))


def _head(campaign: dict[str, Any], counted: Tally, device: str, *, running: bool) -> list[Text]:
    title = Text(one_line(str(campaign.get("tag") or "?"), 60), "bold")
    title.append("  running now" if running else "  not running", "green" if running else "dim")
    lines = [title]
    for label, value in (
        ("profile", campaign.get("profile")),
        ("agent", campaign.get("agent")),
        ("hardware", hardware_of(campaign)),
        ("device", device),
        ("image", _image(campaign)),
        ("created", campaign.get("created_at")),
        ("score", _score(counted)),
        ("holdout", _holdout(counted)),
        ("noise", _noise(counted)),
        ("audits", _audits(counted)),
        ("idle", _idle(counted)),
        ("cost", cost_in_words(counted.cost_usd, counted.agent_tokens)),
        ("tried", "" if is_replay(campaign) else f"{counted.tried}, {counted.kept} kept"),
    ):
        if value:
            line = Text(f"{label:9}", "dim", no_wrap=True, overflow="ellipsis")
            lines.append(line.append(one_line(str(value), 200), "default not dim"))
    return lines


def _image(campaign: dict[str, Any]) -> str:
    image = str(campaign.get("image_id") or "")[:SHORT_DIGEST]
    kernels = campaign.get("kernels")
    return f"{image}, kernels {kernels}" if image and kernels else image


def _score(counted: Tally) -> str:
    if replayed := replays_in_words(counted):
        return replayed
    baseline, best = counted.baseline_bpb, counted.best_bpb
    if baseline is None or best is None:
        return "no baseline measured" if counted.scored else "nothing measured yet"
    if not counted.kept:
        return f"baseline {baseline:.4f}, not beaten yet"
    return f"{baseline:.4f} -> {best:.4f}, {gain_in_words(baseline - best, baseline)}"


def _holdout(counted: Tally) -> str:
    """The gain on text that no decision has seen, beside the one that was selected."""
    if counted.holdout_gain_bpb is None or counted.baseline_bpb is None or counted.best_bpb is None:
        return ""
    gap = counted.baseline_bpb - counted.best_bpb - counted.holdout_gain_bpb
    return f"gain {counted.holdout_gain_bpb:.4f}, {abs(gap):.4f} {'less' if gap > 0 else 'more'} than on val"


def _noise(counted: Tally) -> str:
    if counted.noise is None:
        return ""
    low, high = sd_interval(counted.noise)
    words = f"sd {counted.noise.sd_bpb:.4f}, {low:.4f} to {high:.4f} with 95 % confidence"
    margin = f"; the last gain had to exceed {counted.margin_bpb:.4f}" if counted.margin_bpb else ""
    return f"{words} ({counted.noise.df} degrees of freedom){margin}"


def _idle(counted: Tally) -> str:
    """The share of the night in which the device waited for the agent."""
    return "" if counted.idle_share is None else f"{counted.idle_share:.1%} waiting for the agent"


def _audits(counted: Tally) -> str:
    if not counted.audited or counted.audit_share is None:
        return ""
    return f"{counted.audited} experiments, {counted.audit_share:.1%} of the time of all"


def _next_step(
    folder: Path, campaign: dict[str, Any], counted: Tally, *, running: bool
) -> RenderableType:
    tag = one_line(str(campaign.get("tag") or folder.name), 60)
    stop = folder / "STOP"
    again = f"`make overnight TAG={tag}` goes on"
    if is_replay(campaign):
        again = "`make replay` with the sender's BUNDLE goes on"
    if running:
        words = f"It ends after the current experiment on Ctrl-C, or on `touch {stop}`; `lab watch` attaches."
    elif stop.exists():
        words = f"`rm {stop}`, and {again}."
    elif is_replay(campaign):
        verdict = folder / REPLAY_FILE
        words = f"The verdict is in {verdict}; {again}." if verdict.exists() else f"{again}."
    elif counted.baseline_bpb is None:
        words = f"The baseline is not measured yet: {again}."
    else:
        best = f" from {counted.best_bpb:.4f}" if counted.kept else " from the baseline"
        words = f"{again}{best}."
    return Text(words)
