"""A shared card: somebody else's process is seen, our own never is, and a silent driver ends nothing.

What reads NVML runs in processes of its own, against the stand-in of tests/nvml.
"""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.contention import Foreign, Lookout, _is_foreign, wait_until_free
from lab.fingerprint import Unreadable
from tests.nvml import Card, Instance, Process, ask, write_machine

ID = "3f4e" * 16
OTHER_ID = "9a0b" * 16
CARD = Card()
NOT_SUPPORTED, NO_PERMISSION, GPU_IS_LOST, NOT_THERE = 3, 4, 15, 13

PREAMBLE = f"""
import json, sys, time
from pathlib import Path
from types import SimpleNamespace
from lab import contention
from lab.contention import Lookout, foreign_processes, wait_until_free
from lab.fingerprint import Unreadable, list_gpus, watching
from lab.outcome import ExperimentFailed
from tests.nvml import Card, Process, write_machine

machine, proc, neighbour = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
UUID, ID = {CARD.uuid!r}, {ID!r}
FREE = SimpleNamespace(why_stop=lambda: None, check=lambda: None)

def until(what, seconds=10.0):
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    return what()
"""


@pytest.fixture
def neighbour() -> Iterator[int]:
    """The id of a process that is in no container of ours."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


class Host:
    """A host with the driver's stand-in, whose machine and /proc a test writes."""

    def __init__(self, library: Path, folder: Path, neighbour: int) -> None:
        self.machine = folder / "machine"
        self.proc = folder / "proc"
        self.neighbour = neighbour
        self._library = library
        self.add_process(1, "0::/init.scope")

    def add_process(self, pid: int, cgroup: str, name: str = "python3") -> None:
        (self.proc / str(pid)).mkdir(parents=True)
        (self.proc / str(pid) / "cgroup").write_text(cgroup + "\n")
        (self.proc / str(pid) / "comm").write_text(name + "\n")

    def ask(self, code: str) -> Any:
        """Run code in a process of its own; what it assigns to `answer` comes back."""
        program = PREAMBLE + textwrap.dedent(code)
        return ask(self._library, self.machine, program, str(self.proc), str(self.neighbour))


@pytest.fixture
def host(nvml: Path, tmp_path: Path, neighbour: int) -> Host:
    return Host(nvml, tmp_path, neighbour)


def test_a_card_is_read_as_the_driver_tells_it(host: Host) -> None:
    """Which GPU is free, and which is taken, decides where a night runs."""
    odd = Card(
        uuid="GPU-2", name="NVIDIA GeForce RTX 3080", facts={"compute_major": 8, "compute_minor": 6}
    )
    write_machine(
        host.machine, cards=(CARD, odd), processes=(Process(pid=41), Process(pid=42, card=1))
    )
    first, second = host.ask(
        "import dataclasses; answer = [dataclasses.asdict(g) for g in list_gpus()]"
    )
    assert first == {
        "uuid": CARD.uuid,
        "name": "NVIDIA H100 80GB HBM3",
        "memory_bytes": 85_520_809_984,
        "driver": "580.65.06",
        "processes": [41],
    }
    assert second["name"] == "NVIDIA GeForce RTX 3080"
    assert second["processes"] == [42]
    assert second["memory_bytes"] is None  # not supported is absent, never zero


def test_a_driver_without_an_entry_point_gives_what_it_has(host: Host) -> None:
    """pynvml meets an old driver with an exception that is no NVMLError; doctor and every start read the card."""
    missing = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetMigMode")
    write_machine(host.machine, cards=(CARD,), fail=dict.fromkeys(missing, NOT_THERE))
    name, processes, blind = host.ask(
        """
        (gpu,) = list_gpus()
        with Lookout(UUID, ours=set()) as lookout:
            pass
        answer = [gpu.name, gpu.processes, lookout.blind]
        """
    )
    assert (name, processes) == (CARD.name, [])
    assert blind.startswith("NVML cannot list its processes")


def test_without_a_driver_nothing_is_listed_and_nothing_ends(host: Host) -> None:
    """The file of the machine is missing: the library answers that no driver is loaded."""
    answer = host.ask(
        """
        with Lookout(UUID, ours=set()) as lookout:
            pass
        waited = wait_until_free(UUID, ours=set(), patience_s=None, say=print, interrupts=FREE)
        answer = [list_gpus(), lookout.seen, lookout.blind, waited]
        """
    )
    assert answer == [[], [], "NVML cannot be opened: Driver Not Loaded", True]


