"""card.png: what is said in large letters, and that the picture shows it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from lab.imported import import_results
from lab.ledger import Record
from lab.outcome import Status
from lab.report import card
from lab.report.card import HEIGHT_PX, WIDTH_PX, draw_card, headline_of, stats_of
from lab.show import chart
from lab.show.chart import BASELINE, DISCARDED, KEPT, draw_progress
from lab.show.words import ending
from lab.story.reading import Tale
from lab.story.shapes import Story
from tests.unit.nights import make_kept, make_night, make_record
from tests.unit.stories import tell
from tests.unit.test_progress import clusters, mask, spread_night

PLOT = (slice(240, 520), slice(50, 1018))  # rows and columns of the curve


def story_of(folder: Path, records: Sequence[Record]) -> Story:
    return Tale.open(tell(folder / "nov23", records)).story()


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures as they are drawn, so that a test can read their texts."""
    seen: list[Figure] = []
    picture = card.picture

    def watched(width_px: int, height_px: int, draw: Callable[[Figure], None]) -> bytes:
        def drawing(figure: Figure) -> None:
            draw(figure)
            seen.append(figure)

        return picture(width_px, height_px, drawing)

    monkeypatch.setattr(card, "picture", watched)
    return seen


def pixels_of(content: bytes) -> np.ndarray:
    pixels = imread(io.BytesIO(content))
    assert pixels.shape[:2] == (HEIGHT_PX, WIDTH_PX)
    return np.round(pixels[:, :, :3] * 255).astype(int)


def texts_of(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text().strip()]


def words_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts_of(figure))


def test_the_card_says_the_gain_how_sure_it_is_and_where_it_was_measured(
    tmp_path: Path, figures: list[Figure]
) -> None:
    """What is posted without its noise and its hardware is an advertisement."""
    story = story_of(tmp_path, make_night(98))
    draw_card(story)
    words, standing = words_of(figures[0]), story.standing
    assert standing.gain_bpb and standing.gain_low_bpb and standing.gain_high_bpb
    for expected in (
        f"{standing.gain_bpb:.4f} bits per byte better",
        f"95 % interval {standing.gain_low_bpb:.4f} to {standing.gain_high_bpb:.4f}",
        f"{standing.baseline_bpb:.4f} → {standing.best_bpb:.4f}",
        *("nov23", "Xeon, 2 cores", "Nightlab", "98", "hours"),
        f"kept of {standing.tried} tried",
    ):
        assert expected in words
    sizes = {text.get_text(): text.get_fontsize() for text in texts_of(figures[0])}
    assert max(sizes, key=sizes.__getitem__).endswith("better")


def test_every_word_is_inside_the_picture(tmp_path: Path, figures: list[Figure]) -> None:
    """A site that shows the card cuts nothing more, and nothing may be cut already."""
    story = story_of(tmp_path, make_night(98))
    longest = replace(
        story, tag="a" * 40, hardware="NVIDIA H100 80GB HBM3, MIG 1g.10gb and a long name besides",
        standing=replace(story.standing, cost_usd=12345.67, experiments=12_345, tried=11_111),
    )  # fmt: skip
    for one in (story, longest):
        draw_card(one)
        for text in texts_of(figures[-1]):
            box = text.get_window_extent()
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= WIDTH_PX and box.y1 <= HEIGHT_PX
            assert inside, (text.get_text(), box)


def test_the_curve_shows_baselines_discards_and_keeps(tmp_path: Path) -> None:
    """The picture is the proof of the sentence over it."""
    night = spread_night()
    pixels = pixels_of(draw_card(story_of(tmp_path, night)))
    endings = [ending(record) for record in night]
    baselines = clusters(mask(pixels, BASELINE, PLOT), least=40)
    discards = clusters(mask(pixels, DISCARDED, PLOT), least=15)
    assert (len(baselines), len(discards)) == (endings.count("baseline"), endings.count("discard"))
    blue = mask(pixels, KEPT, PLOT)
    columns = np.flatnonzero(blue.any(axis=0))
    tops = [int(np.argmax(blue[:, column])) for column in columns]
    assert tops[-1] > tops[0] + 60, "the running best falls: rows count downwards"


def test_a_night_that_kept_nothing_says_so(tmp_path: Path, figures: list[Figure]) -> None:
    """An honest card of a night without a gain is worth more than none, and much more than a flattering one."""
    night = [
        make_record(1, kind="baseline", val_bpb=1.90),
        make_record(2, kind="baseline", val_bpb=1.91),
        make_record(3, val_bpb=1.95, best_bpb=1.905),
    ]
    story = story_of(tmp_path, night)
    pixels = pixels_of(draw_card(story))
    assert headline_of(story).large == "Nothing kept"
    assert "1 idea tried" in headline_of(story).under
    assert headline_of(replace(story, running=True)).large == "Nothing kept so far"
    words = words_of(figures[0])
    assert "better\n" not in words and "%" not in words
    head = (slice(100, 180), slice(40, 1160))
    assert not mask(pixels, KEPT, head).any(), "only a gain is blue"


