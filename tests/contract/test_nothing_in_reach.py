"""From inside a train container: no validation text, no holdout, nothing of another experiment, by any path."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.findings import Plan
from lab.outcome import Status
from lab.trial import Bench, run_trial
from tests.conftest import QuietWatch
from tests.faults.files import train_file

PLANTED = "a-line-that-only-another-experiment-knows"

# Reads every file that it can open, before and after the gate, and says which hold one of the patterns.
SEARCH = """
import json
PATTERNS = [bytes.fromhex(pattern) for pattern in {patterns!r}]

def search(top):
    read, found = 0, []
    for folder, folders, names in os.walk(top):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys", "/dev")]
        for name in names:
            path = os.path.join(folder, name)
            try:
                if not os.path.isfile(path) or os.path.islink(path):
                    continue
                with open(path, "rb") as file:
                    content = file.read()
            except OSError:
                continue
            read += 1
            if path != "/work/train.py":
                found += [[path, n] for n, p in enumerate(PATTERNS) if p in content]
    return read, found

left_behind = sorted(os.listdir("/tmp")) + sorted(os.listdir("/dev/shm"))
caches = [name for name in os.listdir("/tmp") if "inductor" in name or "triton" in name]
mounts = [line.split()[4] for line in open("/proc/self/mountinfo")]
read, before = search("/")
prepare.start()
open("/tmp/left-by-this-run", "w").write("x")
open("/dev/shm/left-by-this-run", "w").write("x")
_, after = search("/data")
print("SEEN " + json.dumps(dict(read=read, before=before, after=after, left_behind=left_behind,
                                caches=caches, mounts=mounts)), flush=True)
prepare.save(model, CONFIG)
"""


def patterns_of(bench: Bench) -> list[str]:
    """A stretch of some validation rows, of some holdout rows, and the planted line, as hex."""
    patterns = []
    for split in ("val", "holdout"):
        rows = np.load(bench.data / "judge" / f"{split}.npy")
        patterns += [rows[number, 1:40].astype("<u2").tobytes().hex() for number in (0, 100, -1)]
    lengths = (bench.data / "judge" / "byte_lengths.npy").read_bytes()
    return [*patterns, lengths.hex(), PLANTED.encode().hex()]


def look_around(bench: Bench, folder: Path, number: int) -> dict[str, Any]:
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "train.py").write_text(train_file(SEARCH.format(patterns=patterns_of(bench))))
    (folder / "train.py").chmod(0o644)
    trial = run_trial(
        bench,
        folder,
        number=number,
        seed=1,
        watch=QuietWatch(),
        doubt=lambda *_: Plan(tolerance_nats=1e-4, holdout=True),
    )
    assert trial.status is Status.MEASURED, trial.reason
    log = (folder / "train.log").read_text()
    seen: dict[str, Any] = json.loads(log.partition("SEEN ")[2].splitlines()[0])
    return seen


def test_a_train_container_can_reach_no_text_that_it_is_scored_on(
    bench: Bench, tmp_path: Path
) -> None:
    """Withheld by permissions is one mistake away from shown; absent is absent."""
    place = tmp_path / "experiments"
    place.mkdir()
    for folder in (tmp_path, tmp_path.parent, place):
        folder.chmod(0o755)
    neighbour = place / "0001"
    neighbour.mkdir()
    (neighbour / "train.log").write_text(PLANTED)
    # On a machine that has just built the image, all of it is read from a disk.
    searching = replace(bench, profile=replace(bench.profile, startup_cap_s=600.0))
    first = look_around(searching, place / "0002", 2)
    second = look_around(searching, place / "0003", 3)
    for seen in (first, second):
        assert seen["read"] > 5000, "the search did not look at the image"
        assert seen["before"] == [] and seen["after"] == []
        assert seen["caches"] == []
        assert seen["left_behind"] == [], "something of another run is still there"
        from_host = {
            mount for mount in seen["mounts"] if mount.startswith(("/work", "/data", "/gate"))
        }
        assert from_host == {"/work/train.py", "/data/train", "/gate"}


def test_the_search_finds_what_is_there(bench: Bench, tmp_path: Path) -> None:
    """The control: the same search over the judge's own folder does find the rows."""
    rows = (bench.data / "judge" / "val.npy").read_bytes()
    assert bytes.fromhex(patterns_of(bench)[0]) in rows
