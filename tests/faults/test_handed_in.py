"""A whole night that only runs what is handed in: by an assistant over MCP, and by a person."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from lab.settings import CHECKOUT
from lab.setup import Ready
from tests.faults.files import HONEST
from tests.faults.nights import PATIENCE_S, Nightly

EDITS = [{"find": '"width": 32', "replace": '"width": 48'}]
BROKEN = HONEST.replace("prepare.start()", "prepare.start() / 0")


@pytest.fixture
def nightly(ready: Ready, tmp_path: Path) -> Iterator[Nightly]:
    nightly = Nightly(tmp_path, f"test-{uuid.uuid4().hex[:8]}")
    nightly.environment = {"NIGHTLAB_AGENT": "human"}
    yield nightly
    nightly.end()


def test_a_night_of_what_is_handed_in(nightly: Nightly) -> None:
    """An assistant that has nothing but these tools gets its ideas run; a person joins; Ctrl-C ends it."""
    night = nightly.start()
    nightly.wait_for_phase(1, "training")
    environment = dict(os.environ) | {"NIGHTLAB_RUNS": str(nightly.place / "runs")}

    results = anyio.run(play_assistant, nightly.tag, environment)
    assert [result["state"] for result in results] == ["done", "done"]
    assert results[0]["result"]["val_bpb"] is not None
    assert results[1]["result"]["outcome"] == "crashed"
    assert str(nightly.place) not in str(results)
    by_title = {r["title"]: r for r in nightly.records() if r["kind"] == "candidate"}
    assert list(by_title) == ["Wider", "Broken"]
    assert by_title["Wider"]["agent"].startswith("mcp")
    assert by_title["Wider"]["number"] == results[0]["experiment"]
    assert (nightly.folder / "experiments" / "0001" / "train.py").read_text() == HONEST

    file = nightly.place / "mine.py"
    file.write_text(HONEST.replace("lr=1e-2", "lr=1e-3"))
    command = [sys.executable, "-m", "lab", "submit", str(file), "--title", "Slower", "--wait"]
    by_hand = subprocess.run(
        [*command, "--tag", nightly.tag],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert by_hand.returncode == 0, by_hand.stderr
    assert "ticket 3" in by_hand.stdout.splitlines()[-1]
    assert nightly.records()[-1]["title"] == "Slower"

    asked = time.monotonic()
    night.send_signal(signal.SIGINT)
    output = nightly.finish(night)
    assert night.returncode == 0, output
    assert time.monotonic() - asked < 20.0, (
        "a night that waits for a person ends when it is asked to"
    )
    assert "you asked for it" in output
    assert nightly.containers() == []


async def play_assistant(tag: str, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Two submissions at once, while the baseline still runs; then wait for both."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "lab", "mcp", "--tag", tag],
        env=environment,
        cwd=CHECKOUT,
    )
    with anyio.fail_after(PATIENCE_S):
        async with Client(server) as client:
            for title, change in (("Wider", {"edits": EDITS}), ("Broken", {"train_py": BROKEN})):
                handed_in = await client.call_tool(
                    "submit", {"title": title, "hypothesis": "it may help"} | change
                )
                assert not handed_in.is_error, handed_in.content
            return [await final(client, ticket) for ticket in (1, 2)]


async def final(client: Client, ticket: int) -> dict[str, Any]:
    while True:
        answer = await client.call_tool("wait", {"ticket": ticket, "seconds": 50})
        assert answer.structured_content is not None, answer.content
        if answer.structured_content["final"]:
            return answer.structured_content
