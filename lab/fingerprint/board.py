"""What one GPU is, and how it is set: the readings of a card, and of a MIG instance on it.

Owns    which of a GPU's readings make its class, and which are shown
Takes   the UUID of a GPU
Gives   Readings of both kinds, and what may only leave as a hash
Never   guesses: a form factor or a count that cannot be told is missing
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml

from lab.fingerprint.cards import ask, ask_or_none, find, opened
from lab.fingerprint.readings import Readings, Unreadable, Value

SYS = Path("/sys")
PATIENCE_S = 10.0  # for all of it; a driver that takes longer hangs

CLASS = (
    "gpu form_factor pci_device pci_subsystem compute_capability sm_count gpu_memory_gib memory_bus_bits "
    "mig mig_slice ecc power_limit_w virtualization driver_branch"
)
CONDITIONS = (
    "driver vbios gpu_memory_bytes sm_clock_mhz memory_clock_mhz sm_clock_max_mhz memory_clock_max_mhz "
    "sm_clock_offset_mhz memory_clock_offset_mhz persistence compute_mode pcie_generation "
    "pcie_generation_max pcie_width pcie_width_max nvlinks_active nvlink_version numa_node "
    "ecc_pending mig_pending"
)
PRIVATE = "gpu_uuid gpu_serial"

# Arithmetic units of a multiprocessor by compute capability, from NVIDIA's programming guide.
CORES_PER_SM = {
    (6, 0): 64,
    (6, 1): 128,
    (7, 0): 64,
    (7, 5): 64,
    (8, 0): 64,
    (8, 6): 128,
    (8, 7): 128,
    (8, 9): 128,
    (9, 0): 128,
    (10, 0): 128,
    (10, 3): 128,
    (12, 0): 128,
    (12, 1): 128,
}
# Modules whose name does not say so, by the public list of PCI ids: H100 and H200.
SXM_DEVICES = {0x2330, 0x2335, 0x2336}

VIRTUALIZATION = {0: "none", 1: "passthrough", 2: "vgpu", 3: "host_vgpu", 4: "host_vsga"}
COMPUTE_MODES = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that is read of one GPU."""

    comparable: Readings = field(default_factory=Readings)
    conditions: Readings = field(default_factory=Readings)
    private: Readings = field(default_factory=Readings)


def read_board(gpu_uuid: str) -> Board:
    """The class, the conditions and the private names of one GPU; costs some milliseconds."""
    answers: queue.SimpleQueue[Board | Exception] = queue.SimpleQueue()

    def read() -> None:
        try:
            answers.put(_read(gpu_uuid))
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller raises it)
            answers.put(error)

    # A daemon: a driver that lost its card can take minutes for an answer, and a night does not wait for it.
    threading.Thread(target=read, name="fingerprint", daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE_S)
    except queue.Empty:
        answer = Unreadable(f"the driver gave no answer within {PATIENCE_S:g} s")
    if isinstance(answer, Unreadable):
        board = Board()
        board.comparable.give_up(tuple(CLASS.split()), str(answer))
        board.conditions.give_up(tuple(CONDITIONS.split()), str(answer))
        board.private.give_up(tuple(PRIVATE.split()), str(answer))
        return board
    if isinstance(answer, Exception):
        raise answer
    return answer


def _read(gpu_uuid: str) -> Board:
    board = Board()
    with opened():
        handle, card = find(gpu_uuid)
        _take_class(board.comparable, handle, card)
        _take_conditions(board.conditions, handle, card)
        board.private.take("gpu_uuid", lambda: gpu_uuid)
        board.private.take("gpu_serial", lambda: str(ask(pynvml.nvmlDeviceGetSerial, card)))
    return board


def _take_class(readings: Readings, handle: Any, card: Any) -> None:
    take = readings.take
    take("gpu", lambda: str(ask(pynvml.nvmlDeviceGetName, card)))
    take("form_factor", lambda: _form_factor(card))
    take("pci_device", lambda: _pci_id(ask(pynvml.nvmlDeviceGetPciInfo, card).pciDeviceId))
    take("pci_subsystem", lambda: _pci_id(ask(pynvml.nvmlDeviceGetPciInfo, card).pciSubSystemId))
    take("compute_capability", lambda: ".".join(map(str, _capability(card))))
    take("sm_count", lambda: _sm_count(handle, card))
    # Whole GiB: another driver of the same branch keeps a few MB more for itself.
    take("gpu_memory_gib", lambda: round(_memory_bytes(handle) / 2**30))
    take("memory_bus_bits", lambda: int(ask(pynvml.nvmlDeviceGetMemoryBusWidth, card)))
    take("mig", lambda: bool(ask(pynvml.nvmlDeviceGetMigMode, card)[0]))
    if handle is not card:
        take("mig_slice", lambda: _slice(handle))
    take("ecc", lambda: bool(ask(pynvml.nvmlDeviceGetEccMode, card)[0]))
    take("power_limit_w", lambda: ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, card) / 1000)
    take(
        "virtualization",
        lambda: _word(VIRTUALIZATION, ask(pynvml.nvmlDeviceGetVirtualizationMode, card)),
    )
    take("driver_branch", lambda: str(ask(pynvml.nvmlSystemGetDriverVersion)).partition(".")[0])


