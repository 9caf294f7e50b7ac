"""Two people and one file, with real containers: a night, its bundle, and a receiver who believes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.settings import CHECKOUT
from lab.setup import Ready
from tests.faults.files import HONEST
from tests.faults.nights import Nightly

BETTER = HONEST.replace("step == 10", "step == 60")


@dataclass
class Exchange:
    """What the sender made, and where the receiver works."""

    file: Path
    sender: Nightly
    receiver: Path

    def lab(self, *words: str, runs: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = self.sender.variables() | {"NIGHTLAB_RUNS": str(runs or self.receiver)}
        del environment["NIGHTLAB_TAG"], environment["NIGHTLAB_AGENT"]
        return subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def exchange(ready: Ready, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    place = tmp_path_factory.mktemp("exchange")
    sender = Nightly(place, tag="sent")
    sender.write_script(**{"0001": BETTER})
    exchange = Exchange(place / "sent.tar.zst", sender, place / "receiver")
    output = sender.run("--experiments", "1")
    assert any(record["verdict"]["keep"] for record in sender.records()), output
    done = exchange.lab(
        "bundle", "sent", "--output", str(exchange.file), "--with-weights", runs=place / "runs"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield exchange
    sender.end()


def test_a_receiver_scores_the_weights_and_finds_the_claim(exchange: Exchange) -> None:
    """Nothing that the sender says is needed for it."""
    done = exchange.lab("verify", str(exchange.file), "--rescore")
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert "its weights score what it claims" in last
    assert "FAILED" not in done.stdout


def test_a_changed_byte_is_refused_before_anything_is_read(exchange: Exchange) -> None:
    """A bundle passes through mails and disks."""
    content = bytearray(exchange.file.read_bytes())
    content[len(content) // 2] ^= 1
    altered = exchange.file.with_name("altered.tar.zst")
    altered.write_bytes(content)
    for command in (["verify", str(altered)], ["replay", str(altered)]):
        done = exchange.lab(*command)
        assert done.returncode == 10, done.stdout + done.stderr
        assert "seal" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("cpus", "words", "baselines"),
    [
        pytest.param([], "so that scores compare", 0, id="same-class"),
        pytest.param(["--cpus", "1"], "another class", 2, id="another-class"),
    ],
)
def test_a_real_gain_is_reproduced(
    exchange: Exchange, cpus: list[str], words: str, baselines: int
) -> None:
    """The night's claim, run again from the bundle alone, on this class of hardware and on another."""
    runs = exchange.receiver / words.replace(" ", "-")
    done = exchange.lab("replay", str(exchange.file), "--runs", "2", *cpus, runs=runs)
    assert done.returncode == 0, done.stdout + done.stderr
    (campaign,) = runs.iterdir()
    paragraph = (campaign / "replay.md").read_text()
    assert paragraph.startswith("**reproduced**") and words in paragraph
    lines = (campaign / "ledger.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds.count("baseline") == baselines and kinds.count("replay") == 2