def test_a_free_card_is_free(host: Host) -> None:
    """Nobody may be accused on a card that computes for us alone."""
    write_machine(host.machine, cards=(CARD,))
    answer = host.ask(
        """
        with Lookout(UUID, ours=set(), every_s=0.01) as lookout:
            time.sleep(0.3)
        began = time.monotonic()
        free = wait_until_free(UUID, ours=set(), patience_s=None, say=print, interrupts=FREE)
        answer = [foreign_processes(UUID, set()), lookout.seen, lookout.blind, free]
        assert time.monotonic() - began < 1.0
        """
    )
    assert answer == [[], [], None, True]


@pytest.mark.parametrize("mps", [False, True], ids=["process", "client-of-mps"])
def test_a_neighbour_is_named(host: Host, mps: bool) -> None:
    """Who reads the reason must be able to find the process, and to end it."""
    gone = Process(pid=2**22 - 1)  # it ended between the driver's answer and ours
    write_machine(
        host.machine, cards=(CARD,), processes=(Process(pid=host.neighbour, mps=mps), gone)
    )
    answer = host.ask("answer = [str(f) for f in foreign_processes(UUID, set())]")
    assert answer == [f"sleep (pid {host.neighbour}, 1.0 GiB)"]


def test_more_processes_than_one_answer_of_the_driver_holds_are_all_seen(host: Host) -> None:
    """The driver's list is asked for twice, first for its length."""
    processes = tuple(Process(pid=7000 + number, bytes=None) for number in range(40))
    for process in processes:
        host.add_process(process.pid, "0::/user.slice")
    write_machine(host.machine, cards=(CARD,), processes=processes)
    answer = host.ask("answer = [f.pid for f in foreign_processes(UUID, set(), proc=proc)]")
    assert answer == [process.pid for process in processes]


def test_a_neighbour_who_comes_in_the_middle_ends_the_run(host: Host) -> None:
    """Five minutes beside him give a score that is no score; the run ends at once and is repeated."""
    write_machine(host.machine, cards=(CARD,))
    answer = host.ask(
        """
        quiet = SimpleNamespace(phase=lambda name, cap_s: None, advance=lambda **_: None)
        with Lookout(UUID, ours=set(), every_s=0.05) as lookout:
            watch = lookout.over(quiet)
            watch.phase("training", cap_s=300.0)
            watch.advance(fraction=0.1)
            time.sleep(0.2)
            before, count = lookout.seen, lookout.count
            write_machine(machine, cards=(Card(),), processes=(Process(pid=neighbour),))
            assert until(lambda: lookout.seen)
            counts = [count, lookout.count]
            try:
                watch.advance(fraction=0.2)
            except ExperimentFailed as failure:
                failed = [failure.status, failure.reason]
            write_machine(machine, cards=(Card(),))
            time.sleep(0.2)
        answer = [before, [f.pid for f in lookout.seen], lookout.blind, counts, *failed]
        """
    )
    sentence = f"somebody else computes on it: sleep (pid {host.neighbour}, 1.0 GiB)"
    assert answer == [[], [host.neighbour], None, [0, 1], "contended", sentence]


def test_one_sighting_is_nobody(host: Host) -> None:
    """The driver still lists what has just ended, and its number may be a new program's."""
    write_machine(host.machine, cards=(CARD,))
    answer = host.ask(
        """
        lookout = Lookout(UUID, ours=set(), proc=proc)
        before = ()
        from lab.fingerprint import GpuProcess
        def listed(*pids):
            return lambda: tuple(GpuProcess(pid=pid, memory_bytes=None) for pid in pids)
        for pid in (7, 8):
            (proc / str(pid)).mkdir()
            (proc / str(pid) / "cgroup").write_text("0::/user.slice")
        answer = []
        for pids in ((7,), (8,), (), (8,), (7,), (7, 8)):
            before = lookout._look(listed(*pids), before)
            answer.append([f.pid for f in lookout.seen])
        """
    )
    assert answer == [[], [], [], [], [], [7]]


