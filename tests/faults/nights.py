"""Real nights in processes of their own, for tests that interrupt them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from lab.settings import CHECKOUT
from tests.faults.files import HONEST

PATIENCE_S = 180.0


@dataclass
class Nightly:
    """A campaign folder, and the controllers that are started on it."""

    place: Path
    tag: str
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.place / "runs" / self.tag

    def write_script(self, **files: str) -> None:
        folder = self.place / "script"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)

    def start(self, *options: str, seed: str = HONEST) -> subprocess.Popen[str]:
        (self.place / "seed.py").write_text(seed)
        night = subprocess.Popen(
            [sys.executable, "-m", "lab", "overnight", *options],
            cwd=CHECKOUT,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(night)
        return night

    def variables(self) -> dict[str, str]:
        """The environment of every `lab` command on this campaign."""
        settings = {
            "NIGHTLAB_RUNS": str(self.place / "runs"),
            "NIGHTLAB_TRAIN_FILE": str(self.place / "seed.py"),
            "NIGHTLAB_AGENT": "scripted",
            "NIGHTLAB_SCRIPT": str(self.place / "script"),
            "NIGHTLAB_PROFILE": "smoke",
            "NIGHTLAB_TAG": self.tag,
        }
        return os.environ | settings | self.environment

    def finish(self, night: subprocess.Popen[str]) -> str:
        output, _ = night.communicate(timeout=PATIENCE_S)
        return output

    def run(self, *options: str, seed: str = HONEST) -> str:
        night = self.start(*options, seed=seed)
        output = self.finish(night)
        assert night.returncode == 0, output
        return output

    def events(self) -> list[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def records(self) -> list[dict[str, Any]]:
        path = self.folder / "ledger.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def wait_for(self, seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not seen():
            assert time.monotonic() < deadline, f"waited in vain; events: {self.events()[-3:]}"
            assert self.started[-1].poll() is None, self.started[-1].communicate()[0]
            time.sleep(0.1)

    def wait_for_phase(self, experiment: int, phase: str) -> None:
        self.wait_for(
            lambda: any(
                event.get("phase") == phase and event.get("experiment") == experiment
                for event in self.events()
            )
        )

    def containers(self) -> list[str]:
        client = docker.from_env()
        try:
            found = client.containers.list(
                all=True, filters={"label": f"nightlab.campaign={self.tag}"}
            )
            return [container.name for container in found]
        finally:
            client.close()

    def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        for night in self.started:
            if night.poll() is None:
                night.send_signal(signal.SIGKILL)
                night.wait()
            if night.stdout is not None:
                night.stdout.close()
        client = docker.from_env()
        for name in self.containers():
            client.containers.get(name).remove(force=True)
        client.close()
