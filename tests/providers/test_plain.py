"""Calls read from plain text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.agents.providers import Tool
from lab.agents.providers.plain import describe_tools, read_calls
from tests.providers.asking import EDIT_TRAIN, READ_FILE

TOOLS = (READ_FILE, EDIT_TRAIN)


def edit(search: str, replace: str) -> str:
    return f"<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n"


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        pytest.param("I think about it.", [], id="only words"),
        pytest.param('```json\n{"lr": 0.1}\n```', [], id="JSON that is no call"),
        pytest.param(
            '```\n{"name": "read_file", "parameters": {"path": "a"}}\n```',
            [("read_file", {"path": "a"})],
            id="other names of the fields",
        ),
        pytest.param(
            '{"tool": "read_file", "arguments": {"path": "a"}}',
            [("read_file", {"path": "a"})],
            id="no fence",
        ),
        pytest.param(
            '```json\n[{"tool": "read_file", "arguments": {"path": "a"}},'
            ' {"tool": "read_file", "arguments": "{\\"path\\": \\"b\\"}"}]\n```',
            [("read_file", {"path": "a"}), ("read_file", {"path": "b"})],
            id="a list, one with its arguments as a string",
        ),
        pytest.param(
            '```json\n{"tool": "read_file", "arguments": {"path": "a}\n```',
            [("read_file", None)],
            id="a call that cannot be read",
        ),
        pytest.param(
            '<think>```json\n{"tool": "read_file", "arguments": {"path": "no"}}\n```</think>Done.',
            [],
            id="only thought",
        ),
        pytest.param(
            '```json\n{"tool": "rm", "arguments": {"path": "a"}}\n```', [], id="no such tool"
        ),
        pytest.param(
            edit("a = 1\n", "a = 2\n") + "and\n" + edit("b\nc\n", ""),
            [
                (
                    "edit_train",
                    {
                        "edits": [
                            {"search": "a = 1", "replace": "a = 2"},
                            {"search": "b\nc", "replace": ""},
                        ],
                        "whole_file": None,
                    },
                )
            ],
            id="two edits, one deletes",
        ),
        pytest.param(
            "```python\n" + edit("x\n", "y\n") + "```\n"
            '```json\n{"tool": "read_file", "arguments": {"path": "a"}}\n```',
            [
                ("edit_train", {"edits": [{"search": "x", "replace": "y"}], "whole_file": None}),
                ("read_file", {"path": "a"}),
            ],
            id="edit and call",
        ),
    ],
)
def test_calls_are_read_as_models_write_them(
    text: str, calls: list[tuple[str, dict[str, Any] | None]]
) -> None:
    """Small models keep to a form only roughly; what is clear is taken, what is not is said."""
    assert [(call.name, call.arguments) for call in read_calls(text, TOOLS)] == calls


def test_a_tool_that_takes_one_edit_is_called_for_each() -> None:
    """No edit is lost where the tool has no list of them."""
    shape = {"find": {"type": "string"}, "replacement": {"type": "string"}}
    single = Tool(
        name="edit",
        description="",
        parameters={"type": "object", "properties": {**shape, "why": {"type": "string"}}},
    )
    calls = read_calls(edit("a\n", "b\n") + edit("c\n", "d\n"), (single,))
    assert [call.arguments for call in calls] == [
        {"why": "", "find": "a", "replacement": "b"},
        {"why": "", "find": "c", "replacement": "d"},
    ]
    assert len({call.id for call in calls}) == 2


def test_edits_are_offered_only_where_a_tool_edits() -> None:
    assert "SEARCH" in describe_tools(TOOLS)
    assert "SEARCH" not in describe_tools((READ_FILE,))
    assert read_calls(edit("a\n", "b\n"), (READ_FILE,)) == ()


@given(st.text(alphabet='<=>`{}[]":SEARCHREPLACE\n tool,ab', max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    """A model's reply is untrusted text."""
    for call in read_calls(text, TOOLS):
        assert call.name in {tool.name for tool in TOOLS}
