"""A change as lines with classes of tokens, so that a page and a terminal colour it without reading Python.

Owns    the classes: TOKENS of shapes.py
Takes   a unified diff of one Python file, untrusted
Gives   DiffLines, at most MOST_LINES of them
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.story.shapes import DiffLine
from lab.story.texts import visible

MOST_LINES = 600
MOST_LINE_CHARS = 400
MARKS = ("+", "-", " ")

Spans = tuple[tuple[str, str], ...]


def diff_lines(diff: str) -> tuple[tuple[DiffLine, ...], int]:
    """The lines of a diff from its first hunk on, and how many more there are."""
    lines = [visible(line)[:MOST_LINE_CHARS] for line in diff.rstrip("\n").split("\n")]
    first = next((i for i, line in enumerate(lines) if line.startswith("@@")), len(lines))
    body = [line for line in lines[first:] if not line.startswith("\\")]
    shown = body[:MOST_LINES]
    found: list[DiffLine] = []
    hunk: list[str] = []
    for line in [*shown, "@@"]:
        if not line.startswith("@@"):
            hunk.append(line if line.startswith(MARKS) else f" {line}")
            continue
        found += _coloured(hunk)
        hunk = []
        found.append(DiffLine(kind="@", spans=(("", line),)))
    return tuple(found[:-1]), len(body) - len(shown)


def _coloured(hunk: Sequence[str]) -> list[DiffLine]:
    """The lines of one hunk; each side is read as a whole, because a string may span lines."""
    old = iter(_spans([line[1:] for line in hunk if line[0] != "+"]))
    new = iter(_spans([line[1:] for line in hunk if line[0] != "-"]))
    found = []
    for line in hunk:
        if line[0] == " ":
            next(old)
        found.append(DiffLine(kind=line[0], spans=next(old if line[0] == "-" else new)))
    return found


def _spans(lines: Sequence[str]) -> list[Spans]:
    """Each line as spans of one class; together they are the line."""
    # Imported late: a table of experiments needs no lexer.
    from pygments.lexers.python import PythonLexer

    lexer = PythonLexer(stripnl=False, ensurenl=False)
    rows: list[list[tuple[str, str]]] = [[]]
    for token, text in lexer.get_tokens("\n".join(lines)):
        name = _class(str(token))
        for index, part in enumerate(text.split("\n")):
            if index:
                rows.append([])
            if part:
                rows[-1].append((name, part))
    return [tuple(_merged(row)) for row in rows[: len(lines)]]


def _class(token: str) -> str:
    kind, _, rest = token.removeprefix("Token.").partition(".")
    if kind == "Literal":
        return "number" if rest.startswith("Number") else "string"
    if kind == "Keyword" or rest.startswith("Word"):
        return "keyword"
    if kind == "Name":  # a plain name is most of a program; what defines or decorates stands out
        plain = not rest.startswith(("Function", "Class", "Decorator", "Builtin"))
        return "" if plain or rest == "Builtin.Pseudo" else "name"
    return {"Comment": "comment", "Operator": "operator"}.get(kind, "")


def _merged(row: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    spans: list[tuple[str, str]] = []
    for name, text in row:
        if spans and spans[-1][0] == name:
            spans[-1] = (name, spans[-1][1] + text)
        else:
            spans.append((name, text))
    return spans
