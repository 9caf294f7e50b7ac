"""NVIDIA GPUs, asked through NVML. The only door to it, with telemetry.

Owns    which GPUs there are, and every question about one but those of every second
Takes   the driver
Gives   Gpus, the processes on one, and its Readings
Never   takes a MIG instance for a card: what the driver tells of cards alone is asked of the card it is cut from
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pynvml

from lab.fingerprint.readings import Unreadable

# The second is no NVMLError: what pynvml raises for an entry point that an older driver does not have.
NVML_ERRORS = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU that a container can be given, a card or a MIG instance, and who computes on it now."""

    uuid: str  # names it to the engine; never leaves the host
    name: str
    memory_bytes: int | None
    driver: str | None
    processes: tuple[int, ...]  # ids of the processes that compute on it


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that computes on a GPU."""

    pid: int  # as this host counts
    memory_bytes: int | None  # on the GPU; None where the driver does not tell


@contextlib.contextmanager
def opened() -> Iterator[None]:
    """NVML, open. It counts: inside another `opened` this costs nothing.

    Raises:
        Unreadable: there is no driver, or it does not answer.
    """
    try:
        pynvml.nvmlInit()
    except NVML_ERRORS as error:
        raise Unreadable(f"NVML cannot be opened: {error}") from error
    try:
        yield
    finally:
        with contextlib.suppress(*NVML_ERRORS):
            pynvml.nvmlShutdown()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Keep NVML open, where there is one, so that a reading does not wake the driver, which can take a second."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Unreadable):
            stack.enter_context(opened())
        yield


def list_gpus() -> list[Gpu]:
    """Every NVIDIA GPU of this host that computes; none when there is no driver.

    A card in MIG mode is its instances: itself it computes nothing.
    """
    gpus = []
    with contextlib.suppress(Unreadable), opened():
        for index in range(ask(pynvml.nvmlDeviceGetCount)):
            with contextlib.suppress(Unreadable):  # one card that is lost does not hide the others
                card = ask(pynvml.nvmlDeviceGetHandleByIndex, index)
                for handle in _instances(card) if is_cut(card) else [card]:
                    with contextlib.suppress(Unreadable):
                        gpus.append(_read_gpu(handle))
    return gpus


@contextlib.contextmanager
def watching(gpu_uuid: str) -> Iterator[Callable[[], tuple[GpuProcess, ...]]]:
    """Who computes on one GPU, as a question that may be asked every second.

    NVML stays open in between: opening it wakes the driver, which can take a second.
    The UUID of a MIG instance asks about that instance, that of a card about the whole card.

    Raises:
        Unreadable: NVML cannot be opened, or, from the question, gave no answer.
    """
    with opened():
        yield lambda: _processes(gpu_uuid)


def find(gpu_uuid: str) -> tuple[Any, Any]:
    """The handles of a GPU and of its card, which are the same unless it is a MIG instance.

    Raises:
        Unreadable: there is no such GPU any more.
    """
    handle = ask(pynvml.nvmlDeviceGetHandleByUUID, gpu_uuid)
    if not gpu_uuid.startswith("MIG-"):
        return handle, handle
    return handle, ask(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle)


def is_cut(card: Any) -> bool:
    """Whether a card is in MIG mode; one that does not know the question is not."""
    mode = ask_or_none(pynvml.nvmlDeviceGetMigMode, card)
    return bool(mode and mode[0])


def ask(question: Callable[..., Any], *arguments: Any) -> Any:
    """One answer of the driver.

    Raises:
        Unreadable: it gave none, or is too old to know the question.
    """
    try:
        return question(*arguments)
    except NVML_ERRORS as error:
        raise Unreadable(f"the driver: {error}") from error


def ask_or_none(question: Callable[..., Any], *arguments: Any) -> Any:
    """One answer of the driver, or None where this card or driver does not give it."""
    try:
        return ask(question, *arguments)
    except Unreadable:
        return None


def _instances(card: Any) -> list[Any]:
    count = ask_or_none(pynvml.nvmlDeviceGetMaxMigDeviceCount, card) or 0
    found = [
        ask_or_none(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, card, index)
        for index in range(count)
    ]
    return [handle for handle in found if handle is not None]


def _read_gpu(handle: Any) -> Gpu:
    memory = ask_or_none(pynvml.nvmlDeviceGetMemoryInfo, handle)
    processes = ask_or_none(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    return Gpu(
        uuid=str(ask(pynvml.nvmlDeviceGetUUID, handle)),
        name=str(ask(pynvml.nvmlDeviceGetName, handle)),
        memory_bytes=int(memory.total) if memory else None,
        driver=ask_or_none(pynvml.nvmlSystemGetDriverVersion),
        processes=tuple(int(process.pid) for process in processes),
    )


def _processes(gpu_uuid: str) -> tuple[GpuProcess, ...]:
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu_uuid)
        found = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except NVML_ERRORS as error:
        raise Unreadable(f"NVML cannot list its processes: {error}") from error
    # The clients of a multi-process service stand in a list of their own, which older drivers do not have.
    found += ask_or_none(pynvml.nvmlDeviceGetMPSComputeRunningProcesses, handle) or []
    processes = {
        int(process.pid): GpuProcess(pid=int(process.pid), memory_bytes=process.usedGpuMemory)
        for process in found
    }
    return tuple(processes.values())
