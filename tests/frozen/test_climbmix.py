"""climbmix: a shard is whole and the right one, or there is an error; a broken download goes on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import conftest
import hub as loopback
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import climbmix
from harness.climbmix import Climbmix, read_documents, read_pins, shard_name
from harness.errors import DataError

TRAIN = 2
NUMBERS = [*range(TRAIN), climbmix.HOLDOUT_SHARD, climbmix.VAL_SHARD]


def shard_bytes(documents: list[str | None], path: Path, column: str = "text") -> bytes:
    pq.write_table(pa.table({column: documents}), path, row_group_size=10)
    return path.read_bytes()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Four small shards of made-up documents."""
    folder = tmp_path_factory.mktemp("shards")
    return {
        shard_name(number): shard_bytes(
            [conftest.made_up_text(100 * number + index, 60) for index in range(35)],
            folder / shard_name(number),
        )
        for number in NUMBERS
    }


@pytest.fixture
def local(shards: dict[str, bytes], tmp_path: Path) -> Path:
    folder = tmp_path / "local"
    folder.mkdir()
    for name, data in shards.items():
        (folder / name).write_bytes(data)
    return folder


def source(local: Path | None, tmp_path: Path, **given: Any) -> Climbmix:
    defaults: dict[str, Any] = {"train_shards": TRAIN, "pins": {}, "seen": {}}
    return Climbmix(downloads=tmp_path / "downloads", local=local, **(defaults | given))


def texts(climb: Climbmix, split: str) -> list[str]:
    lines: list[str] = []
    return [
        text for shard in climb.shards(split, lines.append) for batch in shard for text in batch
    ]


def test_the_last_two_shards_are_never_trained_on(local: Path, tmp_path: Path) -> None:
    """Validation on text that was trained on measures memory."""
    climb = source(local, tmp_path)
    train, val, holdout = (set(texts(climb, split)) for split in ("train", "val", "holdout"))
    assert len(train) == 70 and len(val) == len(holdout) == 35
    assert not train & val and not train & holdout and not val & holdout
    assert set(climb.tokenizer_text()) == train


@pytest.mark.parametrize("count", [0, -1, climbmix.HOLDOUT_SHARD + 1])
def test_so_many_shards_as_to_reach_the_held_out_ones_are_refused(
    tmp_path: Path, count: int
) -> None:
    """Asking for all of it must not quietly train on the validation text."""
    with pytest.raises(DataError, match="there cannot be"):
        source(None, tmp_path, train_shards=count)


def test_a_missing_shard_is_named(local: Path, tmp_path: Path) -> None:
    """No shard is an error at once, not a wait for one."""
    (local / shard_name(1)).unlink()
    with pytest.raises(DataError, match=f"{shard_name(1)} is missing"):
        texts(source(local, tmp_path), "train")


def test_a_wrong_hash_is_refused(local: Path, tmp_path: Path) -> None:
    """Another shard under the same name would be another experiment under the same name."""
    pins = {"shards": {shard_name(1): "0" * 64}}
    with pytest.raises(DataError, match=f"{shard_name(1)} is not the one that was pinned"):
        texts(source(local, tmp_path, pins=pins), "train")


def test_what_was_seen_once_is_enforced_afterwards(local: Path, tmp_path: Path) -> None:
    """Where nobody had pinned a hash, the first reading pins it."""
    climb = source(local, tmp_path)
    texts(climb, "train")
    name = shard_name(0)
    (local / name).write_bytes((local / shard_name(1)).read_bytes())
    with pytest.raises(DataError, match="not the one that was pinned"):
        texts(source(local, tmp_path, seen=climb.identity()), "train")


def test_pins_have_the_last_word(local: Path, tmp_path: Path, shards: dict[str, bytes]) -> None:
    """A manifest is a file that anyone can write; the pins are in the image."""
    pins = {"shards": {name: hashlib.sha256(data).hexdigest() for name, data in shards.items()}}
    seen = {"shards": dict.fromkeys(shards, "1" * 64)}
    assert len(texts(source(local, tmp_path, pins=pins, seen=seen), "train")) == 70


