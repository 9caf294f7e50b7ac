"""Every way a train.py can go wrong has a name in the ledger, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.profiles import PROFILES
from lab.outcome import Status
from lab.sandbox import LOG_BYTES
from lab.trial import Bench, Trial, run_trial
from tests.conftest import QuietWatch
from tests.faults.files import HONEST, train_file

# The host's clock is the only one that counts, so shorter caps on the host make these tests short.
HASTY = replace(
    PROFILES["smoke"], startup_cap_s=15.0, train_budget_s=5.0, save_grace_s=1.0, memory_bytes=2**30
)

# Speaks the gate's protocol without `prepare`, as a hostile file would.
RAW_GATE = """
prepare.start()
gate = prepare._Session.gate
def say(kind, payload):
    gate.sendall(struct.pack("<4sIQ", b"NLAB", kind, len(payload)) + payload)
"""


def try_file(bench: Bench, folder: Path, watch: QuietWatch, train_py: str) -> Trial:
    train = folder / "train.py"
    train.write_text(train_py)
    train.chmod(0o644)
    return run_trial(
        replace(bench, profile=HASTY),
        folder,
        number=1,
        seed=1,
        watch=watch,
        doubt=lambda score, training: None,
    )


def test_an_honest_file_is_measured(bench: Bench, tmp_path: Path, watch: QuietWatch) -> None:
    """The control: if this fails, no other test in here means anything."""
    trial = try_file(bench, tmp_path, watch, HONEST)
    assert trial.status is Status.MEASURED, trial.reason
    assert trial.val_bpb is not None and 2.0 < trial.val_bpb < 5.0
    assert watch.phases == ["start-up", "training", "evaluation"]
    assert trial.training is not None and trial.training.steps is not None


CASES = [
    pytest.param("def broken(:", Status.CRASHED, "SyntaxError", id="syntax-error"),
    pytest.param(
        train_file("raise RuntimeError('the cat ate it')"),
        Status.CRASHED,
        "the cat ate it",
        id="exception",
    ),
    pytest.param(train_file("time.sleep(60)"), Status.TIMED_OUT, "start()", id="never-starts"),
    pytest.param(train_file("prepare.start()"), Status.INVALID, "without saving", id="never-saves"),
    pytest.param(
        train_file("prepare.start()\ntime.sleep(60)"),
        Status.TIMED_OUT,
        "no checkpoint",
        id="never-ends",
    ),
    pytest.param(
        train_file("prepare.start()\ntime.sleep(6.2)\nprepare.save(model, CONFIG)\ntime.sleep(9)"),
        Status.TIMED_OUT,
        "no checkpoint",
        id="saves-after-the-deadline",
    ),
    pytest.param(
        train_file(
            """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
prepare.start()
while True:
    time.sleep(1)
"""
        ),
        Status.TIMED_OUT,
        "no checkpoint",
        id="ignores-sigterm",
    ),
    pytest.param(
        train_file(
            """
prepare.start()
for parameter in model.parameters():
    parameter.data.fill_(float("nan"))
