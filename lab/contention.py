"""Whether somebody else computes on the GPU of an experiment: three on a card took a score from 1.095 to 1.258.

Owns    whose a process on the card is, and what counts as seen
Takes   a GPU's UUID, and the ids of every container that this lab has made
Gives   the foreign processes, a Lookout that watches during a run, and a wait before it
Never   ends anybody's process, and never ends an experiment because the driver gave no answer

A foreign process that comes and goes within two seconds is not seen, nor one that only draws (a desktop).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from lab.fingerprint import GpuProcess, Unreadable, watching
from lab.glimpse import Glimpse
from lab.outcome import ExperimentFailed, Status, Watch

LOOK_EVERY_S = 1.0
ASK_EVERY_S = 2.0  # while waiting for a card that is in use
LAST_LOOK_S = 10.0  # a driver that takes longer for one answer hangs
PROC = Path("/proc")

# Docker: /docker/<id>, docker-<id>.scope. Podman: libpod-<id>.scope, libpod-<id>. cgroup v1 and v2 alike.
_CONTAINER_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A process of somebody else that computes on the card."""

    pid: int
    name: str | None  # of its program, at most 15 characters; None when it ended meanwhile
    memory_bytes: int | None  # on the GPU; None where the driver does not tell

    def __str__(self) -> str:
        facts = [f"pid {self.pid}"]
        if self.memory_bytes is not None:
            facts.append(f"{self.memory_bytes / 2**30:.1f} GiB")
        return f"{self.name or 'a process'} ({', '.join(facts)})"


class Interruptible(Protocol):
    """How the user ends a wait; lab/interrupts.py has it."""

    def why_stop(self) -> str | None: ...
    def check(self) -> None: ...


def foreign_processes(
    gpu_uuid: str, ours: Collection[str], *, proc: Path = PROC
) -> tuple[Foreign, ...]:
    """Who computes on the card and is in none of `ours`, the ids of our containers, now.

    Raises:
        Unreadable: the driver, or /proc, does not tell.
    """
    with watching(gpu_uuid) as processes:
        return _foreign(processes(), ours, proc)


