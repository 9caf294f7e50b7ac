"""A trial on a card that is too hot: its score is never taken, and its record says how hot it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nvml import environment
from tests.unit.test_telemetry import FINE

ROOT = Path(__file__).resolve().parents[2]

# The halves of a trial need containers; here they only take their time, and tell their watch.
CODE = """
import dataclasses, json, sys, time
from pathlib import Path
from types import SimpleNamespace
from harness.profiles import PROFILES
from lab import trial
from lab.errors import EngineError
from lab.evaluation import Evaluation
from lab.fingerprint import Subject, take_fingerprint
from lab.outcome import ExperimentFailed, Status
from tests.conftest import QuietWatch
from tests.nvml.machines import Process
from tests.unit.nights import make_record
from tests.unit.test_telemetry import FINE, HOT

machine, folder, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
trial.Sampler.__init__.__kwdefaults__["every_s"] = 0.02
given = make_record(1).trial
judged = []

def train(engine, spec, profile, folders, watch, *, runs_as):
    runs_as(1)
    watch.phase("start-up", cap_s=1.0)
    watch.phase("training", cap_s=1.0)
    began = time.monotonic()
    if "hot" in way:
        HOT.write(machine)
    time.sleep(1.0)
    if "late" in way:
        raise ExperimentFailed(Status.TIMED_OUT, "no checkpoint was saved")
    if "crash" in way:
        raise ExperimentFailed(Status.CRASHED, "exit code 1")
    if "engine" in way:
        raise EngineError("gone.", why="it is.")
    if "full" in way:
        (folder / "telemetry.parquet").mkdir()
    return dataclasses.replace(given.training, train_s=time.monotonic() - began)

def evaluate(bench, folder, number, watch, training, doubt):
    judged.append(True)
    return Evaluation(val=given.val, holdout=None, audit=None, evaluation_s=1.0, audit_s=0.0)

trial.train, trial._evaluate = train, evaluate
subject = Subject(
    profile="gpu", image_id="i", kernels="hub", gpu_uuid=FINE.cards[0].uuid, cpus=None, salt=b"s",
    checkout=folder,
)
bench = trial.Bench(
    engine=SimpleNamespace(made=set()), image="sha256:1", profile=PROFILES["gpu"], campaign="c",
    data=folder, gpu_uuid=FINE.cards[0].uuid, cpus=None,
    subject=subject, fingerprint=take_fingerprint(subject),
    throttled_share=1.0 if "allowed" in way else 0.05,
)
sealed = given.training if "sealed" in way else None
done = trial.run_trial(
    bench, folder, number=1, seed=42, watch=QuietWatch(), doubt=lambda *_: None, sealed=sealed
)
told = dataclasses.asdict(done.telemetry) if done.telemetry else None
print(json.dumps([done.status, done.reason, done.val_bpb, bool(judged), told]))
"""


@pytest.mark.parametrize(
    ("way", "status"),
    [
        pytest.param("cool", "measured", id="cool"),
        pytest.param("hot", "conditions", id="hot"),
        pytest.param("hot, allowed", "measured", id="hot-and-allowed"),
        pytest.param("hot, late", "conditions", id="too-slow-to-save"),
        pytest.param("cool, late", "timed_out", id="late-by-itself"),
        pytest.param("hot, crash", "crashed", id="heat-is-no-excuse-for-a-crash"),
        pytest.param("hot, engine", "lost", id="the-engine-fails"),
        pytest.param("cool, full", "measured", id="the-table-cannot-be-written"),
        pytest.param("hot, sealed", "measured", id="nothing-is-trained"),
    ],
)
def test_only_a_fair_run_is_judged(nvml: Path, tmp_path: Path, way: str, status: str) -> None:
    """A card at half its clock trains half as far: that score is of the heat, and a keep of it is never seen."""
    machine = tmp_path / "machine"
    FINE.write(machine)
    output = subprocess.check_output(
        [sys.executable, "-c", CODE, str(machine), str(tmp_path), way],
        cwd=ROOT,
        env=environment(nvml, machine),
    )
    ended, reason, val_bpb, judged, told = json.loads(output)
    assert ended == status
    assert (val_bpb is not None) is judged is (status == "measured")
    assert ("the GPU was throttled for" in reason) is (status == "conditions")
    assert (told is None) is ("sealed" in way)
    assert (tmp_path / "telemetry.parquet").is_file() is (told is not None and "full" not in way)
    if told is not None:
        assert ("telemetry.parquet" in told["missing"]) is ("full" in way)
        assert (told["throttled_s"] > 0.0) is ("hot" in way)
        assert told["missing"].get("samples") is None
