"""A campaign in three sentences, for somebody who has one minute.

Owns    the words: what was gained and how sure it is; on what; in how long and for how much
Takes   a Standing and what campaign.json says
Gives   three sentences
Never   says more than is known: no interval without a noise, no gain without a keep
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.show.folder import hardware_of, is_replay
from lab.show.view import cost_in_words, duration, energy
from lab.show.words import gain_in_words, one_line, replays_in_words, signed
from lab.story.shapes import Standing

SHORT_DIGEST = 19  # "sha256:" and twelve digits


def sentences_of(
    standing: Standing, campaign: Mapping[str, Any], *, running: bool
) -> tuple[str, str, str]:
    """The three sentences of a campaign of this lab."""
    return (
        _gained(standing, running=running),
        _how_sure(standing) + _on_what(campaign),
        _how_long(standing, running=running),
    )


def sentences_of_imported(standing: Standing, *, file: str) -> tuple[str, str, str]:
    """The three sentences of a table that says neither times nor noise."""
    best, baseline, gain = standing.best_bpb, standing.baseline_bpb, standing.gain_bpb
    if replayed := replays_in_words(standing):
        first = f"{replayed}; the table holds no verdict."
    elif baseline is None or best is None:
        first = (
            _without_baseline(standing, running=False)
            if standing.scored
            else "The table has no score."
        )
    elif gain == 0:
        first = (
            f"The first score is {baseline:.4f} bits per byte, and nothing that was kept is better."
        )
    elif gain is None:
        first = f"The first score is {baseline:.4f} bits per byte, and nothing after it was kept."
    else:
        first = f"From {baseline:.4f} to {best:.4f} bits per byte: {gain_in_words(gain, baseline)}."
    sure = "How sure that is, the table cannot say: it holds no noise. " if gain else ""
    return (
        first,
        f"{sure}Imported from {one_line(file, 60)}, which does not say on what hardware it was measured.",
        f"{_count(standing.experiments, 'experiment')}, {standing.kept:,} kept; the table says neither how long they took nor what they cost.",
    )


def _gained(standing: Standing, *, running: bool) -> str:
    if replayed := replays_in_words(standing):
        return f"{replayed}; the verdict {'will be' if running else 'is'} in replay.json."
    baseline, best, gain = standing.baseline_bpb, standing.best_bpb, standing.gain_bpb
    if baseline is None or best is None:
        return _without_baseline(standing, running=running)
    so_far = "So far from" if running else "From"
    if gain is None:
        tried = f"none of {_count(standing.tried, 'tried change')} was kept"
        return f"The baseline is {baseline:.4f} bits per byte, and " + (
            f"{tried}{' so far' if running else ''}."
            if standing.tried
            else f"no change was tried{' yet' if running else ''}."
        )
    return f"{so_far} {baseline:.4f} to {best:.4f} bits per byte: {gain_in_words(gain, baseline)}{_between(standing)}."


def _without_baseline(standing: Standing, *, running: bool) -> str:
    if not standing.experiments:
        return "Nothing has been measured yet."
    so_far = " so far" if running else ""
    if standing.scored:
        return f"{_count(standing.scored, 'score')}{so_far}, and none of a baseline, so that no gain can be told."
    none = f"none of {_count(standing.experiments, 'experiment')} has a score"
    return f"Nothing was measured{so_far}: {none}."


def _between(standing: Standing) -> str:
    """The gain's interval, which no gain may be told without."""
    low, high = standing.gain_low_bpb, standing.gain_high_bpb
    if low is None or high is None:
        return ""
    if low > 0:
        return f", {low:.4f} to {high:.4f}"
    if high < 0:  # a loss, told by its amount as a gain is
        return f", {-high:.4f} to {-low:.4f}"
    return f", {signed(low)} to {signed(high)}, so it may be none"


def _how_sure(standing: Standing) -> str:
    """What the interval is worth, and what text that no decision has seen says of the gain."""
    if standing.gain_bpb is None:
        return ""
    if standing.gain_low_bpb is None:
        sure = "How sure that is cannot be said, because no noise is known"
    else:
        sure = "The interval holds with 95 % confidence"
    return f"{sure}{_holdout(standing)}. "


def _holdout(standing: Standing) -> str:
    """Whether the holdout shows the same gain, or the same loss."""
    seen, gain = standing.holdout_gain_bpb, standing.gain_bpb
    low, high = standing.gain_low_bpb, standing.gain_high_bpb
    if seen is None or gain is None:
        return ", and the holdout was not scored"
    if seen * gain <= 0:
        return f", but the holdout does not show it ({signed(seen)})"
    amount = f"{abs(seen):.4f}"
    if low is None or high is None:
        return f", and on the holdout it is {amount}"
    if low <= seen <= high:
        return f", and the holdout agrees ({amount})"
    return f", and on the holdout it is {'more' if abs(seen) > abs(gain) else 'less'}: {amount}"


def _on_what(campaign: Mapping[str, Any]) -> str:
    hardware = hardware_of(dict(campaign)) or "hardware that its facts do not name"
    words = [f"On {hardware}"]
    if profile := campaign.get("profile"):
        words.append(f"with the {one_line(str(profile), 40)} profile")
    if image := campaign.get("image_id"):
        words.append(f"in the frozen image {one_line(str(image), 80)[:SHORT_DIGEST]}")
    agent = None if is_replay(dict(campaign)) else campaign.get("agent")
    return ", ".join(words) + (f"; the agent was {one_line(str(agent), 60)}." if agent else ".")


def _how_long(standing: Standing, *, running: bool) -> str:
    if standing.took_s is None:
        return "No experiment has ended yet."
    counts = _count(standing.experiments, "experiment")
    tried = (
        f" ({_count(standing.tried, 'change')} tried, {standing.kept} kept)"
        if standing.tried
        else ""
    )
    cost = cost_in_words(standing.cost_usd, standing.agent_tokens)
    joules = standing.energy_j
    energies = "" if joules is None else f"{energy(joules)} of the trainings"
    price = " and ".join(filter(None, [cost, energies]))
    so_far = " so far" if running else ""
    return f"{counts}{tried} in {duration(standing.took_s)}{so_far}{f', for {price}' if price else ''}."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
