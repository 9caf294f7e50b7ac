"""How much code a train.py is, so that what a change adds or removes has a price.

Owns    what counts as a line of code
Takes   the source of a file; never imports or runs it
Gives   a number
Never   counts what a reader may lay out at will
"""

from __future__ import annotations

import ast
import warnings

# Of a long constant, as many characters as a line of code may have.
LINE_CHARS = 100

# Most nodes are names and operators inside a statement: they are not even looked at.
COUNTED = (ast.stmt, ast.ExceptHandler, ast.match_case, ast.Constant)


def count_code_lines(source: str) -> int:
    """Lines of the code when every statement has a line of its own, and nothing else has one.

    Comments, blank lines, docstrings, `pass`, joined statements and long lines change nothing; a string counts
    one for each LINE_CHARS, or code could be packed into one. Else this is what
    `ast.unparse` would print, counted without printing it: unparsing recurses, and an expression of some
    hundred terms, which Python runs, would end it; its line breaks differ from one Python to the next.

    `a, b = 1, 2` is two lines, since it replaces two. Code can still be squeezed into fewer, longer
    statements: what that earns is small, and the diff shows it.

    Raises:
        SyntaxError, ValueError, RecursionError: not Python; `lab.contract.check` refuses such a file before.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape sequence is its author's business
        tree = ast.parse(source)
    alone: set[int] = set()  # docstrings
    count = 0
    for node in ast.walk(tree):  # parents before their children
        if isinstance(node, ast.Expr):
            alone.add(id(node.value))
        if isinstance(node, COUNTED) and id(node) not in alone:
            count += _lines(node)
    return count


def _lines(node: ast.AST) -> int:
    """The lines of this node alone: a simple statement, or the headers of a compound one."""
    match node:
        case ast.Constant(value=str() | bytes() as text):
            return len(text) // LINE_CHARS  # code that is packed into a string
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return 0
        case ast.Assign(targets=[ast.Tuple() | ast.List() as names], value=ast.Tuple() as values):
            return len(values.elts) if len(names.elts) == len(values.elts) > 0 else 1
        case ast.If(orelse=orelse):
            # An `elif` is an If of its own, alone in the else.
            return 1 + (bool(orelse) and not (len(orelse) == 1 and isinstance(orelse[0], ast.If)))
        case ast.For(orelse=orelse) | ast.AsyncFor(orelse=orelse) | ast.While(orelse=orelse):
            return 1 + bool(orelse)
        case ast.Try(orelse=orelse, finalbody=last) | ast.TryStar(orelse=orelse, finalbody=last):
            return 1 + bool(orelse) + bool(last)
        case (
            ast.FunctionDef(decorator_list=decorators)
            | ast.AsyncFunctionDef(decorator_list=decorators)
            | ast.ClassDef(decorator_list=decorators)
        ):
            return 1 + len(decorators)
        case ast.stmt() | ast.ExceptHandler() | ast.match_case():
            return 1
    return 0
