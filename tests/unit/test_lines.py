"""What a line of code is, when lines have a price."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lab.lines import count_code_lines

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("source", "same"),
    [
        pytest.param("a = 1\n# why\n\n\nb = 2\n", "a = 1\nb = 2\n", id="comments-and-blanks"),
        pytest.param("a = 1; b = 2", "a = 1\nb = 2\n", id="joined"),
        pytest.param("a, b = 1, 2", "a = 1\nb = 2\n", id="assigned-together"),
        pytest.param("f(1,\n  2,\n  3)\n", "f(1, 2, 3)\n", id="long-line"),
        pytest.param("if a: b()\n", "if a:\n    b()\n", id="one-line-body"),
        pytest.param("if a:\n    b()\nelse:\n    if c:\n        d()\n", "if a:\n    b()\nelif c:\n    d()\n", id="elif"),
        pytest.param('"""Module."""\ndef f():\n    """Doc.\n\n    More.\n    """\n    return 1\n', "def f(): return 1", id="docstrings"),
        pytest.param('def f():\n    "a note"\n    g()\n    "another"\n    pass\n', "def f():\n    g()\n", id="notes-and-pass"),
        pytest.param('a = """x\ny\nz"""\n', 'a = "xyz"\n', id="long-text"),
        pytest.param('a = f"""x\n{b}\nz"""\n', 'a = f"{b}"\n', id="long-formatted-text"),
        pytest.param("a = 1\r\nb = 2\r\n", "a = 1\nb = 2\n", id="line-ends"),
    ],
)  # fmt: skip
def test_layout_has_no_price(source: str, same: str) -> None:
    """What could be laid out otherwise would be, as soon as lines earn something."""
    assert count_code_lines(source) == count_code_lines(same) > 0


@pytest.mark.parametrize(
    ("source", "count"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param("# only\n", 0, id="comment"),
        pytest.param("if a:\n    b()\nelse:\n    c()\n", 4, id="else"),
        pytest.param("for a in b:\n    c()\nelse:\n    d()\n", 4, id="for-else"),
        pytest.param("try:\n    a()\nexcept E:\n    b()\nelse:\n    c()\nfinally:\n    d()\n", 8, id="try"),
        pytest.param("match a:\n    case 1:\n        b()\n    case _:\n        c()\n", 5, id="match"),
        pytest.param("@one\n@two(3)\ndef f(): return 1\n", 4, id="decorators"),
        pytest.param("class A:\n    b: int\n    c: int = 1\n", 3, id="class"),
        pytest.param("a, b = f()\n", 1, id="unpacked-call"),
        pytest.param("a = 1, 2\n", 1, id="a-tuple"),
        pytest.param("with a as b, c as d:\n    e()\n", 2, id="with"),
    ],
)  # fmt: skip
def test_each_statement_and_each_header_is_a_line(source: str, count: int) -> None:
    """Counted by a person, so that the price can be checked by one."""
    assert count_code_lines(source) == count


@pytest.mark.parametrize(
    "file", [ROOT / "workspace/train.py", ROOT / "lab/verdict.py", ROOT / "lab/lines.py"], ids=str
)
def test_real_code_counts_as_python_would_print_it(file: Path) -> None:
    """The count walks the tree; printing the tree is the slower way to the same number."""
    tree = _Plain().visit(ast.parse(file.read_text()))
    printed = [line for line in ast.unparse(tree).splitlines() if line.strip()]
    assert count_code_lines(file.read_text()) == len(printed)


def test_a_long_expression_is_counted_and_not_recursed_into() -> None:
    """Python compiles it, so it can be proposed; it must not end a night."""
    assert count_code_lines("a = " + " + ".join(["b"] * 800)) == 1


class _Plain(ast.NodeTransformer):
    """Without docstrings, text and `pass`, and with assignments of several names taken apart."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.copy_location(ast.Constant(0), node) if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.copy_location(ast.Constant(0), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.Assign]:
        self.generic_visit(node)
        names, values = node.targets[0], node.value
        if not (isinstance(names, ast.Tuple | ast.List) and isinstance(values, ast.Tuple)):
            return node
        if len(node.targets) > 1 or len(names.elts) != len(values.elts):
            return node
        pairs = zip(names.elts, values.elts, strict=True)
        return [
            ast.fix_missing_locations(
                ast.copy_location(ast.Assign(targets=[name], value=value), node)
            )
            for name, value in pairs
        ]


def test_code_that_is_packed_into_a_string_is_still_counted() -> None:
    """Else the whole file could become one line, and a worse score would be kept for it."""
    source = "x = 1\n" * 300
    packed = f"exec({source!r})\n"
    assert count_code_lines(source) == 300
    assert count_code_lines(packed) >= len(source) // 100
    assert count_code_lines(f'def f():\n    """{"long " * 200}"""\n    return 1\n') == 2