@pytest.mark.parametrize(
    "cgroup",
    [
        pytest.param(f"0::/system.slice/docker-{ID}.scope", id="docker-v2-systemd"),
        pytest.param(f"0::/docker/{ID}", id="docker-v2-cgroupfs"),
        pytest.param(f"12:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}", id="docker-v1"),
        pytest.param(f"0::/../{ID}", id="docker-from-a-cgroup-namespace"),
        pytest.param(f"0::/docker/{OTHER_ID}/docker/{ID}/work", id="docker-in-docker"),
        pytest.param(f"0::/machine.slice/libpod-{ID}.scope/container", id="podman"),
        pytest.param(
            f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope",
            id="podman-rootless",
        ),
        pytest.param(f"4:memory:/libpod_parent/libpod-{ID}", id="podman-v1"),
    ],
)
def test_our_own_container_is_never_foreign(host: Host, cgroup: str) -> None:
    """Else every experiment would be contended by itself."""
    host.add_process(500, cgroup)
    write_machine(host.machine, cards=(CARD,), processes=(Process(pid=500),))
    answer = host.ask(
        """
        with Lookout(UUID, ours={ID}, every_s=0.01, proc=proc) as lookout:
            time.sleep(0.1)
        answer = [foreign_processes(UUID, {ID}, proc=proc), lookout.seen, lookout.blind]
        """
    )
    assert answer == [[], [], None]
    assert _is_foreign(500, set(), host.proc)  # to anybody else it is


@pytest.mark.parametrize(
    "cgroup",
    [f"0::/docker/{OTHER_ID}", f"0::/docker/{ID}0", f"0::/docker/{ID[:12]}", "0::/user.slice", ""],
)
def test_a_container_of_somebody_else_is_foreign(host: Host, cgroup: str) -> None:
    """Another lab on the same card takes as much of it as anything else."""
    host.add_process(500, cgroup)
    assert _is_foreign(500, {ID}, host.proc)


def test_a_proc_that_hides_other_users_is_blind_and_not_reassuring(host: Host) -> None:
    """With hidepid a stranger's process looks like one that has ended."""
    assert not _is_foreign(500, {ID}, host.proc)
    (host.proc / "1" / "cgroup").unlink()
    with pytest.raises(Unreadable, match="hidepid"):
        _is_foreign(500, {ID}, host.proc)


@pytest.mark.parametrize(
    ("entry", "code", "why"),
    [
        pytest.param("nvmlInitWithFlags", GPU_IS_LOST, "cannot be opened", id="cannot-open"),
        pytest.param("nvmlDeviceGetHandleByUUID", GPU_IS_LOST, "GPU is lost", id="card-lost"),
        pytest.param(
            "nvmlDeviceGetComputeRunningProcesses_v3",
            NO_PERMISSION,
            "Insufficient Permissions",
            id="not-allowed",
        ),
    ],
)
def test_a_driver_that_fails_ends_nothing_and_is_remembered(
    host: Host, entry: str, code: int, why: str
) -> None:
    """A reading is not worth an experiment; that there was none must be said."""
    neighbour = (Process(pid=host.neighbour),)
    write_machine(host.machine, cards=(CARD,), processes=neighbour, fail={entry: code})
    seen, blind, free, count = host.ask(
        """
        with Lookout(UUID, ours=set(), every_s=0.01) as lookout:
            time.sleep(0.1)
        free = wait_until_free(UUID, ours=set(), patience_s=None, say=print, interrupts=FREE)
        answer = [lookout.seen, lookout.blind, free, lookout.count]
        """
    )
    assert (seen, free, count) == ([], True, None)
    assert why in blind


def test_a_reading_that_fails_once_does_not_end_the_lookout(host: Host) -> None:
    """A driver that stutters must not hide the neighbour who comes later."""
    fail = {"nvmlDeviceGetHandleByUUID": GPU_IS_LOST}
    write_machine(host.machine, cards=(CARD,), fail=fail)
    seen, blind = host.ask(
        """
        with Lookout(UUID, ours=set(), every_s=0.02) as lookout:
            assert until(lambda: lookout.blind)
            write_machine(machine, cards=(Card(),), processes=(Process(pid=neighbour),))
            assert until(lambda: lookout.seen)
        answer = [[f.pid for f in lookout.seen], lookout.blind]
        """
    )
    assert seen == [host.neighbour]
    assert "GPU is lost" in blind


