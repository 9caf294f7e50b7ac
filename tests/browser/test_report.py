"""`lab report` of a whole campaign's folder, opened as an attachment is: a file, with no network and no server."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from lab.report.writing import write_report
from tests.browser.conftest import Shoot, Watched
from tests.unit.nights import make_record
from tests.unit.reported import make_reported
from tests.unit.stories import tell

COUNT = 40
HOSTILE = """</script><script>alert(1)</script><img src=x onerror="alert(2)"> \u202e"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_reported(tmp_path_factory.mktemp("runs") / "nov23", COUNT))


def test_a_stranger_sees_what_was_tried_and_how_sure_that_is(
    page: Page, watched: Watched, report: Path, shoot: Shoot
) -> None:
    """One minute, one file, nothing else in reach."""
    page.goto(report.as_uri())
    said = page.locator(".sentences")
    for words in ("better", "95 % confidence", "Xeon, 2 cores", f"{COUNT} experiments"):
        expect(said).to_contain_text(words)
    expect(page.locator("tr[data-number]")).to_have_count(COUNT)
    expect(page.get_by_text("make verify").first).to_be_visible()
    assert watched.requests == [report.as_uri()]
    shoot(page, "first-look")


def test_an_experiment_opens_to_its_change_and_its_curve(
    page: Page, report: Path, shoot: Shoot
) -> None:
    """The files of the campaign are in the page: diff, curve and log."""
    page.goto(report.as_uri())
    page.locator('tr[data-number="4"] button').click()
    detail = page.locator("#detail-4")
    expect(detail.locator(".diff")).to_contain_text("# tuned")
    expect(detail.locator("canvas").first).to_be_visible()
    expect(detail.locator(".log")).to_contain_text("step   599")
    shoot(page, "experiment")


def test_without_a_program_the_story_and_the_picture_are_there(
    browser: Browser, report: Path
) -> None:
    """Mail readers show a page and run nothing of it."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    expect(page.locator("#plain")).to_contain_text("95 % confidence")
    picture = page.locator("img.picture")
    expect(picture).to_be_visible()
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] > 400
    context.close()


def test_it_prints_with_its_progress(
    page: Page, report: Path, tmp_path: Path, shoot: Shoot
) -> None:
    """A meeting still has paper."""
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    expect(page.locator("canvas").first).to_be_visible()
    page.pdf(path=tmp_path / "report.pdf", format="A4", print_background=True)
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF") and len(content) > 30_000
    shoot(page, "print", full=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, report: Path, scheme: str, shoot: Shoot) -> None:
    """Everybody may read a result."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(report.as_uri())
    page.locator('tr[data-number="4"] button').click()
    expect(page.locator("#detail-4 .diff")).to_be_visible()
    found = Axe().run(page).response["violations"]
    serious = [f["id"] for f in found if f["impact"] in ("serious", "critical")]
    assert serious == []
    shoot(page, scheme, full=True)


def test_hostile_texts_stay_texts(page: Page, tmp_path: Path) -> None:
    """Titles, changes and logs come from a model, through the ledger and the files, into the page."""
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    night = [
        make_record(1, kind="baseline", val_bpb=1.9),
        make_record(2, val_bpb=1.95, best_bpb=1.9, title=HOSTILE, facts={HOSTILE: HOSTILE}),
    ]
    folder = tell(tmp_path / "nov23", night, agent=HOSTILE)
    place = folder / "experiments" / "0002"
    place.mkdir(parents=True)
    (place / "train.log").write_text(HOSTILE)
    (place / "change.diff").write_text(f"@@ -1 +1 @@\n-x = 1\n+x = {HOSTILE}\n")
    page.goto(write_report(folder).as_uri())
    page.locator('tr[data-number="2"] button').click()
    expect(page.locator("#detail-2 .log")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("#detail-2 .diff")).to_contain_text("<script>alert(1)</script>")
    assert page.locator("img[src=x]").count() == 0
    assert dialogs == []
