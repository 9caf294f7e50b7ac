"""Kill anything at any moment: nothing measured is lost, nothing is left running."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.ledger import Ledger
from lab.setup import Ready
from lab.story.now import NOW_FILE, read_now
from lab.story.shapes import Now
from tests.faults.files import HONEST, train_file
from tests.faults.nights import Nightly

WIDER = HONEST.replace('"width": 32', '"width": 48')
DEEPER = HONEST.replace('"width": 32', '"width": 64')
SLOW = HONEST.replace("step == 10 ", "step == 10**9 ")


@pytest.fixture
def nightly(ready: Ready, tmp_path: Path) -> Iterator[Nightly]:
    nightly = Nightly(tmp_path, f"test-{uuid.uuid4().hex[:8]}")
    yield nightly
    nightly.end()


def ideas(nightly: Nightly) -> list[str]:
    """The titles of what was tried; what is run again, because it looked better, is no new idea."""
    return [record["title"] for record in nightly.records() if record["kind"] == "candidate"]


def chain_is_intact(nightly: Nightly) -> bool:
    """Open the ledger as the product does; a break raises."""
    anchor = hashlib.sha256((nightly.folder / "campaign.json").read_bytes()).hexdigest()
    records = Ledger.open(nightly.folder / "ledger.jsonl", anchor=anchor).records
    return [r.number for r in records] == list(range(1, len(records) + 1))


def test_a_killed_controller_resumes_where_it_was(nightly: Nightly) -> None:
    """The power fails at three in the morning; at four the night must go on."""
    nightly.write_script(one=SLOW, two=WIDER)
    nightly.start()
    nightly.wait_for_phase(3, "training")
    nightly.started[-1].send_signal(signal.SIGKILL)
    nightly.started[-1].wait()
    before = nightly.records()
    assert len(before) == 2
    assert nightly.containers(), "the control: a killed controller leaves its container"

    nightly.run()
    after = nightly.records()
    assert after[:2] == before
    assert ideas(nightly) == ["one", "two"]
    assert chain_is_intact(nightly)
    assert nightly.containers() == []


def test_one_interrupt_finishes_the_experiment(nightly: Nightly) -> None:
    """Five minutes of GPU time are not thrown away by Ctrl-C."""
    nightly.write_script(one=WIDER, two=DEEPER)
    night = nightly.start()
    nightly.wait_for_phase(3, "start-up")
    night.send_signal(signal.SIGINT)
    output = nightly.finish(night)
    assert night.returncode == 0, output
    assert [record["trial"]["status"] for record in nightly.records()] == ["measured"] * 3
    assert nightly.containers() == []


def test_two_interrupts_stop_at_once_and_lose_no_idea(nightly: Nightly) -> None:
    """The unfinished proposal may have cost money; it is run again, not asked for again."""
    nightly.write_script(one=SLOW, two=WIDER)
    night = nightly.start()
    nightly.wait_for_phase(3, "training")
    night.send_signal(signal.SIGINT)
    nightly.started[-1].poll()
    night.send_signal(signal.SIGINT)
    night.send_signal(signal.SIGTERM)  # two equal signals may be delivered as one
    output = nightly.finish(night)
    assert night.returncode == 0, output
    assert len(nightly.records()) == 2
    assert nightly.containers() == []
    nightly.run("--experiments", "1")
    assert nightly.records()[2]["title"] == "one"


def test_a_stop_file_ends_the_night(nightly: Nightly) -> None:
    """A night is often stopped from another terminal, or another room."""
    nightly.write_script(one=WIDER, two=DEEPER)
    night = nightly.start()
    nightly.wait_for_phase(2, "start-up")
    (nightly.folder / "STOP").touch()
    output = nightly.finish(night)
    assert night.returncode == 0
    assert len(nightly.records()) == 2
    assert "STOP" in output


def test_what_a_run_prints_is_seen_while_it_trains_and_not_after(nightly: Nightly) -> None:
    """Somebody looks in at midnight; a killed night must not look as if it went on."""
    talking = SLOW.replace(
        "clock = prepare.start()", "print('warming up', flush=True); clock = prepare.start()"
    )
    assert talking != SLOW
    nightly.write_script(one=talking)
    nightly.start()
    nightly.wait_for_phase(3, "training")
    seen: list[Now] = []

    def told() -> bool:
        now = read_now(nightly.folder)
        if now is not None and now.experiment == 3 and now.curve and now.log_tail:
            seen.append(now)
        return bool(seen)

    nightly.wait_for(told)
    assert (seen[0].title, seen[0].phase) == ("one", "training")
    assert "warming up" in seen[0].log_tail.splitlines()
    assert seen[0].curve[0].loss is not None
    assert seen[0].curve[0].loss > 0
    nightly.started[-1].send_signal(signal.SIGKILL)
    nightly.started[-1].wait()
    assert read_now(nightly.folder) is None
    nightly.run()
    assert not (nightly.folder / NOW_FILE).exists()


def test_a_second_controller_is_refused(nightly: Nightly) -> None:
    """Two writers would braid one ledger out of two nights."""
    nightly.write_script(one=SLOW)
    nightly.start()
    nightly.wait_for_phase(1, "start-up")
    second = nightly.start()
    output = nightly.finish(second)
    assert second.returncode == 7, output
    assert "another controller" in output
    assert nightly.started[0].poll() is None, "the first must not notice"


def test_a_lost_terminal_does_not_end_the_night(nightly: Nightly) -> None:
    """SSH drops; the rented GPU is paid for anyway."""
    nightly.write_script(one=WIDER)
    night = nightly.start()
    nightly.wait_for_phase(1, "start-up")
    assert night.stdout is not None
    night.stdout.close()
    night.send_signal(signal.SIGHUP)
    night.wait(timeout=180)
    assert ideas(nightly) == ["one"]
    assert nightly.records()[-1]["verdict"]["confirm"] is False, "it was decided, too"


def test_a_torn_last_line_is_repaired_and_said(nightly: Nightly) -> None:
    """A write cut by a power failure is no experiment, and no reason to stop."""
    nightly.write_script(one=WIDER, two=DEEPER)
    nightly.run("--experiments", "1")
    ledger = nightly.folder / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-30])
    output = nightly.run("--experiments", "1")
    assert "torn" in output or "repaired" in output
    assert [record["title"] for record in nightly.records()][2] == "one"
    assert chain_is_intact(nightly)


def test_an_altered_ledger_is_refused(nightly: Nightly) -> None:
    """Going on from a false record would make every later decision false."""
    nightly.write_script(one=WIDER, two=DEEPER)
    nightly.run("--experiments", "1")
    ledger = nightly.folder / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"number": 1', b'"number": 9', 1))
    night = nightly.start()
    output = nightly.finish(night)
    assert night.returncode == 6, output
    assert "altered" in output


class EngineProxy:
    """The engine's socket, behind one that can be closed: an engine that stops and comes back."""

    def __init__(self, path: Path, engine: str) -> None:
        self.path = path
        self._engine = engine.removeprefix("unix://")
        self._listener: socket.socket | None = None
        self._peers: list[socket.socket] = []

    def open(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
        self._peers.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            far.connect(self._engine)
            self._peers += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := source.recv(65536):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_an_engine_that_stops_costs_one_run_and_not_the_night(
    nightly: Nightly, ready: Ready, tmp_path: Path
) -> None:
    """Engines restart under a night: upgrades, crashes, `systemctl restart docker`."""
    proxy = EngineProxy(tmp_path / "engine.sock", ready.bench.engine.url)
    proxy.open()
    nightly.environment["DOCKER_HOST"] = f"unix://{proxy.path}"
    nightly.write_script(one=SLOW, two=WIDER)
    night = nightly.start()
    nightly.wait_for_phase(3, "training")
    proxy.close()
    nightly.wait_for(lambda: len(nightly.records()) == 3)
    proxy.open()
    output = nightly.finish(night)
    assert night.returncode == 0, output
    records = nightly.records()
    assert records[2]["trial"]["status"] == "lost"
    assert (records[3]["title"], records[3]["repeats"]) == ("one", 3)
    assert records[3]["trial"]["status"] == "measured"
    assert ideas(nightly) == ["one", "one", "two"]
    assert nightly.containers() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MiB. Mounting needs root, which the container engine's host has or lends."""
    disk = tmp_path / "disk"
    disk.mkdir()
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    owner = f"size=48m,uid={os.getuid()},gid={os.getgid()}"
    subprocess.run([*sudo, "mount", "-t", "tmpfs", "-o", owner, "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run([*sudo, "umount", str(disk)], check=True)


def test_a_full_disk_ends_the_night_before_it_harms_a_record(
    nightly: Nightly, small_disk: Path
) -> None:
    """What was measured must be readable in the morning, and the message must say what to do."""
    nightly.write_script(one=WIDER, two=DEEPER)
    nightly.environment |= {
        "NIGHTLAB_RUNS": str(small_disk / "runs"),
        "NIGHTLAB_MIN_FREE_BYTES": str(20 * 2**20),
    }
    nightly.place, script = small_disk, nightly.place / "script"
    nightly.environment["NIGHTLAB_SCRIPT"] = str(script)
    night = nightly.start()
    nightly.wait_for_phase(3, "start-up")
    (small_disk / "ballast").write_bytes(bytes(35 * 2**20))
    output = nightly.finish(night)
    assert night.returncode == 1, output
    assert "free some disk" in output
    assert len(nightly.records()) == 3
    assert chain_is_intact(nightly)
    (small_disk / "ballast").unlink()
    nightly.run()
    assert ideas(nightly) == ["one", "two"]


def test_a_checkpoint_that_the_disk_cannot_take_is_the_labs_fault(
    nightly: Nightly, small_disk: Path
) -> None:
    """The idea was not tried, so it is not counted against it, and it is tried again."""
    large = HONEST.replace('"width": 32', '"width": 8000')  # 66 MB of weights
    nightly.write_script(one=large)
    nightly.place, script = small_disk, nightly.place / "script"
    nightly.environment |= {
        "NIGHTLAB_SCRIPT": str(script),
        "NIGHTLAB_MIN_FREE_BYTES": "1000000",
    }
    night = nightly.start()
    output = nightly.finish(night)
    assert night.returncode == 1, output
    assert "lost by the lab itself" in output
    lost = nightly.records()[2:]
    assert [(r["title"], r["trial"]["status"]) for r in lost] == [("one", "lost")] * 4
    assert [r["repeats"] for r in lost] == [None, 3, None, 5]
    assert "No space left" in lost[0]["trial"]["reason"]
    assert chain_is_intact(nightly)
    assert not list(nightly.folder.glob("experiments/*/checkpoint/*.partial"))


def test_a_baseline_that_fails_ends_the_night_with_its_reason(nightly: Nightly) -> None:
    """Without a baseline there is nothing to improve on, and a hundred failures help nobody."""
    nightly.write_script(one=WIDER)
    night = nightly.start()
    nightly.finish(night)
    broken = nightly.place / "broken.py"
    broken.write_text(
        train_file(
            "raise RuntimeError('the seed is broken')\nprepare.start()\nprepare.save(model, CONFIG)"
        )
    )
    nightly.environment["NIGHTLAB_TRAIN_FILE"] = str(broken)
    nightly.tag += "-broken"
    night = nightly.start()
    output = nightly.finish(night)
    assert night.returncode == 6, output
    assert "the seed is broken" in output
