"""What torch says inside the image: asked once, and whatever goes wrong leaves the set-up going."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.fingerprint import Readings, list_gpus, read_inside
from lab.fingerprint.inside import NAMES
from lab.sandbox import SealedSpec, device_spec
from lab.trial import Bench

UUID = "GPU-0badcafe-0000-4a5b-8c9d-0123456789ab"


@pytest.fixture
def spec(bench: Bench) -> SealedSpec:
    return device_spec(campaign=bench.campaign, image=bench.image, gpu_uuid=None, cpus=1.0)


def look(bench: Bench, spec: SealedSpec, cache: Path) -> Readings:
    return read_inside(bench.engine, spec, cache=cache, driver=None, salt=b"s" * 32)


def test_torch_is_asked_once(bench: Bench, spec: SealedSpec, tmp_path: Path) -> None:
    """Importing torch takes seconds; a resume must not pay them again."""
    first = look(bench, spec, tmp_path)
    asked = len(bench.engine.made)
    assert first.missing == {}
    assert str(first.facts["torch"]).startswith("2.")
    assert first.facts["torch_isa"]
    assert look(bench, spec, tmp_path).facts == first.facts
    assert len(bench.engine.made) == asked
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text()[:20])  # a power cut
    assert look(bench, spec, tmp_path).facts == first.facts
    assert len(bench.engine.made) == asked + 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param("raise SystemExit(3)", "ended with code 3", id="it-fails"),
        pytest.param("print('no GPU today')", "gave no answer", id="it-says-something-else"),
        pytest.param("pass", "gave no answer", id="it-says-nothing"),
    ],
)
def test_an_image_that_cannot_answer_ends_nothing(
    bench: Bench, spec: SealedSpec, tmp_path: Path, code: str, reason: str
) -> None:
    """No reading is worth a night; and what was not said is asked for again."""
    taken = look(bench, replace(spec, command=("python3", "-c", code)), tmp_path)
    assert taken.facts == dict.fromkeys(NAMES)
    assert all(reason in why for why in taken.missing.values())
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_no_container_gets_is_said_without_its_name(
    bench: Bench, spec: SealedSpec, tmp_path: Path
) -> None:
    """Without the toolkit the engine refuses, and its words go into a record."""
    if list_gpus():
        pytest.skip("the engine may have a GPU to give here")
    taken = look(bench, replace(spec, gpu_uuid=UUID), tmp_path)
    assert "no container could be started" in taken.missing["torch_sm_count"]
    assert UUID not in str(taken.missing)
