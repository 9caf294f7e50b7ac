"""The report as a person opens it: one file, from anywhere, with nothing else in reach."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, Page, expect

from lab.page.shell import report_page
from lab.show.view import duration
from lab.story.shapes import DiffLine, Fact, Story
from tests.browser.conftest import Shoot, Watched, until
from tests.browser.tales import HOSTILE, make_detail, make_details, make_story


def share_of(colour: tuple[int, int, int], png: bytes) -> float:
    """The share of a picture's pixels that have this colour, 0 to 255 a channel."""
    pixels = np.round(imread(io.BytesIO(png))[:, :, :3] * 255)
    return float((np.abs(pixels - colour).max(axis=2) < 8).mean())


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def story() -> Story:
    return make_story(60, tree=True)


def write_report(folder: Path, story: Story) -> str:
    path = folder / "report.html"
    path.write_text(report_page(story, make_details(story), progress_png=PNG), encoding="utf-8")
    return path.as_uri()


def test_it_tells_the_whole_story_and_asks_for_nothing(
    page: Page, watched: Watched, story: Story, tmp_path: Path, shoot: Shoot
) -> None:
    """It is read from a mail attachment, on a machine that may have no network."""
    url = write_report(tmp_path, story)
    page.goto(url)

    for sentence in story.sentences:
        expect(page.locator(".sentences")).to_contain_text(sentence)
    titles = page.locator("main h2:visible").all_inner_texts()
    assert titles == [
        "Progress",
        "What each keep contributed",
        "All experiments",
        "Lineage",
        "Where the time went",
        "Check it yourself",
        "Where it ran, and of what",
    ]
    assert watched.requests == [url]
    shoot(page, "light", full=True)


def test_only_its_own_program_runs(
    page: Page, watched: Watched, story: Story, tmp_path: Path
) -> None:
    """The policy stands in the file, so that a text that became an element would still do nothing."""
    page.goto(write_report(tmp_path, story))
    policy = page.locator('meta[http-equiv="Content-Security-Policy"]').get_attribute("content")
    assert policy is not None
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.cheat = 1';"
        " document.body.append(s); }"
    )
    assert page.evaluate("window.cheat === undefined")
    # The browser says so on its console, which only this test wants.
    (refused,) = watched.problems
    assert "violates the following Content Security Policy" in refused
    watched.problems.clear()


@pytest.mark.parametrize("opening", ["mouse", "keyboard"])
def test_a_row_opens_to_its_detail(page: Page, story: Story, tmp_path: Path, opening: str) -> None:
    """What an experiment was is the second question of every reader."""
    page.goto(write_report(tmp_path, story))
    row = next(row for row in story.rows if row.ending == "keep")
    button = page.locator(f'tr[data-number="{row.number}"] button')
    if opening == "mouse":
        page.locator(f'tr[data-number="{row.number}"] td').first.click()
    else:
        button.focus()
        page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    detail = page.locator(f"#detail-{row.number}")
    expect(detail).to_contain_text(f"Idea {row.number}: a deeper model")
    expect(detail).to_contain_text("kept: the mean of 2 re-runs")
    expect(detail).to_contain_text("all 4,096 sampled")
    page.keyboard.press("Escape")
    button.focus()
    page.keyboard.press("Enter")
    expect(detail).to_have_count(0)
    expect(button).to_have_attribute("aria-expanded", "false")


def test_a_change_is_shown_with_its_colours_and_its_signs(
    page: Page, story: Story, tmp_path: Path
) -> None:
    """Green and red alone say nothing to some; the signs stand in the text, and can be copied."""
    page.goto(write_report(tmp_path, story))
    row = next(row for row in story.rows if row.kind == "candidate")
    page.locator(f'tr[data-number="{row.number}"] button').click()
    diff = page.locator(f"#detail-{row.number} .diff")
    lines = diff.inner_text().splitlines()
    assert [line[:1] for line in lines if line.strip()] == ["@", " ", "-", "+", "+", " "]
    assert diff.locator(".added .t-number").inner_text() == "3"
    colours = diff.evaluate(
        "(d) => ['.t-number', '.t-keyword', '.t-comment'].map((c) => getComputedStyle(d.querySelector(c)).color)"
    )
    assert len(set(colours)) == 3
    # Of the whole change, of which this page has no more than some lines.
    heading = page.locator(f"#detail-{row.number} h4").filter(has_text="Change against")
    expect(heading).to_have_text("Change against experiment 3: 12 added, 1 removed")


def test_a_replay_has_figures_of_its_own(page: Page, story: Story, tmp_path: Path) -> None:
    """It has no best and tries nothing, and yet it measured something."""
    standing = replace(
        story.standing, replays=3, replay_bpb=1.842, tried=0, kept=0, baseline_bpb=None,
        best_bpb=None, gain_bpb=None, gain_low_bpb=None, gain_high_bpb=None,
    )  # fmt: skip
    page.goto(write_report(tmp_path, replace(story, standing=standing)))
    figures = page.locator(".figures > div").all_inner_texts()
    names = [figure.split("\n")[0].lower() for figure in figures]
    assert names[0] == "replays" and not {"baseline", "best", "gain", "tried"} & set(names)
    assert "1.8420" in figures[0] and "the mean of 3" in figures[0]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (119.9, "1 min 59 s"),
        (3599.9, "59 min 59 s"),
        *((seconds, duration(seconds)) for seconds in (3600, 3900, 28_790, 28_799.9, 28_800)),
    ],
)
def test_a_duration_has_no_sixtieth_minute(
    page: Page, story: Story, tmp_path: Path, seconds: float, words: str
) -> None:
    """And is the one of the sentence beside it, which Python wrote."""
    page.goto(write_report(tmp_path, story))
    assert page.evaluate("(seconds) => Nightlab.duration(seconds)", seconds) == words


