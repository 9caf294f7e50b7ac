"""A trial on hardware that becomes another: its score belongs to no class, so it is lost and not judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.nvml import environment
from tests.nvml.machines import H100_SXM

ROOT = Path(__file__).resolve().parents[2]

# The halves of a trial need containers; here they take no time, and change the machine under the run.
CODE = """
import dataclasses, json, os, sys
from pathlib import Path
from types import SimpleNamespace
from lab import trial
from lab.errors import EngineError
from lab.evaluation import Evaluation
from lab.fingerprint import Subject, take_fingerprint
from lab.ledger import _encode
from lab.outcome import ExperimentFailed, Status
from tests.conftest import QuietWatch
from tests.nvml.machines import H100_SXM, bad_later
from tests.unit.nights import make_record

machine, folder, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
given = make_record(1).trial
trained = []

LATER = {
    "nothing": H100_SXM,
    "ecc": H100_SXM.having(ecc=0),
    "power limit, and it crashes": H100_SXM.having(power_limit_mw=350_000),
    "sensors": dataclasses.replace(bad_later(neighbour=1), processes=()),
    "link": H100_SXM.having(pcie_width=4),
    "driver": None,
}

def train(bench, folder, number, seed, watch, sampler):
    trained.append(number)
    if way in LATER:
        machine.unlink() if LATER[way] is None else LATER[way].write(machine)
    if way == "engine":
        raise EngineError("could not start it.", why=f"device error: {subject.gpu_uuid}: unknown device")
    if "crashes" in way:
        raise ExperimentFailed(Status.CRASHED, "exit code 1")
    return given.training

def evaluate(bench, folder, number, watch, training, doubt):
    return Evaluation(val=given.val, holdout=None, audit=None, evaluation_s=1.0, audit_s=0.0)

trial._train, trial._evaluate = train, evaluate
subject = Subject(
    profile="gpu", image_id="i", kernels="hub", gpu_uuid=H100_SXM.cards[0].uuid, cpus=None,
    salt=b"s" * 32, checkout=Path("/home/anna/nightlab"),
)
bench = trial.Bench(
    engine=SimpleNamespace(made=set()), image="i", profile=None, campaign="c", data=folder,
    gpu_uuid=subject.gpu_uuid, cpus=None, subject=subject, fingerprint=take_fingerprint(subject),
)
if way == "before it":
    H100_SXM.having(ecc=0).write(machine)
done = trial.run_trial(bench, folder, number=1, seed=42, watch=QuietWatch(), doubt=lambda *_: None)
record = _encode(dataclasses.replace(make_record(1), trial=done), "0" * 64)
print(json.dumps([trained, json.loads(record)["trial"]]))
"""


def run(nvml: Path, folder: Path, way: str) -> tuple[list[int], dict[str, Any], str]:
    """Who was trained, the trial as the ledger has it, and all that was written."""
    machine = folder / "machine"
    H100_SXM.write(machine)
    output = subprocess.check_output(
        [sys.executable, "-c", CODE, str(machine), str(folder), way],
        cwd=ROOT,
        env=environment(nvml, machine),
        text=True,
    )
    trained, trial = json.loads(output)
    return trained, trial, output


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        pytest.param("ecc", "the hardware changed while it ran: ECC was on, now off", id="ecc"),
        pytest.param(
            "power limit, and it crashes",
            "the hardware changed while it ran: power limit was 700 W, now 350 W",
            id="power-limit-of-a-crash",
        ),
    ],
)
def test_a_class_that_changes_during_a_run_loses_it(
    nvml: Path, tmp_path: Path, way: str, reason: str
) -> None:
    """Half of it ran on another machine: neither its score nor its crash is the idea's."""
    trained, trial, _ = run(nvml, tmp_path, way)
    assert trained == [1]
    assert (trial["status"], trial["reason"], trial["val"]) == ("lost", reason, None)


def test_a_class_that_is_not_the_campaigns_is_not_even_begun(nvml: Path, tmp_path: Path) -> None:
    """Somebody changed the card between two experiments; minutes of it would be thrown away."""
    trained, trial, _ = run(nvml, tmp_path, "before it")
    assert trained == []
    assert trial["status"] == "lost"
    assert trial["reason"] == "the hardware is not the campaign's any more: ECC was on, now off"


@pytest.mark.parametrize("way", ["nothing", "sensors", "link", "driver"])
def test_what_is_no_other_class_leaves_the_score(nvml: Path, tmp_path: Path, way: str) -> None:
    """Readings that fail, and conditions that move, end no experiment: they are written down."""
    trained, trial, _ = run(nvml, tmp_path, way)
    assert trained == [1]
    assert (trial["status"], trial["reason"]) == ("measured", "")
    conditions = trial["conditions"]
    before, after, missing = (conditions[name] for name in ("before", "after", "missing"))
    assert before["pcie_width"] == 16
    assert before["ecc_pending"] is True
    if way == "link":
        assert after["pcie_width"] == 4
    if way == "sensors":
        assert after["ecc_pending"] is None
        assert {"ecc", "power_limit_w"} <= set(missing)
    if way == "driver":
        assert after["driver"] is None
        assert missing["driver"] == "NVML cannot be opened: Driver Not Loaded"


@pytest.mark.parametrize("way", ["nothing", "driver", "engine"])
def test_a_record_names_no_card(nvml: Path, tmp_path: Path, way: str) -> None:
    """Records are published, and an engine that cannot hand a card over names it in its words."""
    _, trial, written = run(nvml, tmp_path, way)
    assert ("device error: the GPU" in trial["reason"]) is (way == "engine")
    card = H100_SXM.cards[0]
    for planted in (card.uuid, card.uuid[4:], card.texts["serial"], "anna"):
        assert planted not in written
