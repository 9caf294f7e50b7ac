"""`lab compare`: what is shown of several hosts, and above all what is not claimed."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lab.compare import compare
from lab.errors import BadInput, CampaignError
from lab.facts import Facts
from lab.fingerprint import Fingerprint
from lab.ledger import Record
from lab.outcome import Status
from lab.parquet import Column, write_parquet
from lab.show.comparison import Comparison, as_markdown, draw, rows_of, write_comparison
from lab.show.comparison_chart import draw_comparison
from lab.show.comparison_page import page_of
from lab.verdict import Noise
from tests.unit.nights import make_kept, make_night, make_record
from tests.unit.sent import SENDER, write_campaign

HOSTILE = "<script>alert(1)</script> | `x` [l](javascript:1) @team\x1b[31m\n$\\frac$"


def facts(tag: str, *, class_id: str = "5" * 16, cores: float = 2.0, **more: Any) -> Facts:
    fingerprint = Fingerprint(
        class_id=class_id,
        comparable={"cpu": "EPYC", "cores": cores},
        conditions={},
        private={},
        missing={},
    )
    given = {"tag": tag, "fingerprint": fingerprint, "prior_noise": Noise(sd_bpb=0.002, df=8)}
    return replace(SENDER, **(given | more))


def records(start: float, best: float, title: str = "Wider") -> list[Record]:
    return [
        make_record(1, kind="baseline", val_bpb=start - 0.001),
        make_record(2, kind="baseline", val_bpb=start + 0.001),
        *make_kept(3, val_bpb=best, best_bpb=start, title=title),
    ]


def put(tmp_path: Path, *campaigns: tuple[Facts, Sequence[Record]]) -> Comparison:
    names = []
    for index, (about, ledger) in enumerate(campaigns):
        folder = write_campaign(tmp_path / str(index) / about.tag, about, ledger)
        names.append(str(folder))
    return compare(tmp_path / "runs", names)


def text_of(comparison: Comparison, width: int = 160) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(draw(comparison))
    return console.export_text()


def said(comparison: Comparison) -> list[str]:
    return [sentence.plain for sentence in comparison.sentences]


def row(comparison: Comparison, label: str) -> tuple[str, ...]:
    (found,) = [row for row in rows_of(comparison) if row.label.startswith(label)]
    return found.cells


def test_one_class_compares_scores(tmp_path: Path) -> None:
    """There the lower score is the better model, if the noise allows to say so."""
    comparison = put(
        tmp_path, (facts("one"), records(1.90, 1.86)), (facts("two"), records(1.90, 1.84))
    )
    first, second = said(comparison)
    assert first == "Both are of one class of hardware, so their scores compare."
    assert second.startswith("The best of one scores 0.0200 higher than that of two (")
    assert second.endswith("more than the noise explains.")


def test_a_difference_within_the_noise_is_called_one(tmp_path: Path) -> None:
    """Of two nights one is always lower."""
    comparison = put(
        tmp_path, (facts("one"), records(1.90, 1.860)), (facts("two"), records(1.90, 1.8605))
    )
    assert said(comparison)[1].endswith(": no more than the noise explains.")


def test_across_classes_no_score_is_held_against_another(tmp_path: Path) -> None:
    """The faster machine has the lower score, and says nothing about the research."""
    comparison = put(
        tmp_path,
        (facts("slow", cores=1.0, class_id="1" * 16), records(2.50, 2.46)),
        (facts("fast", cores=2.0), records(1.90, 1.88)),
    )
    words_said = " ".join(said(comparison))
    assert "absolute scores do not compare" in words_said
    assert "Class 2 against class 1: cores 2 against 1." in words_said
    assert "slow gained 0.0200 more than fast, each over its own baseline" in words_said
    assert "scores 0." not in words_said
    assert [host.name for host in comparison.hosts] == ["slow", "fast"], "as given, not ranked"
    assert row(comparison, "baseline, within its class") == ("2.5000 (2 runs)", "1.9000 (2 runs)")
    for shown in (text_of(comparison), as_markdown(comparison, picture="p.png")):
        assert "absolute scores do not compare" in " ".join(shown.split())
        assert shown.index("slow") < shown.index("fast")


def test_the_order_is_the_one_given_whoever_is_better(tmp_path: Path) -> None:
    """A table sorted by score would be a ranking without saying so."""
    worse, better = records(1.90, 1.88), records(1.90, 1.80)
    for tags in (("a", "b"), ("b", "a")):
        place = tmp_path / tags[0]
        comparison = put(place, (facts(tags[0]), worse), (facts(tags[1]), better))
        assert [host.name for host in comparison.hosts] == list(tags)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"profile": "cpu"}, "neither scores nor gains compare", id="profile"),
        pytest.param({"data_sha256": "8" * 64}, "neither scores nor gains compare", id="data"),
        pytest.param(
            {"harness_sha256": "8" * 64}, "neither scores nor gains compare", id="harness"
        ),
        pytest.param({"train_sha256": "8" * 64}, "different starts", id="seed"),
    ],
)
def test_another_question_has_another_answer(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    """A gain of bits on other text, or over another start, is not more or less of the same thing."""
    comparison = put(
        tmp_path,
        (facts("a"), records(1.90, 1.86)),
        (facts("b", class_id="1" * 16, cores=1.0, **more), records(2.5, 2.46)),
    )
    words_said = " ".join(said(comparison))
    assert words in words_said and "each over its own baseline (" not in words_said


def test_a_campaign_of_crashes_is_shown_and_not_judged(tmp_path: Path) -> None:
    """Somebody's first night is often one."""
    crashed = [make_record(n, kind="baseline", status=Status.CRASHED) for n in (1, 2)]
    comparison = put(
        tmp_path,
        (facts("broken"), crashed),
        (facts("empty"), []),
        (facts("fine"), records(1.9, 1.86)),
    )
    assert row(comparison, "gain over own baseline") == ("none", "none", "0.0400 (2.1%)")
    assert row(comparison, "baseline")[:2] == ("none", "none")
    assert row(comparison, "tokens/s, best")[:2] == ("unknown", "unknown")
    assert len(comparison.sentences) == 1, "there is nothing to hold against anything"
    assert draw_comparison(comparison, "png").startswith(b"\x89PNG")
    assert "broken" in text_of(comparison)