def test_hostile_texts_stay_texts(page: Page, story: Story, tmp_path: Path, shoot: Shoot) -> None:
    """Titles, hypotheses, diffs and logs come from models and from code that they wrote."""
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    rows = tuple(
        replace(row, title=HOSTILE, ending_words=HOSTILE, agent=HOSTILE) for row in story.rows
    )
    hostile = replace(
        story,
        tag=HOSTILE,
        hardware=HOSTILE,
        sentences=(HOSTILE,) * 3,
        rows=rows,
        contributions=tuple(replace(step, title=HOSTILE) for step in story.contributions),
        lineage=tuple(replace(branch, title=HOSTILE) for branch in story.lineage),
        facts=(Fact(name=HOSTILE, value=HOSTILE),),
        commands=tuple(replace(command, what=HOSTILE) for command in story.commands),
    )
    details = [
        make_detail(
            row,
            hypothesis=HOSTILE,
            verdict=HOSTILE,
            reason=HOSTILE,
            notes=(Fact(name=HOSTILE, value=HOSTILE),),
            diff=(DiffLine(kind="+", spans=(("keyword", HOSTILE), ('x" onclick="', HOSTILE))),),
            audit=(Fact(name=HOSTILE, value=HOSTILE),),
            log_tail=HOSTILE * 20,
        )
        for row in rows
    ]
    path = tmp_path / "hostile.html"
    path.write_text(report_page(hostile, details, progress_png=None), encoding="utf-8")
    page.goto(path.as_uri())
    page.evaluate("Nightlab.page.open(5)")
    expect(page.locator("#detail-5 .log")).to_contain_text("alert(1)")
    page.locator(".plot").first.focus()
    page.keyboard.press("ArrowRight")

    assert page.locator("main img").count() == 0
    assert page.locator("main script").count() == 0
    assert page.locator("[onerror], [onclick]").count() == 0
    assert HOSTILE[:40] in page.locator("h1").inner_text()
    assert dialogs == []
    shoot(page, "hostile")


def test_without_a_program_it_still_tells_the_story(
    browser: Browser, story: Story, tmp_path: Path, shoot: Shoot
) -> None:
    """Mail programs show attachments with scripts switched off."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(write_report(tmp_path, story))
    for sentence in story.sentences:
        expect(page.get_by_text(sentence)).to_be_visible()
    expect(page.get_by_text(story.commands[0].command)).to_be_visible()
    assert page.locator("noscript img, img.picture").count() == 1
    shoot(page, "noscript")
    context.close()


def test_the_address_opens_an_experiment(page: Page, story: Story, tmp_path: Path) -> None:
    """A colleague is sent to one experiment, not to the top of a long page."""
    page.goto(write_report(tmp_path, story) + "#experiment-12")
    expect(page.locator("#detail-12 h3")).to_contain_text("Experiment 12")


def test_the_time_adds_up(page: Page, story: Story, tmp_path: Path) -> None:
    """A bar whose words do not add up to the whole is not believed, and should not be."""
    page.goto(write_report(tmp_path, story))
    shares = page.locator(".shares b").all_inner_texts()
    whole = sum(float(re.sub(r"[^0-9.]", "", share)) for share in shares)
    assert len(shares) == len([share for share in story.budget if share.seconds > 0])
    assert whole == pytest.approx(100, abs=1.5)
    widths = page.locator(".budget span").evaluate_all(
        "(parts) => parts.map((part) => part.getBoundingClientRect().width)"
    )
    drawn = widths[0] / sum(widths)
    meant = story.budget[0].seconds / sum(share.seconds for share in story.budget)
    assert drawn == pytest.approx(meant, abs=0.02)


def test_a_printed_report_has_what_was_open(
    page: Page, story: Story, tmp_path: Path, shoot: Shoot
) -> None:
    """Paper is white, has no buttons, and shows what its reader chose to open."""
    page.emulate_media(color_scheme="dark")
    page.goto(write_report(tmp_path, story))
    page.evaluate("Nightlab.page.open(6)")
    expect(page.locator("#detail-6 .log")).to_be_visible()
    page.emulate_media(media="print", color_scheme="dark")
    until(page, "Nightlab.printing()")
    expect(page.locator("#detail-6 .log")).to_be_visible()
    expect(page.locator(".controls").first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none"
    expect(page.locator(".plot canvas").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("tr.line").count() == len(story.rows)
    kept, confirmed = (0, 114, 178), (204, 121, 167)
    assert share_of(kept, page.locator(".waterfall .bar").first.screenshot()) > 0.5
    assert share_of(kept, page.locator("#progress canvas").screenshot()) > 0.001
    bar = page.locator(".budget").screenshot()
    assert share_of(kept, bar) > 0.1
    assert share_of(confirmed, bar) > 0.02
    expect(page.get_by_text("Not printed: what 59 experiments open to")).to_be_visible()
    shoot(page, "print", full=True)
    page.emulate_media(media="screen", color_scheme="dark")
    until(page, "!Nightlab.printing()")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
