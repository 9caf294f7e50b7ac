"""The picture of a running night: values in, a rich renderable out.

Owns    what a person sees at the terminal, from 60 columns upwards
Takes   a Standing and a Phase
Gives   renderables; the same for equal values
Never   reads a clock or writes. Text of agents and of train.py is made harmless here
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from lab.ledger import Record
from lab.show.tally import tally
from lab.show.words import ending, ending_in_words, name_of, one_line, signed
from lab.verdict import Noise

STYLES = {
    "keep": "bold green",
    "baseline": "yellow",
    "discard": "dim",
    "confirm": "cyan",
    "audit": "yellow",
    "replay": "bold green",
    "contended": "magenta",
    "conditions": "magenta",
    "throttled": "magenta",
}
FAILED_STYLE = "red"
LAST_RESULTS = 20  # a tall terminal shows them all
FEW_RESULTS = 8  # any terminal shows so many where they fit; the rest of it is for what happened
NARROW = 76  # columns under which the title needs the room of a column
UNCUT_COLUMNS = 100_000  # of what is no terminal: nothing is cut there, and nothing stretched
WIDEST = 132  # beyond, the eye loses the line between its two ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One experiment as a line of the table."""

    number: int
    title: str
    ending: (
        str  # "keep", "discard", "confirm", "baseline", "audit", or a Status; see results.ending
    )
    val_bpb: float | None
    gain_bpb: float | None
    audited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the campaign stands, between two experiments."""

    tag: str
    profile: str
    hardware: str = ""
    baseline_bpb: float | None = None
    best_bpb: float | None = None
    noise_sd_bpb: float | None = None
    experiments_done: int = 0
    experiments_limit: int | None = None
    kept: int = 0
    cost_usd: float | None = None
    agent_tokens: int | None = None
    seconds_left: float | None = None  # None when the night has no time limit
    results: tuple[Result, ...] = ()  # oldest first, at most LAST_RESULTS


@dataclass(slots=True)
class Phase:
    """What the current experiment does now. Changed in place: it is told several times a second."""

    name: str
    cap_s: float | None = None
    experiment: int | None = None
    title: str = ""
    elapsed_s: float = 0.0
    fraction: float | None = None  # None follows the clock
    loss: float | None = None
    tokens_per_s: float | None = None


def result_of(record: Record) -> Result:
    """A Record as a line of the table."""
    return Result(
        number=record.number,
        title=name_of(record),
        ending=ending(record),
        val_bpb=record.trial.val_bpb,
        gain_bpb=record.verdict.gain_bpb,
        audited=record.trial.audit is not None,
    )


def standing_of(
    records: Sequence[Record],
    *,
    tag: str,
    profile: str,
    hardware: str = "",
    prior: Noise | None = None,
    experiments_limit: int | None = None,
    seconds_left: float | None = None,
) -> Standing:
    """A Standing from the Records so far, and what `lab noise` knew before them."""
    counted = tally(records, prior)
    return Standing(
        tag=tag,
        profile=profile,
        hardware=hardware,
        baseline_bpb=counted.baseline_bpb,
        best_bpb=counted.best_bpb,
        noise_sd_bpb=counted.noise.sd_bpb if counted.noise else None,
        experiments_done=counted.tried,
        experiments_limit=experiments_limit,
        kept=counted.kept,
        cost_usd=counted.cost_usd,
        agent_tokens=counted.agent_tokens,
        seconds_left=seconds_left,
        results=tuple(result_of(record) for record in records[-LAST_RESULTS:]),
    )


def draw(
    standing: Standing | None, phase: Phase | None, *, rows: int, columns: int = WIDEST
) -> RenderableType:
    """The whole live region, in at most `rows` lines where that is possible.

    A taller terminal shows more results, but leaves two thirds of itself to the lines above.
    """
    parts: list[RenderableType] = [Rule(Text(_count(standing)), style="dim", align="right")]
    if standing:
        parts.append(_header(standing))
    if phase:
        parts += [_phase_line(phase), _bar_line(phase)]
    if standing:
        parts.append(_score_line(standing))
        room = rows - len(parts) - 1  # every part so far is one line, and the table has a head
        if room > 0 and standing.results:
            shown = standing.results[-min(room, max(FEW_RESULTS, rows // 3)) :]
            parts.append(results_table(shown, audited=columns >= NARROW))
    return Constrain(Group(*parts), WIDEST)


def _header(standing: Standing) -> RenderableType:
    left = Text(no_wrap=True, overflow="ellipsis")
    left.append(one_line(standing.tag, 40), "bold")
    for part in (standing.profile, standing.hardware):
        if part:
            left.append(f" | {one_line(part, 48)}", "dim")
    right = "no time limit"
    if standing.seconds_left is not None:
        right = f"{duration(standing.seconds_left)} left"
    return _two_ends(left, Text(right, "bold", no_wrap=True))


def _phase_line(phase: Phase) -> RenderableType:
    text = Text(no_wrap=True, overflow="ellipsis")
    if phase.experiment is not None:
        text.append(f"#{phase.experiment} ", "bold")
    text.append(one_line(phase.name, 24), "bold cyan")
    if phase.title:
        text.append(f"  {one_line(phase.title, 160)}")
    return text


def _bar_line(phase: Phase) -> RenderableType:
    fraction = phase.fraction
    if fraction is None and phase.cap_s:
        fraction = phase.elapsed_s / phase.cap_s
    facts = f"{phase.elapsed_s:.0f} s"
    if phase.cap_s:
        facts = f"{phase.elapsed_s:.0f} of {phase.cap_s:.0f} s"
    if phase.loss is not None:
        facts += f" | loss {compact(phase.loss, 3)}"
    if phase.tokens_per_s is not None:
        facts += f" | {rate(phase.tokens_per_s)} tokens/s"
    if fraction is None:  # nobody knows how long it takes, and an empty bar would look like a start
        return Text(facts, "dim", no_wrap=True)
    bar = ProgressBar(
        total=1.0,
        completed=min(max(fraction, 0.0), 1.0),
        width=None,
        complete_style="cyan",
        finished_style="cyan",
    )
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(ratio=1, min_width=8)
    line.add_column(no_wrap=True, justify="right")
    line.add_row(bar, Text(facts, no_wrap=True))
    return line


def _score_line(standing: Standing) -> RenderableType:
    """Best against baseline, what matters most first: a narrow terminal cuts the end."""
    text = Text(no_wrap=True, overflow="ellipsis")
    baseline, best = standing.baseline_bpb, standing.best_bpb
    if best is None or baseline is None:
        return text.append("baseline not measured yet", "dim")
    gain = baseline - best
    if gain > 0:
        text.append(f"best {best:.4f}", "bold green")
        text.append(f" | gain {gain:.4f} ({100 * gain / baseline:.1f} %) | ", "green")
    text.append(f"baseline {baseline:.4f}")
    if standing.noise_sd_bpb is not None:
        text.append(f" ±{standing.noise_sd_bpb:.4f}")
    return text if gain > 0 else text.append(" | not beaten yet", "dim")


def _count(standing: Standing | None) -> str:
    if standing is None:
        return ""
    limit = f" of {standing.experiments_limit}" if standing.experiments_limit is not None else ""
    cost = cost_in_words(standing.cost_usd, standing.agent_tokens)
    done = f"{standing.experiments_done}{limit} done, {standing.kept} kept"
    return f"{done}, {cost}" if cost else done


def cost_in_words(usd: float | None, tokens: int | None) -> str:
    """What the agent cost so far; empty where it is nothing that can be counted."""
    words = [] if usd is None else [f"{usd:.2f} USD"]
    return ", ".join([*words, *([] if tokens is None else [f"{rate(tokens)} tokens"])])


def results_table(
    results: Sequence[Result],
    seconds: Sequence[float | None] = (),
    *,
    audited: bool = True,
    expand: bool = True,
) -> Table:
    """Experiments as a table; a kept one is told by its word, not by its colour alone.

    `seconds` of training, one for each result, add a column; without `audited` there is one less. What does not
    `expand` is as wide as its longest title.
    """
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", expand=expand)
    table.add_column("#", justify="right", no_wrap=True, min_width=3)
    table.add_column("outcome", no_wrap=True)
    if audited:
        table.add_column("audited", no_wrap=True)
    table.add_column("val_bpb", justify="right", no_wrap=True)
    table.add_column("gain", justify="right", no_wrap=True)
    if seconds:
        table.add_column("train_s", justify="right", no_wrap=True)
    table.add_column("title", ratio=1, no_wrap=True, overflow="ellipsis")
    for index, result in enumerate(results):
        style = STYLES.get(result.ending, FAILED_STYLE)
        cells = [
            Text(str(result.number)),
            Text(ending_in_words(result.ending), style),
            *([_yes_or_no(result.audited)] if audited else []),
            Text("" if result.val_bpb is None else f"{result.val_bpb:.4f}"),
            Text("" if result.gain_bpb is None else signed(result.gain_bpb)),
        ]
        if seconds:
            taken = seconds[index]
            cells.append(Text("" if taken is None else f"{taken:.1f}"))
        title = Text(one_line(result.title, 200), "dim" if result.ending == "discard" else "")
        table.add_row(*cells, title)
    return table


@dataclass(frozen=True, slots=True)
class FittedTable:
    """A `results_table` with the columns that its place has room for: on a narrow terminal the title comes first."""

    results: Sequence[Result]
    seconds: Sequence[float | None] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= NARROW
        yield results_table(
            self.results,
            self.seconds if wide else (),
            audited=wide,
            expand=options.max_width < UNCUT_COLUMNS,
        )


def _yes_or_no(value: bool) -> Text:
    return Text("yes") if value else Text("no", "dim")


def _two_ends(left: Text, right: Text) -> Table:
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(no_wrap=True, justify="right")
    line.add_row(left, right)
    return line


def duration(seconds: float) -> str:
    """Seconds as a person says them: "7 h 41 min", "12 min", "40 s"."""
    whole = max(0, int(seconds))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min" if whole >= 120 else f"{whole} s"


def energy(joules: float) -> str:
    """Joules as a person says them: "41 kWh" of a fleet, "68 Wh" of a night, "120 J" of a run."""
    if joules < 3600:
        return f"{joules:.0f} J"
    hours = joules / 3600
    return f"{hours:.{1 if hours < 10 else 0}f} Wh" if hours < 1000 else f"{hours / 1000:.2f} kWh"


def compact(value: float, decimals: int) -> str:
    """A number that train.py claims, in at most a dozen characters."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.{decimals}f}" if abs(value) < 1e5 else f"{value:.2e}"


def rate(per_second: float) -> str:
    """Tokens a second with three digits: "850", "11.4 k", "1.65 M"."""
    for limit, unit in ((1e6, " M"), (1e3, " k")):
        if limit <= per_second < 1e9:
            scaled = per_second / limit
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{unit}"
    return compact(per_second, 0)
