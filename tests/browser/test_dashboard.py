"""The live page in a real browser, over a real server, while a scripted campaign grows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, expect

from lab.imported import import_results
from lab.notes import read_pinned
from lab.runs import locked
from lab.story.now import write_now
from tests.browser.conftest import Shoot, until
from tests.browser.tales import HOSTILE
from tests.unit.nights import make_record
from tests.unit.served import served, wait_until
from tests.unit.test_dashboard import SO_FAR, TAG, make_campaign, now_of, write_record


def leave(page: Page) -> None:
    """A page whose server ends says so on its console, and rightly."""
    page.goto("about:blank")


def test_a_growing_campaign_is_followed_and_can_be_stopped(
    page: Page, tmp_path: Path, shoot: Shoot
) -> None:
    """What a person does in the morning, and what must not get lost under the reader's eyes."""
    runs = tmp_path / "runs"
    folder = make_campaign(runs)
    with served(runs) as site, locked(folder):
        page.goto(f"{site.url}/")
        rows = page.locator("#experiments tbody tr:not(.detail)")
        expect(page.get_by_role("button", name="Stop after this experiment")).to_be_visible()
        write_now(folder, replace(now_of(7, HOSTILE), log_tail=HOSTILE))
        expect(page.get_by_role("heading", name="Experiment 6")).to_contain_text("</script>")
        write_record(folder, make_record(SO_FAR + 1, title=HOSTILE))
        expect(page.locator("body")).to_contain_text("onerror=")
        assert rows.count() >= 1
        shoot(page, "live")
        page.get_by_role("button", name="Stop after this experiment").click()
        wait_until((folder / "STOP").exists)
        assert (folder / "STOP").read_text().strip().lower() != "now"
        page.get_by_role("button", name="Stop now …").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop now").click()
        wait_until(lambda: (folder / "STOP").read_text().strip().lower() == "now")
        assert page.evaluate("document.images.length") == 0
        leave(page)


def test_a_note_is_pinned_from_the_page(page: Page, tmp_path: Path) -> None:
    """A person's word reaches the agent's next brief."""
    runs = tmp_path / "runs"
    folder = make_campaign(runs)
    with served(runs) as site:
        page.goto(f"{site.url}/")
        page.get_by_text("Pin a note for the agent").click()
        page.get_by_label("Note").fill("leave the tokenizer alone")
        page.get_by_role("button", name="Pin", exact=True).click()
        wait_until(lambda: read_pinned(folder) == ("leave the tokenizer alone",))
        leave(page)


def test_an_imported_table_is_drawn_beside_a_campaign(
    page: Page, tmp_path: Path, shoot: Shoot
) -> None:
    """The union of several logs is one picture, and says that their scores do not compare."""
    runs = tmp_path / "runs"
    make_campaign(runs)
    table = tmp_path / "results.tsv"
    lines = ("a1\t0.9979\t44.0\tkeep\tbaseline", "b2\t0.000000\t0.0\tcrash\ttoo wide",
             "c3\t0.9932\t44.2\tkeep\thalf the batch")  # fmt: skip
    head = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
    table.write_text("\n".join((head, *lines)) + "\n")
    import_results(runs, table, "theirs")
    with served(runs) as site:
        page.goto(f"{site.url}/#{TAG}")
        for box in page.get_by_role("checkbox").all():
            if box.is_enabled() and not box.is_checked():
                box.check()
        until(page, "Boolean(Nightlab.page.views.progress.model()?.several)")
        drawn = page.evaluate("Nightlab.page.views.progress.model().points.length")
        assert drawn >= SO_FAR + 2
        expect(page.locator("body")).to_contain_text("theirs")
        shoot(page, "union")
        leave(page)
