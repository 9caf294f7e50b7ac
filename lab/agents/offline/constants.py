"""The hyperparameters of train.py, read and set through the syntax tree.

A constant is a top-level line `NAME = value`, or `NAME = by_device(gpu=value, cpu=value)` where the two
devices differ; then the entry of the active device is meant. An item of a tuple is named `NAME.0`.
Everything else on the line, comments included, is left alone.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

import libcst as cst

Value = int | float | str | bool | None | tuple[object, ...]


class NotAConstant(Exception):
    """The file has no such constant, or its value is computed."""


def read_constant(module: cst.Module, name: str, device: str) -> Value:
    """The value of a constant for one device, "gpu" or "cpu".

    Raises:
        NotAConstant: the file has no such line, or its value is computed from something else.
    """
    return evaluate(_expression(module, name, device))


def read_constants(module: cst.Module, device: str) -> dict[str, Value]:
    """Every constant of the file whose value is written out, by name."""
    found: dict[str, Value] = {}
    for name, _ in _assignments(module):
        try:
            found[name] = read_constant(module, name, device)
        except NotAConstant:
            continue
    return found


def write_constant(module: cst.Module, name: str, device: str, value: Value) -> cst.Module:
    """The same file with another value in one place.

    Raises:
        NotAConstant: the file has no such line, or its value is computed from something else.
    """
    old = _expression(module, name, device)
    evaluate(old)
    new = cst.parse_expression(_spelled(value, like=old))
    # Only the one line is walked; walking the whole file takes a hundred times as long.
    lines = [
        statement.deep_replace(old, new) if _assigns(statement, name) else statement
        for statement in module.body
    ]
    return module.with_changes(body=lines)


def evaluate(node: cst.BaseExpression) -> Value:
    """The value of a literal, with signs and plain arithmetic such as `2**19` allowed.

    Raises:
        NotAConstant: anything else.
    """
    text = cst.Module(body=[]).code_for_node(node)
    try:
        return _fold(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ArithmeticError) as error:
        raise NotAConstant(text) from error


def _fold(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=int() | float() | str() | bool() | None as value):
            return value
        case ast.Tuple(elts=items):
            return tuple(_fold(item) for item in items)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _number(left) + _number(right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _number(left) - _number(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _number(left) * _number(right)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _number(left) / _number(right)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as power)):
            if abs(power) <= 64:
                return _number(left) ** power
    raise NotAConstant(ast.unparse(node))


def _number(node: ast.expr) -> int | float:
    value = _fold(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAConstant(ast.unparse(node))
    return value


def _expression(module: cst.Module, name: str, device: str) -> cst.BaseExpression:
    name, _, item = name.partition(".")
    values = [value for found, value in _assignments(module) if found == name]
    if len(values) != 1:
        raise NotAConstant(f"{name} is assigned {len(values)} times at the top level")
    value = _of_device(values[0], device)
    if not item:
        return value
    if not isinstance(value, cst.Tuple) or int(item) >= len(value.elements):
        raise NotAConstant(f"{name} has no item {item}")
    return value.elements[int(item)].value


def _of_device(value: cst.BaseExpression, device: str) -> cst.BaseExpression:
    if not (isinstance(value, cst.Call) and isinstance(value.func, cst.Name)):
        return value
    if value.func.value != "by_device":
        return value
    for argument in value.args:
        if argument.keyword is not None and argument.keyword.value == device:
            return argument.value
    raise NotAConstant(f"by_device has no entry for {device}")


def _assigns(statement: cst.BaseStatement | cst.BaseSmallStatement, name: str) -> bool:
    return any(target == name.partition(".")[0] for target, _ in _assigned(statement))


def _assignments(module: cst.Module) -> Iterator[tuple[str, cst.BaseExpression]]:
    for statement in module.body:
        yield from _assigned(statement)


def _assigned(
    statement: cst.BaseStatement | cst.BaseSmallStatement,
) -> Iterator[tuple[str, cst.BaseExpression]]:
    if not isinstance(statement, cst.SimpleStatementLine):
        return
    for small in statement.body:
        if isinstance(small, cst.Assign) and len(small.targets) == 1:
            target, value = small.targets[0].target, small.value
        elif isinstance(small, cst.AnnAssign) and small.value is not None:
            target, value = small.target, small.value
        else:
            continue
        if isinstance(target, cst.Name):
            yield target.value, value


def _spelled(value: Value, *, like: cst.BaseExpression) -> str:
    """A value as a person would write it in this place: a power of two stays `2**n`."""
    as_power = isinstance(like, cst.BinaryOperation) and isinstance(like.operator, cst.Power)
    if isinstance(value, bool) or not isinstance(value, int):
        return f'"{value}"' if isinstance(value, str) else repr(value)
    if as_power and value > 0 and math.log2(value).is_integer():
        return f"2**{value.bit_length() - 1}"
    return repr(value)
