"""What train.py may use: the order of things, the socket, the checkpoint, and how a process starts."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from harness import launch, wire
from harness import prepare as prepare_module
from harness.errors import ContractError, DataError
from harness.packing import rows_file
from harness.profiles import PROFILES
from harness.tokenizer import SPECIAL_TOKENS
from harness.wire import Kind

HARNESS_HOME = Path(wire.__file__).parents[1]


class Host(threading.Thread):
    """The controller's end of the gate: opens it when told that training may start, seals at the end."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.heard: list[tuple[Kind, bytes]] = []
        self.may_open = threading.Event()
        self.answer = Kind.SEALED

    def run(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return  # nobody came
        with connection:
            try:
                while True:
                    kind, payload = wire.receive(connection, cap_bytes=2**30)
                    self.heard.append((kind, payload))
                    if kind is Kind.STARTED:
                        self.may_open.wait(30)
                        wire.send(connection, Kind.OPEN)
                    if kind is Kind.WEIGHTS:
                        wire.send(connection, self.answer)
            except wire.WireError:
                pass  # train.py has ended

    def said(self, kind: Kind) -> list[bytes]:
        return [payload for heard, payload in self.heard if heard is kind]


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A fresh copy of the module in the smoke profile, as a new process has it."""
    monkeypatch.setenv("NIGHTLAB_PROFILE", "smoke")
    monkeypatch.setenv("NIGHTLAB_SEED", "7")
    monkeypatch.delenv("NIGHTLAB_DEV", raising=False)
    spec = importlib.util.find_spec("harness.prepare")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    if module._Session.gate is not None:
        module._Session.gate.close()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A gate that opens at once; the data folder holds rows of their own number."""
    monkeypatch.setattr(wire, "GATE_SOCKET", str(tmp_path / "gate.sock"))
    monkeypatch.setattr(wire, "TRAIN_DATA", str(tmp_path))
    rows = np.arange(40, dtype=np.uint16)[:, None] + np.zeros(129, dtype=np.uint16)
    np.save(rows_file(tmp_path, 128), rows)
    thread = Host(tmp_path / "gate.sock")
    thread.may_open.set()
    thread.start()
    yield thread
    with contextlib.suppress(OSError):  # wakes it where nobody came
        thread.listener.shutdown(socket.SHUT_RDWR)
    thread.listener.close()


@pytest.fixture
def development(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The development mode: data in `data/train`, the checkpoint in `out`."""
    monkeypatch.setattr(wire, "GATE_SOCKET", str(tmp_path / "no.sock"))
    monkeypatch.setenv("NIGHTLAB_DEV_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NIGHTLAB_DEV_OUT", str(tmp_path / "out"))
    (tmp_path / "data" / "train").mkdir(parents=True)
    np.save(rows_file(tmp_path / "data" / "train", 128), np.ones((40, 129), dtype=np.uint16))
    return tmp_path


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))


def test_the_constants_are_the_profiles_own(prepare: ModuleType) -> None:
    """train.py builds its model from them; the judge expects the same."""
    smoke = PROFILES["smoke"]
    assert smoke == prepare.PROFILE
    assert (prepare.SEQUENCE_LEN, prepare.VOCAB_SIZE, prepare.DEVICE) == (128, 1024, "cpu")
    assert smoke.train_budget_s == prepare.TRAIN_BUDGET_S
    assert smoke.vocab_size - len(SPECIAL_TOKENS) == prepare.BOS_ID


@pytest.mark.parametrize("name", ["", "tpu"])
def test_without_a_profile_there_is_no_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in the wrong profile would be compared with runs in the right one."""
    monkeypatch.setenv("NIGHTLAB_PROFILE", name)
    with pytest.raises(Exception, match="profile") as caught:
        importlib.reload(prepare_module)
    assert type(caught.value).__name__ == "ContractError"
    monkeypatch.setenv("NIGHTLAB_PROFILE", "cpu")
    importlib.reload(prepare_module)


def test_warm_up_needs_no_data_and_looks_like_a_batch(prepare: ModuleType) -> None:
    """Compilation happens on these; another shape or type would be compiled again on the clock."""
    inputs, targets = prepare.warmup_batch(3)
    assert inputs.shape == targets.shape == (3, 128)
    assert inputs.dtype == targets.dtype == torch.int64
    assert int(inputs.min()) >= 0 and int(inputs.max()) < prepare.VOCAB_SIZE
    assert prepare.warmup_batch(2, 17)[0].shape == (2, 17)


def test_a_whole_run_over_the_socket(prepare: ModuleType, host: Host, capsys: Any) -> None:
    """The conversation that the controller expects, in its order."""
    clock = prepare.start()
    assert 0 <= clock.progress() < 0.5 and not clock.expired()
    inputs, targets = next(prepare.batches(16))
    assert inputs.shape == (16, 128) and torch.equal(inputs, targets)
    prepare.report(step=1, loss=torch.tensor(3.25), tokens=2048, mfu=0.5)
    trained = model()
    prepare.save(trained, {"width": 4})
    kinds = [kind for kind, _ in host.heard]
    assert kinds == [Kind.STARTED, Kind.REPORT, Kind.CONFIG, Kind.WEIGHTS]
    assert wire.REPORT.unpack(host.said(Kind.REPORT)[0]) == (1, 2048, 3.25, 0.5)
    assert json.loads(host.said(Kind.CONFIG)[0]) == {"width": 4}
    weights = safetensors.torch.load(host.said(Kind.WEIGHTS)[0])
    assert weights.keys() == trained.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in trained.state_dict().items())
    assert "step 1 | loss 3.2500 | " in capsys.readouterr().out


def test_the_clock_starts_when_the_gate_opens(prepare: ModuleType, host: Host) -> None:
    """Waiting for the host is not training, and must not be counted as such."""
    host.may_open.clear()
    started: list[Any] = []
    thread = threading.Thread(target=lambda: started.append(prepare.start()))
    thread.start()
    thread.join(0.3)
    assert not started and host.said(Kind.STARTED) == [b""]
    host.may_open.set()
    thread.join(10)
    assert started[0].elapsed_s() < 0.25


def test_progress_ends_at_one_with_the_budget(
    prepare: ModuleType, development: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedules read it; a learning rate beyond the end of its schedule would be negative."""
    monkeypatch.setenv("NIGHTLAB_DEV", "1")
    now = [100.0]
    monkeypatch.setattr(prepare.time, "monotonic", lambda: now[0])
    clock = prepare.start()
    seen = []
    for now[0] in (100.0, 104.0, 107.9, 108.0, 200.0):
        seen.append((clock.elapsed_s(), clock.progress(), clock.expired()))
    assert [expired for _, _, expired in seen] == [False, False, False, True, True]
    assert [progress for _, progress, _ in seen] == pytest.approx([0, 0.5, 0.9875, 1, 1])
    assert seen[-1][0] == 100.0


def test_nothing_comes_before_start_and_nothing_twice(prepare: ModuleType, host: Host) -> None:
    """Each of these is a mistake that an agent makes, and should read about in its own log."""
    for early in (
        lambda: prepare.batches(4),
        lambda: prepare.report(step=0, loss=1.0, tokens=0),
        lambda: prepare.save(model(), {}),
    ):
        with pytest.raises(ContractError, match="start"):
            early()
    prepare.start()
    with pytest.raises(ContractError, match="twice"):
        prepare.start()
    prepare.save(model(), {})
    with pytest.raises(ContractError, match="twice"):
        prepare.save(model(), {})
    assert len(host.said(Kind.WEIGHTS)) == 1


def test_a_process_without_a_lab_says_so(
    prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody will run `python train.py` by hand."""
    monkeypatch.setattr(wire, "GATE_SOCKET", str(tmp_path / "none.sock"))
    with pytest.raises(ContractError, match="no lab to answer"):
        prepare.start()


def test_a_host_that_says_something_else_is_not_believed(prepare: ModuleType, host: Host) -> None:
    """Only SEALED means that the checkpoint is safe."""
    host.answer = Kind.OPEN
    prepare.start()
    with pytest.raises(wire.WireError, match="expected SEALED"):
        prepare.save(model(), {})


@pytest.mark.parametrize(("rows", "length"), [(0, 128), (-1, 128), (4, 0)])
def test_an_empty_batch_is_refused(prepare: ModuleType, host: Host, rows: int, length: int) -> None:
    """A loop over empty batches never ends, and learns nothing."""
    prepare.start()
    with pytest.raises(ContractError, match="is empty"):
        prepare.batches(rows, length)


def test_a_folder_still_empty_is_a_clear_error(
    prepare: ModuleType, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An opened gate with nothing behind it is the lab's fault, and must not hang the run."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(wire, "TRAIN_DATA", str(tmp_path / "empty"))
    prepare.start()
    with pytest.raises(DataError, match="no training text"):
        next(prepare.batches(4))


def test_reports_are_few_however_often_they_are_made(
    prepare: ModuleType, host: Host, capsys: Any
) -> None:
    """A step may take a millisecond; the log and the socket must not be flooded by it."""
    prepare.start()
    for step in range(2000):
        prepare.report(step=step, loss=math.nan, tokens=step * 10)
    prepare.save(model(), {})
    lines = capsys.readouterr().out.splitlines()
    assert 1 <= len(lines) == len(host.said(Kind.REPORT)) < 20
    assert lines[0].startswith("step 0 | loss nan | ") and "mfu" not in lines[0]
    assert math.isnan(wire.REPORT.unpack(host.said(Kind.REPORT)[0])[3])


class Tied(torch.nn.Module):
    """Embedding and output share their weights; one buffer is a view of another."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(8, 4)
        self.head = torch.nn.Linear(4, 8, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("table", torch.arange(12.0).reshape(3, 4))
        self.register_buffer("column", self.table[:, 1])


def test_tied_and_overlapping_weights_are_saved_under_every_name(
    prepare: ModuleType, host: Host
) -> None:
    """safetensors refuses shared memory; weight tying is the first thing an agent tries."""
    prepare.start()
    trained = Tied()
    prepare.save(trained, {})
    again = Tied()
    again.load_state_dict(safetensors.torch.load(host.said(Kind.WEIGHTS)[0]))
    assert torch.equal(again.head.weight, trained.head.weight)
    assert torch.equal(again.column, torch.tensor([1.0, 5.0, 9.0]))


def test_a_compiled_model_is_saved_as_what_it_was(prepare: ModuleType, host: Host) -> None:
    """Its own names would fit no model that build_model gives."""
    prepare.start()
    prepare.save(torch.compile(model(), backend="eager"), {})
    assert safetensors.torch.load(host.said(Kind.WEIGHTS)[0]).keys() == model().state_dict().keys()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({"weight": torch.ones(1)}, "JSON", id="tensor"),
        pytest.param({"rate": math.nan}, "JSON", id="nan"),
        pytest.param({1, 2}, "JSON", id="set"),
        pytest.param({"table": "x" * wire.CONFIG_CAP_BYTES}, "over", id="too-large"),
    ],
)
def test_a_config_that_cannot_travel_is_refused(
    prepare: ModuleType, host: Host, config: Any, message: str
) -> None:
    """It is read by a process that trusts nothing; it must be plain data, and small."""
    prepare.start()
    with pytest.raises(ContractError, match=message):
        prepare.save(model(), config)
    assert not host.said(Kind.WEIGHTS)
    prepare.save(model(), {"a second try": True})
    assert host.said(Kind.WEIGHTS)


def test_weights_over_the_cap_are_refused_before_they_are_copied(
    prepare: ModuleType, host: Host
) -> None:
    """The host would cut the connection; the author learns more from a sentence."""
    prepare.start()
    large = torch.nn.Linear(1, 1)
    large.register_buffer("huge", torch.empty(1).expand(2**30))
    with pytest.raises(ContractError, match="the weights are"):
        prepare.save(large, {})


def test_state_that_is_no_tensor_is_refused(prepare: ModuleType, host: Host) -> None:
    """Only tensors and JSON cross; anything else would need a pickle."""

    class Extra(torch.nn.Linear):
        def get_extra_state(self) -> str:
            return "a note"

    prepare.start()
    with pytest.raises(ContractError, match="not a tensor"):
        prepare.save(Extra(2, 2), {})


def test_development_writes_the_two_files(
    prepare: ModuleType, development: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of train.py can be run without containers, by people and by benchmarks."""
    monkeypatch.setenv("NIGHTLAB_DEV", "1")
    prepare.start()
    assert next(prepare.batches(4))[0].shape == (4, 128)
    prepare.save(model(), {"width": 4})
    assert json.loads((development / "out" / "config.json").read_text()) == {"width": 4}
    saved = safetensors.torch.load_file(development / "out" / "model.safetensors")
    assert saved.keys() == model().state_dict().keys()


def test_development_needs_its_folders_named(
    prepare: ModuleType, development: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guess would write into somebody's home."""
    monkeypatch.setenv("NIGHTLAB_DEV", "1")
    monkeypatch.delenv("NIGHTLAB_DEV_DATA")
    prepare.start()
    with pytest.raises(ContractError, match="NIGHTLAB_DEV_DATA is not set"):
        prepare.batches(4)


def test_where_there_is_a_gate_development_is_off(
    prepare: ModuleType, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real run no variable may switch the socket off."""
    monkeypatch.setenv("NIGHTLAB_DEV", "1")
    prepare.start()
    assert host.said(Kind.STARTED) == [b""]


# How a process starts.


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        pytest.param({"cpu.max": "150000 100000\n"}, 1.5, id="v2"),
        pytest.param({"cpu.max": "max 100000\n"}, None, id="v2-unlimited"),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5, id="v1"
        ),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
            id="v1-unlimited",
        ),
        pytest.param({}, None, id="no-cgroup"),
        pytest.param({"cpu.max": "nonsense\n"}, None, id="unreadable"),
    ],
)
def test_threads_follow_the_containers_share(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    """torch starts a thread a core of the host; under a quota they only wait for each other."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    cores = len(os.sched_getaffinity(0))
    expected = cores if quota is None else max(1, min(cores, math.ceil(quota)))
    assert launch.cpu_share(tmp_path) == expected
    assert launch._quota(tmp_path) == quota


PROBE = """
import random, sys
import numpy, torch
assert __name__ == "__main__" and sys.argv == [__file__]
print(random.random(), numpy.random.rand(), torch.rand(()).item(), torch.get_num_threads())
"""


def test_every_generator_is_seeded_by_the_lab_and_the_file_is_main(tmp_path: Path) -> None:
    """A lucky seed must never be a discovery, so the seed is not the experiment's to choose."""
    file = tmp_path / "train.py"
    file.write_text(PROBE)

    def run(seed: int) -> str:
        environment = os.environ | {"NIGHTLAB_SEED": str(seed), "PYTHONPATH": str(HARNESS_HOME)}
        return subprocess.run(
            [sys.executable, "-m", "harness.launch", str(file)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout

    first, again, other = (run(seed).split() for seed in (5, 5, 6))
    assert first == again
    assert all(one != two for one, two in zip(first[:3], other[:3], strict=True))
    assert int(first[3]) == launch.cpu_share()
