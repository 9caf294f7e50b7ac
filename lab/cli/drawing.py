"""One experiment, and an imported table, at the terminal: from 60 columns upwards.

Owns    what `lab show`, `lab diff` and `lab log` look like
Takes   what travels to a page: Story, Row, Detail
Gives   rich renderables. What an agent or a container wrote was made harmless where the shapes were
        filled, and rich's markup is never read in it: everything is a Text
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab.ledger import AUDIT, CONFIRM
from lab.show.view import FAILED_STYLE, STYLES, FittedTable, Result, duration
from lab.show.words import signed
from lab.story.shapes import Detail, DiffLine, Fact, Point, Row, Story

LABEL_COLUMNS = 17
CURVE_COLUMNS = 40
BARS = "▁▂▃▄▅▆▇█"
# No background: a terminal may be light or dark. What was not changed is dim, and the marks tell the rest apart.
LINE_STYLES = {"+": "", "-": "", " ": "dim", "@": "cyan"}
MARK_STYLES = {"+": "bold black on green", "-": "bold white on red", " ": ""}
START_SHARE = 0.05  # of a curve: its first fall would flatten all that follows
TOKEN_STYLES = {
    "keyword": "magenta",
    "name": "blue",
    "string": "green",
    "number": "cyan",
    "comment": "italic dim",
    "operator": "",
}


def draw_experiment(story: Story, row: Row, detail: Detail) -> RenderableType:
    """Everything that is known of one experiment but its change and its log, which have commands of their own."""
    parts: list[RenderableType] = [_head(story, row), Text()]
    sections = (
        ("", _outcome(row, detail)),
        ("Why", _why(row, detail)),
        ("Loss, as train.py told it", _training(detail)),
        ("Audit", _of_facts(detail.audit)),
        ("Telemetry", _of_facts(detail.telemetry)),
        ("Changed while it ran", _of_facts(detail.conditions)),
        ("Notes of the agent", _of_facts(detail.notes)),
    )
    for name, lines in sections:
        told = list(lines)
        if told:
            parts += [Text(name, "bold")] if name else []
            parts += [_grid(told), Text()]
    parts.append(_next_step(story, row))
    return Group(*parts)


def draw_diff(story: Story, row: Row, detail: Detail) -> Iterator[Text]:
    """The change, line by line, in the form of a unified diff."""
    yield Text(f"# {story.tag}, experiment {row.number}: {row.title}", "bold")
    yield Text("--- a/train.py", "dim")
    yield Text("+++ b/train.py", "dim")
    for line in detail.diff:
        yield diff_line(line)
    if detail.diff_cut:
        yield Text(f"# {detail.diff_cut} more lines are in the campaign's change.diff", "dim")


def diff_line(line: DiffLine) -> Text:
    if line.kind == "@":
        return Text("".join(text for _, text in line.spans), LINE_STYLES["@"])
    text = Text(style=LINE_STYLES[line.kind])
    text.append(line.kind, MARK_STYLES[line.kind])
    for name, words in line.spans:
        text.append(words, TOKEN_STYLES.get(name, ""))
    return text


def draw_imported(story: Story) -> RenderableType:
    """An imported table: its sentences and its lines."""
    results = [
        Result(
            number=row.number,
            title=_name(row),
            ending=row.ending,
            val_bpb=row.val_bpb,
            gain_bpb=row.gain_bpb,
            audited=row.audited,
        )
        for row in story.rows
    ]
    title = Text(story.tag, "bold").append("  imported", "not bold dim")
    sentences = [Text(sentence) for sentence in story.sentences]
    return Group(title, *sentences, Text(), FittedTable(results))


def _head(story: Story, row: Row) -> Text:
    title = Text(f"{story.tag}, experiment {row.number}  ", "bold", overflow="fold")
    title.append(row.ending_words, STYLES.get(row.ending, FAILED_STYLE))
    return title.append(f"\n{_name(row)}", "not bold")


def _name(row: Row) -> str:
    again = {CONFIRM: "re-run", AUDIT: "audit"}.get(row.kind)
    return f"{again} of {row.original}: {row.title}" if again and row.original else row.title


def _outcome(row: Row, detail: Detail) -> Iterator[tuple[str, str]]:
    if row.val_bpb is not None:
        mean = ""
        if row.score_bpb is not None and row.score_bpb != row.val_bpb:
            mean = f"; {row.score_bpb:.4f} is the mean of its re-runs"
        yield "score", f"{row.val_bpb:.4f} bits per byte{mean}"
    if detail.reason:
        yield "no score", detail.reason
    if detail.verdict:
        yield "verdict", detail.verdict
    if row.holdout_bpb is not None:
        yield "holdout", f"{row.holdout_bpb:.4f}"
    if row.best_bpb is not None:
        yield "best then", f"{row.best_bpb:.4f}"
    took = [
        f"trained {duration(row.train_s)}" if row.train_s is not None else "",
        f"{duration(row.total_s)} in all" if row.total_s is not None else "",
        f"{row.cost_usd:.2f} USD" if row.cost_usd is not None else "",
    ]
    if any(took):
        yield "took", ", ".join(filter(None, took))
    if row.commit:
        lines = f", {signed(row.net_lines, 0)} lines of code" if row.net_lines else ""
        yield "commit", f"{row.commit[:12]}{lines}"


def _why(row: Row, detail: Detail) -> Iterator[tuple[str, str]]:
    if detail.hypothesis.strip():
        yield "hypothesis", detail.hypothesis.strip()
    if row.agent:
        yield "agent", row.agent


def _training(detail: Detail) -> Iterator[tuple[str, str]]:
    own, parents = _losses(detail.curve), _losses(detail.parent_curve)
    settled = [loss for losses in (own, parents) for loss in losses[_start(losses) :]]
    if not settled:
        return
    scale = min(settled), max(settled)
    if own:
        yield "this run", _curve(detail.curve, own, scale)
    if parents:
        yield f"its parent {detail.parent}", _curve(detail.parent_curve, parents, scale)


def _losses(points: Sequence[Point]) -> list[float]:
    return [point.loss for point in points if point.loss is not None]


def _start(losses: Sequence[float]) -> int:
    return int(START_SHARE * len(losses))


def _curve(points: Sequence[Point], losses: Sequence[float], scale: tuple[float, float]) -> str:
    """A curve in one line, on a scale that it shares with the other one."""
    columns = min(CURVE_COLUMNS, len(losses))
    picked = [losses[round(i * (len(losses) - 1) / max(columns - 1, 1))] for i in range(columns)]
    low, high = scale
    span = high - low or 1.0
    heights = (min(max((loss - low) / span, 0.0), 1.0) for loss in picked)
    bars = "".join(BARS[round(height * (len(BARS) - 1))] for height in heights)
    return f"{bars} {losses[-1]:.4f} nats at step {points[-1].step}"


def _of_facts(facts: Sequence[Fact]) -> Iterator[tuple[str, str]]:
    for fact in facts:
        yield fact.name[:1].lower() + fact.name[1:], fact.value


def _grid(lines: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(min_width=LABEL_COLUMNS, max_width=LABEL_COLUMNS + 5, overflow="fold")
    grid.add_column(ratio=1, overflow="fold")
    for label, value in lines:
        grid.add_row(Text(label, "dim"), Text(value))
    return grid


def _next_step(story: Story, row: Row) -> Text:
    if story.imported:
        return Text("An imported table holds no code and no logs.", "dim")
    number = row.original or row.number
    return Text(
        f"`lab diff {number} --tag {story.tag}` shows what was changed, "
        f"`lab log {row.number} --tag {story.tag}` what it printed.",
        "dim",
    )
