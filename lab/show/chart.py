"""progress.png: the night in one picture.

Owns    what is drawn, and how it looks
Takes   Records or a Scene, and a title
Gives   a PNG of 1600 x 900 pixels, the same bytes for the same Scene
Never   runs in the controller, where matplotlib would stay for the whole night; see lab/report/drawing.py
"""

from __future__ import annotations

import contextlib
import io
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.ledger import Record
from lab.parquet import replacing
from lab.show.labels import Box, Wish, leader_of, place
from lab.show.scene import Counted, Scene, compose, running_best
from lab.show.words import ending_in_words, gain_in_words, one_line, replays_in_words
from lab.verdict import Noise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX, HEIGHT_PX, DPI = 1600, 900, 100
TITLE_CHARS = 46
DENSE = 400  # from so many experiments on, markers are smaller
MOST_LABELS = 30  # more are not read, and their leaders cross

# Okabe and Ito's palette: told apart with any colour vision. Every kind has its own shape besides.
INK, FAINT, GRID = "#1F2933", "#66727F", "#E4E8EC"
KEPT, BASELINE, DISCARDED, FAILED = "#0072B2", "#E69F00", "#A9B2BC", "#D55E00"

# What has no score stands under the chart: its marker, and its word in the legend.
FAILURES = {
    "crashed": ("x", "crashed"),
    "out_of_memory": ("s", "out of memory"),
    "timed_out": ("D", "timed out"),
    "invalid": ("v", "invalid"),
    "rejected": ("|", "rejected"),
    "lost": ("+", "lost"),
    "contended": ("_", "contended"),
    "conditions": ("1", "conditions"),
    "throttled": ("2", "throttled"),
}

# The user's matplotlibrc must not change the picture.
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "text.usetex": False,
    "text.parse_math": False,  # a title with two dollar signs is a title
    "axes.unicode_minus": True,
    "path.simplify": False,
}


def draw_progress(
    path: Path, records: Sequence[Record], *, title: str, prior: Noise | None = None
) -> None:
    """Draw the night; no Records give a picture that says so. The file is replaced in one step.

    Raises:
        OSError: the picture cannot be written.
    """
    content = draw_scene(compose(records, prior), title=title)
    with replacing(path) as draft:
        draft.write_bytes(content)


def draw_scene(scene: Scene, *, title: str) -> bytes:
    """The same picture of what was composed already, as a PNG."""
    return picture(WIDTH_PX, HEIGHT_PX, lambda figure: _draw(figure, scene, title))


