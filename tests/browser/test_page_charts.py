"""What the charts show, read from their own model and from the pixels on their canvas."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from lab.page.payload import as_json
from lab.page.shell import report_page
from lab.story.shapes import Story
from tests.browser.conftest import until
from tests.browser.tales import make_details, make_row, make_story

SCENE = """() => {
  const scene = Nightlab.page.views.progress.model();
  return { low: scene.low, high: scene.high, off: scene.off, noise: scene.noise, labels: scene.labels,
           steps: scene.lines[0].steps,
           drawn: scene.drawn.map((d) => ({ n: d.point.row.number, ending: d.point.row.ending, x: d.px, y: d.py, off: d.off,
                                            score: d.point.y, holdout: d.point.holdout })) };
}"""
# The share of pixels near a point whose colour is close to one of the style sheet.
NEAR = """([x, y, name]) => {
  const canvas = document.querySelector('#progress canvas');
  const ratio = canvas.width / canvas.getBoundingClientRect().width;
  const half = 4;
  const size = 2 * half * ratio;
  const sheet = document.createElement('canvas');
  const probe = sheet.getContext('2d', { willReadFrequently: true });
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--' + name);
  probe.fillRect(0, 0, 1, 1);
  const want = probe.getImageData(0, 0, 1, 1).data;
  probe.drawImage(canvas, (x - half) * ratio, (y - half) * ratio, size, size, 0, 0, size, size);
  const seen = probe.getImageData(0, 0, size, size).data;
  let near = 0;
  for (let i = 0; i < seen.length; i += 4) {
    if (Math.abs(seen[i] - want[0]) + Math.abs(seen[i + 1] - want[1]) + Math.abs(seen[i + 2] - want[2]) < 40) near += 1;
  }
  return near / (seen.length / 4);
}"""


def open_report(page: Page, folder: Path, story: Story) -> dict[str, Any]:
    path = folder / "report.html"
    path.write_text(report_page(story, make_details(story), progress_png=None), encoding="utf-8")
    page.goto(path.as_uri())
    until(page, "Nightlab.page && (Nightlab.page.views.progress.model().drawn || []).length")
    scene: dict[str, Any] = page.evaluate(SCENE)
    return scene


def test_every_experiment_has_its_mark_and_its_colour(page: Page, tmp_path: Path) -> None:
    """An experiment that is not drawn was not made, for who looks at the chart."""
    story = make_story(120)
    scene = open_report(page, tmp_path, story)
    assert [mark["n"] for mark in scene["drawn"]] == [row.number for row in story.rows]
    kept = [mark for mark in scene["drawn"] if mark["ending"] == "keep"]
    failed = [mark for mark in scene["drawn"] if mark["score"] is None]
    assert kept
    assert failed
    for mark in kept:
        assert page.evaluate(NEAR, [mark["x"], mark["y"], "kept"]) > 0.5
        assert (
            page.evaluate(NEAR, [mark["x"], mark["y"] - 60, "kept"]) < 0.2
        )  # not the whole canvas
    for mark in failed:
        assert page.evaluate(NEAR, [mark["x"], mark["y"], "failed"]) > 0.05


def test_lower_is_drawn_lower_and_a_failure_below_everything(page: Page, tmp_path: Path) -> None:
    scene = open_report(page, tmp_path, make_story(120))
    scored = sorted(
        (mark for mark in scene["drawn"] if mark["score"] is not None and not mark["off"]),
        key=lambda mark: mark["score"],
    )
    heights = [mark["y"] for mark in scored]
    assert heights == sorted(heights, reverse=True)
    assert all(m["y"] > heights[0] for m in scene["drawn"] if m["score"] is None)


def test_one_diverged_run_does_not_flatten_the_night(page: Page, tmp_path: Path) -> None:
    """It is marked at the top edge, and the legend says how bad the worst was."""
    story = make_story(120)
    worst = max(row.score_bpb for row in story.rows if row.score_bpb is not None)
    scene = open_report(page, tmp_path, story)
    assert worst > 2.5 > scene["high"]
    assert scene["off"] == sum(mark["off"] for mark in scene["drawn"]) > 0
    expect(page.locator("#progress .legend")).to_contain_text(f"worst {worst:.3f}")


def test_campaigns_of_different_classes_are_drawn_against_their_own_baselines(
    page: Page, tmp_path: Path
) -> None:
    """Their scores do not compare, and over one scale each would be a flat line."""
    one, far = make_story(120), make_story(80, seed=3, tag="far", class_id="another")
    rows = tuple(
        replace(
            row,
            score_bpb=None if row.score_bpb is None else row.score_bpb - 0.7,
            best_bpb=None if row.best_bpb is None else row.best_bpb - 0.7,
        )
        for row in far.rows
    )
    assert far.standing.baseline_bpb is not None
    standing = replace(far.standing, baseline_bpb=far.standing.baseline_bpb - 0.7)
    far = replace(far, rows=rows, standing=standing)
    open_report(page, tmp_path, one)
    page.evaluate(
        """(far) => { const one = JSON.parse(document.getElementById("story").textContent);
        Nightlab.page.show(one, [one, JSON.parse(far)].map((story, index) => ({ story, name: story.tag, index }))); }""",
        as_json(far),
    )
    scene = page.evaluate(SCENE)
    assert -0.5 < scene["low"] < 0 < scene["high"] < 0.5
    assert scene["off"] > 0
    page.get_by_role("button", name="as score").click()
    scene = page.evaluate(SCENE)
    assert scene["low"] < 1.2 < 1.8 < scene["high"]


def test_the_running_best_and_the_band_are_those_of_the_ledger(page: Page, tmp_path: Path) -> None:
    story = make_story(120)
    scene = open_report(page, tmp_path, story)
    best = [row.best_bpb for row in story.rows if row.best_bpb is not None]
    changes = [b for a, b in zip([None, *best], best, strict=False) if a != b]
    assert [step["y"] for step in scene["steps"]][: len(changes)] == changes
    sd = story.standing.noise_sd_bpb
    assert sd is not None
    assert scene["noise"] == sd
    expect(page.locator("#progress .legend")).to_contain_text(
        f"best ± 2 sd of one run ({2 * sd:.4f})"
    )


@pytest.mark.parametrize("width", [1280, 760])
def test_no_label_lies_on_another(page: Page, tmp_path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    scene = open_report(page, tmp_path, make_story(200))
    labels = scene["labels"]
    assert len(labels) >= 5
    for index, one in enumerate(labels):
        for other in labels[:index]:
            apart = (
                one["x1"] <= other["x0"]
                or other["x1"] <= one["x0"]
                or one["y1"] <= other["y0"]
                or other["y1"] <= one["y0"]
            )
            assert apart, (one, other)


def test_the_keyboard_walks_the_chart_and_opens_what_it_stands_on(
    page: Page, tmp_path: Path
) -> None:
    """What a mouse is told by hovering, a screen reader hears."""
    story = make_story(60)
    open_report(page, tmp_path, story)
    page.locator("#progress .plot").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#voice")).to_contain_text("Experiment 1, baseline")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    row = story.rows[-2]
    said = "no score" if row.score_bpb is None else f"{row.score_bpb:.4f} bits per byte"
    expect(page.locator("#voice")).to_contain_text(f"Experiment {row.number}")
    expect(page.locator("#voice")).to_contain_text(said)
    expect(page.locator("#progress .tip")).to_contain_text(row.title)
    page.keyboard.press("Enter")
    expect(page.locator(f"#detail-{row.number} h3")).to_be_visible()


def test_the_pointer_is_told_and_a_click_opens(page: Page, tmp_path: Path) -> None:
    story = make_story(60)
    scene = open_report(page, tmp_path, story)
    mark = next(mark for mark in scene["drawn"] if mark["ending"] == "keep")
    box = page.locator("#progress canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + mark["x"], box["y"] + mark["y"])
    tip = page.locator("#progress .tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text(f"{mark['n']} · kept")
    page.mouse.click(box["x"] + mark["x"], box["y"] + mark["y"])
    expect(page.locator(f"#detail-{mark['n']} h3")).to_be_visible()


def test_a_drag_looks_closer_and_a_button_goes_back(page: Page, tmp_path: Path) -> None:
    open_report(page, tmp_path, make_story(120))
    canvas = page.locator("#progress canvas")
    canvas.evaluate("(drawn) => drawn.scrollIntoView({ block: 'center' })")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 210, steps=4)
    page.mouse.up()
    until(page, "Nightlab.page.views.progress.model().drawn.length < 60")
    page.get_by_role("button", name="Show all").click()
    until(page, "Nightlab.page.views.progress.model().drawn.length === 120")


def test_over_time_the_same_night_stands_over_its_hours(page: Page, tmp_path: Path) -> None:
    story = make_story(60)
    before = open_report(page, tmp_path, story)
    page.get_by_role("button", name="over time").click()
    until(page, "Nightlab.page.views.progress.model().byTime")
    after = page.evaluate(SCENE)
    assert len(after["drawn"]) == len(before["drawn"])
    assert after["drawn"][30]["x"] != pytest.approx(before["drawn"][30]["x"], abs=0.5)


def test_the_waterfall_falls_from_the_baseline_to_the_best(page: Page, tmp_path: Path) -> None:
    story = make_story(120)
    story = replace(
        story, contributions=(*story.contributions[:-1], replace(story.contributions[-1], ablation=True))
    )  # fmt: skip
    open_report(page, tmp_path, story)
    bars = page.locator(".waterfall .bar").evaluate_all(
        "(bars) => bars.map((bar) => { const r = bar.getBoundingClientRect(); return [r.left, r.width]; })"
    )
    gains = [step.from_bpb - step.to_bpb for step in story.contributions]
    assert len(bars) == len(gains)
    assert [left for left, _ in bars] == sorted((left for left, _ in bars), reverse=True)
    pixels_a_bpb = bars[0][1] / gains[0]
    for (_, width), gain in zip(bars, gains, strict=True):
        assert width == pytest.approx(gain * pixels_a_bpb, rel=0.05, abs=1.5)
    expect(page.locator(".waterfall li").nth(len(gains) - 1)).to_contain_text("takes something out")


def test_the_lineage_emphasises_the_way_to_the_best(page: Page, tmp_path: Path) -> None:
    story = make_story(90, tree=True)
    open_report(page, tmp_path, story)
    path = [branch.number for branch in story.lineage if branch.on_path and branch.number]
    shown = page.locator(".tree .on-path .name b").all_inner_texts()
    assert sorted(int(number) for number in shown) == sorted(path)
    assert page.locator(".lanes path.on-path").count() == len(path)


def test_a_lineage_of_one_line_is_not_drawn(page: Page, tmp_path: Path) -> None:
    story = make_story(30)
    kept = [branch for branch in story.lineage if branch.on_path]
    line = tuple(
        replace(branch, parent=kept[index - 1].number if index else None)
        for index, branch in enumerate(kept)
    )
    open_report(page, tmp_path, replace(story, lineage=line))
    expect(page.locator("#lineage")).to_be_hidden()


def test_a_night_without_a_score_says_so(page: Page, tmp_path: Path) -> None:
    """The first thing that a new user sees may be three crashes."""
    story = make_story(3)
    rows = tuple(
        make_row(n, ending="crashed", ending_words="crashed", val_bpb=None, score_bpb=None, best_bpb=None)
        for n in (1, 2, 3)
    )  # fmt: skip
    empty = replace(
        story.standing, baseline_bpb=None, best_bpb=None, gain_bpb=None, noise_sd_bpb=None
    )
    page.add_init_script(
        "const paint = CanvasRenderingContext2D.prototype; const fill = paint.fillText; window.painted = [];"
        "paint.fillText = function (text, ...at) { window.painted.push(text); fill.call(this, text, ...at); };"
    )
    scene = open_report(page, tmp_path, replace(story, rows=rows, standing=empty, contributions=()))
    assert [mark["ending"] for mark in scene["drawn"]] == ["crashed"] * 3
    painted = page.evaluate("window.painted")
    assert "no experiment has a score" in painted
    assert not any(re.fullmatch(r"\d\.\d+", text) for text in painted), "a scale of nothing"
    expect(page.locator("#contributions")).to_be_hidden()