def test_a_night_without_a_keep_has_a_baseline_and_no_gain(tmp_path: Path) -> None:
    """A gain of 0 would be a result; this is none."""
    comparison = put(
        tmp_path, (facts("a"), records(1.9, 1.86)[:2]), (facts("b"), records(1.9, 1.86))
    )
    assert row(comparison, "gain over own baseline")[0] == "none"
    assert row(comparison, "kept last")[0] == "nothing"


# ---- curves ----


def write_curve(folder: Path, number: int, losses: Sequence[float | None]) -> None:
    place = folder / "experiments" / f"{number:04d}"
    place.mkdir(parents=True)
    write_parquet(
        place / "curve.parquet",
        {
            "tokens": Column(type="int64", values=[1000 * (n + 1) for n in range(len(losses))]),
            "loss_nats": Column(type="double", values=losses),
        },
    )


def two(tmp_path: Path, **more: Any) -> list[Path]:
    return [
        write_campaign(tmp_path / "0" / "a", facts("a"), records(1.9, 1.86)),
        write_campaign(tmp_path / "1" / "b", facts("b", **more), records(1.9, 1.84)),
    ]


def compared(folders: Sequence[Path]) -> Comparison:
    return compare(folders[0], [str(folder) for folder in folders])


def test_tokens_to_the_others_loss_come_from_the_curves(tmp_path: Path) -> None:
    """The one that ends lower was at the other's end earlier; the curve is of the best's last run."""
    folders = two(tmp_path)
    write_curve(folders[0], 4, [5.0, 4.0, 3.5, 3.2])
    write_curve(folders[1], 4, [4.5, None, 3.1, float("nan"), 2.9])
    comparison = compared(folders)
    assert [host.tokens_to_target for host in comparison.hosts] == [4000, 3000]
    assert row(comparison, "tokens to the target loss") == ("4.00 k", "3.00 k")
    assert "train.py's own claims" in text_of(comparison)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 is not enough", b"x" * 5000])
