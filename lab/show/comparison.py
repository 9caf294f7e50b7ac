"""Campaigns of several hosts side by side: the table, in the terminal and in Markdown.

Owns    what is shown of a comparison, and in which words
Takes   a Comparison
Gives   a rich renderable; files, by their ending: Markdown with its picture beside it, or one HTML page
Never   ranks: hosts stand in the order in which they were given, and the words say what compares
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab.contrast import Estimate
from lab.errors import BadInput, LabError
from lab.facts import Facts
from lab.parquet import replacing
from lab.reproduction import Runs
from lab.show.replayed import as_code
from lab.show.view import rate
from lab.show.words import one_line

NO_CURVE = "no training curve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one file cost in training, on average over its runs. None where nobody knows."""

    steps: float | None  # train.py's own claim
    tokens_per_s: float | None  # tokens are its own claim, seconds the host's


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One campaign of a comparison."""

    name: str
    checked: bool  # a bundle that passed levels 0 and 1; else a folder of this host, as it is
    facts: Facts
    hardware: str
    class_number: int  # the same for equal classes, from 1 in the order given
    runs: Runs
    gain: Estimate | None  # None before anything was kept, or where no noise is known
    title: str  # of what was kept last; empty before a keep
    tried: int
    kept: int
    baseline: Measured
    best: Measured
    tokens_to_target: int | None
    why_no_tokens: str
    energy_j: float | None  # an experiment, on average
    energy_source: str
    cost_usd: float | None  # of the agent
    path: tuple[tuple[int, float], ...]  # experiment, gain of the best so far


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of ours, with a {} for each of somebody else's words."""

    text: str
    foreign: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        return self.text.format(*self.foreign)

    @property
    def markdown(self) -> str:
        return self.text.format(*(as_code(word, 400) for word in self.foreign))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Campaigns in the order in which they were given, and what may be said about them."""

    hosts: tuple[Host, ...]
    sentences: tuple[Said, ...]

    @property
    def one_class(self) -> bool:
        return len({host.class_number for host in self.hosts}) == 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    label: str
    cells: tuple[str, ...]
    foreign: bool = False  # text that somebody else wrote


def rows_of(comparison: Comparison) -> list[Row]:
    """The table: one cell a host."""
    hosts = comparison.hosts
    own = "" if comparison.one_class else ", within its class"

    def row(label: str, *cells: str, foreign: bool = False) -> Row:
        return Row(label, cells, foreign)

    return [
        row("hardware", *(host.hardware or "unknown" for host in hosts), foreign=True),
        row(
            "class",
            *(f"{h.class_number} ({h.facts.fingerprint.class_id[:8]})" for h in hosts),
            foreign=True,
        ),
        row("profile", *(host.facts.profile for host in hosts), foreign=True),
        row("records", *("bundle, checked" if h.checked else "folder, unchecked" for h in hosts)),
        row(f"baseline{own}", *(_mean(host.runs.baseline, "run") for host in hosts)),
        row(f"best{own}", *(_mean(host.runs.best, "re-run") for host in hosts)),
        row("gain over own baseline", *(_gain(host) for host in hosts)),
        row("with 95 % confidence", *(_interval(host.gain) for host in hosts)),
        row("noise sd", *(_noise(host.runs) for host in hosts)),
        row("kept last", *(host.title or "nothing" for host in hosts), foreign=True),
        row("tried, kept", *(f"{host.tried}, {host.kept}" for host in hosts)),
        row("steps, baseline", *(_count(host.baseline.steps) for host in hosts)),
        row("steps, best", *(_count(host.best.steps) for host in hosts)),
        row("tokens/s, baseline", *(_rate(host.baseline.tokens_per_s) for host in hosts)),
        row("tokens/s, best", *(_rate(host.best.tokens_per_s) for host in hosts)),
        row("tokens to the target loss", *(_tokens(host) for host in hosts)),
        row("energy an experiment", *(_energy(host) for host in hosts)),
        row("cost of the agent", *(_cost(host.cost_usd) for host in hosts)),
        row("harness", *(host.facts.harness_sha256[:12] for host in hosts), foreign=True),
    ]


def notes_of(comparison: Comparison) -> list[str]:
    """What a reader must know of the table's words."""
    notes = [
        "The best is the mean of re-runs alone; the interval is Student's, on the noise of that host.",
        "Steps, tokens and losses are train.py's own claims; seconds and scores are the lab's.",
    ]
    if any(host.tokens_to_target is not None for host in comparison.hosts):
        notes.append(
            "The target loss is the highest of the best runs' last training losses: what all of them reached."
        )
    sources = sorted({host.energy_source for host in comparison.hosts if host.energy_source})
    if sources:
        notes.append(f"Energy is of the time that trains: {'; '.join(sources)}.")
    return notes


