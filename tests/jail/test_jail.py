"""The jail of a coding assistant, with a real engine, a real gate, and a small assistant that wants out."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import jail
from lab.compose import name_of_project
from lab.container import PROJECT_LABEL, Engine
from lab.settings import CHECKOUT, Settings, read_settings
from lab.setup import Ready
from tests.faults.files import HONEST
from tests.faults.nights import Nightly

ASSISTANT = (Path(__file__).parent / "assistant.py").read_text()
KEY = "sk-test-0123456789abcdef"
PATIENCE_S = 60.0

# Answers every question with what it was asked, key included.
MODEL = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        said = f"{self.path} {self.headers['x-api-key']} {self.headers['authorization']}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""


def command(*steps: str, also: str = "") -> str:
    return f"{also} python3 -c {shlex.quote(ASSISTANT)} {' '.join(steps)}"


@dataclass
class Place:
    """A campaign that does nothing, as a jail needs it."""

    folder: Path
    engine: Engine
    image: str
    said: list[str] = field(default_factory=list)
    end: str | None = None  # why the night should end

    def night(self, line: str, *, patience_s: float = 600.0) -> Any:
        settings = read_settings(
            {},
            agent="command",
            command=line,
            agent_image=self.image,
            patience_s=patience_s,
        ).model_copy(update={"keys": {"ANTHROPIC_API_KEY": KEY}})
        return SimpleNamespace(
            settings=settings,
            program="Lower val_bpb.",
            campaign=SimpleNamespace(folder=self.folder),
            bench=SimpleNamespace(engine=self.engine),
            screen=SimpleNamespace(say=self.said.append),
            seconds_left=lambda: None,
            why_end=lambda: self.end,
        )

    @property
    def project(self) -> str:
        return name_of_project(self.folder)

    def found(self, step: str) -> list[Any]:
        """What every session so far printed for a step."""
        logs = sorted((self.folder / "jail").glob("session-*.log"))
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return [json.loads(line)[step] for line in lines if line.startswith(f'{{"{step}"')]

    def wait_until(self, seen: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while not (result := seen()):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)
        return result

    def containers(self) -> list[Any]:
        label = f"{PROJECT_LABEL}={self.project}"
        return self.engine.client.containers.list(all=True, filters={"label": label})

    def networks(self) -> list[Any]:
        return self.engine.client.networks.list(
            filters={"label": f"{PROJECT_LABEL}={self.project}"}
        )

    def start_model(self) -> None:
        """A model's API beside the gate, swept away with the jail."""
        (network,) = [n for n in self.networks() if n.name.endswith("_outside")]
        model = self.engine.client.containers.create(
            self.image,
            ["python3", "-c", MODEL],
            network=network.name,
            labels={PROJECT_LABEL: self.project},
        )
        network.disconnect(model)
        network.connect(model, aliases=["model"])
        model.start()


