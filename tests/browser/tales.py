"""Stories that never were, for a browser: an invented night told by the product's own code, Details by hand."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.ledger import CANDIDATE, Record
from lab.story.branches import branches_of
from lab.story.budget import budget_of
from lab.story.contributions import contributions_of
from lab.story.rows import Course
from lab.story.sentences import sentences_of
from lab.story.shapes import Command, Detail, DiffLine, Fact, Point, Row, Story
from lab.story.standing import standing_of
from tests.unit.nights import SEED_COMMIT, make_night

CAMPAIGN = {
    "profile": "cpu",
    "hardware": "2 cores",
    "fingerprint": {"class_id": "cpu-1a2b", "class": {"cpu": "AMD EPYC 7763", "cores": 2}},
}
HOSTILE = '</script><!--<script>alert(1)</script><img src=x onerror="alert(2)"> \u202e{{x}} \u2028'


def make_story(
    experiments: int = 200, *, seed: int = 1, tag: str = "nov23", tree: bool = False, **more: Any
) -> Story:
    """A night of so many experiments as its Story; `tree` lets ideas start from others than the best."""
    records = list(_placed(make_night(experiments, seed=seed), tree=tree))
    course = Course()
    rows = [course.add(record) for record in records]
    standing = standing_of(records, None)
    story = Story(
        tag=tag,
        running=False,
        imported=False,
        profile="cpu",
        agent="offline",
        hardware="AMD EPYC 7763, 2 cores",
        class_id="cpu-1a2b",
        created_at="2026-11-23T22:00:00+00:00",
        sentences=sentences_of(standing, CAMPAIGN, running=False),
        standing=standing,
        rows=tuple(rows),
        contributions=contributions_of(records, rows),
        lineage=branches_of(records, rows),
        budget=budget_of(records),
        facts=(
            Fact(name="Image", value="sha256:" + "3f" * 32),
            Fact(name="Ledger's tip", value="9c" * 32),
        ),
        hardware_class=(Fact(name="cpu", value="AMD EPYC 7763"), Fact(name="cores", value="2")),
        conditions=(Fact(name="kernel", value="6.1.0"),),
        missing=(
            Fact(name="cpu_governor", value="the host does not let its guests see the clock"),
        ),
        commands=(
            Command(what="check a bundle of it without a GPU", command=f"make verify TAG={tag}"),
            Command(what="run the best again", command=f"make replay TAG={tag}"),
        ),
    )
    return replace(story, **more)


def grown(story: Story, extra: Sequence[Row]) -> Story:
    """The same campaign with more rows; its numbers stay."""
    return replace(story, rows=(*story.rows, *extra))


def make_row(number: int, **more: Any) -> Row:
    fields: dict[str, Any] = {
        "number": number,
        "kind": CANDIDATE,
        "ending": "discard",
        "ending_words": "discarded",
        "original": None,
        "title": f"Idea {number}",
        "agent": "offline",
        "val_bpb": 1.84,
        "score_bpb": 1.84,
        "holdout_bpb": None,
        "gain_bpb": -0.01,
        "best_bpb": 1.83,
        "audited": False,
        "train_s": 60.0,
        "total_s": 80.0,
        "at_s": 90.0 * number,
        "cost_usd": None,
        "energy_j": None,
        "net_lines": 1,
        "commit": "c" * 40,
    }
    return Row(**{**fields, **more})


def make_detail(row: Row, **more: Any) -> Detail:
    """What a Row opens to: a diff with colours, a curve above or below its parent's, an audit, a log."""
    fields: dict[str, Any] = {
        "number": row.number,
        "hypothesis": f"Idea {row.number}: a deeper model uses the same time better, because attention is not the bottleneck.",
        "reason": "" if row.val_bpb is not None else f"the run {row.ending_words}",
        "verdict": "kept: the mean of 2 re-runs is 0.0131 better, over a margin of 0.0042"
        if row.ending == "keep"
        else "no gain beyond noise",
        "notes": (Fact(name="temperature", value="0.7"), Fact(name="pass", value="model_switches")),
        "diff": DIFF if row.kind == CANDIDATE else (),
        "diff_cut": 0,
        "curve": curve(row.number) if row.val_bpb is not None else (),
        "lines_added": 12,
        "lines_removed": 1,
        "parent": 3,
        "parent_curve": curve(3),
        "audit": (
            Fact(name="losses that agree", value="all 4,096 sampled"),
            Fact(name="largest difference", value="0.00002 nats"),
        )
        if row.audited
        else (),
        "telemetry": (
            Fact(name="cpu", value="98 % of 2 cores"),
            Fact(name="peak memory", value="1.2 GiB"),
        ),
        "conditions": (Fact(name="load_1min", value="0.2 before, 1.9 after"),),
        "log_tail": "\n".join(f"step {step:5d}  loss {5 - step / 500:.4f}" for step in range(0, 180, 6)),
    }  # fmt: skip
    return Detail(**{**fields, **more})


def make_details(story: Story) -> list[Detail]:
    return [make_detail(row) for row in story.rows]


def curve(number: int) -> tuple[Point, ...]:
    draw = random.Random(number)
    floor = 3.1 + draw.uniform(-0.05, 0.05)
    return tuple(
        Point(train_s=step / 3, step=step, loss=floor + 5 * math.exp(-step / 25) + draw.gauss(0, 0.02))
        for step in range(0, 181, 3)
    )  # fmt: skip


DIFF = (
    DiffLine(kind="@", spans=(("", "@@ -41,7 +41,8 @@ class Model"),)),
    DiffLine(
        kind=" ", spans=(("keyword", "def"), ("", " "), ("name", "build"), ("", "(config):"))
    ),
    DiffLine(
        kind="-", spans=(("", "    depth "), ("operator", "="), ("", " "), ("number", "2"))
    ),
    DiffLine(
        kind="+",
        spans=(("", "    depth "), ("operator", "="), ("", " "), ("number", "3"), ("comment", "  # deeper")),
    ),
    DiffLine(kind="+", spans=(("", "    name "), ("operator", "="), ("", " "), ("string", '"deep"'))),
    DiffLine(kind=" ", spans=(("keyword", "    return"), ("", " Model(depth)"))),
)  # fmt: skip


def _placed(records: Sequence[Record], *, tree: bool) -> Iterator[Record]:
    """With stamps that go on, and parents: the kept idea of that time, or in a tree now and then an earlier one."""
    draw = random.Random(7)
    at = datetime(2026, 11, 23, 22, tzinfo=UTC)
    head, earlier = SEED_COMMIT, [SEED_COMMIT]
    for record in records:
        parent = draw.choice(earlier) if tree and draw.random() < 0.6 else head
        ends = at + timedelta(seconds=record.trial.total_s + 4)
        yield replace(
            record,
            parent=parent if record.commit else None,
            started_at=at.isoformat(),
            finished_at=ends.isoformat(),
        )
        at = ends
        if record.commit and record.kind == CANDIDATE and draw.random() < 0.3:
            earlier.append(record.commit)
        if record.verdict.keep and record.commit:
            head = record.commit


def pairs(values: Sequence[float]) -> Iterator[tuple[float, float]]:
    return itertools.pairwise(values)