prepare.save(model, CONFIG)
"""
        ),
        Status.INVALID,
        "not finite",
        id="nan-weights",
    ),
    pytest.param(
        train_file("prepare.start()\nprepare.save(model, CONFIG | {'width': 48})"),
        Status.INVALID,
        "do not fit",
        id="wrong-shapes",
    ),
    pytest.param(
        train_file("prepare.start()\nprepare.save(model, CONFIG | {'vocab_size': 99})"),
        Status.INVALID,
        "do not fit",
        id="another-vocabulary",
    ),
    pytest.param(
        train_file(
            RAW_GATE + "import pickle\nsay(4, b'{}')\nsay(5, pickle.dumps({'evil': print}))"
            "\ntime.sleep(9)"
        ),
        Status.INVALID,
        "not safetensors",
        id="pickle-as-checkpoint",
    ),
    pytest.param(
        train_file(RAW_GATE + "say(5, b'weights before any config')\ntime.sleep(9)"),
        Status.INVALID,
        "protocol",
        id="breaks-the-gate's-protocol",
    ),
    pytest.param(
        train_file("open('/tmp/full', 'wb').write(bytes(700 * 2**20))"),
        Status.CRASHED,
        "",
        id="fills-its-disk",
    ),
    pytest.param(
        train_file("hoard = [bytearray(os.urandom(2**20) * 64) for _ in range(64)]"),
        Status.OUT_OF_MEMORY,
        "1 GiB",
        id="eats-its-memory",
    ),
    pytest.param(
        HONEST.replace("def build_model", "def make_model").replace("build_model(", "make_model("),
        Status.INVALID,
        "build_model",
        id="no-build_model",
    ),
    pytest.param(
        HONEST.replace("return self.out(self.into(tokens))", "return self.into(tokens)").replace(
            "model(inputs).flatten(0, 1)", "model.out(model(inputs)).flatten(0, 1)"
        ),
        Status.INVALID,
        "shape",
        id="no-logits",
    ),
    pytest.param(
        HONEST.replace("if __name__", "if __name__ == 'train':\n    os._exit(9)\nif __name__"),
        Status.INVALID,
        "",
        id="dies-when-imported-for-scoring",
    ),
]


@pytest.mark.parametrize(("train_py", "status", "reason"), CASES)
def test_a_file_that_goes_wrong_has_a_status_and_a_reason(
    bench: Bench, tmp_path: Path, watch: QuietWatch, train_py: str, status: Status, reason: str
) -> None:
    """An agent learns from why something failed; a lab that dies of it learns nothing."""
    trial = try_file(bench, tmp_path, watch, train_py)
    assert trial.status is status, trial.reason
    assert reason in trial.reason
    assert trial.val_bpb is None
    assert not (tmp_path / "meet").exists(), "sockets were left behind"


def test_only_the_first_save_counts(bench: Bench, tmp_path: Path, watch: QuietWatch) -> None:
    """What happens after the seal happens to nobody."""
    twice = HONEST + "    prepare.save(model, CONFIG)\n"
    trial = try_file(bench, tmp_path, watch, twice)
    assert trial.status is Status.MEASURED, trial.reason


def test_a_fork_does_not_outlive_the_run(bench: Bench, tmp_path: Path, watch: QuietWatch) -> None:
    """A process that gets away could work on the next experiment's time."""
    forks = """
child = "import os, time\\nos.setsid()\\nwhile True: time.sleep(0.1)"
for _ in range(3):
    subprocess.Popen([sys.executable, "-c", child, "nightlab-fork"], start_new_session=True)
os._exit(0)
"""
    trial = try_file(bench, tmp_path, watch, train_file(forks))
    assert trial.status is Status.INVALID
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert b"nightlab-fork" not in command


def test_a_flood_of_output_is_cut(bench: Bench, tmp_path: Path, watch: QuietWatch) -> None:
    """Logs without a bound have filled the disks of better labs."""
    flood = HONEST.replace("    clock =", "    print(('x' * 99 + '\\n') * 300_000)\n    clock =")
    trial = try_file(bench, tmp_path, watch, flood)
    assert trial.status in (Status.MEASURED, Status.TIMED_OUT), trial.reason
    assert (tmp_path / "train.log").stat().st_size <= LOG_BYTES


def test_what_a_model_container_prints_is_not_in_the_reason(
    bench: Bench, tmp_path: Path, watch: QuietWatch
) -> None:
    """It has seen validation text; one line an experiment would carry the set out in a night."""
    leak = HONEST.replace(
        "return self.out(self.into(tokens))",
        "raise ValueError(f'rows: {tokens[0, :9].tolist()} secret')\n",
    ).replace("model(inputs).flatten(0, 1)", "model.out(model.into(inputs)).flatten(0, 1)")
    trial = try_file(bench, tmp_path, watch, leak)
    assert trial.status is Status.INVALID
    assert "secret" not in trial.reason
    assert "rows:" not in trial.reason