def picture(width_px: int, height_px: int, draw: Callable[[Figure], None]) -> bytes:
    """A PNG in our style; `draw` is given the empty white figure."""
    # matplotlib is imported where it is needed: the names of this module are imported by the controller.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with warnings.catch_warnings(), plain_style():
        warnings.simplefilter("ignore")  # a title in a script that the font lacks shows boxes
        figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", metadata={"Software": None})
    return drawn.getvalue()


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """The defaults of matplotlib itself, and STYLE; what was set before comes back."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in STYLE.items():
            mpl.rcParams[name] = value  # type: ignore[index]
        yield


def _draw(figure: Figure, scene: Scene, title: str) -> None:
    bottom = 0.178 if scene.failures else 0.085
    chart = figure.add_axes((0.062, bottom, 0.845, 0.835 - bottom))
    _draw_head(figure, scene, title)
    _draw_frame(chart, scene)
    draw_scores(chart, scene)
    foot = chart
    if scene.failures:
        foot = figure.add_axes((0.062, 0.118, 0.845, 0.045), sharex=chart)
        _draw_failures(foot, scene)
        chart.tick_params(labelbottom=False)
    foot.set_xlabel("experiment", color=FAINT, fontsize=11)
    _draw_legend(figure, chart, (0.018, 0.895))
    if foot is not chart:
        _draw_legend(figure, foot, (0.018, 0.052))
    if has_scores(scene):
        _draw_ends(chart, scene)
        draw_labels(figure, chart, scene)
    else:
        say_empty(chart, scene)


def _draw_head(figure: Figure, scene: Scene, title: str) -> None:
    figure.text(0.024, 0.946, one_line(title, 110), fontsize=19, weight="bold", color=INK)
    figure.text(0.024, 0.908, summary_of(scene.tally), fontsize=13, color=INK)


def summary_of(counted: Counted) -> str:
    """The night in one line: from where to where, by how much, out of how many."""
    tail = f"  ·  {counted.tried} tried, {counted.kept} kept" if counted.tried else ""
    if replayed := replays_in_words(counted):
        return replayed
    baseline, best = counted.baseline_bpb, counted.best_bpb
    if baseline is None or best is None:
        return f"{'no baseline measured' if counted.scored else 'nothing measured yet'}{tail}"
    if not counted.kept:
        return f"baseline {baseline:.4f} bits per byte{', not beaten yet' if tail else ''}{tail}"
    change = gain_in_words(baseline - best, baseline)
    return f"{baseline:.4f} → {best:.4f} bits per byte  ·  {change}{tail}"


def _draw_frame(chart: Axes, scene: Scene) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = [mark.number for mark in scene.marks] or [1]
    room = max(0.6, 0.012 * (numbers[-1] - numbers[0]))
    chart.set_xlim(numbers[0] - room, numbers[-1] + room)
    chart.set_ylim(scene.low, scene.high)
    chart.xaxis.set_major_locator(MaxNLocator(16, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    chart.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    chart.ticklabel_format(axis="y", useOffset=False, style="plain")
    chart.set_ylabel("val_bpb  (bits per byte, lower is better)", color=FAINT, fontsize=11)
    chart.set_axisbelow(True)
    chart.grid(axis="y", color=GRID, linewidth=0.9)
    if not has_scores(scene):
        chart.set_yticks([])
    _strip(chart)


def has_scores(scene: Scene) -> bool:
    return any(mark.score_bpb is not None for mark in scene.marks)


def say_empty(chart: Axes, scene: Scene) -> None:
    """Words where a chart has nothing to show."""
    words = "no experiment has a score" if scene.marks else "no experiment yet"
    chart.text(0.5, 0.5, words, transform=chart.transAxes, ha="center", color=FAINT, fontsize=16)


def _strip(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=FAINT, labelsize=10, length=0, pad=6)


def draw_scores(chart: Axes, scene: Scene) -> None:
    if scene.tally.baseline_bpb is not None:
        if scene.tally.margin_bpb:
            chart.axhspan(
                scene.tally.baseline_bpb - scene.tally.margin_bpb,
                scene.tally.baseline_bpb + scene.tally.margin_bpb,
                facecolor=BASELINE, alpha=0.13, linewidth=0,
                label=f"noise margin ±{scene.tally.margin_bpb:.4f}",
            )  # fmt: skip
        chart.axhline(
            scene.tally.baseline_bpb, color=BASELINE, linewidth=1.1, linestyle=(0, (5, 4))
        )
    _draw_discards(chart, scene)
    undecided = scene.of("confirm")
    if undecided:
        chart.scatter(
            [mark.number for mark, _ in undecided], [score for _, score in undecided],
            s=40 if len(scene.marks) < DENSE else 18, facecolors="white", edgecolors=KEPT,
            linewidths=2.0, zorder=3, label=f"to be confirmed {len(undecided)}",
        )  # fmt: skip
    line = running_best(scene)
    if len(scene.marks) > 1 and line:
        chart.step(*zip(*line, strict=True), where="post", color=KEPT, linewidth=2.0, zorder=3,
                   label="running best")  # fmt: skip
    size = 86 if len(scene.marks) < DENSE else 40
    for word, marker, colour in (
        ("baseline", "D", BASELINE), ("keep", "o", KEPT), ("replay", "o", KEPT),
    ):  # fmt: skip
        points = scene.of(word)
        if points:
            chart.scatter(
                [mark.number for mark, _ in points], [score for _, score in points],
                marker=marker, s=size, c=colour, edgecolors="white", linewidths=1.2, zorder=4,
                label=f"{ending_in_words(word)} {len(points)}",
            )  # fmt: skip


def _draw_discards(chart: Axes, scene: Scene) -> None:
    points = scene.of("discard")
    inside = [(mark.number, score) for mark, score in points if score <= scene.high]
    above = [(mark.number, score) for mark, score in points if score > scene.high]
    label = f"discarded {len(points)}"
    if inside:
        chart.scatter(
            [number for number, _ in inside], [score for _, score in inside],
            s=34 if len(scene.marks) < DENSE else 14, c=DISCARDED, edgecolors="white",
            linewidths=0.7, zorder=2, label=label,
        )  # fmt: skip
    if above:
        span = scene.high - scene.low
        chart.scatter(
            [number for number, _ in above], [scene.high - 0.012 * span] * len(above),
            marker="^", s=46, facecolors="white", edgecolors=DISCARDED, linewidths=1.4, zorder=2,
            clip_on=False,
            label=f"off the chart {len(above)}, worst {max(score for _, score in above):.3f}"
            if inside else f"{label}, off the chart",
        )  # fmt: skip


def _draw_failures(foot: Axes, scene: Scene) -> None:
    foot.set_ylim(-1, 1)
    foot.set_yticks([])
    _strip(foot)
    for word, (marker, name) in FAILURES.items():
        numbers = [mark.number for mark in scene.failures if mark.ending == word]
        if numbers:
            foot.scatter(
                numbers, [0.0] * len(numbers), marker=marker, s=90 if marker in "|_" else 42,
                c=FAILED, linewidths=1.6,
                label=f"{name} {len(numbers)}", clip_on=False,
            )  # fmt: skip


def _draw_legend(figure: Figure, axes: Axes, corner: tuple[float, float]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="upper left", bbox_to_anchor=corner, ncols=len(handles),
            frameon=False, fontsize=10.5, labelcolor=FAINT, handletextpad=0.4, columnspacing=1.5,
        )  # fmt: skip


def _draw_ends(chart: Axes, scene: Scene) -> None:
    """Name the two lines at their right end, where the eye looks last."""
    if scene.tally.baseline_bpb is None or scene.tally.best_bpb is None:
        return
    ends = [(scene.tally.baseline_bpb, "baseline", "#9A6A00")]
    if scene.of("keep"):
        ends.append((scene.tally.best_bpb, "best", KEPT))
    apart = 0.052 * (scene.high - scene.low)
    for index, (score, word, colour) in enumerate(ends):
        y = score
        if index and ends[0][0] - score < apart:
            y = ends[0][0] - apart
        chart.annotate(
            f"{word}\n{score:.4f}", (1.0, y), xycoords=("axes fraction", "data"),
            xytext=(10, 0), textcoords="offset points", va="center", color=colour,
            fontsize=11.5, weight="bold", linespacing=1.15, annotation_clip=False,
        )  # fmt: skip


def draw_labels(
    figure: Figure,
    chart: Axes,
    scene: Scene,
    *,
    points: float = 9.5,
    chars: int = TITLE_CHARS,
    most: int = MOST_LABELS,
) -> None:
    """Label the kept ones, largest gain first; where there is no room, the smallest go without.

    `points` is the size of the letters, `chars` the length of a title, `most` how many are named.
    """
    from matplotlib.patheffects import withStroke

    kept = sorted(scene.of("keep"), key=lambda found: -(found[0].gain_bpb or 0.0))
    kept = kept[:most]
    texts = [f"{mark.number}  {one_line(mark.title, chars)}" for mark, _ in kept]
    pixels = [_to_pixels(chart, mark.number, score) for mark, score in kept]
    wishes = [
        Wish(x, y, *_size_of(figure, text, points))
        for (x, y), text in zip(pixels, texts, strict=True)
    ]
    boxes = place(
        wishes,
        frame=Box(*(float(edge) for edge in chart.bbox.extents)),
        solid=list(_solid_marks(chart, scene)),
        soft=[
            _around(*_to_pixels(chart, mark.number, min(score, scene.high)), 4)
            for mark, score in scene.of("discard", "baseline", "confirm")
        ],
    )
    for (x, y), text, box in zip(pixels, texts, boxes, strict=True):
        if box is None:
            continue
        line = leader_of(x, y, box)
        if abs(line.x1 - x) + abs(line.y1 - y) > 16:
            chart.plot([x, line.x1], [y, line.y1], transform=None, color=KEPT, linewidth=0.7,
                       alpha=0.55, zorder=3)  # fmt: skip
        chart.text(
            box.x0, box.y0, text, transform=None, fontsize=points, color=INK, zorder=5,
            va="bottom", path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _solid_marks(chart: Axes, scene: Scene) -> Iterator[Box]:
    """What a label must not cover: the kept points and the running best."""
    for mark, score in scene.of("keep"):
        yield _around(*_to_pixels(chart, mark.number, score), 6)
    line = [_to_pixels(chart, x, y) for x, y in running_best(scene)]
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        yield Box(x0, y0 - 2, x1, y0 + 2)
        yield Box(x1 - 2, min(y0, y1), x1 + 2, max(y0, y1))


def _around(x: float, y: float, reach: float) -> Box:
    return Box(x - reach, y - reach, x + reach, y + reach)


def _to_pixels(chart: Axes, x: float, y: float) -> tuple[float, float]:
    at = chart.transData.transform((x, y))
    return float(at[0]), float(at[1])


def _size_of(figure: Figure, text: str, points: float) -> tuple[float, float]:
    shown = figure.text(0, 0, text, fontsize=points)
    extent = shown.get_window_extent()
    shown.remove()
    return float(extent.width), float(extent.height)
