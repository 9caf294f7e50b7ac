"""Tools for models that have none: described in the prompt, called by a fenced block in the reply.

Two forms are read, the ones that models write by themselves:

    ```json
    {"tool": "read_file", "arguments": {"path": "train.py"}}
    ```

    <<<<<<< SEARCH
    the text as it stands
    =======
    the text as it should be
    >>>>>>> REPLACE

The second is for the tool that edits, so that no program has to be written as a JSON string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from lab.agents.providers import Tool, ToolCall, ToolResult
from lab.agents.providers.line import read_object

FENCE = re.compile(
    r"^[ \t]*```[ \t]*(\w*)[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL
)
EDIT = re.compile(
    r"^<{5,9} ?SEARCH[^\n]*\n(.*?)^={5,9}[ \t]*\n(.*?)^>{5,9} ?REPLACE[^\n]*$",
    re.MULTILINE | re.DOTALL,
)
THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)
NAMES_OF_TOOL = ("tool", "name", "function")
NAMES_OF_ARGUMENTS = ("arguments", "parameters", "args", "input")


def describe_tools(tools: tuple[Tool, ...]) -> str:
    """The part of the prompt that says what can be called, and how."""
    listed = "\n".join(
        f"- {tool.name}: {tool.description}\n  arguments: {json.dumps(tool.parameters)}"
        for tool in tools
    )
    text = (
        "You act by calling tools. To call one, write a block like this, exactly so, and then stop:\n\n"
        '```json\n{"tool": "NAME", "arguments": {}}\n```\n\n'
        "The arguments are a JSON object that fits the tool's JSON Schema. You get the result in the next "
        f"message. The tools:\n\n{listed}\n"
    )
    editor = _editor(tools)
    if editor is None:
        return text
    return text + (
        f"\nInstead of {editor[0].name} you may write its edits as blocks, as many as you need:\n\n"
        "<<<<<<< SEARCH\nthe lines as they stand\n=======\nthe lines as they should be\n>>>>>>> REPLACE\n"
    )


def quote_results(results: tuple[ToolResult, ...]) -> str:
    """What the calls gave, for the next message."""
    return "\n\n".join(
        f"{'Error' if result.is_error else 'Result'} of {result.name} ({result.call_id}):\n{result.content}"
        for result in results
    )


def read_calls(text: str, tools: tuple[Tool, ...]) -> tuple[ToolCall, ...]:
    """The calls in a reply, in their order: edits as one call, at the place of the first.

    A JSON block that names no known tool is no call: models show JSON for other reasons. A block that names one
    but cannot be read is a call without arguments, so that the model is told.
    """
    said = THOUGHT.sub("", text)
    found: list[tuple[int, str, dict[str, Any] | None, str]] = []
    edits = list(EDIT.finditer(said))
    editor = _editor(tools)
    if edits and editor is not None:
        whole = said[edits[0].start() : edits[-1].end()]
        found += [
            (edits[0].start(), editor[0].name, arguments, whole)
            for arguments in _arguments_of_edits(editor, edits)
        ]
    for position, block in _blocks(EDIT.sub(lambda edit: " " * len(edit[0]), said)):
        found += [(position, *call) for call in _read_block(block, tools)]
    found.sort(key=lambda call: call[0])
    return tuple(
        ToolCall(id=f"call_{number}", name=name, arguments=arguments, written=written)
        for number, (_, name, arguments, written) in enumerate(found, start=1)
    )


def _blocks(text: str) -> Iterable[tuple[int, str]]:
    """The fenced blocks of a text, or the whole of it where it is one bare JSON object."""
    blocks = [(match.start(), match[2].strip()) for match in FENCE.finditer(text)]
    bare = text.strip()
    if not blocks and bare.startswith("{") and bare.endswith("}"):
        return [(0, bare)]
    return blocks


def _read_block(
    block: str, tools: tuple[Tool, ...]
) -> list[tuple[str, dict[str, Any] | None, str]]:
    known = {tool.name for tool in tools}
    try:
        read = json.loads(block)
    except ValueError:
        named = re.search(r'"(?:tool|name)"\s*:\s*"(\w+)"', block)
        return [(named[1], None, block)] if named and named[1] in known else []
    calls: list[tuple[str, dict[str, Any] | None, str]] = []
    for call in read if isinstance(read, list) else [read]:
        if not isinstance(call, dict):
            continue
        names = [call[key] for key in NAMES_OF_TOOL if call.get(key) in known]
        if names:
            given: Any = next((call[key] for key in NAMES_OF_ARGUMENTS if key in call), {})
            if isinstance(given, str):
                given = read_object(given)
            calls.append((names[0], given if isinstance(given, dict) else None, json.dumps(call)))
    return calls


def _editor(tools: tuple[Tool, ...]) -> tuple[Tool, str | None, str, str] | None:
    """The tool that edits, by the shape of its arguments.

    Gives (tool, name of its list of edits or None, name of the text to find, name of its replacement).
    """
    for tool in tools:
        properties = tool.parameters.get("properties") or {}
        shapes = [(None, properties)]
        shapes += [
            (name, _items_of(schema).get("properties") or {}) for name, schema in properties.items()
        ]
        for name, shape in shapes:
            find = next((key for key in ("search", "find", "old") if key in shape), None)
            put = next((key for key in ("replace", "replacement", "new") if key in shape), None)
            if find and put:
                return tool, name, find, put
    return None


def _items_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list's items, also where the list may be null."""
    for kind in [schema, *schema.get("anyOf", [])]:
        items = kind.get("items")
        if isinstance(items, dict):
            return items
    return {}


def _arguments_of_edits(
    editor: tuple[Tool, str | None, str, str], edits: list[re.Match[str]]
) -> list[dict[str, Any]]:
    """The arguments of one call with all edits, or of one call for each where the tool takes one."""
    tool, name, find, put = editor
    made = [{find: edit[1].removesuffix("\n"), put: edit[2].removesuffix("\n")} for edit in edits]
    schemas = tool.parameters.get("properties") or {}
    rest = {
        key: _nothing(schema) for key, schema in schemas.items() if key not in (name, find, put)
    }
    return [{**rest, **edit} for edit in made] if name is None else [{**rest, name: made}]


def _nothing(schema: dict[str, Any]) -> Any:
    """The value of an argument that edits do not speak of: null where that is allowed, else empty."""
    kinds = [kind for part in [schema, *schema.get("anyOf", [])] for kind in _kinds(part)]
    if "null" in kinds or not kinds:
        return None
    return {"array": [], "object": {}, "boolean": False, "integer": 0, "number": 0}.get(
        kinds[0], ""
    )


def _kinds(schema: dict[str, Any]) -> list[str]:
    kind = schema.get("type")
    return kind if isinstance(kind, list) else [] if kind is None else [kind]
