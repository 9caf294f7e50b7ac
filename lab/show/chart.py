"""progress.png: the night in one picture.

Owns    what is drawn, and the range of scores that shows it
Takes   Records and a title
Gives   a PNG of 1600 x 900 pixels, the same bytes for the same Records
Never   runs in the controller, where matplotlib would stay for the whole night; see lab/show/progress.py
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.ledger import Record
from lab.parquet import replacing
from lab.show.labels import Box, Wish, leader_of, place
from lab.show.results import Tally, ending, ending_in_words, kept_bpb, one_line, tally
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the chart shows, in numbers."""

    records: Sequence[Record]
    tally: Tally
    low: float  # of the y axis
    high: float

    def of(self, *endings: str) -> list[tuple[Record, float]]:
        """The measured Records of these endings, each with its score; a kept one with that of its re-runs."""
        return [
            (record, kept_bpb(record) or record.trial.val_bpb)
            for record in self.records
            if record.trial.val_bpb is not None and ending(record) in endings
        ]

    @property
    def failures(self) -> list[Record]:
        return [record for record in self.records if record.trial.val_bpb is None]


def draw_progress(
    path: Path, records: Sequence[Record], *, title: str, prior: Noise | None = None
) -> None:
    """Draw the night; no Records give a picture that says so. The file is replaced in one step.

    Raises:
        OSError: the picture cannot be written.
    """
    # matplotlib is imported where it is needed: lab.show.progress is imported by the controller.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with warnings.catch_warnings(), plain_style():
        warnings.simplefilter("ignore")  # a title in a script that the font lacks shows boxes
        figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        scene = compose(records, prior)
        _draw(figure, scene, title)
        with replacing(path) as draft:
            figure.savefig(draft, format="png", metadata={"Software": None})


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """The defaults of matplotlib itself, and STYLE; what was set before comes back."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in STYLE.items():
            mpl.rcParams[name] = value  # type: ignore[index]
        yield


def compose(records: Sequence[Record], prior: Noise | None = None) -> Scene:
    """Work out what matters, and the range of scores that shows it."""
    scores = [r.trial.val_bpb for r in records if r.trial.val_bpb is not None]
    important = [
        kept_bpb(r) or r.trial.val_bpb
        for r in records
        if r.trial.val_bpb is not None and ending(r) in ("baseline", "keep", "confirm", "replay")
    ]
    counted = tally(records, prior)
    low, high = _range(scores, important, counted.margin_bpb or 0.0)
    return Scene(records=records, tally=counted, low=low, high=high)


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


def _draw(figure: Figure, scene: Scene, title: str) -> None:
    bottom = 0.178 if scene.failures else 0.085
    chart = figure.add_axes((0.062, bottom, 0.845, 0.835 - bottom))
    _draw_head(figure, scene, title)
    _draw_frame(chart, scene)
    _draw_scores(chart, scene)
    foot = chart
    if scene.failures:
        foot = figure.add_axes((0.062, 0.118, 0.845, 0.045), sharex=chart)
        _draw_failures(foot, scene)
        chart.tick_params(labelbottom=False)
    foot.set_xlabel("experiment", color=FAINT, fontsize=11)
    _draw_legend(figure, chart, (0.018, 0.895))
    if foot is not chart:
        _draw_legend(figure, foot, (0.018, 0.052))
    if scene.records:
        _draw_ends(chart, scene)
        _draw_labels(figure, chart, scene)
    else:
        chart.text(0.5, 0.5, "no experiment yet", transform=chart.transAxes, ha="center",
                   color=FAINT, fontsize=16)  # fmt: skip


def _draw_head(figure: Figure, scene: Scene, title: str) -> None:
    figure.text(0.024, 0.946, one_line(title, 110), fontsize=19, weight="bold", color=INK)
    figure.text(0.024, 0.908, summary_of(scene.tally), fontsize=13, color=INK)


def summary_of(counted: Tally) -> str:
    """The night in one line: from where to where, by how much, out of how many."""
    tail = f"  ·  {counted.tried} tried, {counted.kept} kept" if counted.tried else ""
    baseline, best = counted.baseline_bpb, counted.best_bpb
    if baseline is None or best is None:
        return f"nothing measured yet{tail}"
    if not counted.kept:
        return f"baseline {baseline:.4f} bits per byte{', not beaten yet' if tail else ''}{tail}"
    gain = baseline - best
    return (
        f"{baseline:.4f} → {best:.4f} bits per byte  ·  "
        f"{gain:.4f} better ({100 * gain / baseline:.1f} %){tail}"
    )


def _draw_frame(chart: Axes, scene: Scene) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = [record.number for record in scene.records] or [1]
    room = max(0.6, 0.012 * (numbers[-1] - numbers[0]))
    chart.set_xlim(numbers[0] - room, numbers[-1] + room)
    chart.set_ylim(scene.low, scene.high)
    chart.xaxis.set_major_locator(MaxNLocator(16, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    chart.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    chart.ticklabel_format(axis="y", useOffset=False, style="plain")
    chart.set_ylabel("val_bpb  (bits per byte, lower is better)", color=FAINT, fontsize=11)
    chart.set_axisbelow(True)
    chart.grid(axis="y", color=GRID, linewidth=0.9)
    if all(record.trial.val_bpb is None for record in scene.records):
        chart.set_yticks([])
    _strip(chart)


def _strip(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=FAINT, labelsize=10, length=0, pad=6)


def _draw_scores(chart: Axes, scene: Scene) -> None:
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
            [record.number for record, _ in undecided], [score for _, score in undecided],
            s=40 if len(scene.records) < DENSE else 18, facecolors="white", edgecolors=KEPT,
            linewidths=2.0, zorder=3, label=f"to be confirmed {len(undecided)}",
        )  # fmt: skip
    line = running_best(scene)
    if len(scene.records) > 1 and line:
        chart.step(*zip(*line, strict=True), where="post", color=KEPT, linewidth=2.0, zorder=3,
                   label="running best")  # fmt: skip
    size = 86 if len(scene.records) < DENSE else 40
    for word, marker, colour in (
        ("baseline", "D", BASELINE), ("keep", "o", KEPT), ("replay", "o", KEPT),
    ):  # fmt: skip
        points = scene.of(word)
        if points:
            chart.scatter(
                [record.number for record, _ in points], [score for _, score in points],
                marker=marker, s=size, c=colour, edgecolors="white", linewidths=1.2, zorder=4,
                label=f"{ending_in_words(word)} {len(points)}",
            )  # fmt: skip


def _draw_discards(chart: Axes, scene: Scene) -> None:
    points = scene.of("discard")
    inside = [(r.number, score) for r, score in points if score <= scene.high]
    above = [(r.number, score) for r, score in points if score > scene.high]
    label = f"discarded {len(points)}"
    if inside:
        chart.scatter(
            [number for number, _ in inside], [score for _, score in inside],
            s=34 if len(scene.records) < DENSE else 14, c=DISCARDED, edgecolors="white",
            linewidths=0.7, zorder=2, label=label,
        )  # fmt: skip
    if above:
        span = scene.high - scene.low
        chart.scatter(
            [number for number, _ in above], [scene.high - 0.012 * span] * len(above),
            marker="^", s=46, facecolors="white", edgecolors=DISCARDED, linewidths=1.4, zorder=2,
            label=f"off the chart {len(above)}, worst {max(score for _, score in above):.3f}"
            if inside else f"{label}, off the chart",
        )  # fmt: skip


def running_best(scene: Scene) -> list[tuple[float, float]]:
    """Where the score to beat stood, from the first baseline to the last experiment."""
    if scene.tally.baseline_bpb is None or scene.tally.best_bpb is None:
        return []
    first = min((record.number for record, _ in scene.of("baseline")), default=0)
    line = [(float(first), scene.tally.baseline_bpb)]
    line += [(float(record.number), score) for record, score in scene.of("keep")]
    return [*line, (float(scene.records[-1].number), scene.tally.best_bpb)]


def _draw_failures(foot: Axes, scene: Scene) -> None:
    foot.set_ylim(-1, 1)
    foot.set_yticks([])
    _strip(foot)
    for word, (marker, name) in FAILURES.items():
        numbers = [r.number for r in scene.failures if r.trial.status == word]
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


def _draw_labels(figure: Figure, chart: Axes, scene: Scene) -> None:
    """Label the kept ones, largest gain first; where there is no room, the smallest go without."""
    from matplotlib.patheffects import withStroke

    kept = sorted(scene.of("keep"), key=lambda found: -(found[0].verdict.gain_bpb or 0.0))
    kept = kept[:MOST_LABELS]
    texts = [f"{record.number}  {one_line(record.title, TITLE_CHARS)}" for record, _ in kept]
    pixels = [_to_pixels(chart, record.number, score) for record, score in kept]
    wishes = [
        Wish(x, y, *_size_of(figure, text)) for (x, y), text in zip(pixels, texts, strict=True)
    ]
    boxes = place(
        wishes,
        frame=Box(*(float(edge) for edge in chart.bbox.extents)),
        solid=list(_solid_marks(chart, scene)),
        soft=[
            _around(*_to_pixels(chart, record.number, min(score, scene.high)), 4)
            for record, score in scene.of("discard", "baseline", "confirm")
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
            box.x0, box.y0, text, transform=None, fontsize=9.5, color=INK, zorder=5,
            va="bottom", path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _solid_marks(chart: Axes, scene: Scene) -> Iterator[Box]:
    """What a label must not cover: the kept points and the running best."""
    for record, score in scene.of("keep"):
        yield _around(*_to_pixels(chart, record.number, score), 6)
    line = [_to_pixels(chart, x, y) for x, y in running_best(scene)]
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        yield Box(x0, y0 - 2, x1, y0 + 2)
        yield Box(x1 - 2, min(y0, y1), x1 + 2, max(y0, y1))


def _around(x: float, y: float, reach: float) -> Box:
    return Box(x - reach, y - reach, x + reach, y + reach)


def _to_pixels(chart: Axes, x: float, y: float) -> tuple[float, float]:
    at = chart.transData.transform((x, y))
    return float(at[0]), float(at[1])


def _size_of(figure: Figure, text: str) -> tuple[float, float]:
    shown = figure.text(0, 0, text, fontsize=9.5)
    extent = shown.get_window_extent()
    shown.remove()
    return float(extent.width), float(extent.height)
