"""Edits of code by example: find this shape in the syntax tree, put that in its place.

A shape is ordinary Python. A name that starts with `any_` stands for any expression, and for the same one
wherever it comes again; a statement `...` stands for the rest of a block. Formatting and comments do not
matter when looking, and are kept around what is replaced.

    Rewrite(find="F.relu(any_x).square()", put="F.gelu(any_x)")
    Rewrite(find="x = any_a + x0_scale * x0", put="", within="GPT.forward")        # delete a statement

A shape that does not stand in the file exactly as often as expected is not applied at all.
"""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import libcst as cst

_HOLE = "any_"
_WORD = re.compile(r"[^\W\d]\w*")
# Fields of a node that say how it is written, not what it means.
_LAYOUT = (
    "whitespace",
    "leading_lines",
    "lines_after",
    "trailing",
    "lpar",
    "rpar",
    "comma",
    "semicolon",
)
_LAYOUT_NAMES = frozenset({"header", "footer", "equal", "default_indent", "indent"})

Holes = dict[str, cst.CSTNode]


class DoesNotFit(Exception):
    """The file has no such place, or not as many as expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One edit by example."""

    find: str  # an expression, or one or more statements
    put: str  # the same kind; "" deletes statements
    within: str = ""  # "GPT.forward"; "" is the whole file
    times: int | None = 1  # how often it must stand there; None is at least once


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Delete a function, method or class by its qualified name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropParameter:
    """Delete a keyword-only parameter of a function or method by its qualified name."""

    function: str
    parameter: str


Edit = Rewrite | Drop | DropParameter


def apply_edit(module: cst.Module, edit: Edit) -> cst.Module:
    """The file after one edit.

    Raises:
        DoesNotFit: the shape or name is absent, or stands in more places than expected.
    """
    worker, times, words = _worker_of(edit)
    body: list[cst.CSTNode] = []
    for statement in module.body:
        # Most edits touch one class; walking the rest of the file would be most of the work.
        walked = statement.visit(worker) if words <= _words(statement) else statement
        if isinstance(walked, cst.CSTNode):
            body.append(walked)
    if isinstance(worker, _Statements) and not worker.within:
        body = list(worker.replace(body))
    if worker.found == 0 or (times is not None and worker.found != times):
        raise DoesNotFit(f"{edit} fits {worker.found} times")
    return module.with_changes(body=body)


def _worker_of(edit: Edit) -> tuple[_Scoped, int | None, frozenset[str]]:
    """What walks the file, how often it must find its place, and the names that stand there."""
    if isinstance(edit, Drop):
        return _Dropper(edit.name), 1, frozenset(edit.name.split("."))
    if isinstance(edit, DropParameter):
        return _ParameterDropper(edit), 1, frozenset(edit.function.split("."))
    words = frozenset(word for word in _WORD.findall(edit.find) if not word.startswith(_HOLE))
    words |= frozenset(edit.within.split(".")) - {""}
    find, put = _expression(edit.find), _expression(edit.put)
    if find is not None and put is not None:
        return _Expressions(edit.within, find, put), edit.times, words
    return (
        _Statements(edit.within, _statements(edit.find), _statements(edit.put)),
        edit.times,
        words,
    )


# A cached node keeps its whole branch in memory, so the caches hold two or three files' worth.
@functools.lru_cache(maxsize=256)
def _words(node: cst.CSTNode) -> frozenset[str]:
    """The names and words in a node's source; nodes never change, so they are read once."""
    return frozenset(_WORD.findall(_code(node, cst.Module(body=[]).default_newline)))


@functools.lru_cache(maxsize=256)
def _code(node: cst.CSTNode, newline: str) -> str:
    return cst.Module(body=[], default_newline=newline).code_for_node(node)


def source_of(module: cst.Module) -> str:
    """What `module.code` says, at a hundredth of the time: only what changed is written out anew."""
    lines = (*module.header, *module.body, *module.footer)
    text = "".join(_code(line, module.default_newline) for line in lines)
    return text if module.has_trailing_newline else text.removesuffix(module.default_newline)


@functools.lru_cache(maxsize=512)
def _expression(text: str) -> cst.BaseExpression | None:
    """The text as an expression, None when it is statements."""
    try:
        return cst.parse_expression(textwrap.dedent(text).strip("\n"))
    except cst.ParserSyntaxError:
        return None


@functools.lru_cache(maxsize=512)
def _statements(text: str) -> tuple[cst.BaseStatement, ...]:
    body = cst.parse_module(textwrap.dedent(text).strip("\n") + "\n").body
    return tuple(statement for statement in body if isinstance(statement, cst.BaseStatement))


def matches(pattern: object, node: object, holes: Holes) -> bool:
    """Whether the node has the pattern's shape; fills the holes on the way."""
    if isinstance(pattern, cst.Name) and pattern.value.startswith(_HOLE):
        known = holes.get(pattern.value)
        if known is not None:
            return matches(known, node, {})
        if isinstance(node, cst.BaseExpression):
            holes[pattern.value] = node
            return True
        return False
    if isinstance(pattern, cst.SimpleString) and isinstance(node, cst.SimpleString):
        return bool(pattern.evaluated_value == node.evaluated_value)
    if isinstance(pattern, cst.CSTNode):
        return type(pattern) is type(node) and all(
            matches(getattr(pattern, name), getattr(node, name), holes)
            for name in _meaning(pattern)
        )
    if isinstance(pattern, list | tuple):
        return isinstance(node, list | tuple) and _match_block(pattern, node, holes)
    if isinstance(pattern, cst.MaybeSentinel) or isinstance(node, cst.MaybeSentinel):
        return True
    return pattern == node


