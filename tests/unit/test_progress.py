"""progress.png: what the picture shows, read from its pixels, and where labels go."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rcParams
from matplotlib.image import imread

from lab.ledger import Ledger, Record, reruns_of, scores_of
from lab.outcome import Status
from lab.parquet import remove_drafts
from lab.report.drawing import CARD_FILE, PROGRESS_FILE, REPORT_FILE, Plotter, main
from lab.show.chart import (
    BASELINE,
    DISCARDED,
    FAILED,
    HEIGHT_PX,
    KEPT,
    WIDTH_PX,
    draw_progress,
)
from lab.show.labels import Box, Wish, leader_of, place
from lab.show.scene import compose, running_best
from lab.show.tally import tally
from lab.show.words import ending
from tests.unit.nights import make_kept, make_night, make_record

CHART = (slice(125, 745), slice(70, 1450))  # rows and columns of the plot, without legends
FOOT = (slice(745, 800), slice(70, 1450))  # where failures stand, when there are any


def draw(folder: Path, records: Sequence[Record]) -> np.ndarray:
    path = folder / "progress.png"
    draw_progress(path, records, title="nov23 · cpu · Xeon")
    pixels = imread(path)
    assert pixels.shape[:2] == (HEIGHT_PX, WIDTH_PX)
    return np.round(pixels[:, :, :3] * 255).astype(int)


def mask(pixels: np.ndarray, colour: str, part: tuple[slice, slice] = CHART) -> np.ndarray:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return (np.abs(pixels[part] - wanted) <= 6).all(axis=2)


def clusters(found: np.ndarray, *, least: int) -> list[tuple[float, float]]:
    """Centres (row, column) of the connected patches of at least so many pixels, left to right."""
    left = {(int(row), int(column)) for row, column in np.argwhere(found)}
    centres = []
    while left:
        patch, edge = [], [left.pop()]
        while edge:
            row, column = edge.pop()
            patch.append((row, column))
            for near in (
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            ):
                if near in left:
                    left.remove(near)
                    edge.append(near)
        if len(patch) >= least:
            centres.append(tuple(float(c) for c in np.mean(patch, axis=0)))
    return sorted(centres, key=lambda centre: centre[1])  # type: ignore[arg-type, return-value]


def spread_night() -> list[Record]:
    """Scores so far apart that no marker touches another, those of one candidate's runs apart."""
    night = [
        make_record(1, kind="baseline", val_bpb=1.900),
        make_record(2, kind="baseline", val_bpb=1.896),
        make_record(3, val_bpb=1.912, best_bpb=1.898),
    ]
    night += make_kept(4, val_bpb=1.860, best_bpb=1.898)
    number = len(night) + 1
    night += [
        make_record(number, status=Status.CRASHED),
        make_record(number + 1, val_bpb=1.880, best_bpb=1.860),
        make_record(number + 2, status=Status.OUT_OF_MEMORY),
        make_record(number + 3, val_bpb=1.905, best_bpb=1.860),
    ]
    night += make_kept(number + 4, val_bpb=1.830, best_bpb=1.860)
    return [*night, make_record(len(night) + 1, status=Status.INVALID)]


def diverged(night: Sequence[Record]) -> Record:
    """One more record, with a score far over all others."""
    return make_record(len(night) + 1, val_bpb=9.0, best_bpb=1.83)


def test_every_experiment_is_a_mark_of_its_own_kind(tmp_path: Path) -> None:
    """A missing point is a result that nobody will ever discuss."""
    pixels = draw(tmp_path, spread_night())
    assert len(clusters(mask(pixels, BASELINE), least=40)) == 2
    assert len(clusters(mask(pixels, DISCARDED), least=15)) == 3
    assert len(clusters(mask(pixels, FAILED, FOOT), least=8)) == 3
    assert not mask(pixels, FAILED).any()


def test_what_is_not_decided_is_a_hollow_mark(tmp_path: Path) -> None:
    """A first run that looked better is neither kept nor discarded, and must not look like either."""
    night = spread_night()[:2]
    promising = make_record(3, val_bpb=1.800, best_bpb=1.898)
    assert ending(promising) == "confirm", "the control"
    pixels = draw(tmp_path, [*night, promising])
    assert not clusters(mask(pixels, DISCARDED), least=15)
    whole = (slice(125, 820), CHART[1])  # nothing failed, so the plot reaches further down
    blue = np.argwhere(mask(pixels, KEPT, whole))
    top = blue[:, 0].min()  # rows count downwards: the running best, above the point
    ring = blue[blue[:, 0] > top + 20]
    assert len(ring) >= 4
    row, column = np.round(ring.mean(axis=0)).astype(int)
    assert (pixels[whole][row, column] > 250).all()


