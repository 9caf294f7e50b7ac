"""A host's noise, measured once and found by every later campaign of the same class."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.noise import noise_file, read_noise, store_noise
from lab.show.folder import prior_of
from lab.verdict import Noise

NOISE = Noise(sd_bpb=0.0021345678901234, df=9)


def test_a_measured_noise_is_found_unchanged(tmp_path: Path) -> None:
    """Ten runs of an evening are not to be spent again by every night."""
    path = store_noise(tmp_path / "state", "f00", NOISE, tag="noise-1")
    assert path == noise_file(tmp_path / "state", "f00")
    assert read_noise(tmp_path / "state", "f00") == NOISE
    assert '"campaign": "noise-1"' in path.read_text(), "whoever doubts it finds the runs"
    assert [each.name for each in path.parent.iterdir()] == [path.name], "no draft is left"


def test_the_last_measurement_counts(tmp_path: Path) -> None:
    """A user measures again because something changed."""
    store_noise(tmp_path, "f00", NOISE, tag="noise-1")
    store_noise(tmp_path, "f00", Noise(sd_bpb=0.5, df=3), tag="noise-2")
    assert read_noise(tmp_path, "f00") == Noise(sd_bpb=0.5, df=3)


def test_the_noise_of_other_hardware_is_not_taken(tmp_path: Path) -> None:
    """Another image, profile or GPU has another noise."""
    assert read_noise(tmp_path, "f00") is None
    store_noise(tmp_path, "f00", NOISE, tag="noise-1")
    assert read_noise(tmp_path, "ba5") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"{}",
        b'{"sd_bpb": 0.002}',
        b'{"sd_bpb": null, "df": 3}',
        b'{"sd_bpb": "small", "df": 3}',
        b'{"sd_bpb": 0.002, "df": 2.5}',
        b"\xff\xfe",
    ],
)
def test_a_broken_file_is_named_and_not_taken_for_no_noise(tmp_path: Path, content: bytes) -> None:
    """Silently without its prior, a night would decide by another rule than the one before."""
    path = store_noise(tmp_path, "f00", NOISE, tag="noise-1")
    path.write_bytes(content)
    with pytest.raises(LabError, match="not a measured noise") as caught:
        read_noise(tmp_path, "f00")
    assert str(path) in caught.value.what
    assert "lab noise" in caught.value.do


@pytest.mark.parametrize(
    ("campaign", "prior"),
    [
        ({}, None),
        ({"prior_noise": None}, None),
        ({"prior_noise": "much"}, None),
        ({"prior_noise": {"sd_bpb": 0.002, "df": 8}}, Noise(sd_bpb=0.002, df=8)),
    ],
)
def test_a_campaign_says_what_was_known_before_it(
    campaign: dict[str, object], prior: Noise | None
) -> None:
    """What is shown of a night must be counted as the night itself counted."""
    assert prior_of(campaign) == prior
