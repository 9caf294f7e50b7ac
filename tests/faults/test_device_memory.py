"""On a GPU, a trusted container overwrites the memory after every container that saw validation text.

There is no GPU here: the engine of these tests runs the same containers without one, and remembers when.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.findings import Plan
from lab.container import Container, Engine
from lab.outcome import Status
from lab.sandbox import PrepareSpec, SealedSpec
from lab.trial import Bench, Trial, run_trial
from tests.conftest import QuietWatch
from tests.faults.files import HONEST

GPU = "GPU-6f1d2c4e-0000-0000-0000-000000000000"


class WithoutGpu(Engine):
    """Gives a container no GPU that asked for one."""

    def __init__(self, engine: Engine, *, wipe_finds_a_gpu: bool) -> None:
        super().__init__(engine.client, engine.url)
        self.order: list[str] = []
        self._wipe_finds_a_gpu = wipe_finds_a_gpu

    @contextlib.contextmanager
    def start(self, spec: SealedSpec | PrepareSpec) -> Iterator[Container]:
        assert isinstance(spec, SealedSpec)
        assert spec.role == "judge" or spec.gpu_uuid == GPU
        command = spec.command
        if self._wipe_finds_a_gpu:
            command = tuple(word for word in command if word != "--expect-gpu")
        if spec.role in ("wipe", "blind"):
            self.order += [f"{role} still runs" for role in self._running(spec.campaign)]
        self.order.append(spec.role)
        with super().start(replace(spec, gpu_uuid=None, command=command)) as container:
            yield container

    def _running(self, campaign: str) -> list[str]:
        found = self.client.containers.list(filters={"label": f"nightlab.campaign={campaign}"})
        return [handle.labels["nightlab"] for handle in found if "judge" not in handle.name]


def run(bench: Bench, folder: Path, engine: WithoutGpu, train_py: str) -> Trial:
    (folder / "train.py").write_text(train_py)
    (folder / "train.py").chmod(0o644)
    return run_trial(
        replace(bench, engine=engine, gpu_uuid=GPU),
        folder,
        number=1,
        seed=1,
        watch=QuietWatch(),
        doubt=lambda *_: Plan(tolerance_nats=1e-4, holdout=True),
    )


def test_memory_is_overwritten_after_a_and_after_b(bench: Bench, tmp_path: Path) -> None:
    """What A leaves in the device could tell B the answers; what B leaves, the next training run."""
    engine = WithoutGpu(bench.engine, wipe_finds_a_gpu=True)
    trial = run(bench, tmp_path, engine, HONEST)
    assert trial.status is Status.MEASURED, trial.reason
    order = [step for step in engine.order if step != "judge"]
    assert order == ["train", "model", "wipe", "blind", "wipe"]
    assert trial.unwatched is not None, "no driver here could say who else computed"


def test_memory_is_overwritten_when_the_judging_fails(bench: Bench, tmp_path: Path) -> None:
    """A model that dies in the middle has seen as much as one that does not."""
    engine = WithoutGpu(bench.engine, wipe_finds_a_gpu=True)
    broken = HONEST.replace(
        "return self.out(self.into(tokens))",
        "return self.out(self.into(tokens)) if self.training else 1 / 0",
    )
    assert run(bench, tmp_path, engine, broken).status is Status.INVALID
    assert engine.order.count("wipe") == 1
    assert "blind" not in engine.order


def test_no_score_stands_on_memory_that_was_not_overwritten(bench: Bench, tmp_path: Path) -> None:
    """A score is not believed because the overwriting probably worked."""
    engine = WithoutGpu(bench.engine, wipe_finds_a_gpu=False)
    trial = run(bench, tmp_path, engine, HONEST)
    assert trial.status is Status.LOST
    assert "overwritten" in trial.reason
    assert "blind" not in engine.order


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_what_is_judged_is_what_was_sealed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Weights that changed after the clock stopped were trained for longer than the others."""
    from lab import trial as trial_module

    trained = trial_module._train

    def train_then_tamper(*arguments: object) -> object:
        training = trained(*arguments)  # type: ignore[arg-type]
        path = tmp_path / "checkpoint" / name
        path.write_bytes(path.read_bytes()[:-1] + b" ")
        return training

    monkeypatch.setattr(trial_module, "_train", train_then_tamper)
    (tmp_path / "train.py").write_text(HONEST)
    (tmp_path / "train.py").chmod(0o644)
    done = run_trial(bench, tmp_path, number=1, seed=1, watch=QuietWatch(), doubt=lambda *_: None)
    assert done.status is Status.LOST
    assert "sealed" in done.reason
