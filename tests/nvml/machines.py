"""Machines that the stand-in plays: what four kinds of host tell of themselves.

The figures are those of the real boards, from their makers' data sheets and the public PCI id list; what a board
does not support is left out, as its driver leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tests.nvml import Card, Instance, Process, write_machine

MIB, GIB = 2**20, 2**30
UNKNOWN_ERROR, NOT_THERE = 999, 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host with NVIDIA GPUs at one moment."""

    cards: tuple[Card, ...] = ()
    processes: tuple[Process, ...] = ()
    driver: str = "580.65.06"
    fail: tuple[tuple[str, int], ...] = ()  # entry points that fail, and how
    delay_ms: tuple[tuple[str, int], ...] = ()  # entry points that take their time

    def write(self, path: Path) -> None:
        """Be this machine from now on."""
        write_machine(
            path,
            cards=self.cards,
            processes=self.processes,
            driver=self.driver,
            fail=dict(self.fail),
            delay_ms=dict(self.delay_ms),
        )

    def having(self, **facts: int | None) -> Machine:
        """The same machine, with these facts of its first card changed, or gone where they are None."""
        card, *others = self.cards
        changed = {name: value for name, value in (card.facts | facts).items() if value is not None}
        return replace(self, cards=(replace(card, facts=changed), *others))


H100_SXM = Machine(
    cards=(
        Card(
            uuid="GPU-6f1d2c4e-1111-4a5b-8c9d-0123456789ab",
            name="NVIDIA H100 80GB HBM3",
            facts={
                "memory_bytes": 81_559 * MIB,
                "memory_bus_bits": 5120,
                "compute_major": 9,
                "compute_minor": 0,
                "cuda_cores": 16_896,
                "pci_device": 0x233010DE,
                "pci_subsystem": 0x16C110DE,
                "pci_bus": 0x1B,
                "power_limit_mw": 700_000,
                "ecc": 1,
                "mig": 0,
                "virtualization": 0,
                "persistence": 1,
                "compute_mode": 0,
                "pcie_generation": 5,
                "pcie_generation_max": 5,
                "pcie_width": 16,
                "pcie_width_max": 16,
                "nvlinks": 18,
                "nvlink_active": 1,
                "nvlink_version": 7,
                "sm_clock_max_mhz": 1980,
                "memory_clock_max_mhz": 2619,
                "sm_clock_offset_mhz": 0,
                "memory_clock_offset_mhz": 0,
            },
            texts={"serial": "1654922006134", "vbios": "96.00.5E.00.01"},
        ),
    )
)

# Half of an A100 80GB PCIe: three of its seven compute slices, and half of its memory.
A100_PCIE_MIG = Machine(
    cards=(
        Card(
            uuid="GPU-a1002c4e-2222-4a5b-8c9d-0123456789ab",
            name="NVIDIA A100 80GB PCIe",
            facts={
                "memory_bytes": 81_920 * MIB,
                "memory_bus_bits": 5120,
                "compute_major": 8,
                "compute_minor": 0,
                "cuda_cores": 6912,
                "pci_device": 0x20B510DE,
                "pci_subsystem": 0x153310DE,
                "pci_bus": 0x41,
                "power_limit_mw": 300_000,
                "ecc": 1,
                "mig": 1,
                "virtualization": 1,
                "persistence": 0,
                "compute_mode": 0,
                "pcie_generation": 4,
                "pcie_generation_max": 4,
                "pcie_width": 8,
                "pcie_width_max": 16,
                "nvlinks": 12,
                "nvlink_active": 0,
                "nvlink_version": 3,
                "sm_clock_max_mhz": 1410,
                "memory_clock_max_mhz": 1512,
            },
            texts={"serial": "1322621085456", "vbios": "92.00.68.00.01"},
            instances={
                2: Instance(
                    uuid="MIG-33333333-0f0f-5a5a-8c9d-0123456789ab",
                    slice="3g.40gb",
                    facts={
                        "memory_bytes": 40_192 * MIB,
                        "multiprocessors": 42,
                        "gpu_slices": 3,
                        "compute_slices": 3,
                    },
                ),
                9: Instance(
                    uuid="MIG-99999999-0f0f-5a5a-8c9d-0123456789ab",
                    slice="1c.2g.20gb",
                    facts={
                        "memory_bytes": 19_968 * MIB,
                        "multiprocessors": 14,
                        "gpu_slices": 2,
                        "compute_slices": 1,
                    },
                ),
            },
        ),
    ),
    driver="550.163.01",
)

# A consumer card: no ECC, no MIG, no serial number, no NVLink, and an older driver.
RTX_3080 = Machine(
    cards=(
        Card(
            uuid="GPU-30802c4e-3333-4a5b-8c9d-0123456789ab",
            name="NVIDIA GeForce RTX 3080",
            facts={
                "memory_bytes": 10_240 * MIB,
                "memory_bus_bits": 320,
                "compute_major": 8,
                "compute_minor": 6,
                "cuda_cores": 8704,
                "pci_device": 0x220610DE,
                "pci_subsystem": 0x38971462,
                "pci_bus": 0x01,
                "power_limit_mw": 320_000,
                "virtualization": 0,
                "persistence": 0,
                "compute_mode": 0,
                "pcie_generation": 1,
                "pcie_generation_max": 4,
                "pcie_width": 16,
                "pcie_width_max": 16,
                "sm_clock_max_mhz": 2100,
                "memory_clock_max_mhz": 9501,
                "sm_clock_offset_mhz": 100,
                "memory_clock_offset_mhz": -250,
            },
            texts={"vbios": "94.02.42.00.A9"},
        ),
    ),
    driver="535.183.01",
)

# The same H100, later in a bad night: hot, with a neighbour, and with sensors that have stopped answering.
BAD_AT_FIRST = H100_SXM


def bad_later(neighbour: int) -> Machine:
    """The bad machine in the middle of a run: process `neighbour` computes there, and two readings are gone."""
    return replace(
        H100_SXM.having(
            throttle_reasons=0x40,  # hardware thermal slowdown
            temperature_c=93,
            sm_clock_mhz=1005,
            pcie_width=4,
        ),
        processes=(Process(pid=neighbour, bytes=20 * GIB),),
        fail=(
            ("nvmlDeviceGetEccMode", UNKNOWN_ERROR),
            ("nvmlDeviceGetEnforcedPowerLimit", UNKNOWN_ERROR),
        ),
    )


MACHINES = {"h100-sxm": H100_SXM, "a100-pcie-mig": A100_PCIE_MIG, "rtx-3080": RTX_3080}
