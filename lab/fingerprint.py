"""On what hardware a score was measured, and who computes on it. The only door to NVML, with telemetry to come.

Owns    which facts make two scores comparable
Takes   the host
Gives   a Fingerprint: a class, whose id stands in every record, and conditions, which are shown
Never   stops a night: a fact that cannot be read is None, and Unreadable says why a question has no answer
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

from harness.profiles import Profile

# The second is no NVMLError: what pynvml raises for an entry point that an older driver does not have.
_NVML_ERRORS = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError)

Facts = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU, and who computes on it now."""

    uuid: str  # names the card to the engine; never leaves the host
    name: str
    memory_bytes: int | None
    driver: str | None
    power_limit_w: float | None
    ecc: bool | None
    mig: bool | None
    compute_capability: str | None
    processes: tuple[int, ...]  # ids of the processes that compute on it


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that computes on a GPU."""

    pid: int  # as this host counts
    memory_bytes: int | None  # on the GPU; None where the driver does not tell


class Unreadable(Exception):
    """The driver gave no answer; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The hardware and software under a score."""

    class_id: str  # of `comparable`; two scores compare only when it is the same
    comparable: Facts
    conditions: Facts


def list_gpus() -> list[Gpu]:
    """Every NVIDIA GPU of this host; none when there is no driver."""
    try:
        pynvml.nvmlInit()
    except _NVML_ERRORS:
        return []
    try:
        return [_read_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except _NVML_ERRORS:
        return []
    finally:
        with contextlib.suppress(*_NVML_ERRORS):
            pynvml.nvmlShutdown()


@contextlib.contextmanager
def watching(gpu_uuid: str) -> Iterator[Callable[[], tuple[GpuProcess, ...]]]:
    """Who computes on one GPU, as a question that may be asked every second.

    NVML stays open in between: opening it wakes the driver, which can take a second.
    The UUID of a MIG instance asks about that instance, that of a card about the whole card.

    Raises:
        Unreadable: NVML cannot be opened, or, from the question, gave no answer.
    """
    try:
        pynvml.nvmlInit()
    except _NVML_ERRORS as error:
        raise Unreadable(f"NVML cannot be opened: {error}") from error
    try:
        yield lambda: _processes(gpu_uuid)
    finally:
        with contextlib.suppress(*_NVML_ERRORS):
            pynvml.nvmlShutdown()


def take_fingerprint(
    profile: Profile,
    *,
    image_id: str,
    kernels: str,
    gpu: Gpu | None,
    cpus: float | None,
    engine_version: str,
) -> Fingerprint:
    """Read the host once. `kernels` is the attention kernels that the image holds."""
    comparable: Facts = {"profile": profile.name, "image": image_id, "attention_kernels": kernels}
    if gpu is not None:
        comparable |= {
            "gpu": gpu.name,
            "gpu_memory_bytes": gpu.memory_bytes,
            "compute_capability": gpu.compute_capability,
            "power_limit_w": gpu.power_limit_w,
            "ecc": gpu.ecc,
            "mig": gpu.mig,
            "driver_branch": gpu.driver.split(".")[0] if gpu.driver else None,
        }
    else:
        comparable |= {
            "cpu": cpu_name(),
            "cores": cpus or float(len(os.sched_getaffinity(0))),
            "isa": cpu_isa(),
        }
    encoded = json.dumps(comparable, sort_keys=True).encode()
    return Fingerprint(
        class_id=hashlib.sha256(encoded).hexdigest()[:16],
        comparable=comparable,
        conditions={
            "kernel": platform.release(),
            "engine": engine_version,
            "python": platform.python_version(),
            "host_cpu": cpu_name(),
            "host_cores": os.cpu_count(),
            "host_memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "load_1min": os.getloadavg()[0],
            "driver": gpu.driver if gpu else None,
        },
    )


def cpu_name() -> str | None:
    """The processor's own name, as Linux gives it."""
    return next(_cpuinfo("model name"), None) or platform.processor() or None


def cpu_isa() -> str | None:
    """The widest vector instructions that matter to a matrix product."""
    flags = set(next(_cpuinfo("flags"), "").split())
    for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx"):
        if name in flags:
            return name
    return platform.machine() or None


def _cpuinfo(key: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                yield value.strip()


def _read_gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    capability = _reading(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    power = _reading(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    ecc = _reading(pynvml.nvmlDeviceGetEccMode, handle)
    mig = _reading(pynvml.nvmlDeviceGetMigMode, handle)
    memory = _reading(pynvml.nvmlDeviceGetMemoryInfo, handle)
    processes = _reading(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    return Gpu(
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        name=str(pynvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(memory.total) if memory else None,
        driver=_reading(pynvml.nvmlSystemGetDriverVersion),
        power_limit_w=power / 1000 if power is not None else None,
        ecc=bool(ecc[0]) if ecc else None,
        mig=bool(mig[0]) if mig else None,
        compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
        processes=tuple(int(process.pid) for process in processes),
    )


def _processes(gpu_uuid: str) -> tuple[GpuProcess, ...]:
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu_uuid)
        found = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except _NVML_ERRORS as error:
        raise Unreadable(f"NVML cannot list its processes: {error}") from error
    # The clients of a multi-process service stand in a list of their own, which older drivers do not have.
    found += _reading(pynvml.nvmlDeviceGetMPSComputeRunningProcesses, handle) or []
    processes = {
        int(process.pid): GpuProcess(pid=int(process.pid), memory_bytes=process.usedGpuMemory)
        for process in found
    }
    return tuple(processes.values())


def _reading(read: Callable[..., Any], *arguments: Any) -> Any:
    """One reading, or None where this card or driver does not give it."""
    try:
        return read(*arguments)
    except _NVML_ERRORS:
        return None
