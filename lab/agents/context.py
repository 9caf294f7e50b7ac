"""What a model is told before it proposes: the stable part first, the newest last.

Owns    the system text, the brief's text, and what is left out when it grows too long
Takes   a Brief
Gives   texts; the system text is the same all night, and a brief begins as the one before it did
Never   shows a holdout score, a host path or a key (the Brief has none); nor a container's words as ours
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.agents.curve import curve_lines, read_curve
from lab.agents.fence import Fence, one_line
from lab.agents.table import HEADER, outcome_of, row
from lab.prompt import Brief, Past

MAX_NOTEBOOK_CHARS = 8_000
PINNED = "Notes of the person who runs this laboratory"
PINNED_RULE = "They were pinned for you while the campaign ran, and go with program.md."
LOG_CHARS = 800  # of the newest failures: a traceback's last lines


ROLE = """\
You are the researcher of Nightlab. You work alone, through the night: nobody reads what you write between two
calls, and nobody answers a question. You propose one change of train.py at a time, by calling tools, and end
each proposal with `submit`. The laboratory then runs it, decides, and comes back with a new brief. So never ask
whether to go on, and never end a reply without a call."""

WAY_OF_WORKING = """\
One proposal: see what was tried; look closer with `history`, `experiment` and `read_file` where it helps; change
your draft with `edit_train`; then `submit`. The draft begins as the best train.py. Where the research program
asks for a whole file in reply, the draft is that file. A few calls are enough, and their number is limited.
What was tried already is not accepted again. Use `note` for what every later proposal should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """How much of the past is told."""

    title_chars: int
    rows: int | None  # the newest; None tells all. Kept ones are always told
    closely: int  # the newest, with hypothesis, curve and log
    notebook_chars: int


# From the whole story to the least that research can go on with. `history` always has the rest.
DETAILS = (
    Detail(title_chars=120, rows=None, closely=4, notebook_chars=MAX_NOTEBOOK_CHARS),
    Detail(title_chars=80, rows=None, closely=2, notebook_chars=MAX_NOTEBOOK_CHARS),
    Detail(title_chars=50, rows=None, closely=1, notebook_chars=4_000),
    Detail(title_chars=50, rows=200, closely=1, notebook_chars=4_000),
    Detail(title_chars=50, rows=40, closely=0, notebook_chars=2_000),
    Detail(title_chars=40, rows=10, closely=0, notebook_chars=0),
)


def write_system(brief: Brief, fence: Fence) -> str:
    """Who the model is, how it works here, and what never changes in a campaign."""
    parts = [
        ROLE,
        WAY_OF_WORKING,
        fence.rule(),
        _section("program.md", brief.program),
    ]
    if brief.contract:
        parts.append(_section("The contract of train.py", brief.contract))
    return "\n\n".join(parts)


def write_brief(brief: Brief, fence: Fence, detail: Detail, *, budget: str = "") -> str:
    """This proposal: the best file, every experiment, the noise, the notebook, and what is left."""
    parts = [_section(f"{_whose(brief)}, where your draft begins", brief.train_py)]
    parts.append(_section("Experiments", _table(brief, fence, detail)))
    newest = brief.history[-detail.closely :] if detail.closely else ()
    if newest:
        closely = "\n".join(_closely(past, fence) for past in newest)
        parts.append(_section("The newest, more closely", closely))
    if brief.pinned:
        notes = "\n".join(f"- {one_line(note, 1_000)}" for note in brief.pinned)
        parts.append(_section(PINNED, f"{PINNED_RULE}\n\n{notes}"))
    notebook = brief.notebook[-detail.notebook_chars :] if detail.notebook_chars else ""
    if notebook.strip():
        parts.append(_section("Your notebook", fence.around("notes", notebook)))
    if brief.ahead:
        titles = "\n".join(one_line(idea.title, 200) for idea in brief.ahead)
        parts.append(_section("Under way, not measured yet", fence.around("titles", titles)))
    parts.append(_section(f"Experiment {brief.number}", _standing(brief, budget)))
    return "\n\n".join(parts)


def _whose(brief: Brief) -> str:
    if brief.parent_number is None:
        return "The best train.py so far"
    return f"The train.py of experiment {brief.parent_number}, which is to be built on this time"