def _match_block(patterns: Sequence[object], nodes: Sequence[object], holes: Holes) -> bool:
    if patterns and _is_rest(patterns[-1]):
        patterns, nodes = patterns[:-1], nodes[: len(patterns) - 1]
    return len(patterns) == len(nodes) and all(
        matches(pattern, node, holes) for pattern, node in zip(patterns, nodes, strict=True)
    )


def _is_rest(node: object) -> bool:
    return (
        isinstance(node, cst.SimpleStatementLine)
        and isinstance(node.body[0], cst.Expr)
        and isinstance(node.body[0].value, cst.Ellipsis)
    )


def _meaning(node: cst.CSTNode) -> list[str]:
    names = [item.name for item in fields(node)]
    return [name for name in names if name not in _LAYOUT_NAMES and not name.startswith(_LAYOUT)]


class _Fill(cst.CSTTransformer):
    """Puts what the holes caught into a template."""

    def __init__(self, holes: Holes) -> None:
        super().__init__()
        self._holes = holes

    def leave_Name(  # noqa: N802  # the library's own name
        self, original_node: cst.Name, updated_node: cst.Name
    ) -> cst.BaseExpression:
        caught = self._holes.get(original_node.value)
        return caught.deep_clone() if isinstance(caught, cst.BaseExpression) else updated_node


def _filled(template: cst.CSTNode, holes: Holes) -> cst.CSTNode:
    # A clone each time: a tree must not hold one node twice.
    filled = template.deep_clone().visit(_Fill(holes))
    assert isinstance(filled, cst.CSTNode)  # _Fill removes nothing
    return filled


@dataclass(slots=True)
class _Scope:
    """Which class and function the visitor stands in."""

    within: str
    stack: list[str] = field(default_factory=list)

    @property
    def inside(self) -> bool:
        here = ".".join(self.stack)
        return not self.within or here == self.within or here.startswith(self.within + ".")


class _Scoped(cst.CSTTransformer):
    def __init__(self, within: str) -> None:
        super().__init__()
        self.within = within
        self.scope = _Scope(within)
        self.found = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.scope.stack.append(node.name.value)
        return True

    def _left(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.scope.stack.pop()


class _Expressions(_Scoped):
    def __init__(self, within: str, pattern: cst.BaseExpression, put: cst.BaseExpression) -> None:
        super().__init__(within)
        self._pattern = pattern
        self._put = put

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> cst.CSTNodeT:
        result: cst.CSTNode = updated_node
        if self.scope.inside and type(original_node) is type(self._pattern):
            holes: Holes = {}
            if matches(self._pattern, original_node, holes):
                self.found += 1
                result = _filled(self._put, holes)
        self._left(original_node)
        return result  # type: ignore[return-value]  # an expression or block takes another's place


class _Statements(_Scoped):
    def __init__(
        self,
        within: str,
        pattern: tuple[cst.BaseStatement, ...],
        put: tuple[cst.BaseStatement, ...],
    ) -> None:
        super().__init__(within)
        self._pattern = pattern
        self._put = put

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> cst.CSTNodeT:
        result: cst.CSTNode = updated_node
        if isinstance(updated_node, cst.IndentedBlock) and self.scope.inside:
            body = self.replace(list(updated_node.body))
            if not body:
                raise DoesNotFit("nothing would be left of the block")
            result = updated_node.with_changes(body=body)
        self._left(original_node)
        return result  # type: ignore[return-value]  # an expression or block takes another's place

    def replace(self, body: Sequence[cst.CSTNode]) -> list[cst.CSTNode]:
        """The statements of one block, with every run that matches replaced."""
        done: list[cst.CSTNode] = []
        index, size = 0, len(self._pattern)
        while index < len(body):
            holes: Holes = {}
            here = body[index : index + size]
            if len(here) == size and all(
                matches(pattern, node, holes)
                for pattern, node in zip(self._pattern, here, strict=True)
            ):
                self.found += 1
                done.extend(self._filled(here, holes))
                index += size
            else:
                done.append(body[index])
                index += 1
        return done

    def _filled(self, old: Sequence[cst.CSTNode], holes: Holes) -> list[cst.CSTNode]:
        new = [_filled(line, holes) for line in self._put]
        if new and isinstance(
            old[0], cst.SimpleStatementLine | cst.BaseCompoundStatement
        ):  # the comment above stays with its place
            new[0] = new[0].with_changes(leading_lines=old[0].leading_lines)
        return new


class _Dropper(_Scoped):
    def __init__(self, name: str) -> None:
        super().__init__("")
        self._name = name

    def on_leave(
        self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT
    ) -> cst.CSTNodeT | cst.RemovalSentinel:
        here = ".".join(self.scope.stack)
        self._left(original_node)
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef) and here == self._name:
            self.found += 1
            return cst.RemoveFromParent()
        return updated_node


class _ParameterDropper(_Scoped):
    def __init__(self, edit: DropParameter) -> None:
        super().__init__("")
        self._edit = edit

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> cst.CSTNodeT:
        here = ".".join(self.scope.stack)
        self._left(original_node)
        if not isinstance(updated_node, cst.FunctionDef) or here != self._edit.function:
            return updated_node
        kept = [
            p for p in updated_node.params.kwonly_params if p.name.value != self._edit.parameter
        ]
        self.found += len(updated_node.params.kwonly_params) - len(kept)
        if not kept:
            raise DoesNotFit(f"{here} would keep no keyword-only parameter")
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return updated_node.with_deep_changes(updated_node.params, kwonly_params=kept)


def is_python(text: str) -> bool:
    """Whether the text compiles; an edit that breaks the file is no edit."""
    try:
        compile(ast.parse(text), "train.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True
