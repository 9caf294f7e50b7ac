"""card.png: a night in one picture to post, 1200 x 630 pixels.

Owns    what is said in large letters, and that it is no more than the records say
Takes   a Story
Gives   a PNG, the same bytes for the same Story
Never   calls something a gain that nothing was kept for
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.show.chart import (
    FAINT,
    GRID,
    INK,
    KEPT,
    draw_labels,
    draw_scores,
    has_scores,
    picture,
    say_empty,
)
from lab.show.scene import Mark, Scene, scene_of
from lab.show.words import one_line, replays_in_words
from lab.story.shapes import Row, Standing, Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX, HEIGHT_PX = 1200, 630

_LEFT, _RIGHT = 0.045, 0.955
_CHART = (_LEFT, 0.185, 0.8, 0.4)  # left, bottom, width, height, as shares of the picture
_HARDWARE_CHARS, _TAG_CHARS = 34, 40
_LABELS, _LABEL_CHARS = 6, 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The two lines in large letters."""

    large: str
    under: str
    gained: bool  # something was kept


def draw_card(story: Story) -> bytes:
    """The card of a campaign, as a PNG."""
    scene = scene_of(marks_of_rows(story.rows), story.standing)

    def draw(figure: Figure) -> None:
        _draw_mark(figure)
        _draw_head(figure, story)
        _draw_foot(figure, story)
        _draw_chart(figure, scene)

    return picture(WIDTH_PX, HEIGHT_PX, draw)


def marks_of_rows(rows: Sequence[Row]) -> list[Mark]:
    """The Rows of a Story as a picture takes them."""
    return [
        Mark(
            number=row.number,
            ending=row.ending,
            original=row.original,
            title=row.title,
            val_bpb=row.val_bpb,
            score_bpb=row.score_bpb if row.val_bpb is not None else None,
            gain_bpb=row.gain_bpb,
            best_bpb=row.best_bpb,
        )
        for row in rows
    ]


def headline_of(story: Story) -> Headline:
    """What the night came to, and how sure that is."""
    standing = story.standing
    if replayed := replays_in_words(standing):
        verdict = "the verdict is in replay.json" if not story.running else "no verdict yet"
        return Headline(large=replayed, under=verdict, gained=False)
    baseline, best, gain = standing.baseline_bpb, standing.best_bpb, standing.gain_bpb
    if baseline is None or best is None:
        large = "No baseline measured" if standing.scored else "Nothing measured yet"
        return Headline(large=large, under=_tried(standing), gained=False)
    if not gain:  # 0: an imported table may have kept what is worse, for fewer lines
        nothing = "Nothing better" if standing.kept else "Nothing kept"
        under = f"baseline {baseline:.4f} bits per byte  ·  {_tried(standing)}"
        return Headline(
            large=f"{nothing} so far" if story.running else nothing,
            under=f"{under}{_none_kept(standing)}",
            gained=False,
        )
    return Headline(
        large=f"{_amount(gain)} bits per byte {'better' if gain > 0 else 'worse'}"
        f"{' so far' if story.running else ''}",
        under=f"{_interval(standing)}  ·  {baseline:.4f} → {best:.4f}, {100 * abs(gain) / baseline:.1f} % "
        f"{'less' if gain > 0 else 'more'}",
        gained=gain > 0,
    )


def _amount(bpb: float) -> str:
    return f"{abs(bpb):.4f}"


def _interval(standing: Standing) -> str:
    low, high = standing.gain_low_bpb, standing.gain_high_bpb
    if low is None or high is None:
        return "how sure that is, nobody measured"
    unsure = ", so it may be none" if low <= 0.0 <= high else ""
    return f"95 % interval {low:.4f} to {high:.4f}{unsure}".replace("-", "\N{MINUS SIGN}")


def _tried(standing: Standing) -> str:
    if not standing.tried:
        return "no idea tried yet"
    return f"{standing.tried} idea{'s' * (standing.tried != 1)} tried"


def _none_kept(standing: Standing) -> str:
    return ", none enough better to keep" if standing.tried and not standing.kept else ""


def stats_of(story: Story) -> list[tuple[str, str]]:
    """The figures at the foot, each with what it counts; what is not known is left out."""
    standing = story.standing
    found = [(f"{standing.experiments:,}", f"experiment{'s' * (standing.experiments != 1)}")]
    if not standing.replays:  # a replay tries nothing of its own
        found.append((f"{standing.kept:,}", f"kept of {standing.tried:,} tried"))
    if standing.took_s:
        found.append(_duration(standing.took_s))
    if standing.cost_usd is not None:
        found.append((f"${standing.cost_usd:,.2f}", "paid for the agent"))
    hardware = one_line(story.hardware or "", _HARDWARE_CHARS)
    if hardware:
        found.append((hardware, f"{story.profile} profile" if story.profile else "hardware"))
    elif story.imported:
        found.append(("imported", "from a results.tsv"))
    return found


