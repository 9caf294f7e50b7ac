"""Each experiment as a line: what a table and a chart show of it.

Owns    Rows; one never changes once it is made, so a page that has it needs only what came after
Takes   Records one by one in their order, or the Runs of an imported table
Gives   Rows
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lab.imported import FAILED, Run
from lab.ledger import AUDIT, BASELINE, CANDIDATE, CONFIRM, REPLAY, Record
from lab.show.spent import moment
from lab.show.words import ending, ending_in_words, kept_bpb, one_line
from lab.story.shapes import Row

TITLE_CHARS = 200
SHORT_CHARS = 80


@dataclass(slots=True)
class Course:
    """What the next Row needs of all Records before it."""

    began: datetime | None = None
    baselines: list[float] = field(default_factory=list)
    reruns: dict[int, list[float]] = field(default_factory=dict)  # by candidate
    head: int | None = None  # the candidate that was kept last
    best_bpb: float | None = None

    def add(self, record: Record) -> Row:
        """The Row of the next Record."""
        self._follow(record)
        trial = record.trial
        word = ending(record)
        kept = kept_bpb(record)
        return Row(
            number=record.number,
            kind=one_line(record.kind, SHORT_CHARS),
            ending=word,
            ending_words=ending_in_words(word),
            original=record.original,
            title=title_of(record.title),
            agent=one_line(record.agent, SHORT_CHARS) or None,
            val_bpb=trial.val_bpb,
            score_bpb=trial.val_bpb if kept is None else kept,
            holdout_bpb=trial.holdout.bpb if trial.holdout else None,
            gain_bpb=record.verdict.gain_bpb,
            best_bpb=self.best_bpb,
            audited=trial.audit is not None,
            train_s=trial.training.train_s if trial.training else None,
            total_s=trial.total_s,
            at_s=self._since_began(record.finished_at),
            cost_usd=record.cost_usd,
            energy_j=trial.telemetry.energy_j if trial.telemetry else None,
            net_lines=record.net_lines,
            commit=record.commit and one_line(record.commit, SHORT_CHARS),
        )

    def _follow(self, record: Record) -> None:
        """Move the best as `lab.ledger.best_of` finds it, without looking at all Records again."""
        if self.began is None:
            self.began = moment(record.started_at)
        score = record.trial.val_bpb
        if record.kind == CONFIRM and record.original is not None and score is not None:
            self.reruns.setdefault(record.original, []).append(score)
        if record.kind == BASELINE and score is not None:
            self.baselines.append(score)
        if record.verdict.keep and record.original is not None:
            self.head = record.original
        if record.kind in (BASELINE, CONFIRM) or record.verdict.keep:
            runs = self.baselines if self.head is None else self.reruns.get(self.head, [])
            self.best_bpb = statistics.fmean(runs) if runs else None

    def _since_began(self, stamp: str) -> float | None:
        now = moment(stamp)
        return (now - self.began).total_seconds() if now and self.began else None


def title_of(text: str) -> str:
    """A title on one line, of a length that a table can hold."""
    return one_line(text, TITLE_CHARS)


def rows_of_imported(runs: Sequence[Run]) -> tuple[Row, ...]:
    """The lines of a table. The first measured one is the baseline, where none is called so.

    What was kept last is the best of a table of this lab. The original project may keep what is worse, for fewer
    lines: of its tables the lowest is the best, the baseline among them.
    """
    ours = any(run.audited is not None for run in runs)
    seeds = _seeds(runs, ours=ours)
    reruns: dict[int, list[float]] = {}
    baselines: list[float] = []
    kept: list[float] = []  # the last alone is asked for
    best: float | None = None
    rows = []
    for run in runs:
        is_baseline = run.number in seeds
        word = BASELINE if is_baseline and run.val_bpb is not None else run.ending
        score = run.val_bpb
        if run.original is not None and score is not None and word != AUDIT:
            scores = reruns.setdefault(run.original, [])
            scores.append(score)
            score = statistics.fmean(scores) if word == "keep" else score
        before = best
        if score is not None and is_baseline:
            baselines.append(score)
        elif score is not None and word == "keep":
            kept.append(score if ours else min([score, *kept[-1:]]))
        best = _best(baselines, kept, ours=ours)
        rows.append(
            Row(
                number=run.number,
                kind=BASELINE if is_baseline else _kind(word, run),
                ending=word,
                ending_words=ending_in_words(word),
                original=run.original,
                title=title_of(run.title),
                agent=None,
                val_bpb=run.val_bpb,
                score_bpb=score,
                holdout_bpb=run.holdout_bpb,
                gain_bpb=before - score if before is not None and score is not None else None,
                best_bpb=best,
                audited=bool(run.audited),
                train_s=None,
                total_s=None,
                at_s=None,
                cost_usd=None,
                energy_j=None,
                net_lines=None,
                commit=run.commit and one_line(run.commit, SHORT_CHARS),
            )
        )
    return tuple(rows)


def _seeds(runs: Sequence[Run], *, ours: bool) -> set[int]:
    """The lines that ran the seed's code: the baselines, and what failed before the last of them.

    Nothing else is tried until they are measured.
    """
    named = {run.number for run in runs if run.ending == BASELINE}
    if not named and not ours:  # the original project has no word for it
        named = {run.number for run in runs if run.val_bpb is not None}
        named = {min(named, default=1)}
    last = max(named, default=len(runs) + 1)
    return named | {run.number for run in runs if run.number < last and run.ending in FAILED}


def _best(baselines: Sequence[float], kept: Sequence[float], *, ours: bool) -> float | None:
    if ours and kept:
        return kept[-1]
    scores = [*kept[-1:], *([statistics.fmean(baselines)] if baselines else [])]
    return min(scores, default=None)


def _kind(word: str, run: Run) -> str:
    if word in (AUDIT, REPLAY):
        return word
    return CANDIDATE if run.original is None else CONFIRM