def fit_brief(
    brief: Brief, fence: Fence, *, count: Callable[[str], int], most_tokens: int, budget: str = ""
) -> str:
    """The fullest text that takes at most that many tokens; the shortest where none does."""
    text = ""
    for detail in DETAILS:
        text = write_brief(brief, fence, detail, budget=budget)
        if count(text) <= most_tokens:
            break
    return text


def noise_in_words(noise_bpb: float | None) -> str:
    """How much of a difference in score means nothing."""
    if noise_bpb is None:
        return "The noise of the score is not known yet; take small differences for nothing."
    return (
        f"Seeds alone move the score by {noise_bpb:.4f} (one standard deviation). A difference under about "
        f"{2 * noise_bpb:.4f} between two single runs says nothing. What looks better is run again with "
        "another seed, and only those re-runs decide."
    )


def _table(brief: Brief, fence: Fence, detail: Detail) -> str:
    told, left_out = _choose(brief.history, detail.rows)
    if not brief.history:
        return "None yet."
    rows = "\n".join([HEADER, *(row(past, title_chars=detail.title_chars) for past in told)])
    said = fence.around("every experiment so far, oldest first", rows)
    if not left_out:
        return said
    counts: dict[str, int] = {}
    for past in left_out:
        counts[outcome_of(past)] = counts.get(outcome_of(past), 0) + 1
    summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    return f"{said}\nNot in this table, and to be found with `history`: {summary}."


def _choose(history: tuple[Past, ...], rows: int | None) -> tuple[list[Past], list[Past]]:
    """Which experiments are told, and which are only counted."""
    if rows is None:
        return list(history), []
    newest = {past.number for past in history[-rows:]}
    told = [past for past in history if past.number in newest or past.kept]
    shown = {past.number for past in told}
    return told, [past for past in history if past.number not in shown]


def _closely(past: Past, fence: Fence) -> str:
    lines = [
        f"{past.number}, {outcome_of(past)}: {one_line(past.title, 200)}",
        f"hypothesis: {one_line(past.hypothesis, 600)}",
    ]
    if past.reason:
        lines.append(f"outcome: {one_line(past.reason, 400)}")
    curve = curve_lines(read_curve(past.log_tail), most=2)
    if curve:
        lines.append(f"the end of its loss curve:\n{curve}")
    if past.val_bpb is None and past.log_tail.strip():
        lines.append(f"the end of its log:\n{past.log_tail[-LOG_CHARS:]}")
    return fence.around(f"experiment {past.number}", "\n".join(lines))


def _standing(brief: Brief, budget: str) -> str:
    lines = []
    if brief.baseline_bpb is not None:
        lines.append(f"The baseline's val_bpb is {brief.baseline_bpb:.4f}.")
    if brief.best_bpb is not None:
        lines.append(f"The best is {brief.best_bpb:.4f}; beat that.")
        if vitals := _vitals_of_best(brief.history):
            lines.append(f"Its run: {one_line(vitals, 300)}.")
    lines.append(noise_in_words(brief.noise_bpb))
    since = _since_keep(brief.history)
    if since:
        lines.append(f"Nothing was kept in the last {since} experiments.")
    lines.append(f"The profile is `{brief.profile}`. {_time_left(brief.seconds_left)}")
    if budget:
        lines.append(budget)
    if brief.ahead:
        lines.append("Propose something else than what is under way; it is run after that.")
    lines.append(f"Propose experiment {brief.number + len(brief.ahead)} now.")
    return "\n".join(lines)


def _vitals_of_best(history: tuple[Past, ...]) -> str:
    """What the run of the best took of the device; of a baseline until something is kept."""
    kept = [past for past in history if past.kept]
    best = kept or [past for past in history if past.kind == "baseline"]
    return best[-1].vitals if best else ""


def _since_keep(history: tuple[Past, ...]) -> int:
    """How many candidates came after the last that was kept."""
    since = 0
    for past in reversed(history):
        if past.kept:
            break
        since += past.kind == "candidate"
    return since


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return "The night has no time limit."
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"About {f'{hours} h ' if hours else ''}{rest} min of the night are left."


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text.strip()}"