def _take_conditions(readings: Readings, handle: Any, card: Any) -> None:
    take = readings.take
    take("driver", lambda: str(ask(pynvml.nvmlSystemGetDriverVersion)))
    take("vbios", lambda: str(ask(pynvml.nvmlDeviceGetVbiosVersion, card)))
    take("gpu_memory_bytes", lambda: _memory_bytes(handle))
    now, most = pynvml.nvmlDeviceGetClockInfo, pynvml.nvmlDeviceGetMaxClockInfo
    take("sm_clock_mhz", lambda: int(ask(now, card, pynvml.NVML_CLOCK_SM)))
    take("sm_clock_max_mhz", lambda: int(ask(most, card, pynvml.NVML_CLOCK_SM)))
    take("memory_clock_mhz", lambda: int(ask(now, card, pynvml.NVML_CLOCK_MEM)))
    take("memory_clock_max_mhz", lambda: int(ask(most, card, pynvml.NVML_CLOCK_MEM)))
    take("sm_clock_offset_mhz", lambda: int(ask(pynvml.nvmlDeviceGetGpcClkVfOffset, card)))
    take("memory_clock_offset_mhz", lambda: int(ask(pynvml.nvmlDeviceGetMemClkVfOffset, card)))
    take("persistence", lambda: bool(ask(pynvml.nvmlDeviceGetPersistenceMode, card)))
    take("compute_mode", lambda: _word(COMPUTE_MODES, ask(pynvml.nvmlDeviceGetComputeMode, card)))
    take("pcie_generation", lambda: int(ask(pynvml.nvmlDeviceGetCurrPcieLinkGeneration, card)))
    take("pcie_generation_max", lambda: int(ask(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, card)))
    take("pcie_width", lambda: int(ask(pynvml.nvmlDeviceGetCurrPcieLinkWidth, card)))
    take("pcie_width_max", lambda: int(ask(pynvml.nvmlDeviceGetMaxPcieLinkWidth, card)))
    take("nvlinks_active", lambda: _nvlinks(card))
    take("nvlink_version", lambda: int(ask(pynvml.nvmlDeviceGetNvLinkVersion, card, 0)))
    take("numa_node", lambda: _numa_node(card))
    take("ecc_pending", lambda: bool(ask(pynvml.nvmlDeviceGetEccMode, card)[1]))
    take("mig_pending", lambda: bool(ask(pynvml.nvmlDeviceGetMigMode, card)[1]))


def _form_factor(card: Any) -> str:
    """How a card sits in its host: by its name, else by its PCI id. NVML's module id is 1 for plain cards too."""
    name = str(ask(pynvml.nvmlDeviceGetName, card)).upper()
    for word in ("SXM", "PCIE", "NVL", "MXM"):
        if word in name:
            return word.lower()
    if "GEFORCE" in name:
        return "mobile" if "LAPTOP" in name or "MAX-Q" in name else "pcie"
    if ask(pynvml.nvmlDeviceGetPciInfo, card).pciDeviceId >> 16 in SXM_DEVICES:
        return "sxm"
    raise Unreadable("neither its name nor its PCI id tells")


def _capability(card: Any) -> tuple[int, int]:
    major, minor = ask(pynvml.nvmlDeviceGetCudaComputeCapability, card)
    return int(major), int(minor)


def _sm_count(handle: Any, card: Any) -> int:
    if handle is not card:
        return int(ask(pynvml.nvmlDeviceGetAttributes, handle).multiprocessorCount)
    cores = int(ask(pynvml.nvmlDeviceGetNumGpuCores, card))
    each = CORES_PER_SM.get(_capability(card))
    if each is None:
        raise Unreadable(f"{cores} cores, of a generation whose multiprocessors are not known here")
    return cores // each


def _slice(handle: Any) -> str:
    """The size of a MIG instance, such as 3g.40gb: the end of its name, else its number of slices."""
    _, found, size = str(ask(pynvml.nvmlDeviceGetName, handle)).rpartition(" MIG ")
    if found:
        return size
    attributes = ask(pynvml.nvmlDeviceGetAttributes, handle)
    return f"{attributes.computeInstanceSliceCount}c.{attributes.gpuInstanceSliceCount}g"


def _memory_bytes(handle: Any) -> int:
    return int(ask(pynvml.nvmlDeviceGetMemoryInfo, handle).total)


def _nvlinks(card: Any) -> int:
    """How many links are up. A card says which link does not exist by refusing the question."""
    active = int(ask(pynvml.nvmlDeviceGetNvLinkState, card, 0))
    for link in range(1, pynvml.NVML_NVLINK_MAX_LINKS):
        state = ask_or_none(pynvml.nvmlDeviceGetNvLinkState, card, link)
        if state is None:
            break
        active += int(state)
    return active


def _numa_node(card: Any) -> int:
    domain, _, rest = _text(ask(pynvml.nvmlDeviceGetPciInfo, card).busId).lower().partition(":")
    path = SYS / "bus/pci/devices" / f"{domain[-4:]}:{rest}" / "numa_node"
    node = int(path.read_text())
    if node < 0:
        raise Unreadable("the host's firmware does not say")
    return node


def _text(value: str | bytes) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def _pci_id(number: int) -> str:
    """vendor:device, as lspci prints it."""
    return f"{number & 0xFFFF:04x}:{number >> 16:04x}"


def _word(words: dict[int, str], number: int) -> Value:
    return words.get(number, f"mode {number}")
