"""What a picture of a night shows, in numbers: every experiment as a mark, and the range of scores that matters.

Owns    Scene, and where the score to beat stood
Takes   Records, or Marks of whatever has experiments
Gives   Scenes
Never   draws
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.ledger import Record
from lab.show.tally import tally
from lab.show.words import ending, kept_bpb
from lab.verdict import Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One experiment, as far as a picture shows it."""

    number: int
    ending: str  # see `ending` of lab/show/words.py
    original: int | None  # the experiment whose code it runs again
    title: str
    val_bpb: float | None  # of this run; None stands under the chart
    score_bpb: float | None  # where it is drawn: a kept one at the mean of its re-runs
    gain_bpb: float | None  # what decides which labels come first
    best_bpb: float | None  # of a kept one: the best after it, which an older one may be


class Counted(Protocol):
    """What a picture says of a whole campaign: a Tally, or a Standing of its Story."""

    @property
    def tried(self) -> int: ...
    @property
    def kept(self) -> int: ...
    @property
    def scored(self) -> int: ...
    @property
    def replays(self) -> int: ...
    @property
    def replay_bpb(self) -> float | None: ...
    @property
    def baseline_bpb(self) -> float | None: ...
    @property
    def best_bpb(self) -> float | None: ...
    @property
    def margin_bpb(self) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the chart shows, in numbers."""

    marks: Sequence[Mark]
    tally: Counted
    low: float  # of the y axis
    high: float

    def of(self, *endings: str) -> list[tuple[Mark, float]]:
        """The measured Marks of these endings, each with its score; a kept one with that of its re-runs."""
        return [
            (mark, mark.score_bpb)
            for mark in self.marks
            if mark.score_bpb is not None and mark.ending in endings
        ]

    @property
    def failures(self) -> list[Mark]:
        return [mark for mark in self.marks if mark.score_bpb is None]


def marks_of(records: Sequence[Record]) -> list[Mark]:
    """Every Record as a Mark."""
    return [
        Mark(
            number=record.number,
            ending=ending(record),
            original=record.original,
            title=record.title,
            val_bpb=record.trial.val_bpb,
            score_bpb=None
            if record.trial.val_bpb is None
            else kept_bpb(record) or record.trial.val_bpb,
            gain_bpb=record.verdict.gain_bpb,
            best_bpb=kept_bpb(record),
        )
        for record in records
    ]


def compose(records: Sequence[Record], prior: Noise | None = None) -> Scene:
    """Work out what matters of a night."""
    return scene_of(marks_of(records), tally(records, prior))


def scene_of(marks: Sequence[Mark], counted: Counted) -> Scene:
    """These experiments, and the range of scores that shows what matters of them."""
    scores = [mark.val_bpb for mark in marks if mark.val_bpb is not None]
    important = [
        mark.score_bpb
        for mark in marks
        if mark.score_bpb is not None and mark.ending in ("baseline", "keep", "confirm", "replay")
    ]
    low, high = _range(scores, important, counted.margin_bpb or 0.0)
    return Scene(marks=marks, tally=counted, low=low, high=high)


def _range(scores: list[float], important: list[float], margin: float) -> tuple[float, float]:
    """Room for what is important and for most discards; one diverged run must not flatten it."""
    if not scores:
        return 0.0, 1.0
    important = important or scores
    low, high = min(important) - margin, max(important) + margin
    span = max(high - low, 6 * margin, 0.005 * abs(high))
    low, high = low - (span - (high - low)) / 2, high + (span - (high - low)) / 2
    ordered = sorted(scores)
    most = ordered[int(0.9 * (len(ordered) - 1))]
    near = max(score for score in ordered if score <= max(low + 1.5 * span, ordered[0]))
    high = max(high, near, min(most, low + 2.5 * span))
    low = max(min(low, ordered[0]), low - span)
    pad = 0.08 * max(high - low, span)
    return low - 2 * pad, high + pad


def running_best(scene: Scene) -> list[tuple[float, float]]:
    """Where the score to beat stood, from the first baseline to the last experiment."""
    if scene.tally.baseline_bpb is None or scene.tally.best_bpb is None:
        return []
    first = min((mark.number for mark, _ in scene.of("baseline")), default=0)
    line = [(float(first), scene.tally.baseline_bpb)]
    line += [(float(m.number), m.best_bpb) for m, _ in scene.of("keep") if m.best_bpb is not None]
    return [*line, (float(scene.marks[-1].number), scene.tally.best_bpb)]
