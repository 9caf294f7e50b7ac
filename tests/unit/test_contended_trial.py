"""A trial on a card that somebody else comes to: whatever came of it, it is contended and has no score."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nvml import Card, environment, write_machine

ROOT = Path(__file__).resolve().parents[2]

# The halves of a trial need containers; here they only take their time, and tell their watch.
CODE = """
import dataclasses, json, sys, time
from pathlib import Path
from types import SimpleNamespace
from lab import contention, trial
from lab.errors import EngineError
from lab.evaluation import Evaluation
from lab.fingerprint import Subject, take_fingerprint
from lab.outcome import ExperimentFailed, Status
from tests.conftest import QuietWatch
from tests.nvml import Card, Process, write_machine
from tests.unit.nights import make_record

machine, folder, neighbour, way = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
contention.Lookout.__init__.__kwdefaults__["every_s"] = 0.02
given = make_record(1).trial

def train(bench, folder, number, seed, watch, sampler):
    watch.phase("training", cap_s=1.0)
    if way != "nobody comes":
        write_machine(machine, cards=(Card(),), processes=(Process(pid=neighbour),))
    time.sleep(0.5)
    if way == "training ends at once":
        for _ in range(100):
            watch.advance(fraction=0.5)
        raise AssertionError("it went on")
    if way == "training crashes":
        raise ExperimentFailed(Status.CRASHED, "exit code 1: CUDA out of memory")
    if way == "the engine fails":
        raise EngineError("gone.", why="it is.")
    return given.training

def evaluate(bench, folder, number, watch, training, doubt):
    return Evaluation(val=given.val, holdout=None, audit=None, evaluation_s=1.0, audit_s=0.0)

trial._train, trial._evaluate = train, evaluate
subject = Subject(
    profile="gpu", image_id="i", kernels="hub", gpu_uuid=Card().uuid, cpus=None, salt=b"s", checkout=folder
)
bench = SimpleNamespace(
    engine=SimpleNamespace(made=set()), gpu_uuid=Card().uuid, class_id="c", campaign="c", data=folder,
    subject=subject, fingerprint=take_fingerprint(subject),
)
done = trial.run_trial(bench, folder, number=1, seed=42, watch=QuietWatch(), doubt=lambda *_: None)
print(json.dumps([done.status, done.reason, done.val_bpb, done.training is not None]))
"""


@pytest.fixture
def neighbour() -> Iterator[int]:
    """The id of a process that is in no container of ours."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("way", "status", "trained"),
    [
        pytest.param("nobody comes", "measured", True, id="nobody-comes"),
        pytest.param("both halves end well", "contended", True, id="both-halves-end-well"),
        pytest.param("training ends at once", "contended", False, id="training-ends-at-once"),
        pytest.param("training crashes", "contended", False, id="training-crashes"),
        pytest.param("the engine fails", "lost", False, id="the-engine-fails"),
    ],
)
def test_a_neighbour_explains_whatever_came_of_it(
    nvml: Path, tmp_path: Path, neighbour: int, way: str, status: str, trained: bool
) -> None:
    """He takes memory and time: a crash is not the idea's fault, and a score is not its merit."""
    machine = tmp_path / "machine"
    write_machine(machine, cards=(Card(),))
    output = subprocess.check_output(
        [sys.executable, "-c", CODE, str(machine), str(tmp_path), str(neighbour), way],
        cwd=ROOT,
        env=environment(nvml, machine),
    )
    ended, reason, val_bpb, has_training = json.loads(output)
    assert (ended, has_training) == (status, trained)
    assert (val_bpb is not None) is (status == "measured")
    assert (f"sleep (pid {neighbour}, 1.0 GiB)" in reason) is (status == "contended")
