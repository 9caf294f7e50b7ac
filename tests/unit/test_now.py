"""now.json: what a running night tells its readers, and when it means nothing."""

from __future__ import annotations

import errno
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from lab.runs import locked
from lab.story.now import MOST_BYTES, NOW_FILE, read_now, remove_now, write_now
from lab.story.shapes import CURVE_POINTS, LOG_CHARS, Now, Point

NOW = Now(
    at="2026-11-24T00:00:00+00:00",
    pid=7,
    experiment=3,
    kind="candidate",
    title="wider",
    hypothesis="more is more",
    agent="offline",
    phase="training",
    cap_s=300.0,
    elapsed_s=12.5,
    fraction=0.04,
    loss=4.2,
    tokens_per_s=11_000.0,
    curve=(Point(train_s=1.0, step=1, loss=5.0), Point(train_s=2.0, step=2, loss=None)),
    telemetry={"power_w": 412.0},
    log_tail="step 1\n\x1b[2J",
    seconds_left=None,
    experiments_limit=None,
)


def test_what_is_written_is_read_while_a_controller_holds_the_campaign(tmp_path: Path) -> None:
    """A log that holds half a surrogate pair is told too."""
    with locked(tmp_path):
        write_now(tmp_path, NOW)
        assert read_now(tmp_path) == NOW
        write_now(tmp_path, replace(NOW, log_tail="half \ud800"))
        assert read_now(tmp_path) == replace(NOW, log_tail="half ?")
    assert read_now(tmp_path) is None, "nobody holds it: a killed night left the file"


def test_after_the_night_there_is_no_file(tmp_path: Path) -> None:
    """And removing it twice is no error."""
    with locked(tmp_path):
        write_now(tmp_path, NOW)
        remove_now(tmp_path)
        remove_now(tmp_path)
        assert read_now(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"at": 7}',
        json.dumps({"at": "x"}).encode(),
        b"\xff\xfe",
        b" " * (MOST_BYTES + 1),
    ],
)
def test_a_torn_file_means_nothing(tmp_path: Path, content: bytes) -> None:
    """It is not synced: after a power cut it may hold anything."""
    with locked(tmp_path):
        (tmp_path / NOW_FILE).write_bytes(content)
        assert read_now(tmp_path) is None


def test_what_json_does_not_have_is_left_out(tmp_path: Path) -> None:
    """A loss of NaN is the most usual one of all that go wrong, and a browser's JSON.parse would refuse it."""
    odd = replace(
        NOW,
        loss=math.nan,
        tokens_per_s=math.inf,
        curve=(Point(train_s=1.0, step=1, loss=math.nan),),
        telemetry={"power_w": math.nan, "cpu_mhz": 2_000.0},
    )
    with locked(tmp_path):
        write_now(tmp_path, odd)
        read = read_now(tmp_path)
    assert read is not None
    assert (read.loss, read.tokens_per_s, read.curve[0].loss) == (None, None, None)
    assert read.telemetry == {"cpu_mhz": 2_000.0}


def test_a_full_disk_leaves_the_one_before_and_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a draft would hold bytes that the ledger needs."""
    written = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        written(path, content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with locked(tmp_path):
        write_now(tmp_path, NOW)
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            write_now(tmp_path, replace(NOW, elapsed_s=99.0))
        assert read_now(tmp_path) == NOW
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", NOW_FILE]


def test_the_largest_now_is_read(tmp_path: Path) -> None:
    """The reader's bound must not bite on what the writer may write."""
    largest = replace(
        NOW,
        hypothesis="\U0001f4a9" * 4_000,
        title="\U0001f4a9" * 200,
        curve=tuple(
            Point(train_s=1e300 / 7, step=2**60, loss=1e300 / 3) for _ in range(CURVE_POINTS)
        ),
        log_tail="\U0001f4a9" * LOG_CHARS,
    )
    with locked(tmp_path):
        write_now(tmp_path, largest)
        assert read_now(tmp_path) == largest
