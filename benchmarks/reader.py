"""What a reader of the live page costs the night, and how soon 10,000 experiments are there.

    make bench-reader

Starts `lab dashboard` on invented campaigns. One reader, as the page is one, follows the list and a campaign of
1,000 experiments whose now.json is replaced each second, and which grows by an experiment every 30 s (a profile's
own pace is 80 s or more); the server's CPU time is read from /proc. Then ten readers do.

    core_share        CPU seconds of the server by seconds watched, one reader
    ten_readers_share  the same with ten
    idle_share        the same with nobody
    first_story_s     from GET / to the whole Story of 10,000 experiments, read, on a server that was just started
    story_s           the same on one that had five seconds
    story_mb          that Story's size on the wire, packed

Runs on the host.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import machine
from lab.ledger import Ledger, Record
from lab.runs import locked
from lab.settings import CHECKOUT
from lab.story.now import write_now
from lab.story.shapes import CURVE_POINTS, LOG_CHARS, Now, Point
from tests.unit.nights import make_night

TAG = "long"
FACTS = {
    "tag": TAG,
    "profile": "cpu",
    "agent": "offline",
    "created_at": "2026-11-23T22:00:00+00:00",
    "fingerprint": {"class": {"cpu": "Xeon", "cores": 2.0}, "class_id": "f00"},
}
GROWS_EVERY_S = 30.0
NIGHT = 1000
LONG = 10_000


def main() -> None:
    """Follow, read the clocks, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90.0)
    arguments = parser.parse_args()
    night = make_night(NIGHT)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_folder(place / "night", night[:-8])
        shares = [
            watch(place / "night", readers, night[-8:], seconds=arguments.seconds)
            for readers in (0, 1, 10)
        ]
        make_folder(place / "year", repeat(night, LONG // NIGHT))
        first_s, size = time_story(place / "year", wait_s=0.0)
        later_s, _ = time_story(place / "year", wait_s=5.0)
    print(f"{'readers':>8} {'of one core':>12}")
    for readers, share in zip((0, 1, 10), shares, strict=True):
        print(f"{readers:>8} {share:>11.3%}")
    print(
        f"Story of {LONG} experiments: {first_s:.2f} s at once, {later_s:.2f} s after five seconds"
    )
    result = {
        "name": "reader",
        "machine": machine(),
        "idle_share": round(shares[0], 5),
        "core_share": round(shares[1], 5),
        "ten_readers_share": round(shares[2], 5),
        "first_story_s": round(first_s, 3),
        "story_s": round(later_s, 3),
        "story_mb": round(size / 1e6, 2),
    }
    print(json.dumps(result))


def watch(runs: Path, readers: int, more: list[Record], *, seconds: float) -> float:
    """The share of a core that the server takes while so many follow a night."""
    folder, over = runs / TAG, threading.Event()
    ledger = Ledger(folder / "ledger.jsonl", "", [], "")
    with serving(runs) as (port, process), locked(folder):
        night = threading.Thread(target=play, args=(folder, ledger, more, over))
        night.start()
        paths = [f"/api/campaigns/{TAG}/events?after={NIGHT - len(more)}", "/api/events"] * readers
        streams = [threading.Thread(target=follow, args=(port, path, over)) for path in paths]
        for stream in streams:
            stream.start()
        time.sleep(5.0)  # opened and told once
        began, before = time.monotonic(), cpu_s(process.pid)
        time.sleep(seconds)
        share = (cpu_s(process.pid) - before) / (time.monotonic() - began)
        over.set()
        night.join()
        for stream in streams:
            stream.join()
    return share


def play(folder: Path, ledger: Ledger, more: list[Record], over: threading.Event) -> None:
    """A night: now.json each second, an experiment now and then."""
    began, left = time.monotonic(), list(more)
    while not over.wait(1.0):
        passed = time.monotonic() - began
        write_now(folder, now_at(passed))
        if passed > GROWS_EVERY_S * (1 + len(more) - len(left)) and left:
            ledger.append(replace(left.pop(0), number=count_lines(ledger.path) + 1))


def now_at(passed: float) -> Now:
    """A Now as large as it becomes."""
    return Now(
        at=datetime.now(UTC).isoformat(),
        pid=os.getpid(),
        experiment=NIGHT,
        kind="candidate",
        title="Half the batch, twice the steps",
        hypothesis="more steps " * 30,
        agent="offline",
        phase="training",
        cap_s=60.0,
        elapsed_s=passed,
        fraction=(passed % 60) / 60,
        loss=3.0,
        tokens_per_s=120_000.0,
        curve=tuple(
            Point(train_s=step / 4, step=step, loss=3.0 + passed / 1e6)
            for step in range(CURVE_POINTS)
        ),
        telemetry={f"reading_{number}": 1000.0 + passed for number in range(20)},
        log_tail="step 100 | loss 3.0000 | 120,000 tok/s\n" * (LOG_CHARS // 40),
    )


def follow(port: int, path: str, over: threading.Event) -> None:
    """Read a stream as a browser does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    while not over.is_set():
        response.readline()
    connection.close()


def time_story(runs: Path, *, wait_s: float) -> tuple[float, int]:
    """Seconds from the page's address to its whole Story, and the bytes that came for that."""
    with serving(runs) as (port, _):
        time.sleep(wait_s)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        began = time.perf_counter()
        for path in ("/", "/api/campaigns", f"/api/campaigns/{TAG}"):
            connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
            content = connection.getresponse().read()
        story = json.loads(gzip.decompress(content))
        taken_s = time.perf_counter() - began
        connection.close()
    assert len(story["rows"]) == LONG
    return taken_s, len(content)


@contextlib.contextmanager
def serving(runs: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """`lab dashboard` as a user starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "dashboard", "--port", "0"],
        cwd=CHECKOUT,
        env=dict(os.environ) | {"NIGHTLAB_RUNS": str(runs)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found, "the page did not start"
        yield int(found[1]), process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


def cpu_s(pid: int) -> float:
    """The CPU seconds that a process and all its threads took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_folder(runs: Path, records: list[Record]) -> None:
    """A campaign of these records."""
    folder = runs / TAG
    folder.mkdir(parents=True)
    (folder / "campaign.json").write_text(json.dumps(FACTS))
    ledger = Ledger(folder / "ledger.jsonl", "", [], "")
    with unsynced():
        for record in records:
            ledger.append(record)


@contextlib.contextmanager
def unsynced() -> Iterator[None]:
    """No wait for the disk: what is written here is thrown away."""
    real: Callable[[int], None] = os.fsync
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = real


def repeat(night: list[Record], times: int) -> list[Record]:
    """Many nights in one ledger: to draw one of so many would take minutes."""
    return [
        replace(
            record,
            number=record.number + turn * len(night),
            original=record.original and record.original + turn * len(night),
        )
        for turn in range(times)
        for record in night
    ]


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


if __name__ == "__main__":
    main()
