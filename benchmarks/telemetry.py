"""What watching costs the host that trains: one sample a second must stay under 1 % of one core.

    make bench-telemetry

Opens the real sampler for some tens of samples and reads the CPU time of its thread, twice: on this host alone,
and with a GPU as well, played by the stand-in for the driver's library that the tests build (a C compiler is
needed for that; the stand-in reads its text file anew at each call, and what a real driver takes is not known here).

    core_share       CPU seconds of the sampler's thread by seconds watched, the larger of the two
    host_core_share  on this host alone
    gpu_core_share   with the stand-in for a GPU; None where no C compiler is
    write_ms         to leave 330 samples, as of a run of five minutes, in a Parquet file; median

Runs on the host.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import machine
from lab.samples import EVERY_S
from lab.telemetry import Recording, Sampler, write_recording
from lab.trial import Bench
from tests.nvml import COMPILERS, build, environment
from tests.nvml.machines import H100_SXM

CARD = H100_SXM.having(
    sm_clock_mhz=1755,
    memory_clock_mhz=2619,
    power_mw=690_000,
    temperature_c=64,
    gpu_busy_percent=99,
    memory_used_bytes=45 * 2**30,
    throttle_reasons=0x4,
    energy_mj=987_654_321,
)
LONG_RUN = 330


def watch(gpu_uuid: str | None, samples: int) -> tuple[float, Recording]:
    """The share of a core that the sampler's thread took over so many samples, and what it saw."""
    with Sampler(gpu_uuid, foreign=lambda: 0) as sampler:
        sampler.contains(os.getpid())
        thread = next(each for each in threading.enumerate() if each.name == "telemetry")
        clock = time.pthread_getcpuclockid(thread.ident)
        began = time.monotonic()
        time.sleep(samples * EVERY_S)
        cpu_s = time.clock_gettime(clock)  # opening NVML and the first sample included
        watched_s = time.monotonic() - began
    assert sampler.recording is not None
    assert len(sampler.recording.samples) >= samples
    return cpu_s / watched_s, sampler.recording


def watch_stand_in(samples: int) -> float | None:
    """The same, in a process that finds the stand-in for the driver's library."""
    if not any(map(shutil.which, COMPILERS)):
        return None

    def no_image() -> Bench:
        raise AssertionError("there is a compiler")

    with tempfile.TemporaryDirectory() as folder:
        library, played = build(Path(folder), image=no_image), Path(folder) / "machine"
        CARD.write(played)
        command = [sys.executable, "-m", "benchmarks.telemetry", "--samples", str(samples)]
        command += ["--gpu", CARD.cards[0].uuid]
        output = subprocess.check_output(command, env=environment(library, played), text=True)
    return float(output)


def write_ms(recording: Recording) -> float:
    """How long the table of a long run takes, once pyarrow is imported."""
    sample = recording.samples[-1]
    samples = tuple(replace(sample, at_s=float(second)) for second in range(LONG_RUN))
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(11):
            began = time.perf_counter()
            write_recording(Path(folder) / "t.parquet", replace(recording, samples=samples))
            taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def main() -> None:
    """Watch, read the thread's clock, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--gpu", help="watch this GPU and print its share alone")
    arguments = parser.parse_args()
    share, recording = watch(arguments.gpu, arguments.samples)
    if arguments.gpu:
        seen = recording.samples[-1]
        assert (seen.power_w, seen.gpu_energy_j) == (690.0, 987_654.321), recording.missing
        print(share)
        return
    with_gpu = watch_stand_in(arguments.samples)
    print(f"{'source':<24} {'samples':>7} {'of one core':>12}")
    print(f"{'this host':<24} {len(recording.samples):>7} {share:>11.3%}")
    if with_gpu is not None:
        print(f"{'this host and a stand-in':<24} {arguments.samples:>7} {with_gpu:>11.3%}")
    result = {
        "name": "telemetry",
        "machine": machine(),
        "core_share": round(max(share, with_gpu or 0.0), 5),
        "host_core_share": round(share, 5),
        "gpu_core_share": None if with_gpu is None else round(with_gpu, 5),
        "write_ms": round(write_ms(recording), 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
