"""Edits of code by example, and constants through the syntax tree: exact, or not at all."""

from __future__ import annotations

import libcst as cst
import pytest

from lab.agents.offline.constants import NotAConstant, read_constant, write_constant
from lab.agents.offline.rewriting import DoesNotFit, Drop, DropParameter, Edit, Rewrite, apply_edit

SOURCE = '''\
"""A docstring that says RATE = 1."""

BATCH = by_device(gpu=2**19, cpu=4096)  # tokens
RATE: float = -0.04  # of what?
BETAS = (0.8, 0.95)
SUM = BATCH + 1


class Net:
    # about forward
    def forward(self, x):
        # why a relu
        x = F.relu( self.up( x ) ).square()  # kept
        if USE_IT:
            x = x + 1
            x = x * 2
        for a, b in pairs:
            x = a(x)
        return x

    def step(self, *, rate, decay):
        return rate


def other(x):
    return F.relu(x).square()
'''


def edited(*edits: Edit) -> str:
    module = cst.parse_module(SOURCE)
    for edit in edits:
        module = apply_edit(module, edit)
    return module.code


def changed_lines(after: str) -> tuple[list[str], list[str]]:
    before, now = SOURCE.splitlines(), after.splitlines()
    return (
        [line.strip() for line in before if line not in now],
        [line.strip() for line in now if line not in before],
    )


@pytest.mark.parametrize(
    ("name", "device", "value"),
    [
        ("BATCH", "gpu", 2**19),
        ("BATCH", "cpu", 4096),
        ("RATE", "gpu", -0.04),
        ("BETAS.1", "cpu", 0.95),
    ],
)
def test_a_constant_is_read_for_its_device(name: str, device: str, value: float) -> None:
    """Reading the other device's entry would turn a dial from the wrong place."""
    assert read_constant(cst.parse_module(SOURCE), name, device) == value


@pytest.mark.parametrize(
    ("name", "device", "value", "line"),
    [
        ("BATCH", "gpu", 2**18, "BATCH = by_device(gpu=2**18, cpu=4096)  # tokens"),
        ("BATCH", "cpu", 2048, "BATCH = by_device(gpu=2**19, cpu=2048)  # tokens"),
        ("RATE", "gpu", -0.02, "RATE: float = -0.02  # of what?"),
        ("BETAS.0", "gpu", 0.9, "BETAS = (0.9, 0.95)"),
    ],
)
def test_setting_a_constant_changes_its_own_place_only(
    name: str, device: str, value: float, line: str
) -> None:
    """A diff of one line is what a person can judge in the morning."""
    after = write_constant(cst.parse_module(SOURCE), name, device, value).code
    assert changed_lines(after)[1] == [line]
    assert len(after.splitlines()) == len(SOURCE.splitlines())


@pytest.mark.parametrize("name", ["SUM", "ABSENT", "BETAS.2", "RATE.0"])
def test_what_is_computed_or_absent_is_no_constant(name: str) -> None:
    """Overwriting an expression would cut its connection to what it is computed from."""
    module = cst.parse_module(SOURCE)
    with pytest.raises(NotAConstant):
        read_constant(module, name, "cpu")
    with pytest.raises(NotAConstant):
        write_constant(module, name, "cpu", 1)


def test_an_expression_is_found_whatever_its_spacing_and_only_in_its_scope() -> None:
    """Comments and formatting belong to people; the meaning is what is looked for."""
    edit = Rewrite(find="F.relu(any_x).square()", put="F.gelu(any_x)", within="Net.forward")
    removed, added = changed_lines(edited(edit))
    assert removed == ["x = F.relu( self.up( x ) ).square()  # kept"]
    assert added == ["x = F.gelu(self.up( x ))  # kept"]


def test_a_shape_in_two_places_is_not_applied_by_half() -> None:
    """Which of the two was meant is a guess, and a guess is not an experiment."""
    with pytest.raises(DoesNotFit):
        edited(Rewrite(find="F.relu(any_x).square()", put="F.gelu(any_x)"))
    after = edited(Rewrite(find="F.relu(any_x).square()", put="F.gelu(any_x)", times=2))
    assert after.count("F.gelu") == 2


def test_a_hole_that_comes_twice_catches_the_same() -> None:
    """`any_x + any_x` is not `a + b`."""
    with pytest.raises(DoesNotFit):
        edited(Rewrite(find="x = any_a * any_a", put="x = any_a"))


def test_statements_are_replaced_in_order_and_keep_the_comment_above() -> None:
    """The comment says why the place exists, which a change of its content does not alter."""
    after = edited(Rewrite(find="x = F.relu(any_y).square()", put="y = any_y\nx = y"))
    assert "        # why a relu\n        y = self.up( x )\n        x = y\n" in after


def test_deleting_takes_the_statement_and_leaves_its_neighbours() -> None:
    """A deletion that takes a neighbour along measures two changes."""
    after = edited(Rewrite(find="if USE_IT:\n    ...", put=""))
    assert changed_lines(after) == (["if USE_IT:", "x = x + 1", "x = x * 2"], [])


def test_a_block_is_never_emptied() -> None:
    """An empty block does not parse."""
    with pytest.raises(DoesNotFit):
        edited(Rewrite(find="x = a(x)", put=""))


def test_a_module_line_can_be_deleted_and_a_docstring_is_not_code() -> None:
    """The docstring names RATE too; only the assignment may go."""
    after = edited(Rewrite(find="BETAS = any_value", put=""))
    assert changed_lines(after) == (["BETAS = (0.8, 0.95)"], [])


def test_functions_and_parameters_are_dropped_by_name() -> None:
    """Removing a part means removing what only it used."""
    after = edited(Drop(name="other"), DropParameter(function="Net.step", parameter="decay"))
    assert "other" not in after
    assert "def step(self, *, rate):" in after
    for missing in (Drop(name="nothing"), DropParameter(function="Net.step", parameter="none")):
        with pytest.raises(DoesNotFit):
            edited(missing)
