"""now.json: what a running night tells its readers, and when it means nothing."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.errors import CampaignBusy
from lab.runs import is_running, kept_still, locked
from lab.story.now import MOST_BYTES, NOW_FILE, OLD_S, read_now, remove_now, write_now
from lab.story.shapes import CURVE_POINTS, LOG_CHARS, Now, Point

NOW = Now(
    at="2999-11-24T00:00:00+00:00",  # no controller took its campaign later
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


@pytest.mark.parametrize(
    ("age_s", "old_s"),
    [
        pytest.param(0.0, None, id="of-this-moment"),
        pytest.param(OLD_S - 2.0, None, id="a-slow-disk"),
        pytest.param(OLD_S + 2.0, OLD_S, id="old"),
        pytest.param(3600.0 + 10.0, 3600, id="an-hour"),
    ],
)
def test_what_nobody_writes_any_more_is_told_with_its_age(
    tmp_path: Path, age_s: float, old_s: int | None
) -> None:
    """With a full disk or an engine that hangs, a page would show a curve of an hour ago as that of this moment."""
    with locked(tmp_path):
        os.utime(tmp_path / "lock", (0.0, 0.0))  # this night holds it since long ago
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        write_now(tmp_path, replace(NOW, at=at.isoformat(timespec="milliseconds"), old_s=7))
        now = read_now(tmp_path)
    assert now is not None and now.old_s == old_s


def test_what_another_controller_left_means_nothing(tmp_path: Path) -> None:
    """A night was killed in its training; an audit holds the campaign now, and trains nothing."""
    with locked(tmp_path):
        now = replace(NOW, at=datetime.now(UTC).isoformat())
        write_now(tmp_path, now)
        assert read_now(tmp_path) == now
    time.sleep(0.02)  # the kernel's clock of files goes in steps
    with locked(tmp_path):
        assert read_now(tmp_path) is None


def test_nobody_who_bundles_a_campaign_runs_it(tmp_path: Path) -> None:
    """What a killed night left would come alive again for as long as the export takes; nor may a night begin."""
    write_now(tmp_path, NOW)
    with kept_still(tmp_path), kept_still(tmp_path):
        assert not is_running(tmp_path)
        assert read_now(tmp_path) is None
        with pytest.raises(CampaignBusy, match="bundled"), locked(tmp_path):
            pass
    with locked(tmp_path), pytest.raises(CampaignBusy), kept_still(tmp_path):
        pass


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
        json.dumps(asdict(replace(NOW, at="in the night"))).encode(),
        json.dumps(asdict(replace(NOW, at="0001-01-01T00:00:00"))).encode(),
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
