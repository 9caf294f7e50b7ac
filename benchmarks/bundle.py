"""What a bundle of 100 experiments weighs, and what writing and checking it takes: `make bench-bundle`.

Agenda, rule, ledger, repository and tables are a real night's, on the seed train.py; only its containers are
played. Logs, telemetry and curves have a plausible length and random numbers, which compress badly. Nothing is trained.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from benchmarks.machine import machine
from lab.bundle.decisions import check_records
from lab.bundle.export import Exported, Wanted, export
from lab.bundle.unpacked import opened
from lab.settings import CHECKOUT, read_settings
from lab.show.chart import draw_progress
from lab.show.folder import read_records
from tests.unit.bundles import PROGRAM, make_campaign

CANDIDATES = 94  # with baselines and re-runs, a little over a hundred experiments
SAMPLES = 330  # of telemetry: one a second of a five-minute run, and its evaluation
LOG_LINES = 900
REPEATS = 5
MOST_MB, MOST_S = 10.0, 5.0


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        seed = (CHECKOUT / "workspace" / "train.py").read_text() + '\n\nTRIED = {"width": 32}\n'
        with contextlib.redirect_stdout(io.StringIO()):  # the night's own lines
            folder = make_campaign(place, range(40, 40 + 2 * CANDIDATES, 2), seed=seed)
        _fill(folder)
        (place / "program.md").write_text(PROGRAM)
        settings = read_settings(
            {}, tag=folder.name, runs=place / "runs", program=place / "program.md"
        )
        began = time.perf_counter()
        made = export(settings, place / "bundle.tar.zst", Wanted(), lambda line: None)
        export_s = round(time.perf_counter() - began, 2)
        experiments = len(read_records(folder))
        _show({"experiments": experiments, **_measure(made), "export_s": export_s})


def _measure(made: Exported) -> dict[str, float]:
    level_0_s, level_1_s, unpacked = [], [], 0
    for _ in range(REPEATS):
        began = time.perf_counter()
        with opened(made.file) as bundle:
            level_0_s.append(time.perf_counter() - began)
            began = time.perf_counter()
            checks = check_records(bundle.payload)
            level_1_s.append(time.perf_counter() - began)
            assert not any(check.passed is False for check in checks), checks
            files = [path for path in bundle.payload.rglob("*") if path.is_file()]
            unpacked = sum(path.stat().st_size for path in files)
    return {
        "bundle_mb": round(made.size / 1e6, 3),
        "unpacked_mb": round(unpacked / 1e6, 2),
        "level_0_s": round(statistics.median(level_0_s), 3),
        "level_1_s": round(statistics.median(level_1_s), 3),
    }


def _show(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:<14} {value}")
    checked_s = figures["level_0_s"] + figures["level_1_s"]
    print(f"under {MOST_MB:g} MB: {figures['bundle_mb'] < MOST_MB}")
    print(f"levels 0 and 1 under {MOST_S:g} s: {checked_s < MOST_S}")
    print(json.dumps({"name": "bundle", "machine": machine(), **figures}))


def _fill(folder: Path) -> None:
    """What the containers would have left behind."""
    records = read_records(folder)
    for record in records:
        place, draw = folder / "experiments" / f"{record.number:04d}", random.Random(record.number)
        log = (
            f"step {step} | loss {draw.uniform(3, 7):.4f} | {draw.randrange(7000, 9000):,} tok/s\n"
            for step in range(LOG_LINES)
        )
        (place / "train.log").write_text("".join(log))
        sensors = ("sm_mhz", "memory_mhz", "power_w", "temperature_c", "utilisation", "used_bytes")
        _table(place / "telemetry.parquet", sensors, draw)
        _table(place / "curve.parquet", ("step", "train_s", "loss", "tokens_per_s"), draw)
    draw_progress(folder / "progress.png", records, title=folder.name)


def _table(path: Path, names: tuple[str, ...], draw: random.Random) -> None:
    columns = {name: [draw.uniform(100, 2000) for _ in range(SAMPLES)] for name in names}
    parquet.write_table(pa.table(columns), path, compression="zstd")


if __name__ == "__main__":
    main()
