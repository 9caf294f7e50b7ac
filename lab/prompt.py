"""What an agent is told before it proposes: the brief, the best file so far, and what was tried.

Owns    the shape of the brief
Takes   program.md verbatim, the current best train.py, and past experiments
Gives   a Brief, the only thing an agent ever sees of a campaign
Never   the holdout score, the output of a model container, or a path of the host
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One earlier experiment, as an agent may see it."""

    number: int
    kind: str  # "baseline" or "candidate"
    title: str
    hypothesis: str
    status: str  # measured, rejected, crashed, out_of_memory, timed_out, invalid, lost
    kept: bool
    val_bpb: float | None  # None when nothing could be measured
    gain_bpb: float | None  # over the best at that time, positive is better; None when not measured
    reason: str  # the verdict's sentence, or why it failed
    facts: dict[str, str]  # what the agent itself attached to its proposal, given back
    log_tail: str  # the end of train.log: untrusted text, bounded
    over_parent_bpb: float | None = None  # gained over the file that it changed, by all runs since


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """Everything an agent may know when it proposes experiment `number`."""

    number: int
    profile: str
    program: str  # program.md, verbatim
    train_py: str  # what the proposal is to change: the best file so far, or another promising one
    baseline_bpb: float | None
    best_bpb: float | None
    noise_bpb: float | None  # sd of the score between seeds
    seconds_left: float | None  # None when the night has no time limit
    history: tuple[Past, ...]  # oldest first
    parent_number: int | None = None  # the experiment that train_py is of; None is the best