def _duration(seconds: float) -> tuple[str, str]:
    if seconds < 90:
        return f"{seconds:.0f}", "seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f}", "minutes"
    return f"{seconds / 3600:.1f}", "hours"


def _draw_mark(figure: Figure) -> None:
    """A moon behind a falling line, and the name: whose card this is."""
    from matplotlib.patches import Circle, Rectangle

    figure.add_artist(Rectangle((0, 0), WIDTH_PX, 10, color=KEPT, transform=None))
    x, y, radius = 68.0, 580.0, 15.0
    figure.add_artist(Circle((x, y), radius, color=INK, linewidth=0, transform=None))
    figure.add_artist(
        Circle((x + 7.5, y + 4.0), radius * 0.86, color="white", linewidth=0, transform=None)
    )
    figure.text(94, 580, "Nightlab", transform=None, fontsize=17, weight="bold", color=INK,
                va="center_baseline")  # fmt: skip


def _draw_head(figure: Figure, story: Story) -> None:
    head = headline_of(story)
    figure.text(_RIGHT, 0.921, one_line(story.tag, _TAG_CHARS), fontsize=17, color=FAINT,
                ha="right", va="center_baseline", family=["DejaVu Sans Mono"])  # fmt: skip
    large = figure.text(_LEFT - 0.002, 0.748, head.large, fontsize=44, weight="bold",
                        color=KEPT if head.gained else INK)  # fmt: skip
    under = figure.text(_LEFT, 0.655, head.under, fontsize=18.5, color=INK)
    for text in (large, under):
        _fit(figure, text)


def _fit(figure: Figure, text: object) -> None:
    """Make a line that is too long smaller, until it ends inside the picture."""
    from matplotlib.text import Text

    assert isinstance(text, Text)
    room = WIDTH_PX * (_RIGHT - _LEFT)
    width = text.get_window_extent().width
    if width > room:
        text.set_fontsize(float(text.get_fontsize()) * room / width)


def _draw_foot(figure: Figure, story: Story) -> None:
    """The figures in a row, each over what it counts, as far as they have room."""
    x = WIDTH_PX * _LEFT
    for amount, what in stats_of(story):
        large = figure.text(x, 62, amount, transform=None, fontsize=20, weight="bold", color=INK)
        small = figure.text(x, 34, what, transform=None, fontsize=13.5, color=FAINT)
        end = max(text.get_window_extent().x1 for text in (large, small))
        if end > WIDTH_PX * _RIGHT + 2:
            large.remove()
            small.remove()
            return
        x = end + 44


def _draw_chart(figure: Figure, scene: Scene) -> None:
    from matplotlib.ticker import MaxNLocator

    chart = figure.add_axes(_CHART)
    numbers = [mark.number for mark in scene.marks] or [1]
    room = max(0.6, 0.012 * (numbers[-1] - numbers[0]))
    chart.set_xlim(numbers[0] - room, numbers[-1] + room)
    chart.set_ylim(scene.low, scene.high)
    chart.yaxis.set_major_locator(MaxNLocator(4))
    chart.set_axisbelow(True)
    chart.grid(axis="y", color=GRID, linewidth=1.0)
    chart.tick_params(length=0, labelleft=False, labelbottom=False)
    for spine in chart.spines.values():
        spine.set_visible(False)
    if not has_scores(scene):
        chart.set_yticks([])
        say_empty(chart, scene)
        return
    draw_scores(chart, scene)
    _draw_ends(chart, scene)
    draw_labels(figure, chart, scene, points=12, chars=_LABEL_CHARS, most=_LABELS)


def _draw_ends(chart: Axes, scene: Scene) -> None:
    """What the two lines are, at their right end."""
    counted = scene.tally
    if counted.baseline_bpb is None or counted.best_bpb is None:
        return
    ends = [(counted.baseline_bpb, "baseline", "#9A6A00")]
    if scene.of("keep"):
        ends.append((counted.best_bpb, "best", KEPT))
    apart = 0.2 * (scene.high - scene.low)
    for index, (score, word, colour) in enumerate(ends):
        y = min(score, ends[0][0] - apart) if index else score
        chart.annotate(
            f"{word}\n{score:.4f}", (1.0, y), xycoords=("axes fraction", "data"),
            xytext=(12, 0), textcoords="offset points", va="center", color=colour,
            fontsize=14.5, weight="bold", linespacing=1.15, annotation_clip=False,
        )  # fmt: skip
