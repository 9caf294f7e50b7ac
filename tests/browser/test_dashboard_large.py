"""The live page with 10,000 experiments: all of them are there, and each can be found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from lab.ledger import Ledger, Record
from tests.unit.handed_in import FACTS
from tests.unit.nights import make_night
from tests.unit.served import Site, served

TAG = "nov23"
NIGHT = 500
COUNT = 10_000
PAGE_ROWS = 100
NEEDLE = "The one idea that is sought"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many nights in one ledger; one title of them all is its own."""
    runs = tmp_path_factory.mktemp("runs")
    folder = runs / TAG
    folder.mkdir()
    (folder / "campaign.json").write_text(json.dumps(FACTS))
    ledger = Ledger(folder / "ledger.jsonl", "", [], "")
    records = list(repeated())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        for record in records:
            ledger.append(record)
    return runs


def repeated() -> Iterator[Record]:
    night = make_night(NIGHT)
    for turn in range(COUNT // NIGHT):
        for record in night:
            number = record.number + turn * NIGHT
            original = record.original and record.original + turn * NIGHT
            title = NEEDLE if number == 7_777 else record.title
            yield replace(record, number=number, original=original, title=title)


@pytest.fixture
def site(runs: Path, context: BrowserContext) -> Iterator[Site]:
    with served(runs) as site:
        yield site
        for page in context.pages:
            page.close()


def numbers(page: Page) -> list[int]:
    """The experiments whose lines are in the table, in its order."""
    return [int(text) for text in page.locator("tr.line td.col-number").all_inner_texts()]


def test_all_are_there_and_each_is_found(page: Page, site: Site) -> None:
    """A year of nights is one table: in pages, sorted and searched as a whole."""
    page.goto(site.url)
    lines = page.locator("tr.line")
    expect(lines).to_have_count(PAGE_ROWS)
    said = page.locator(".pager span")
    expect(said).to_have_text("1\u2013100 of 10,000")
    assert page.evaluate("Nightlab.page.views.progress.model().drawn.length") == COUNT

    page.get_by_role("button", name="Last page").click()
    expect(said).to_have_text("9,901\u201310,000 of 10,000")
    assert numbers(page) == list(range(COUNT - PAGE_ROWS + 1, COUNT + 1))

    rows = site.get(f"/api/campaigns/{TAG}")["rows"]
    scored = [row for row in rows if row["score_bpb"] is not None]
    best = sorted(scored, key=lambda row: (row["score_bpb"], row["number"]))
    page.get_by_role("button", name="val bpb").click()
    expect(said).to_have_text("1\u2013100 of 10,000")
    assert numbers(page) == [row["number"] for row in best[:PAGE_ROWS]]

    kept = sum(row["ending"] == "keep" for row in rows)
    page.locator("label.chip", has_text="kept").click()
    expect(said).to_have_text(f"1\u2013100 of {kept:,}")
    page.locator("label.chip", has_text="kept").click()

    page.get_by_label("Search titles").fill("one idea sought")
    expect(lines).to_have_count(1)
    assert numbers(page) == [7_777]


def test_an_experiment_is_jumped_to_from_afar(page: Page, site: Site) -> None:
    """An address names one of ten thousand; its page of the table is turned to, whatever was sought before."""
    page.goto(f"{site.url}/#c={TAG}&x=4321")
    expect(page.locator("#detail-4321 h3")).to_contain_text("Experiment 4321")
    expect(page.locator(".pager span")).to_have_text("4,301\u20134,400 of 10,000")
    page.get_by_label("Search titles").fill(NEEDLE)
    expect(page.locator("tr.line")).to_have_count(1)
    page.evaluate("Nightlab.page.open(9)")
    expect(page.locator("#detail-9")).to_be_visible()
    expect(page.get_by_label("Search titles")).to_have_value("")
    expect(page.locator(f'tr.line[data-number="{PAGE_ROWS}"]')).to_have_count(1)