class Lookout:
    """Looks at the card every second from `__enter__` to `__exit__`, in a thread of its own.

    `ours` may grow meanwhile; it is only asked whether an id is in it. Ids of removed containers should stay in
    it: the driver lists a process for a moment after its container is gone.
    """

    def __init__(
        self,
        gpu_uuid: str | None,
        *,
        ours: Collection[str],
        every_s: float = LOOK_EVERY_S,
        proc: Path = PROC,
    ) -> None:
        self.seen: tuple[Foreign, ...] = ()  # the first foreign processes; they are not forgotten
        self.blind: str | None = None  # why a look failed, when one did; None when all succeeded
        self.count: int | None = None  # of foreign processes at the last look; None when it failed
        self._gpu_uuid = gpu_uuid
        self._ours = ours
        self._every_s = every_s
        self._proc = proc
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._gpu_uuid is not None:
            # A daemon: a driver that hangs must not keep the controller from ending.
            self._thread = threading.Thread(
                target=self._watch, args=(self._gpu_uuid,), name="lookout", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(LAST_LOOK_S)
            if self._thread.is_alive():
                self.blind = self.blind or f"the driver gave no answer within {LAST_LOOK_S:.0f} s"

    def check(self) -> None:
        """Raise when somebody was seen.

        Raises:
            ExperimentFailed: contended.
        """
        if self.seen:
            raise ExperimentFailed(Status.CONTENDED, describe(self.seen))

    def over(self, watch: Watch) -> Watch:
        """The same watch, which also ends the experiment once somebody was seen: its result is no result."""
        return _Guarded(watch, self)

    def _watch(self, gpu_uuid: str) -> None:
        before: tuple[Foreign, ...] = ()
        try:
            with watching(gpu_uuid) as processes:
                while not self.seen:
                    before = self._look(processes, before)
                    if self._over.wait(self._every_s):
                        return
        except Exception as error:  # noqa: BLE001 (whatever it is, a thread has nobody above it to tell)
            self.blind = self.blind or str(error)

    def _look(
        self, processes: Callable[[], tuple[GpuProcess, ...]], before: tuple[Foreign, ...]
    ) -> tuple[Foreign, ...]:
        try:
            now = _foreign(processes(), self._ours, self._proc)
        except Unreadable as error:
            self.blind = self.blind or str(error)
            self.count = None
            return ()
        self.count = len(now)
        # One sighting proves nothing: the driver lists a process for a moment after it ended, and its number may
        # be another program's by then. Two in a row, a second apart, are somebody who stays.
        known = {process.pid for process in before}
        self.seen = tuple(process for process in now if process.pid in known)
        return now


class _Guarded:
    """A Watch that looks to the Lookout first."""

    def __init__(self, watch: Watch, lookout: Lookout) -> None:
        self._watch = watch
        self._lookout = lookout

    def phase(self, name: str, *, cap_s: float) -> None:
        self._lookout.check()
        self._watch.phase(name, cap_s=cap_s)

    def advance(
        self,
        *,
        fraction: float | None = None,
        loss: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        self._lookout.check()
        self._watch.advance(fraction=fraction, loss=loss, tokens_per_s=tokens_per_s)

    def running(self, glimpse: Glimpse) -> None:
        self._watch.running(glimpse)


def wait_until_free(
    gpu_uuid: str | None,
    *,
    ours: Collection[str],
    patience_s: float | None,
    say: Callable[[str], None],
    interrupts: Interruptible,
    every_s: float = ASK_EVERY_S,
    proc: Path = PROC,
) -> bool:
    """Return True once nobody else computes on the card; False when that was not worth waiting for.

    False: the user asked to stop, or `patience_s` passed (None waits without end). A card that cannot be looked
    at counts as free: the Lookout of the run says that it was blind.

    Raises:
        StopNow: the user does not want to wait.
    """
    if gpu_uuid is None:
        return True
    began = time.monotonic()
    sightings = 0
    while foreign := _foreign_or_none(gpu_uuid, ours, proc):
        sightings += 1
        if sightings == 2:  # one may be the end of the last container
            say(f"waiting for the GPU: {describe(foreign)}; end it, or wait for its end")
        interrupts.check()
        if interrupts.why_stop() or (
            patience_s is not None and time.monotonic() - began >= patience_s
        ):
            return False
        time.sleep(every_s)
    return True


def describe(foreign: tuple[Foreign, ...]) -> str:
    """Who computes on the card, in one sentence."""
    return f"somebody else computes on it: {', '.join(map(str, foreign))}"


def _foreign_or_none(gpu_uuid: str, ours: Collection[str], proc: Path) -> tuple[Foreign, ...]:
    try:
        return foreign_processes(gpu_uuid, ours, proc=proc)
    except Unreadable:
        return ()


def _foreign(
    processes: tuple[GpuProcess, ...], ours: Collection[str], proc: Path
) -> tuple[Foreign, ...]:
    return tuple(
        Foreign(pid=process.pid, name=_name(process.pid, proc), memory_bytes=process.memory_bytes)
        for process in processes
        if _is_foreign(process.pid, ours, proc)
    )


def _is_foreign(pid: int, ours: Collection[str], proc: Path) -> bool:
    try:
        cgroup = (proc / str(pid) / "cgroup").read_text(errors="replace")
    except OSError as error:
        if isinstance(error, PermissionError) or not _shows_everybody(proc):
            raise Unreadable(
                f"{proc} hides the processes of other users (hidepid), {pid} among them"
            ) from error
        return False  # it has ended
    return not any(found in ours for found in _CONTAINER_ID.findall(cgroup))


def _shows_everybody(proc: Path) -> bool:
    """Whether what is not in /proc has ended: process 1 never has."""
    try:
        (proc / "1" / "cgroup").read_text()
    except OSError:
        return False
    return True


def _name(pid: int, proc: Path) -> str | None:
    try:
        name = (proc / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return None
    return "".join(character if character.isprintable() else "?" for character in name) or None
