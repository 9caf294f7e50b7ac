"""A replay as people see it: it runs another lab's code, so it has no best, and often no baseline."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.errors import BadInput
from lab.ledger import REPLAY, Record
from lab.replay import AGENT
from lab.report.card import draw_card, headline_of, stats_of
from lab.show.chart import summary_of
from lab.show.results import write_results
from lab.story.reading import Tale
from tests.unit.nights import make_record, make_seed
from tests.unit.stories import tell

SCORES = (1.841, 1.842, 1.843)
VERDICT = "the verdict is in replay.json"


def replays(first: int = 1) -> list[Record]:
    return [
        make_record(number, kind=REPLAY, val_bpb=score)
        for number, score in enumerate(SCORES, start=first)
    ]


SAME_CLASS = replays()
OTHER_CLASS = [*make_seed(1.90, 1.91), *replays(3)]
UNMEASURED = "nothing measured", "nothing was measured", "none of", "no change was tried"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTLAB_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("records", "words"),
    [
        pytest.param(SAME_CLASS, "3 replays average 1.8420 bits per byte", id="same-class"),
        pytest.param(
            OTHER_CLASS,
            "3 replays average 1.8420 bits per byte, the baseline 1.9050",
            id="other-class",
        ),
    ],
)
def test_a_replay_is_told_by_its_scores_wherever_it_is_shown(
    runs: Path, records: list[Record], words: str
) -> None:
    """It ran for hours; a page that says that nothing was measured sends its reader to run it again."""
    folder = tell(runs / "replay-x", records, agent=AGENT)
    (folder / "replay.json").write_text("{}")
    story = Tale.open(folder).story()
    assert story.sentences[0] == f"{words}; {VERDICT}."
    assert "agent" not in story.sentences[1]
    assert story.sentences[2].startswith(f"{len(records)} experiments in ")
    assert (headline_of(story).large, headline_of(story).under) == (words, VERDICT)
    assert not any("tried" in what for _, what in stats_of(story))
    assert len(draw_card(story)) > 10_000
    assert summary_of(story.standing) == words
    shown = CliRunner().invoke(app, ["status"]).output
    assert f"score    {words}\n" in shown
    assert f"The verdict is in {folder / 'replay.json'}; `make replay`" in shown
    assert "tried" not in shown
    everything = "\n".join([*story.sentences, shown, headline_of(story).large])
    assert not any(words in everything.lower() for words in UNMEASURED)


def test_a_replay_does_not_go_on_overnight(runs: Path) -> None:
    """That would look for ideas of its own in a campaign that holds another lab's code."""
    folder = tell(runs / "replay-x", [], agent=AGENT)
    for records in ([], SAME_CLASS):
        tell(folder, records, agent=AGENT)
        assert "make overnight" not in CliRunner().invoke(app, ["status"]).output
        commands = [each.command for each in Tale.open(folder).story().commands]
        assert commands == [
            "make bundle TAG=replay-x",
            "make verify BUNDLE=nightlab-replay-x.tar.zst",
        ]
    (folder / "STOP").touch()
    shown = CliRunner().invoke(app, ["status"]).output
    assert f"`rm {folder / 'STOP'}`, and `make replay`" in shown


def test_a_running_replay_promises_its_verdict(tmp_path: Path) -> None:
    """replay.json is written after the last run."""
    tale = Tale.open(tell(tmp_path / "replay-x", SAME_CLASS, agent=AGENT))
    tale.running = True
    assert tale.story().sentences[0].endswith("; the verdict will be in replay.json.")
    assert headline_of(tale.story()).under == "no verdict yet"


def test_a_replay_names_no_best(runs: Path) -> None:
    """Its runs are all of one code; each opens by its number."""
    tell(runs / "replay-x", SAME_CLASS, agent=AGENT)
    refused = CliRunner().invoke(app, ["show"])
    assert isinstance(refused.exception, BadInput)
    assert "has no best experiment" in str(refused.exception)
    assert "no measured experiment" not in str(refused.exception)
    assert "1.8420 bits per byte" in CliRunner().invoke(app, ["show", "2"]).output


def test_the_table_of_a_replay_is_imported_as_one(runs: Path, tmp_path: Path) -> None:
    """Its first line is no baseline, whatever the original project's would be."""
    write_results(tmp_path, SAME_CLASS)
    done = CliRunner().invoke(app, ["import", str(tmp_path / "results.tsv"), "--tag", "theirs"])
    assert done.exit_code == 0
    story = Tale.open(runs / "theirs").story()
    assert [row.kind for row in story.rows] == [REPLAY] * 3
    assert story.standing.baseline_bpb is None
    assert story.sentences[0] == (
        "3 replays average 1.8420 bits per byte; the table holds no verdict."
    )


def test_scores_without_a_baseline_are_not_called_none(tmp_path: Path) -> None:
    """A sentence that denies what the table under it shows is not believed, nor is the next one."""
    story = Tale.open(tell(tmp_path / "nov23", [make_record(1, val_bpb=1.9)])).story()
    assert story.sentences[0] == "1 score, and none of a baseline, so that no gain can be told."
    assert headline_of(story).large == summary_of(story.standing).capitalize().split("  ·")[0]
    assert headline_of(story).large == "No baseline measured"
