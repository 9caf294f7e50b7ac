"""What a model may look at: the files of a campaign, and its earlier experiments.

Owns    what is shown of a Brief, how long it may be, and what of it is marked as data
Takes   a Brief, and checked arguments
Gives   texts
Never   shows what the Brief does not hold
"""

from __future__ import annotations

import difflib
import itertools

from lab.agents.arguments import Experiment, Files, History, ReadFile
from lab.agents.curve import curve_lines, read_curve
from lab.agents.fence import Fence, one_line
from lab.agents.table import HEADER, choose, in_order, row
from lab.prompt import Brief, Past

MAX_RESULT_CHARS = 40_000  # some 10,000 tokens: the seed train.py is 27,000 characters
# Together less than a result may hold, so that no fence is ever cut.
MAX_TABLE_CHARS = 24_000
MAX_DIFF_CHARS = 12_000
MAX_LOG_CHARS = 4_000


class Wrong(Exception):
    """A call that cannot be done; the text tells the model what to do."""


def read_file(brief: Brief, draft: str, asked: ReadFile) -> str:
    """A file, or some lines of it, as they stand."""
    text = _text_of(brief, draft, asked.file, asked.number)
    lines = text.splitlines()
    first = max(1, asked.first_line)
    last = asked.last_line if asked.last_line > 0 else len(lines)
    if first > len(lines) or last < first:
        raise Wrong(f"it has lines 1 to {len(lines)}; there are none from {first} to {last}.")
    # Without numbers before the lines: what is copied from here into an edit must match.
    shown = "\n".join(lines[first - 1 : last])
    return f"{asked.file}, lines {first} to {min(last, len(lines))} of {len(lines)}:\n{shown}"


def _text_of(brief: Brief, draft: str, file: Files, number: int) -> str:
    match file:
        case "train.py":
            return draft
        case "best train.py":
            return brief.train_py
        case "program.md":
            return brief.program
        case "contract":
            return brief.contract or "See program.md."
        case "prepare.py":
            return brief.prepare_py or "It is not shown in this campaign."
    _past(brief, number)
    text = brief.code_of(number)
    if text is None:
        raise Wrong(f"experiment {number} left no train.py; its title says what it was.")
    return text


def list_history(brief: Brief, fence: Fence, asked: History) -> str:
    """Earlier experiments, one a line."""
    found = in_order(choose(brief.history, asked.which, contains=asked.contains), asked.order)
    shown = found[: asked.most]
    rows = bounded("\n".join([HEADER, *(row(past) for past in shown)]), MAX_TABLE_CHARS)
    return f"{len(shown)} of {len(found)} experiments.\n{fence.around('experiments', rows)}"


def show_experiment(brief: Brief, fence: Fence, asked: Experiment) -> str:
    """One earlier experiment: what it changed, and what came of it."""
    past = _past(brief, asked.number)
    diff = bounded(brief.diff_of(past.number) or "", MAX_DIFF_CHARS)
    whole_log = brief.log_of(past.number) or past.log_tail
    curve = curve_lines(read_curve(whole_log))
    about = "\n".join(
        [
            HEADER,
            row(past, title_chars=200),
            f"hypothesis: {one_line(past.hypothesis, 1_000)}",
            f"expected: {one_line(past.facts.get('expected_effect', ''), 500)}",
            f"outcome: {one_line(past.reason, 1_000)}",
            *([f"its run: {one_line(past.vitals, 300)}"] if past.vitals else []),
        ]
    )
    parts = [
        fence.around(f"experiment {past.number}", about),
        fence.around("its change", diff or "there is no diff"),
        fence.around("its loss curve, as the program reported it", curve or "none"),
        fence.around("the end of its log", whole_log[-MAX_LOG_CHARS:] or "empty"),
    ]
    return "\n".join(parts)


def _past(brief: Brief, number: int) -> Past:
    by_number = {past.number: past for past in brief.history}
    past = by_number.get(number)
    if past is None:
        numbers = sorted(by_number)
        known = f"There are {numbers[0]} to {numbers[-1]}" if numbers else "There is none yet"
        raise Wrong(f"there is no experiment {number} to be seen. {known}.")
    return past


def diff_of(before: str, after: str) -> str:
    """A unified diff of two files, without headers."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
    return "\n".join(itertools.islice(lines, 2, None))


def bounded(text: str, most: int) -> str:
    """At most about `most` characters; what is too long loses its middle, and says so."""
    if len(text) <= most:
        return text
    head, tail = most * 2 // 3, most // 3
    return f"{text[:head]}\n[{len(text) - most:,} characters left out]\n{text[-tail:]}"