def test_lower_scores_are_drawn_lower_and_later_ones_further_right(tmp_path: Path) -> None:
    """An axis turned over would show the worst experiment as the best."""
    pixels = draw(tmp_path, spread_night())
    first, second, third = (r.number for r in spread_night() if ending(r) == "discard")
    (row_1, column_1), (row_2, column_2), (row_3, column_3) = clusters(
        mask(pixels, DISCARDED), least=15
    )
    assert row_2 > row_3 > row_1  # rows count downwards; 1.880 < 1.905 < 1.912
    assert column_2 - column_1 == pytest.approx(
        (second - first) / (third - second) * (column_3 - column_2), abs=3
    )
    assert row_2 - row_1 == pytest.approx(
        (1.912 - 1.880) / (1.912 - 1.905) * (row_3 - row_1), rel=0.1
    )


def test_the_running_best_only_goes_down(tmp_path: Path) -> None:
    """The blue line is the night's story: it starts at the baseline and steps at each keep."""
    line = running_best(compose(make_night(120)))
    scores = [round(score, 12) for _, score in line]  # a mean, and a best minus a gain
    counted = tally(make_night(120))
    assert scores == sorted(scores, reverse=True)
    assert (line[0][1], line[-1][1]) == (counted.baseline_bpb, counted.best_bpb)
    assert len(line) == counted.kept + 2 > 4
    pixels = draw(tmp_path, spread_night())
    blue = mask(pixels, KEPT)
    columns = np.flatnonzero(blue.any(axis=0))
    tops = [int(np.argmax(blue[:, column])) for column in columns]
    kept_columns = blue.sum(axis=0)[columns]
    flat = [top for top, thick in zip(tops, kept_columns, strict=True) if thick <= 4]
    assert len(flat) > 400
    assert all(later >= earlier - 1 for earlier, later in itertools.pairwise(flat))


def test_a_diverged_run_does_not_flatten_the_night() -> None:
    """One score of 9 would press every gain of 0.001 into a single pixel."""
    night = spread_night()
    calm = compose(night)
    wild = compose([*night, diverged(night)])
    assert wild.high < 2.0
    assert wild.high - wild.low < 2 * (calm.high - calm.low)


def test_what_is_off_the_chart_is_still_marked(tmp_path: Path) -> None:
    """Clipping silently would hide experiments."""
    night = spread_night()
    top_right = (slice(125, 165), slice(1340, 1450))
    before = draw(tmp_path, night)
    after = draw(tmp_path, [*night, diverged(night)])
    assert mask(after, DISCARDED, top_right).sum() > 10
    assert not mask(before, DISCARDED, top_right).any()


def test_the_noise_band_covers_the_baseline_and_no_keep() -> None:
    """A keep inside the band would say that the rule did not hold."""
    scene = compose(make_night(120))
    assert scene.tally.margin_bpb is not None
    assert scene.tally.baseline_bpb is not None
    edge = scene.tally.baseline_bpb - scene.tally.margin_bpb
    assert all(score < edge for _, score in scene.of("keep"))


def test_a_kept_candidate_stands_where_its_re_runs_put_it() -> None:
    """Its last run alone may be lucky; the line, the label and the next bar are at the mean."""
    night = make_night(120)
    shown = compose(night).of("keep")
    assert shown
    for record, score in shown:
        reruns = scores_of(reruns_of(night, record.original or 0))
        assert score == pytest.approx(statistics.fmean(reruns), abs=1e-12)


def test_the_price_of_lines_is_no_part_of_the_noise_band() -> None:
    """A change that deletes a thousand lines says nothing about how much seeds move the baseline."""
    night = spread_night()
    longer, shorter = (
        compose([*night, make_record(len(night) + 1, best_bpb=1.83, val_bpb=1.9, net_lines=lines)])
        for lines in (1000, -1000)
    )
    assert longer.tally.noise == shorter.tally.noise
    assert (longer.low, longer.high) == (shorter.low, shorter.high)


@pytest.mark.parametrize("experiments", [0, 1, 2, 3, 12, 500])
def test_any_night_gives_a_picture(tmp_path: Path, experiments: int) -> None:
    """The picture is wanted most when the night went wrong early."""
    pixels = draw(tmp_path, make_night(experiments))
    assert (pixels[30:60, 30:700] < 100).any()  # the title is there
    assert mask(pixels, BASELINE).any() == (experiments > 0)


def test_a_night_of_failures_gives_a_picture(tmp_path: Path) -> None:
    """Nothing measured, so no axis; but what happened must be seen."""
    failures = [status for status in Status if status != Status.MEASURED]
    pixels = draw(tmp_path, [make_record(i, status=s) for i, s in enumerate(failures, start=1)])
    assert len(clusters(mask(pixels, FAILED, FOOT), least=5)) >= len(failures)


def test_equal_records_give_equal_bytes_and_leave_no_trace(tmp_path: Path) -> None:
    """A report that changes by itself cannot be compared; matplotlib's settings are not ours."""
    before = dict(rcParams)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        draw_progress(path, make_night(40), title="t")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert dict(rcParams) == before