@pytest.mark.parametrize("keep", [0, 3, 400, -1], ids=["empty", "tiny", "half", "one-byte-short"])
def test_a_truncated_shard_is_an_error(local: Path, tmp_path: Path, keep: int) -> None:
    """Upstream accepted those, and trained on what was left."""
    path = local / shard_name(0)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"cannot be read[\s\S]*broke off"):
        texts(source(local, tmp_path), "train")


@pytest.mark.parametrize(
    ("documents", "column", "message"),
    [
        pytest.param(["a"], "content", "cannot be read", id="no-text-column"),
        pytest.param([], "text", "holds no text", id="no-row"),
        pytest.param(["", None, ""], "text", "holds no text", id="only-empty-text"),
    ],
)
def test_a_shard_without_text_is_an_error(
    tmp_path: Path, documents: list[str | None], column: str, message: str
) -> None:
    """Packing nothing has no end."""
    path = tmp_path / "shard.parquet"
    table = pa.table({column: pa.array(documents, type=pa.string())})
    pq.write_table(table, path)
    with pytest.raises(DataError, match=message):
        list(read_documents(path))


def test_empty_documents_between_others_are_passed_over(tmp_path: Path) -> None:
    """A BOS with nothing after it teaches nothing."""
    path = tmp_path / "shard.parquet"
    shard_bytes(["one", "", None, "two"], path)
    assert list(read_documents(path)) == [["one", "two"]]


def test_only_what_is_resolved_counts_as_a_pin(tmp_path: Path) -> None:
    """The pins keep a visible place for what nobody could resolve yet."""
    path = tmp_path / "pins.toml"
    assert read_pins(path) == {}
    path.write_text(
        '[dataset]\nrevision = "unresolved"\n[dataset.shards]\n'
        f'"{shard_name(0)}" = "unresolved"\n"{shard_name(1)}" = "{"a" * 64}"\n'
    )
    assert read_pins(path) == {"shards": {shard_name(1): "a" * 64}}
    path.write_text(f'[dataset]\nrevision = "{"b" * 40}"\n')
    assert read_pins(path) == {"shards": {}, "revision": "b" * 40}
    path.write_text("[dataset\n")
    with pytest.raises(DataError, match="pins"):
        read_pins(path)


# Downloads run in a process of their own: huggingface_hub reads its environment when it is imported.


@pytest.fixture
def hub(shards: dict[str, bytes]) -> Iterator[loopback.Hub]:
    with loopback.Hub(dict(shards)) as serving:
        yield serving


DOWNLOAD = """
import json, sys
from pathlib import Path
from harness.climbmix import Climbmix
from harness.errors import DataError
downloads, pins, seen = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
climb = Climbmix(downloads=downloads, train_shards=2, pins=pins, seen=seen)
try:
    count = sum(len(batch) for shard in climb.shards("train", lambda line: None) for batch in shard)
except DataError as error:
    sys.exit(str(error))
print(json.dumps({"documents": count, "identity": climb.identity()}))
"""


def start_download(
    url: str,
    folder: Path,
    *,
    pins: dict[str, Any] | None = None,
    seen: dict[str, Any] | None = None,
) -> subprocess.Popen[str]:
    environment = os.environ | {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    words = [str(folder / "downloads"), json.dumps(pins or {}), json.dumps(seen or {})]
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, *words],
        env=environment | {"PYTHONPATH": str(Path(climbmix.__file__).parents[1])},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Run:
    returncode: int
    stdout: str
    stderr: str


def download(url: str, folder: Path, **given: dict[str, Any]) -> Run:
    with start_download(url, folder, **given) as process:
        try:
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    return Run(process.returncode, stdout, stderr)


