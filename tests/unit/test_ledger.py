"""The ledger: nothing measured is lost, nothing written can be changed unseen."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CampaignError
from lab.ledger import Ledger
from tests.unit.nights import make_night

ANCHOR = "0" * 64


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path, anchor=ANCHOR)
    for record in make_night(6):
        ledger.append(record)
    return path


def test_records_survive_the_disk_unchanged(written: Path) -> None:
    """A number that changed on its way to the disk would be a false score."""
    assert Ledger.open(written, anchor=ANCHOR).records == make_night(6)


def test_any_changed_byte_is_found(written: Path) -> None:
    """A ledger that can be edited unseen proves nothing."""
    content = written.read_bytes()
    assert b"1.8" in content
    for position in range(0, content.rindex(b"\n", 0, -1), 97):  # every line but the last
        changed = bytearray(content)
        changed[position] ^= 1
        written.write_bytes(bytes(changed))
        with pytest.raises(CampaignError):
            Ledger.open(written, anchor=ANCHOR)


@pytest.mark.parametrize("drop", [0, 2, 4])
def test_a_removed_line_is_found(written: Path, drop: int) -> None:
    """Dropping the experiments that went badly is the oldest trick there is."""
    lines = written.read_bytes().splitlines(keepends=True)
    del lines[drop]
    written.write_bytes(b"".join(lines))
    with pytest.raises(CampaignError, match="altered"):
        Ledger.open(written, anchor=ANCHOR)


def test_other_facts_under_the_same_records_are_found(written: Path) -> None:
    """Settings, image and hardware cannot be exchanged under the results."""
    with pytest.raises(CampaignError, match="altered") as caught:
        Ledger.open(written, anchor="1" * 64)
    assert "campaign.json" in caught.value.why


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_torn_last_line_is_set_aside_and_the_rest_goes_on(written: Path, cut: int) -> None:
    """A power cut in the middle of a write must cost that write and nothing else."""
    content = written.read_bytes()
    written.write_bytes(content[:-cut])
    ledger = Ledger.open(written, anchor=ANCHOR)
    assert ledger.records == make_night(6)[:-1]
    assert ledger.torn_bytes > 0
    assert written.with_suffix(".torn").read_bytes().strip()
    ledger.append(make_night(6)[-1])
    assert Ledger.open(written, anchor=ANCHOR).records == make_night(6)


def test_a_full_disk_leaves_a_ledger_that_can_be_read(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured before the disk filled must still be there in the morning."""
    ledger = Ledger.open(written, anchor=ANCHOR)
    before = written.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(CampaignError, match="could not be written"):
            ledger.append(make_night(7)[-1])
    assert written.read_bytes() == before
    ledger.append(make_night(7)[-1])
    assert len(Ledger.open(written, anchor=ANCHOR).records) == 7


def test_a_line_is_plain_json_without_nan(written: Path) -> None:
    """Others must be able to read it with any tool; NaN is not JSON."""

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    for line in written.read_text().splitlines():
        assert json.loads(line, parse_constant=refuse)["number"] >= 1