def draw(comparison: Comparison) -> RenderableType:
    """The comparison for a terminal."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    table.add_column("", style="dim", no_wrap=True)
    for host in comparison.hosts:
        table.add_column(Text(host.name), overflow="fold", max_width=30)
    for row in rows_of(comparison):
        table.add_row(Text(row.label), *(Text(one_line(cell, 90)) for cell in row.cells))
    said = [Text(sentence.plain) for sentence in comparison.sentences]
    return Group(table, Text(), *said, *(Text(note, "dim") for note in notes_of(comparison)))


def write_comparison(comparison: Comparison, path: Path) -> list[Path]:
    """Write one file, by its ending, and what belongs to it.

    Raises:
        BadInput: the ending is neither .md nor .html.
        LabError: it cannot be written.
    """
    from lab.show.comparison_chart import draw_comparison
    from lab.show.comparison_page import page_of

    if path.suffix not in (".md", ".html"):
        raise BadInput(
            f"{path} ends neither in .md nor in .html.", do="give the output such a name."
        )
    try:
        if path.suffix == ".html":
            content = page_of(comparison, svg=draw_comparison(comparison, "svg"))
            _write(path, content.encode())
            return [path]
        picture = path.with_suffix(".png")
        _write(picture, draw_comparison(comparison, "png"))
        _write(path, as_markdown(comparison, picture=picture.name).encode())
    except OSError as error:
        raise LabError(
            f"{path} cannot be written.", why=error.strerror or str(error), do="name another place."
        ) from error
    return [path, picture]


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as draft:
        draft.write_bytes(content)


def as_markdown(comparison: Comparison, *, picture: str) -> str:
    """The comparison as Markdown, its picture linked; foreign text is shown as code."""
    names = [as_code(host.name, 60) for host in comparison.hosts]
    lines = [f"# {', '.join(names[:-1])} and {names[-1]}", ""]
    lines += [*(f"- {sentence.markdown}" for sentence in comparison.sentences), ""]
    lines += [f"![gains over each own baseline]({_address(picture)})", ""]
    lines += [_line("", names), _line("---", ["---"] * len(names))]
    lines += [
        _line(row.label, [as_code(cell, 90) if row.foreign else cell for cell in row.cells])
        for row in rows_of(comparison)
    ]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes_of(comparison))]) + "\n"


def _line(label: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([label, *cells]) + " |"


def _address(name: str) -> str:
    """A file's name as the address of a link."""
    from urllib.parse import quote

    return quote(name)


def _mean(scores: Sequence[float], what: str) -> str:
    if not scores:
        return "none"
    return f"{sum(scores) / len(scores):.4f} ({len(scores)} {what}{'s' * (len(scores) > 1)})"


def _gain(host: Host) -> str:
    if not host.runs.best or not host.runs.baseline:
        return "none"
    share = host.runs.gain_bpb / (sum(host.runs.baseline) / len(host.runs.baseline))
    return f"{host.runs.gain_bpb:.4f} ({share:.1%})"


def _interval(gain: Estimate | None) -> str:
    if gain is None or gain.error_bpb == 0:
        return "unknown"
    low, high = gain.interval()
    return f"{low:.4f} to {high:.4f}"


def _noise(runs: Runs) -> str:
    if runs.noise is None:
        return "unknown"
    return f"{runs.noise.sd_bpb:.4f} ({runs.noise.df} degrees of freedom)"


def _count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"


def _rate(value: float | None) -> str:
    return "unknown" if value is None else rate(value)


def _tokens(host: Host) -> str:
    if host.tokens_to_target is None:
        return f"unknown: {host.why_no_tokens}"
    return rate(host.tokens_to_target)


def _energy(host: Host) -> str:
    return "unknown" if host.energy_j is None else f"{host.energy_j:,.0f} J"


def _cost(usd: float | None) -> str:
    return "none known" if usd is None else f"{usd:.2f} USD"
