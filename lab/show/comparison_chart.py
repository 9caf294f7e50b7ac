"""The picture of a comparison: gains over each own baseline, and how they came about.

Owns    what is drawn
Takes   a Comparison
Gives   the bytes of an SVG or a PNG, the same for the same Comparison
Never   shows an absolute score: across classes they do not compare
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, Literal

from lab.show.chart import FAINT, GRID, INK, plain_style
from lab.show.comparison import Comparison, Host
from lab.show.words import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
WIDTH_IN = 14.0
HEAD_IN, ROW_IN, LEAST_IN = 2.1, 0.62, 4.8
NAME_CHARS, HARDWARE_CHARS = 30, 34

# Okabe and Ito's palette without its yellow, and a marker each: told apart with any colour vision, and in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")


def draw_comparison(comparison: Comparison, form: Literal["svg", "png"]) -> bytes:
    """Draw the comparison."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = max(LEAST_IN, HEAD_IN + ROW_IN * len(comparison.hosts))
    with warnings.catch_warnings(), plain_style():
        warnings.simplefilter("ignore")  # a name in a script that the font lacks shows boxes
        mpl.rcParams["svg.hashsalt"] = "nightlab"  # else its ids are drawn by chance
        figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        _draw(figure, comparison, height)
        written = io.BytesIO()
        facts: dict[str, Any] = (
            {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        )
        figure.savefig(written, format=form, metadata=facts)
    return written.getvalue()


def _draw(figure: Figure, comparison: Comparison, height_in: float) -> None:
    top = 1 - 1.05 / height_in
    bottom = 0.75 / height_in
    figure.text(0.008, 1 - 0.42 / height_in, "Gain over each own baseline", fontsize=17, weight="bold",
                color=INK)  # fmt: skip
    what = (
        "one class of hardware"
        if comparison.one_class
        else "several classes of hardware: only gains compare, absolute scores do not"
    )
    figure.text(0.008, 1 - 0.74 / height_in, f"bits per byte, more is better  ·  {what}", fontsize=11.5,
                color=FAINT)  # fmt: skip
    gains = figure.add_axes((0.225, bottom, 0.325, top - bottom))
    paths = figure.add_axes((0.615, bottom, 0.355, top - bottom))
    _draw_gains(gains, comparison.hosts)
    _draw_paths(paths, comparison.hosts)


def _draw_gains(axes: Axes, hosts: tuple[Host, ...]) -> None:
    """A point and its interval for each host, from the top in the order given."""
    axes.axvline(0.0, color=FAINT, linewidth=1.0)
    for index, host in enumerate(hosts):
        y, (colour, marker) = -index, _look(index)
        if host.runs.best and host.runs.baseline:
            if host.gain is not None and host.gain.error_bpb > 0:
                low, high = host.gain.interval()
                axes.plot([low, high], [y, y], color=colour, linewidth=2.4, solid_capstyle="butt")
            axes.plot([host.runs.gain_bpb], [y], marker=marker, color=colour, markersize=10,
                      markeredgecolor="white", linestyle="none")  # fmt: skip
            axes.annotate(f"{host.runs.gain_bpb:.4f}", (host.runs.gain_bpb, y), xytext=(0, 9),
                          textcoords="offset points", ha="center", fontsize=10.5, color=INK)  # fmt: skip
        else:
            axes.annotate("nothing kept", (0.0, y), xytext=(8, 0), textcoords="offset points",
                          va="center", fontsize=10.5, color=FAINT)  # fmt: skip
        _name(axes, host, y)
    axes.set_ylim(-len(hosts) + 0.4, 0.6)
    axes.set_yticks([])
    axes.margins(x=0.08)
    if not any(host.runs.best and host.runs.baseline for host in hosts):
        axes.set_xlim(0.0, 1.0)
        axes.set_xticks([])
    _strip(axes, "with 95 % confidence")
    axes.grid(axis="x", color=GRID, linewidth=0.9)


def _name(axes: Axes, host: Host, y: float) -> None:
    """The host's name, and its class under it, left of the chart."""
    where: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right",
        "annotation_clip": False,
    }  # fmt: skip
    axes.annotate(one_line(host.name, NAME_CHARS), (0.0, y), xytext=(-12, 2), va="bottom",
                  fontsize=11.5, weight="bold", color=INK, **where)  # fmt: skip
    hardware = one_line(host.hardware, HARDWARE_CHARS)
    axes.annotate(f"class {host.class_number}: {hardware}", (0.0, y), xytext=(-12, -2), va="top",
                  fontsize=9.5, color=FAINT, **where)  # fmt: skip


def _draw_paths(axes: Axes, hosts: tuple[Host, ...]) -> None:
    """How each gain came about, experiment by experiment."""
    from matplotlib.ticker import MaxNLocator

    for index, host in enumerate(hosts):
        if len(host.path) > 1:
            colour, marker = _look(index)
            numbers, gains = zip(*host.path, strict=True)
            # The first is the widest, so that equal paths are seen as two.
            width = 1.8 + 0.7 * min(2, len(hosts) - 1 - index)
            axes.step(numbers, gains, where="post", color=colour, linewidth=width)
            axes.plot(numbers[1:-1], gains[1:-1], linestyle="none", marker=marker, color=colour,
                      markersize=7, markeredgecolor="white")  # fmt: skip
            axes.plot(numbers[-1:], gains[-1:], linestyle="none", marker=marker, color=colour,
                      markersize=9, markeredgecolor="white", label=one_line(host.name, NAME_CHARS))  # fmt: skip
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _strip(axes, "experiment")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=GRID, linewidth=0.9)
    if any(len(host.path) > 1 for host in hosts):
        axes.legend(loc="upper left", frameon=False, fontsize=9.5, labelcolor=FAINT)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.28 * (high - low))  # the legend's room
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "nothing measured yet", transform=axes.transAxes, ha="center",
                  color=FAINT, fontsize=12)  # fmt: skip


def _strip(axes: Axes, label: str) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=FAINT, labelsize=10, length=0, pad=6)
    axes.set_axisbelow(True)
    axes.set_xlabel(label, color=FAINT, fontsize=10.5)


def _look(index: int) -> tuple[str, str]:
    return COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
