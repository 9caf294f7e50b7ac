"""What a bundle of 100 experiments weighs, and what writing and checking it takes: `make bench-bundle`.

The campaign is generated: real commits of real train.py files that differ by some lines, logs and telemetry of a
plausible length, tables and picture as the lab writes them. Nothing is trained.
"""

from __future__ import annotations

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
from lab.campaign import Campaign
from lab.settings import CHECKOUT, Settings
from lab.show.chart import draw_progress
from tests.unit.exported import make_campaign, make_settings

EXPERIMENTS = 100
SAMPLES = 330  # of telemetry: one a second of a five-minute run, and its evaluation
LOG_LINES = 900
REPEATS = 5
MOST_MB, MOST_S = 10.0, 5.0


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        settings = make_settings(Path(place))
        make_campaign(settings, EXPERIMENTS, code=_code, own_recipe=False, more=_fill)
        began = time.perf_counter()
        made = export(settings, Path(place) / "bundle.tar.zst", Wanted(), lambda line: None)
        export_s = time.perf_counter() - began
        figures = _measure(made) | {"export_s": round(export_s, 2)}
        _show(settings, figures)


def _measure(made: Exported) -> dict[str, float]:
    levels: dict[str, list[float]] = {"level_0_s": [], "level_1_s": []}
    unpacked = 0
    for _ in range(REPEATS):
        began = time.perf_counter()
        with opened(made.file) as bundle:
            levels["level_0_s"].append(time.perf_counter() - began)
            began = time.perf_counter()
            check_records(bundle.payload)
            levels["level_1_s"].append(time.perf_counter() - began)
            unpacked = sum(
                path.stat().st_size for path in bundle.payload.rglob("*") if path.is_file()
            )
    return {
        "experiments": EXPERIMENTS,
        "bundle_mb": round(made.size / 1e6, 3),
        "unpacked_mb": round(unpacked / 1e6, 2),
        **{name: round(statistics.median(values), 3) for name, values in levels.items()},
    }


def _show(settings: Settings, figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:<14} {value}")
    levels_s = figures["level_0_s"] + figures["level_1_s"]
    print(f"under {MOST_MB:g} MB: {figures['bundle_mb'] < MOST_MB}; ", end="")
    print(f"levels 0 and 1 under {MOST_S:g} s: {levels_s < MOST_S}")
    print(json.dumps({"name": "bundle", "machine": machine(), **figures}))


def _code(number: int) -> str:
    """The seed with a change of some lines, as a candidate is."""
    draw = random.Random(number)
    lines = (CHECKOUT / "workspace" / "train.py").read_text().splitlines(keepends=True)
    for _ in range(6):
        lines.insert(draw.randrange(len(lines)), f"# {draw.random()} of {number}\n")
    return "".join(lines)


def _fill(campaign: Campaign) -> None:
    for record in campaign.ledger.records:
        folder, draw = campaign.folder_of(record.number), random.Random(record.number)
        log = (
            f"step {step} | loss {draw.uniform(3, 7):.4f} | {draw.randrange(7000, 9000):,} tok/s\n"
            for step in range(LOG_LINES)
        )
        (folder / "train.log").write_text("".join(log))
        names = ("sm_mhz", "memory_mhz", "power_w", "temperature_c", "utilisation", "memory_bytes")
        _table(folder / "telemetry.parquet", names, SAMPLES, draw)
        _table(folder / "curve.parquet", ("step", "train_s", "loss", "tokens_per_s"), SAMPLES, draw)
    draw_progress(campaign.folder / "progress.png", campaign.ledger.records, title="nov23")


def _table(path: Path, names: tuple[str, ...], rows: int, draw: random.Random) -> None:
    columns = {name: [draw.uniform(100, 2000) for _ in range(rows)] for name in names}
    parquet.write_table(pa.table(columns), path, compression="zstd")


if __name__ == "__main__":
    main()