def test_a_driver_without_a_list_of_mps_clients_still_lists_the_others(host: Host) -> None:
    """Older drivers do not have that entry point."""
    write_machine(
        host.machine,
        cards=(CARD,),
        processes=(Process(pid=host.neighbour),),
        fail={"nvmlDeviceGetMPSComputeRunningProcesses_v3": NOT_THERE},
    )
    assert host.ask("answer = [f.pid for f in foreign_processes(UUID, set())]") == [host.neighbour]


def test_a_driver_that_hangs_does_not_hold_the_night(host: Host) -> None:
    """A driver that lost its card can take minutes for an answer."""
    delay = {"nvmlDeviceGetComputeRunningProcesses_v3": 20_000}
    write_machine(host.machine, cards=(CARD,), delay_ms=delay)
    took, blind = host.ask(
        """
        contention.LAST_LOOK_S = 0.2
        began = time.monotonic()
        with Lookout(UUID, ours=set()) as lookout:
            time.sleep(0.05)
        answer = [time.monotonic() - began, lookout.blind]
        """
    )
    assert took < 5.0
    assert "gave no answer" in blind


def test_an_instance_of_a_card_is_asked_for_its_own_processes(host: Host) -> None:
    """A MIG instance has cores and memory of its own; a neighbour on another one takes none of them."""
    card = Card(instances={7: Instance(uuid="MIG-a"), 9: Instance(uuid="MIG-b")})
    there = Process(pid=host.neighbour, instance=9)
    write_machine(host.machine, cards=(card,), processes=(there,))
    answer = host.ask(
        """
        answer = [
            [f.pid for f in foreign_processes(uuid, set())] for uuid in ("MIG-a", "MIG-b", UUID)
        ]
        """
    )
    assert answer == [[], [host.neighbour], [host.neighbour]]


def test_a_wait_ends_when_the_card_is_free(host: Host) -> None:
    """A night that begins beside somebody's job goes on by itself when that job is done, and says so once."""
    write_machine(host.machine, cards=(CARD,), processes=(Process(pid=host.neighbour),))
    free, said = host.ask(
        """
        said, asked = [], []
        def check():
            asked.append(True)
            if len(asked) == 5:
                write_machine(machine, cards=(Card(),))
        free = wait_until_free(
            UUID, ours=set(), patience_s=None, say=said.append, every_s=0.01,
            interrupts=SimpleNamespace(why_stop=lambda: None, check=check),
        )
        answer = [free, said]
        """
    )
    assert free is True
    (sentence,) = said
    assert f"sleep (pid {host.neighbour}, 1.0 GiB)" in sentence
    assert "end it" in sentence


@pytest.mark.parametrize(
    ("patience_s", "why_stop"),
    [
        pytest.param(0.05, None, id="the-night-is-over"),
        pytest.param(None, "Ctrl-C", id="asked-to-stop"),
    ],
)
def test_a_wait_ends_when_nobody_wants_it(
    host: Host, patience_s: float | None, why_stop: str | None
) -> None:
    """It must not outlast the night, or the user's patience."""
    write_machine(host.machine, cards=(CARD,), processes=(Process(pid=host.neighbour),))
    answer = host.ask(
        f"""
        answer = wait_until_free(
            UUID, ours=set(), patience_s={patience_s}, say=str, every_s=0.01,
            interrupts=SimpleNamespace(why_stop=lambda: {why_stop!r}, check=lambda: None),
        )
        """
    )
    assert answer is False


def test_a_run_on_the_cpu_is_never_contended() -> None:
    """There is no card to share, and no thread that could cost it a core."""
    with Lookout(None, ours=set()) as lookout:
        assert lookout._thread is None
    assert (lookout.seen, lookout.blind) == ((), None)
    lookout.check()
    assert wait_until_free(None, ours=set(), patience_s=None, say=print, interrupts=Stopped())


class Stopped:
    """A user who wants everything to end; a run on the CPU does not even ask."""

    def why_stop(self) -> str | None:
        raise AssertionError

    def check(self) -> None:
        raise AssertionError


def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    """A process may call itself anything, and the sentence goes to a terminal."""
    from lab.contention import _name

    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "comm").write_bytes(b"a\x1b[2J\xff\n")
    assert _name(5, tmp_path) == "a?[2J\ufffd"
    assert str(Foreign(pid=5, name=None, memory_bytes=None)) == "a process (pid 5)"