def test_shards_are_downloaded_and_what_they_are_is_learned(
    hub: loopback.Hub, tmp_path: Path, shards: dict[str, bytes]
) -> None:
    """From the first download on, the revision and the hashes are known and hold."""
    run = download(hub.url, tmp_path)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["documents"] == 70
    assert said["identity"]["revision"] == loopback.COMMIT
    for number in range(TRAIN):
        name = shard_name(number)
        assert said["identity"]["shards"][name] == hashlib.sha256(shards[name]).hexdigest()

    hub.files[shard_name(1)] = hub.files[shard_name(0)]
    (tmp_path / "downloads" / shard_name(1)).unlink()
    again = download(hub.url, tmp_path, seen=said["identity"])
    assert again.returncode == 1
    assert f"{shard_name(1)} is not the one that was pinned" in again.stderr


def test_a_pinned_revision_is_the_one_that_is_asked_for(hub: loopback.Hub, tmp_path: Path) -> None:
    """A data set that moves on must not move the experiment."""
    run = download(hub.url, tmp_path, pins={"revision": loopback.COMMIT})
    assert run.returncode == 0, run.stderr
    assert hub.revisions == {loopback.COMMIT}


@pytest.fixture
def large(hub: loopback.Hub, tmp_path: Path) -> str:
    """A shard that the client writes in more than one piece of 10 MiB."""
    words = random.Random(1)
    documents = [words.randbytes(500_000).hex() for _ in range(26)]
    hub.files[shard_name(1)] = shard_bytes(list(documents), tmp_path / "large")
    assert len(hub.files[shard_name(1)]) > 12 * 2**20
    return shard_name(1)


def test_a_connection_that_breaks_is_taken_up_where_it_stopped(
    hub: loopback.Hub, tmp_path: Path, large: str
) -> None:
    """Over a night's line, a hundred megabytes seldom come in one go."""
    hub.released.set()
    hub.cut_after[large] = 11 * 2**20
    run = download(hub.url, tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "downloads" / large).read_bytes() == hub.files[large]
    assert [first for name, first in hub.served if name == large] == [0, 10 * 2**20]


def test_a_download_that_was_killed_is_taken_up_where_it_stopped(
    hub: loopback.Hub, tmp_path: Path, large: str
) -> None:
    """Ctrl-C in the twelfth shard must not cost the other eleven, nor the half of this one."""
    hub.cut_after[large] = 11 * 2**20
    with start_download(hub.url, tmp_path) as process:
        deadline_s = time.monotonic() + 60
        while not any(
            path.stat().st_size >= 10 * 2**20 for path in tmp_path.glob("downloads/*.part")
        ):
            assert time.monotonic() < deadline_s and process.poll() is None
            time.sleep(0.05)
        process.kill()
    hub.released.set()
    run = download(hub.url, tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "downloads" / large).read_bytes() == hub.files[large]
    firsts = [first for name, first in hub.served if name == large]
    assert firsts[0] == 0 and firsts[1] >= 10 * 2**20
    assert [name for name, _ in hub.served].count(shard_name(0)) == 1


def test_a_second_call_downloads_nothing(hub: loopback.Hub, tmp_path: Path) -> None:
    """Twelve shards again for every new harness would be a gigabyte for nothing."""
    assert download(hub.url, tmp_path).returncode == 0
    before = len(hub.served)
    assert download(hub.url, tmp_path).returncode == 0
    assert len(hub.served) == before


def test_a_shard_that_the_hub_does_not_have_is_named(hub: loopback.Hub, tmp_path: Path) -> None:
    """A mirror may hold only some of them."""
    del hub.files[shard_name(1)]
    run = download(hub.url, tmp_path)
    assert run.returncode == 1
    assert f"{shard_name(1)} could not be downloaded" in run.stderr and "--parquet" in run.stderr


def test_a_hub_out_of_reach_is_an_error_within_a_minute(tmp_path: Path) -> None:
    """A night that waits for a network that is not there is a night lost."""
    with loopback.Hub({}) as gone:
        url = gone.url
    started_s = time.monotonic()
    run = download(url, tmp_path)
    assert run.returncode == 1
    assert "could not be downloaded" in run.stderr and "HF_ENDPOINT" in run.stderr
    assert time.monotonic() - started_s < 60
