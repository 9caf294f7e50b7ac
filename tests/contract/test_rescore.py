"""Level 2 of a verification, in real containers: shipped weights score what was claimed, or are found out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.bundle.checks import Check
from lab.bundle.decisions import check_records
from lab.bundle.rescore import rescore
from lab.container import Engine
from lab.settings import CHECKOUT, read_settings
from tests.faults.nights import Nightly
from tests.unit.bundles import make_payload, rewrite

BRIEF = CHECKOUT / "program.md"


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The baselines of a real campaign, as a payload with the weights of the last."""
    nightly = Nightly(tmp_path_factory.mktemp("sender"), tag="sent")
    try:
        nightly.environment["NIGHTLAB_AGENT"] = "offline"  # which is asked for nothing
        nightly.run("--experiments", "0")
        payload = make_payload(nightly.folder, nightly.place / "data")
        (payload / "program.md").write_bytes(BRIEF.read_bytes())
        yield payload
        assert nightly.containers() == []
    finally:
        nightly.end()


@pytest.fixture
def payload(sent: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sent, tmp_path / "data"))


def level_2(payload: Path) -> dict[str, Check]:
    settings = read_settings(os.environ)
    checks = rescore(settings, payload, print)
    with Engine.connect(settings.docker_host) as engine:
        assert engine.reap(campaign=f"verify-{os.getpid()}") == [], "a container was left behind"
    assert all(check.level == 2 for check in checks)
    return {check.name: check for check in checks}


def altered(weights: bytes) -> bytes:
    """Safetensors whose largest tensor has other values; the header is as it was."""
    (length,) = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8 : 8 + length])
    header.pop("__metadata__", None)
    spans = [tensor["data_offsets"] for tensor in header.values()]
    first, last = max(spans, key=lambda span: span[1] - span[0])
    start, end = 8 + length + first, 8 + length + last
    halved = [value / 2 for (value,) in struct.iter_unpack("<f", weights[start:end])]
    return weights[:start] + struct.pack(f"<{len(halved)}f", *halved) + weights[end:]


def test_weights_as_claimed_pass_level_1_and_2(payload: Path) -> None:
    """A real campaign, with real audits and stamps: what an honest sender sends."""
    for check in check_records(payload):
        assert check.passed is True, check
    found = level_2(payload)
    assert set(found) == {"weights", "judge", "score", "holdout", "audit"}
    for check in found.values():
        assert check.passed is True, check
    assert "the very image" in found["judge"].words
    assert "same class" in found["score"].words


def test_one_altered_tensor_is_found_out_though_every_hash_fits(payload: Path) -> None:
    """Whoever can hash can seal anything; he cannot make it score what it does not."""
    path = payload / "best" / "model.safetensors"
    path.write_bytes(altered(path.read_bytes()))
    assert level_2(payload).keys() == {"weights"}, "the careless forger is not even run"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    def seal(records: list[dict[str, object]]) -> None:
        records[-1]["trial"]["training"]["checkpoint_sha256"] = sha256  # type: ignore[index]

    rewrite(payload, seal)
    record = json.loads((payload / "ledger.jsonl").read_bytes().splitlines()[-1])
    record.pop("previous_sha256")
    (payload / "best" / "record.json").write_text(json.dumps(record))
    for check in check_records(payload):
        assert check.passed is True, "level 1 cannot see it"
    found = level_2(payload)
    assert found["weights"].passed is True
    assert found["score"].passed is False, found["score"]
    assert found["holdout"].passed is False
