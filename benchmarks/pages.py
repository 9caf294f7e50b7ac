"""How soon a browser shows 10,000 experiments, and whether the page stays smooth.

    make bench-pages

Starts `lab dashboard` on an invented campaign, and opens its page in a real Chromium (headless, so that
drawing is the processor's work). Each figure is the median of the rounds; a task is what keeps the page from
answering a finger.

    open_s            from the address to the first lines of the table and the progress chart, server just started
    again_s           the same in a second tab
    longest_open_ms   the longest task while the page opens
    sort_ms, filter_ms, search_ms, page_ms, jump_ms, hover_ms
                      from the click to the painted answer: a column, an ending, three letters, the last page,
                      an experiment on another page, ten moves of the pointer over the chart
    longest_ms        the longest task among these
    live_ms           the longest task when one more experiment arrives

Runs on the host, with the tools of tests/browser.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.machine import machine
from benchmarks.reader import LONG, NIGHT, TAG, count_lines, make_folder, repeat, serving
from lab.ledger import Ledger, Record
from tests.browser.conftest import find_chromium
from tests.unit.nights import make_night

WAIT_S = 60.0
# Two frames after an act its picture is on the screen.
TIMED = """async (act) => {
  const began = performance.now();
  await act();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - began;
}"""
WATCH = """
window.tasks = [];
new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((task) => task.duration)))
  .observe({ type: "longtask", buffered: true });
"""
OPENED = """() => {
  const line = document.querySelector("table.experiments tr.line");
  const chart = window.Nightlab && Nightlab.page && Nightlab.page.views.progress.model();
  return Boolean(line && chart && chart.drawn && chart.drawn.length);
}"""
ACTS = {
    "sort": """() => document.querySelector('th[data-id="score"] button').click()""",
    "filter": """() => document.querySelector('.chip input[data-ending="discard"]').click()""",
    "search": """async () => {
      const field = document.querySelector('input[type="search"]');
      field.value = "win";
      field.dispatchEvent(new Event("input"));
      await new Promise((done) => setTimeout(done, 125));
    }""",
    "page": """() => document.querySelector('.pager button:last-child').click()""",
    "jump": """() => Nightlab.page.open(4321)""",
    "hover": """() => {
      const over = document.querySelector("#progress .u-over");
      const place = over.getBoundingClientRect();
      for (let step = 0; step < 10; step += 1) {
        over.dispatchEvent(new MouseEvent("mousemove", { bubbles: true, clientX: place.left + 40 * step, clientY: place.top + 90 }));
      }
    }""",
}


def main() -> None:
    """Open, act, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=LONG)
    arguments = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        records = repeat(make_night(NIGHT), arguments.count // NIGHT)
        make_folder(Path(folder), records)
        for _ in range(arguments.rounds):
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=["--no-sandbox"]
            )
            rounds.append(measure(Path(folder), browser, records[-1]))
            browser.close()
    figures = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    for name, value in figures.items():
        print(f"{name:>16} {value:10.1f}" if name.endswith("ms") else f"{name:>16} {value:10.2f}")
    print(
        json.dumps(
            {"name": "pages", "machine": machine(), "experiments": arguments.count, **figures}
        )
    )


def measure(runs: Path, browser: Browser, record: Record) -> dict[str, float]:
    """One server, one browser: what a reader waits for."""
    figures: dict[str, float] = {}
    with serving(runs) as (port, _):
        address = f"http://127.0.0.1:{port}/"
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        figures["open_s"] = open_page(page, address)
        figures["longest_open_ms"] = longest(page)
        other = browser.new_page(viewport={"width": 1280, "height": 900})
        figures["again_s"] = open_page(other, address)
        other.close()
        longest(page)
        for name, act in ACTS.items():
            figures[f"{name}_ms"] = round(page.evaluate(f"async () => ({TIMED})({act})"), 1)
        figures["longest_ms"] = longest(page)
        figures["live_ms"] = grow(page, runs, record)
    return figures


def open_page(page: Page, address: str) -> float:
    """Seconds until lines and chart are there."""
    page.add_init_script(WATCH)
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    wait(page, lambda: page.evaluate(OPENED))
    return round(time.perf_counter() - began, 3)


def grow(page: Page, runs: Path, record: Record) -> float:
    """The longest task when one more experiment comes."""
    path = runs / TAG / "ledger.jsonl"
    number = count_lines(path) + 1
    Ledger(path, "", [], "").append(replace(record, number=number, original=None))
    rows = "Nightlab.live.stories.get(Nightlab.live.chosen[0]).rows.length"
    wait(page, lambda: page.evaluate(rows) == number)
    page.wait_for_timeout(500)
    return longest(page)


def longest(page: Page) -> float:
    """The longest task since the last time that it was asked, in ms; 0 when all were under 50."""
    page.wait_for_timeout(300)
    return round(page.evaluate("Math.max(0, ...window.tasks.splice(0))"), 1)


def wait(page: Page, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "the page never showed it"
        page.wait_for_timeout(10)


if __name__ == "__main__":
    main()