def test_a_gain_that_may_be_none_is_called_so(tmp_path: Path) -> None:
    """An interval over zero is no news."""
    story = story_of(tmp_path, make_night(98))
    unsure = replace(story.standing, gain_bpb=0.001, gain_low_bpb=-0.002, gain_high_bpb=0.004)
    under = headline_of(replace(story, standing=unsure)).under
    assert "95 % interval \N{MINUS SIGN}0.0020 to 0.0040, so it may be none" in under


def test_a_best_that_is_worse_is_not_called_better(tmp_path: Path) -> None:
    """The rule keeps an equal score with less code; its mean may be a little higher."""
    story = story_of(tmp_path, make_night(98))
    worse = replace(story.standing, gain_bpb=-0.0004, gain_low_bpb=-0.002, gain_high_bpb=0.001)
    head = headline_of(replace(story, standing=worse))
    assert head.large == "0.0004 bits per byte worse"
    assert not head.gained


def test_a_running_night_says_so_far(tmp_path: Path) -> None:
    """A card is read days later."""
    story = replace(story_of(tmp_path, make_night(98)), running=True)
    assert headline_of(story).large.endswith("better so far")


def test_an_imported_table_claims_no_confidence(tmp_path: Path, figures: list[Figure]) -> None:
    """Nobody measured its noise, so nobody knows."""
    table = tmp_path / "results.tsv"
    table.write_text(
        "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
        "a1\t0.9979\t44.0\tkeep\tbaseline\nb2\t0.9931\t44.2\tkeep\tincrease LR\n"
    )
    story = Tale.open(import_results(tmp_path / "runs", table, "theirs")).story()
    draw_card(story)
    words = words_of(figures[0])
    assert "0.0048 bits per byte better" in words
    assert "how sure that is, nobody measured" in words
    assert "imported" in words and "hours" not in words


@pytest.mark.parametrize("count", [0, 1, 2, 8, 2000])
def test_any_night_gives_a_card(tmp_path: Path, count: int) -> None:
    """Whatever there is, there is something true to say of it."""
    story = story_of(tmp_path, make_night(count))
    pixels = pixels_of(draw_card(story))
    assert (pixels[100:180, 40:700] < 100).any(), "the headline is there"
    assert headline_of(story).large == "Nothing measured yet" or count


@pytest.mark.parametrize(
    "title", ["$x^2$ and $", "\\frac{1}{", "日本語 \U0001f600", "a\nb\x1b[31m"]
)
def test_no_title_and_no_name_can_stop_the_card(tmp_path: Path, title: str) -> None:
    """Titles come from a model; matplotlib would read a dollar sign as mathematics."""
    night = [make_record(1, kind="baseline", val_bpb=1.9)]
    night += make_kept(2, val_bpb=1.8, best_bpb=1.9, title=title)
    story = replace(story_of(tmp_path, night), tag=title, hardware=title)
    assert len(draw_card(story)) > 10_000


def test_equal_stories_give_equal_bytes(tmp_path: Path) -> None:
    """A picture that changes by itself would make every report another one."""
    story = story_of(tmp_path, make_night(40))
    assert draw_card(story) == draw_card(story)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(45.0, ("45", "seconds")), (600.0, ("10", "minutes")), (29_520.0, ("8.2", "hours"))],
)
def test_times_have_a_unit_that_one_reads(
    tmp_path: Path, seconds: float, shown: tuple[str, str]
) -> None:
    """A night is not 29520 seconds long."""
    story = story_of(tmp_path, make_night(8))
    assert shown in stats_of(replace(story, standing=replace(story.standing, took_s=seconds)))


@pytest.mark.parametrize("whole", [True, False], ids=["progress", "card"])
def test_a_night_without_a_score_is_said_and_not_drawn(
    tmp_path: Path, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of a scale from 0 to 1 would look like scores."""
    picture = chart.picture
    crashed = [
        make_record(1, kind="baseline", status=Status.CRASHED),
        make_record(2, status=Status.CRASHED),
    ]
    for records, words in (crashed, "no experiment has a score"), ([], "no experiment yet"):
        seen: list[Figure] = []
        at = chart if whole else card

        def watched(
            width: int, height: int, draw: Callable[[Figure], None], seen: list[Figure] = seen
        ) -> bytes:
            return picture(width, height, lambda figure: (draw(figure), seen.append(figure))[0])

        with monkeypatch.context() as patched:
            patched.setattr(at, "picture", watched)
            if whole:
                draw_progress(tmp_path / "progress.png", records, title="t")
            else:
                draw_card(story_of(tmp_path, records))
        plot = seen[0].axes[0]
        assert [text.get_text() for text in plot.texts] == [words]
        assert list(plot.get_yticks()) == []
