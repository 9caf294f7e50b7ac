"""Has this been tried? By what a file means to Python, not by how it is laid out.

Owns    when two files, or two edits, are the same
Takes   a proposed file, the file it starts from, and what was run, runs or waits to be run
Gives   the number of the earlier one, or None
Never   forbids anything: who asks decides what follows

Every candidate's facts hold its digests and come back with the history, so a thousand experiments are
compared without reading one file. Of what has none (a baseline, a file run by hand) the file itself is read.
"""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.prompt import Brief, Past, TextOf, UnderWay

CODE_FACT = "code_sha256"
EDIT_FACT = "edit_sha256"


@dataclass(frozen=True, slots=True)
class Match:
    """An earlier idea that a proposal repeats."""

    earlier: Past | UnderWay
    whole_file: bool  # False: the same edit, of another file

    def __str__(self) -> str:
        what = "this file" if self.whole_file else "this edit"
        if isinstance(self.earlier, UnderWay):
            return f"experiment {self.earlier.number}, which is under way, tries {what}"
        return f"experiment {self.earlier.number} tried {what} already"


@functools.lru_cache(maxsize=16)  # a file of 30 KB takes 20 ms, and a draft is asked about often
def code_digest(train_py: str) -> str | None:
    """The same for files that differ in comments, docstrings and layout alone; None for what is not Python."""
    tree = _meaning(train_py)
    return None if tree is None else _sha256("\n".join(_words(tree)))


def edit_digest(before: str, after: str) -> str | None:
    """The same for edits that take out and put in the same code, wherever it stands; None when either is not Python."""
    old, new = _lines(before), _lines(after)
    if old is None or new is None:
        return None
    lines = itertools.islice(difflib.unified_diff(old, new, n=0, lineterm=""), 2, None)
    changed = [line for line in lines if line[:1] in "+-"]  # and not where, which is "@@"
    # Sorted, because the same edit in two places may come in another order once the file has moved on.
    return _sha256("\n".join(sorted(changed))) if changed else None


def facts_of(before: str, after: str) -> dict[str, str]:
    """What a candidate carries, so that it is found again."""
    digests = {CODE_FACT: code_digest(after), EDIT_FACT: edit_digest(before, after)}
    return {name: digest for name, digest in digests.items() if digest is not None}


def find_earlier(
    train_py: str,
    *,
    base: str,
    history: Sequence[Past],
    ahead: Sequence[UnderWay] = (),
    code_of: TextOf,
    digests: dict[int, str | None],
) -> Match | None:
    """The last experiment with the same file, else the last with the same edit; None when it is new.

    `digests` keeps what was read of files, from one call to the next.
    """
    code, edit = code_digest(train_py), edit_digest(base, train_py)
    ideas: list[Past | UnderWay] = [*reversed(history), *ahead]
    for idea in ideas:
        if code is not None and code == _code_of(idea, code_of, digests):
            return Match(idea, whole_file=True)
    for idea in ideas:
        if edit is not None and edit == idea.facts.get(EDIT_FACT):
            return Match(idea, whole_file=False)
    return None


def why_repeated(brief: Brief, train_py: str) -> str | None:
    """Why a file that was handed in is not run, as a sentence; None when it is new."""
    match = find_earlier(
        train_py,
        base=brief.train_py,
        history=brief.history,
        ahead=brief.ahead,
        code_of=brief.code_of,
        digests={},
    )
    return f"{match}." if match else None


def _code_of(past: Past | UnderWay, code_of: TextOf, digests: dict[int, str | None]) -> str | None:
    if isinstance(past, UnderWay):  # its facts may be of the file before a merge
        return code_digest(past.train_py)
    if CODE_FACT in past.facts:
        return past.facts[CODE_FACT]
    if past.number not in digests:
        text = code_of(past.number)
        digests[past.number] = None if text is None else code_digest(text)
    return digests[past.number]


@functools.lru_cache(maxsize=8)
def _lines(train_py: str) -> tuple[str, ...] | None:
    tree = _meaning(train_py)
    try:
        return None if tree is None else tuple(ast.unparse(tree).splitlines())
    # An expression of some hundred terms parses and is too deep to print; a number may be too long.
    except (RecursionError, ValueError):
        return None


def _meaning(train_py: str) -> ast.Module | None:
    """The file as Python reads it, without docstrings; None for what is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape sequence is its author's business
            tree = ast.parse(train_py)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = _without_docstring(node.body)
    return tree


def _words(tree: ast.Module) -> Iterator[str]:
    """The tree as a list that no other tree gives: `ast.dump`, without recursing into a long sum."""
    waiting: list[object] = [tree]
    while waiting:
        item = waiting.pop()
        match item:
            case ast.AST():
                yield type(item).__name__
                waiting.extend(getattr(item, name, None) for name in reversed(item._fields))
            case list():
                yield f"{len(item)} of"
                waiting.extend(reversed(item))
            case int():  # of any length; `repr` refuses the longest
                yield f"{type(item).__name__} {item:x}"
            case _:
                yield f"{type(item).__name__} {item!r}"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """A body whose first statement is a docstring, without it; `pass` where nothing else is left."""
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest or [ast.Pass()]
    return body


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
