"""What an agent is told before it proposes: the brief, the best file so far, and what was tried.

Owns    the shape of the brief
Takes   program.md verbatim, the current best train.py, past experiments, and ways to look further
Gives   a Brief, the only thing an agent ever sees of a campaign
Never   the holdout score, the output of a model container, or a path of the host
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

TextOf = Callable[[int], str | None]  # of experiment `number`; None when there is none


def no_text(number: int) -> str | None:
    """A TextOf that has nothing."""
    return None


def forget(note: str) -> None:
    """A notebook that keeps nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One earlier experiment, as an agent may see it."""

    number: int
    kind: str  # "baseline" or "candidate"
    title: str
    hypothesis: str
    status: str  # measured, rejected, crashed, out_of_memory, timed_out, invalid, throttled
    kept: bool
    val_bpb: float | None  # None when nothing could be measured
    gain_bpb: float | None  # over the best at that time, positive is better; None when not measured
    reason: str  # the verdict's sentence, or why it failed
    facts: dict[str, str]  # what the agent itself attached to its proposal, given back
    log_tail: str  # the end of train.log: untrusted text, bounded
    vitals: str = ""  # memory, load, clock and speed of the run that decided, in one line
    over_parent_bpb: float | None = None  # gained over the file that it changed, by all runs since


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """An idea that runs now or waits to be run: nothing has come of it yet."""

    number: int  # of its experiment; of one that waits, if nothing comes between
    title: str
    train_py: str
    facts: dict[str, str]  # as in Past


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
    proposal: int = 1  # which proposal of the campaign this is; re-runs and baselines are none
    ahead: tuple[UnderWay, ...] = ()  # in the order of their numbers

    # For agents that look further than the table of results; an agent that does not needs none of it.
    contract: str = ""  # workspace/README.md, verbatim
    prepare_py: str = ""  # harness/prepare.py, verbatim
    notebook: str = ""  # what the agent noted in earlier proposals, oldest first
    pinned: tuple[str, ...] = ()  # what a person noted for the agent while the night ran
    spent_usd: float = 0.0  # by all earlier proposals of this campaign, as far as it is known
    spent_tokens: int = 0
    code_of: TextOf = field(default=no_text, repr=False, compare=False)  # a whole train.py
    diff_of: TextOf = field(default=no_text, repr=False, compare=False)  # against its parent
    log_of: TextOf = field(default=no_text, repr=False, compare=False)  # train.log: untrusted text
    remember: Callable[[str], None] = field(default=forget, repr=False, compare=False)
    parent_number: int | None = None  # the experiment that train_py is of; None is the best
