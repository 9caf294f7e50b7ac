"""Prepared data: complete, made by this code, and unaltered, or no night starts on it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from lab.errors import DataError
from lab.preparation import HARNESS, is_prepared, verify_data


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as `harness.data` leaves it."""
    files = {"train/rows-128.npy": b"rows", "judge/val.npy": b"targets"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    manifest = {
        "files": {n: {"sha256": sha256(c), "bytes": len(c)} for n, c in files.items()},
        "request": {"code": {"packing": sha256((HARNESS / "packing.py").read_bytes())}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def rewrite(folder: Path, change: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_complete_data_is_prepared_and_has_a_name(folder: Path) -> None:
    """The control; the name stands in campaign.json."""
    assert is_prepared(folder)
    assert verify_data(folder) == sha256((folder / "manifest.json").read_bytes())


def test_a_changed_target_is_found_before_the_night(folder: Path) -> None:
    """Easier targets of the same size would lower every score."""
    (folder / "judge" / "val.npy").write_bytes(b"targetz")
    assert is_prepared(folder), "the control: by size alone it looks complete"
    with pytest.raises(DataError, match=r"val\.npy"):
        verify_data(folder)


def test_data_of_other_code_is_made_again(folder: Path) -> None:
    """A new packing under old rows would be compared with itself."""
    rewrite(folder, lambda manifest: manifest["request"]["code"].update(packing="0" * 64))
    assert not is_prepared(folder)


@pytest.mark.parametrize("harm", ["missing", "short", "no-manifest", "torn-manifest"])
def test_incomplete_data_is_not_prepared(folder: Path, harm: str) -> None:
    """A download that was cut must be noticed before the first experiment, not by it."""
    match harm:
        case "missing":
            (folder / "train" / "rows-128.npy").unlink()
        case "short":
            (folder / "train" / "rows-128.npy").write_bytes(b"row")
        case "no-manifest":
            (folder / "manifest.json").unlink()
        case "torn-manifest":
            (folder / "manifest.json").write_text('{"files": {')
    assert not is_prepared(folder)