@pytest.mark.parametrize(
    "title", ["$x^2$ and $", "\\frac{1}{", "日本語 \U0001f600", "a\nb\x1b[31m", ""]
)
def test_no_title_can_stop_the_picture(tmp_path: Path, title: str) -> None:
    """Titles come from a model; matplotlib would read a dollar sign as mathematics."""
    night = [make_record(1, kind="baseline", val_bpb=1.9)]
    night += make_kept(2, val_bpb=1.8, best_bpb=1.9, title=title)
    path = tmp_path / "p.png"
    draw_progress(path, night, title=title)
    assert path.stat().st_size > 10_000


# ---- labels ----

FRAME = Box(0.0, 0.0, 1000.0, 500.0)
WISHES = st.lists(
    st.builds(
        Wish,
        x=st.floats(0, 1000),
        y=st.floats(0, 500),
        width=st.floats(20, 300),
        height=st.floats(8, 16),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(wishes=WISHES)
def test_labels_never_lie_on_each_other(wishes: list[Wish]) -> None:
    """Two titles on one another are two titles that cannot be read."""
    solid = [Box(w.x - 6, w.y - 6, w.x + 6, w.y + 6) for w in wishes]
    boxes = place(wishes, frame=FRAME, solid=solid, soft=[])
    assert len(boxes) == len(wishes)
    placed = [(wish, box) for wish, box in zip(wishes, boxes, strict=True) if box]
    for index, (wish, box) in enumerate(placed):
        assert FRAME.contains(box)
        assert (box.x1 - box.x0, box.y1 - box.y0) == pytest.approx((wish.width, wish.height))
        assert not any(box.overlaps(point) for point in solid)
        for other_wish, other in placed[index + 1 :]:
            assert not box.overlaps(other)
            assert not box.meets(leader_of(other_wish.x, other_wish.y, other))
            assert not other.meets(leader_of(wish.x, wish.y, box))


def test_a_lonely_label_finds_a_place_beside_its_point() -> None:
    """Placing nothing at all would satisfy every rule above."""
    (box,) = place([Wish(500, 250, 200, 12)], frame=FRAME, solid=[], soft=[])
    assert box is not None
    line = leader_of(500, 250, box)
    assert abs(line.x1 - 500) + abs(line.y1 - 250) < 20


def test_most_keeps_of_a_night_are_labelled() -> None:
    """Labels are the point of the picture; a night of twenty keeps has room for nearly all."""
    wishes = [Wish(100 + 40 * i, 450 - 20 * i, 220, 12) for i in range(20)]
    boxes = place(wishes, frame=FRAME, solid=[], soft=[])
    assert sum(box is not None for box in boxes) >= 18


# ---- the process ----


def campaign(folder: Path, experiments: int) -> Ledger:
    folder.mkdir()
    (folder / "campaign.json").write_text('{"tag": "nov23", "profile": "cpu"}')
    ledger = Ledger.open(folder / "ledger.jsonl", anchor="a")
    for record in make_night(experiments):
        ledger.append(record)
    return ledger


def test_the_plotter_draws_what_the_ledger_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The controller must not wait for a picture, and the last one must show the whole night."""
    folder = tmp_path / "nov23"
    ledger = campaign(folder, 3)
    plotter = Plotter(folder)
    began = time.monotonic()
    plotter.redraw()
    plotter.redraw()
    assert time.monotonic() - began < 0.5
    for record in make_kept(4, val_bpb=1.7, best_bpb=1.85):
        ledger.append(record)
    plotter.close()
    assert plotter.problem is None
    expected = tmp_path / "expected.png"
    draw_progress(expected, ledger.records, title="nov23  ·  cpu")
    assert (folder / PROGRESS_FILE).read_bytes() == expected.read_bytes()
    assert {PROGRESS_FILE, CARD_FILE, REPORT_FILE} <= {path.name for path in folder.iterdir()}
    assert ending(ledger.records[-1]) == "keep"


def test_a_picture_that_fails_is_remembered_and_not_raised(tmp_path: Path) -> None:
    """No picture is worth a night."""
    plotter = Plotter(tmp_path / "nowhere")
    plotter.redraw()
    plotter.close()
    assert "no campaign" in (plotter.problem or "")


def test_stopping_does_not_wait_for_the_picture(tmp_path: Path) -> None:
    """A second Ctrl-C means now."""
    folder = tmp_path / "nov23"
    campaign(folder, 12)
    plotter = Plotter(folder)
    plotter.redraw()
    began = time.monotonic()
    plotter.stop()
    assert time.monotonic() - began < 1.0


def test_what_a_killed_drawing_had_begun_is_taken_away(tmp_path: Path) -> None:
    """A night that is stopped at once leaves nothing half-written; what others write there stays."""
    drafts = [tmp_path / f".{REPORT_FILE}.{pid}.tmp" for pid in (41, 42)]
    for draft in drafts:
        draft.write_bytes(b"half")
    remove_drafts(tmp_path, 42)
    assert [draft.exists() for draft in drafts] == [True, False]


def test_the_command_needs_a_folder() -> None:
    """A wrong call says how to call."""
    assert main([]) == 2


def test_importing_the_plotter_does_not_load_matplotlib() -> None:
    """It would stay in the controller's memory until the morning."""
    program = "import lab.report.drawing, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