@pytest.fixture
def place(ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    folder = tmp_path / "runs" / "jailed"
    folder.mkdir(parents=True)
    monkeypatch.setattr(jail, "FIRST_PAUSE_S", 0.2)
    monkeypatch.setattr(
        jail, "UPSTREAMS", jail.UPSTREAMS | {"ANTHROPIC_UPSTREAM": "http://model:8000"}
    )
    place = Place(folder, ready.bench.engine, ready.image.id)
    yield place
    place.engine.remove_project(place.project)


@pytest.fixture
def listener() -> Iterator[int]:
    """A service of this host, on every address that it has."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield server.getsockname()[1]


def test_the_jail_has_one_way_out(place: Place, listener: int) -> None:
    """An assistant that reads hostile logs may be turned; then it must have nothing to reach, read or keep."""
    with jail.jailed(place.night(command("escape", also=f"ALSO_PORTS={listener}"))):
        place.start_model()
        first = place.wait_until(lambda: place.found("escape"))[0]
        # The model may have come up after the first session asked for it.
        place.wait_until(
            lambda: place.found("escape")[-1]["gate"]["/anthropic/v1/messages"][0] == 200
        )
        last = place.found("escape")[-1]
        logs = [handle.logs().decode() for handle in place.containers()]

    assert first["reached"] == first["resolved"] == first["sockets"] == first["written"] == []
    assert first["uid"] == 10001 and first["capabilities"] == ["0000000000000000"]
    assert first["work"] == ["PROMPT.md", "mcp.json"]
    assert not any(str(place.folder.parent) in mount for mount in first["mounts"])
    assert {"/work", "/tmp"} <= set(first["mounts"])

    # The one way to a model: the gate puts the key in, whatever key the assistant gave.
    assert last["gate"].pop("/anthropic/v1/messages") == [200, f"/v1/messages {KEY} None"]
    assert {status for status, _ in last["gate"].values()} <= {400, 403, 404, 405}
    assert not last["tunnel"].startswith("HTTP/1.1 2")
    assert KEY not in json.dumps(last["environment"]) and KEY not in "".join(logs)

    assert place.containers() == place.networks() == []
    assert not (place.folder / "jail" / "meet").exists()


def test_the_way_to_a_model_closes_when_the_night_is_over(place: Place) -> None:
    """What a forgotten assistant asks its model is paid for."""
    with jail.jailed(place.night(command("escape"))):
        place.start_model()
        path = "/anthropic/v1/messages"
        place.wait_until(lambda: any(e["gate"][path][0] == 200 for e in place.found("escape")))
        place.end = "the time is up"
        place.wait_until(lambda: place.found("escape")[-1]["gate"][path][0] == 403)


def test_an_assistant_that_stops_or_is_silent_is_started_again(place: Place) -> None:
    """Assistants stop early, and some hang; neither may end the night."""
    night = place.night(command("sleep"), patience_s=2.0)
    with jail.jailed(night):
        place.wait_until(lambda: sum("was silent for 2 s" in line for line in place.said) >= 2)
    assert any("starting it again" in line for line in place.said)
    place.said.clear()
    with jail.jailed(place.night("echo no credit left; exit 3")):
        place.wait_until(lambda: any("no credit left" in line for line in place.said))
    assert any("stopped after" in line and "exit 3" in line for line in place.said)


def test_a_killed_lab_takes_the_gate_with_it(place: Place) -> None:
    """Nothing of ours runs when the lab is killed, so the kernel must close the way out."""
    code = (
        "import pickle, sys, time, types\n"
        "from pathlib import Path\n"
        "from lab import jail\n"
        "from lab.container import Engine\n"
        "from tests.jail.test_jail import Place, command\n"
        "place = Place(Path(sys.argv[1]), Engine.connect(None), sys.argv[2])\n"
        "with jail.jailed(place.night(command('sleep'))):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(600)\n"
    )
    lab = subprocess.Popen(
        [sys.executable, "-c", code, str(place.folder), place.image],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert lab.stdout is not None and lab.stdout.readline() == "up\n"
        place.wait_until(lambda: len(running(place)) == 2)
    finally:
        lab.send_signal(signal.SIGKILL)
        lab.communicate()
    place.wait_until(lambda: [name for name in running(place) if "gate" in name] == [])
    with jail.jailed(SimpleNamespace(**vars(place.night("true")) | {"settings": Settings()})):
        assert place.containers() == place.networks() == [], (
            "the next night sweeps, whoever drives it"
        )


def running(place: Place) -> list[str]:
    return [handle.name for handle in place.containers() if handle.status == "running"]


@pytest.fixture
def nightly(ready: Ready, tmp_path: Path) -> Iterator[Nightly]:
    nightly = Nightly(tmp_path, tag="jailed")
    yield nightly
    nightly.end()
    ready.bench.engine.remove_project(name_of_project(nightly.folder))


def test_an_assistant_in_the_jail_drives_a_whole_night(nightly: Nightly, ready: Ready) -> None:
    """The whole way: submit from inside, stop early, be started again, and see what came of it."""
    nightly.environment |= {
        "NIGHTLAB_AGENT": "command",
        "NIGHTLAB_COMMAND": command("submit", "wait"),
        "NIGHTLAB_AGENT_IMAGE": ready.image.id,
        "ANTHROPIC_API_KEY": KEY,
    }
    output = nightly.run("--experiments", "1")
    (candidate,) = [r for r in nightly.records() if r["kind"] == "candidate"]
    assert candidate["agent"] == "mcp scripted", output
    assert candidate["title"] == "more steps"
    assert any(record["verdict"]["keep"] for record in nightly.records()), output
    best = (nightly.folder / "best" / "train.py").read_text()
    assert best == HONEST.replace("step == 10", "step == 60")
    for path in nightly.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert KEY not in output
    left = ready.bench.engine.client.containers.list(
        all=True, filters={"label": f"{PROJECT_LABEL}={name_of_project(nightly.folder)}"}
    )
    assert left == []