def test_without_a_curve_the_reason_stands_there(tmp_path: Path, content: bytes | None) -> None:
    """A missing or a broken table is no reason to show nothing else."""
    folders = two(tmp_path)
    write_curve(folders[0], 4, [5.0, 4.0])
    if content is not None:
        (folders[1] / "experiments" / "0004").mkdir(parents=True)
        (folders[1] / "experiments" / "0004" / "curve.parquet").write_bytes(content)
    assert (
        row(compared(folders), "tokens to the target loss") == ("unknown: no training curve",) * 2
    )


def test_losses_on_other_text_are_no_target(tmp_path: Path) -> None:
    """A nat a token of another tokenizer is another nat."""
    folders = two(tmp_path, data_sha256="8" * 64)
    for folder in folders:
        write_curve(folder, 4, [5.0, 4.0])
    assert (
        row(compared(folders), "tokens to the target loss")[0]
        == "unknown: losses are of different text"
    )


# ---- what is given, and what is written ----


def test_tags_and_folders_name_a_campaign_and_twins_are_told_apart(tmp_path: Path) -> None:
    """Two labs may both have called it nov23."""
    write_campaign(tmp_path / "runs" / "nov23", facts("nov23"), records(1.9, 1.86))
    other = write_campaign(tmp_path / "friend" / "nov23", facts("nov23"), records(1.9, 1.85))
    comparison = compare(tmp_path / "runs", ["nov23", str(other)])
    assert [host.name for host in comparison.hosts] == ["nov23", "nov23 (2)"]
    assert row(comparison, "records") == ("folder, unchecked", "folder, unchecked")


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (["nov23"], BadInput, "needs two"),
        (["nov23", "absent"], BadInput, "no campaign absent"),
        (["nov23", "torn"], CampaignError, "was altered"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, names: list[str], error: type[Exception], words: str
) -> None:
    """A traceback helps nobody."""
    write_campaign(tmp_path / "nov23", facts("nov23"), records(1.9, 1.86))
    torn = write_campaign(tmp_path / "torn", facts("torn"), [])
    (torn / "campaign.json").write_text("{}")
    with pytest.raises(error, match=words):
        compare(tmp_path, names)


def hostile(tmp_path: Path) -> Comparison:
    bad = Fingerprint(
        class_id="<b>",
        comparable={HOSTILE: HOSTILE, "cpu": HOSTILE},
        conditions={},
        private={},
        missing={},
    )
    return put(
        tmp_path,
        (facts("a"), records(1.9, 1.86)),
        (
            replace(facts("x"), tag=HOSTILE.replace("/", "-"), fingerprint=bad),
            records(1.9, 1.86, title=HOSTILE),
        ),
    )


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    """A bundle comes from a stranger, and the page is opened in a browser."""
    comparison = hostile(tmp_path)
    page = page_of(comparison, svg=draw_comparison(comparison, "svg"))
    assert "<script" not in page and "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:image/svg)", page), "it loads nothing"
    words = as_markdown(comparison, picture="p.png")
    outside = re.sub(r"`[^`\n]*`", "", words)
    assert "<script" not in outside and "@team" not in outside and "](javascript" not in outside
    assert len({line.count("|") for line in words.splitlines() if line.startswith("| ")}) == 1
    assert "\x1b" not in text_of(comparison)


def test_the_files_are_whole_and_the_same_each_time(tmp_path: Path) -> None:
    """What is shared can be made again and held against the first."""
    comparison = put(
        tmp_path,
        (facts("a"), make_night(60)),
        (facts("b", class_id="1" * 16), make_night(40, seed=2)),
    )
    page, table = tmp_path / "out.html", tmp_path / "my out.md"
    assert write_comparison(comparison, page) == [page]
    assert write_comparison(comparison, table) == [table, tmp_path / "my out.png"]
    assert "(my%20out.png)" in table.read_text()
    once = page.read_bytes(), table.read_bytes(), (tmp_path / "my out.png").read_bytes()
    write_comparison(comparison, page)
    write_comparison(comparison, table)
    assert once == (page.read_bytes(), table.read_bytes(), (tmp_path / "my out.png").read_bytes())
    with pytest.raises(BadInput, match=r"\.html"):
        write_comparison(comparison, tmp_path / "out.pdf")
