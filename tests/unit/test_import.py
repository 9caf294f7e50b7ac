"""Somebody's results.tsv: what is understood, what is refused, and that it stays what it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.campaign import open_campaign
from lab.cli import app
from lab.errors import BadInput, CampaignError, LabError
from lab.imported import MOST_BYTES, MOST_LINES, import_results, read_table
from lab.ledger import Record
from lab.outcome import Status
from lab.report.card import headline_of, marks_of_rows
from lab.runs import find_campaign, find_to_look
from lab.show.results import write_results
from lab.show.scene import running_best, scene_of
from lab.show.tally import tally
from lab.story.reading import Tale
from lab.story.shapes import Story
from tests.unit.nights import make_kept, make_night, make_record, make_run, make_seed
from tests.unit.stories import tell
from tests.unit.test_campaign import FACTS

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
ORIGINAL = (
    HEADER
    + "a1b2c3d\t0.997900\t44.0\tkeep\tbaseline\n"
    + "b2c3d4e\t0.993200\t44.2\tkeep\tincrease LR to 0.04\n"
    + "c3d4e5f\t1.005000\t44.0\tdiscard\tswitch to GeLU activation\n"
    + "d4e5f6g\t0.000000\t0.0\tcrash\tdouble model width (OOM)\n"
    + "e5f6a7b\t0.995000\t40.0\tkeep\tsimpler\n"
)


def brought(folder: Path, content: str | bytes, name: str = "results.tsv") -> Tale:
    file = folder / "sent" / name
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Tale.open(import_results(folder / "runs", file, "theirs"))


def sent(folder: Path, night: Sequence[Record]) -> Story:
    """What a colleague sees of a night whose table alone was sent."""
    (folder / "tables").mkdir()
    write_results(folder / "tables", night)
    return brought(folder, (folder / "tables" / "results.tsv").read_bytes()).story()


def test_a_log_of_the_original_project_is_a_story(tmp_path: Path) -> None:
    """Its first line is the baseline, and what it kept is the running best."""
    story = brought(tmp_path, ORIGINAL).story()
    assert [row.ending for row in story.rows] == [
        "baseline",
        "keep",
        "discard",
        "crashed",
        "keep",
    ]
    assert [row.best_bpb for row in story.rows] == [0.9979, 0.9932, 0.9932, 0.9932, 0.9932]
    standing = story.standing
    assert (standing.baseline_bpb, standing.best_bpb) == (0.9979, 0.9932)
    assert (standing.best_experiment, standing.kept, standing.tried) == (2, 2, 4)
    assert standing.gain_bpb == pytest.approx(0.0047)
    assert [step.number for step in story.contributions] == [2]
    assert story.sentences[0] == ("From 0.9979 to 0.9932 bits per byte: 0.0047 better (0.5 %).")
    assert story.sentences[1].startswith(
        "How sure that is, the table cannot say: it holds no noise."
    )
    assert story.sentences[2].startswith("5 experiments, 2 kept;")


@pytest.mark.parametrize("status", ["crash", "keep", "discard"])
def test_a_crash_of_the_original_project_is_never_the_best(tmp_path: Path, status: str) -> None:
    """It is written as 0.000000 there, and lower is better."""
    story = brought(tmp_path, ORIGINAL.replace("0.0\tcrash", f"0.0\t{status}")).story()
    assert story.rows[3].val_bpb is None
    assert story.rows[3].score_bpb is None
    assert story.standing.best_bpb == 0.9932


def test_a_crash_on_the_first_line_is_no_baseline(tmp_path: Path) -> None:
    """The baseline is the first that was measured."""
    lines = HEADER + "a\t0.0\t0.0\tcrash\tfirst\nb\t1.2\t1\tkeep\tsecond\nc\t1.1\t1\tkeep\tthird\n"
    story = brought(tmp_path, lines).story()
    assert [row.ending for row in story.rows] == ["crashed", "baseline", "keep"]
    assert story.standing.baseline_bpb == 1.2


def test_our_own_table_says_what_our_ledger_says(tmp_path: Path) -> None:
    """A colleague may send the table alone."""
    night = make_night(80)
    story = sent(tmp_path, night)
    assert [row.original for row in story.rows] == [record.original for record in night]
    assert [row.val_bpb is None for row in story.rows] == [r.trial.val_bpb is None for r in night]
    assert story.standing.kept == sum(record.verdict.keep for record in night) > 0
    counted = tally(night)
    assert story.standing.baseline_bpb == pytest.approx(counted.baseline_bpb, abs=1e-6)
    assert story.standing.best_bpb == pytest.approx(counted.best_bpb, abs=1e-6)
    assert story.standing.tried == sum(record.kind == "candidate" for record in night)


def test_our_own_table_has_the_last_keep_as_its_best(tmp_path: Path) -> None:
    """The rule keeps a little worse for fewer lines; the night goes on from that, and so does its table."""
    night = [
        *make_seed(1.90, 1.91),
        *make_kept(3, val_bpb=1.85, best_bpb=1.905),
    ]
    shorter = [
        make_run(len(night) + 1, "confirm", 1.851, title="fewer lines"),
        make_run(len(night) + 2, "keep", 1.853, of=len(night) + 1, title="fewer lines"),
    ]
    night += shorter
    mine = Tale.open(tell(tmp_path / "mine", night)).story()
    theirs = sent(tmp_path, night)
    assert mine.standing.best_bpb == pytest.approx(1.853)
    for name in ("best_bpb", "baseline_bpb", "gain_bpb"):
        ours, told = (getattr(story.standing, name) for story in (mine, theirs))
        assert told == pytest.approx(ours, abs=1e-6)
    for name in ("best_experiment", "kept", "tried", "scored"):
        assert getattr(theirs.standing, name) == getattr(mine.standing, name)
    assert [row.best_bpb for row in theirs.rows] == [
        None if row.best_bpb is None else pytest.approx(row.best_bpb, abs=1e-6) for row in mine.rows
    ]
    steps = [[(s.number, s.decided_at) for s in each.contributions] for each in (mine, theirs)]
    assert steps[0] == steps[1] and len(steps[0]) == 2
    assert theirs.contributions[-1].to_bpb == theirs.standing.best_bpb


def test_what_says_nothing_was_not_tried(tmp_path: Path) -> None:
    """The lab's own count leaves out what it spoilt itself, and a seed that crashed is no change."""
    spoilt = (Status.LOST, Status.CONTENDED, Status.CONDITIONS)
    night = [
        make_record(1, kind="baseline", status=Status.CRASHED),
        *make_seed(1.90, first=2),
        make_record(3, kind="baseline", status=Status.OUT_OF_MEMORY),
        *make_seed(1.91, first=4),
        make_record(5, status=Status.CRASHED),
        *(make_record(number, status=status) for number, status in enumerate(spoilt, start=6)),
        make_record(9, val_bpb=1.95),
    ]
    mine = Tale.open(tell(tmp_path / "mine", night)).story().standing
    theirs = sent(tmp_path, night)
    assert theirs.standing.tried == mine.tried == 2
    assert [row.ending for row in theirs.rows[:3]] == ["crashed", "baseline", "out_of_memory"]
    assert [row.kind for row in theirs.rows] == [record.kind for record in night]


def test_what_the_original_project_keeps_is_measured_against_its_first_score(
    tmp_path: Path,
) -> None:
    """Sentence, waterfall, chart and table tell one story, also of a first keep that is worse."""
    lines = "a\t1.00\t1\tkeep\tbaseline\nb\t1.01\t1\tkeep\tshorter\n"
    worse = brought(tmp_path / "worse", HEADER + lines).story()
    assert worse.sentences[0] == (
        "The first score is 1.0000 bits per byte, and nothing that was kept is better."
    )
    assert (worse.standing.best_experiment, worse.contributions) == (1, ())
    assert headline_of(worse).large == "Nothing better"

    more = lines + "c\t0.98\t1\tkeep\twider\nd\t0.985\t1\tkeep\tshorter again\n"
    story = brought(tmp_path, HEADER + more).story()
    assert [row.best_bpb for row in story.rows] == [1.0, 1.0, 0.98, 0.98]
    (step,) = story.contributions
    assert (step.number, step.from_bpb, step.to_bpb) == (3, 1.0, 0.98)
    assert story.standing.gain_bpb == pytest.approx(0.02)
    line = running_best(scene_of(marks_of_rows(story.rows), story.standing))
    assert line == [(1, 1.0), (2, 1.0), (3, 0.98), (4, 0.98), (4, 0.98)]


def test_the_file_is_kept_byte_for_byte(tmp_path: Path) -> None:
    """What somebody sent is evidence."""
    content = b"\xef\xbb\xbf" + ORIGINAL.replace("\n", "\r\n").encode()
    tale = brought(tmp_path, content)
    assert len(tale.rows_since(0)) == 5
    assert (tale.folder / "results.tsv").read_bytes() == content
    (tale.folder / "results.tsv").write_bytes(content + b"\n")
    with pytest.raises(CampaignError, match="cannot be read"):
        Tale.open(tale.folder)


def test_columns_in_another_order_and_more_of_them_are_understood() -> None:
    """People add columns of their own."""
    table = (
        b"status\tnote\tval_bpb\tcommit\tdescription\tmemory_gb\n"
        b"keep\tx\t1.5\tabc\tfirst\t2.5\n\n"
        b"discard\t\t\t\tno score\t\textra\n"
    )
    first, second = read_table(table, "x.tsv")
    assert (first.val_bpb, first.commit, first.title, first.memory_gb) == (1.5, "abc", "first", 2.5)
    assert (second.number, second.val_bpb, second.commit) == (2, None, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "names no column commit", id="empty"),
        pytest.param(HEADER.encode(), "no experiment", id="header-alone"),
        pytest.param(b"a\t1.0\t1\tkeep\tx\n", "names no column", id="no-header"),
        pytest.param(
            HEADER.encode() + b"a\t1\t1\tkeep\tok\n\xff\n", "line 3 is not UTF-8", id="bytes"
        ),
        pytest.param((HEADER + "a\t1\tkeep\n").encode(), "line 2: it has 3 of 5", id="short"),
        pytest.param((HEADER + "a\t1\t1\twon\tx\n").encode(), "line 2: its status", id="status"),
        pytest.param((HEADER + "a\tlow\t1\tkeep\tx\n").encode(), "its val_bpb is 'low'", id="word"),
        pytest.param((HEADER + "a\tnan\t1\tkeep\tx\n").encode(), "its val_bpb is 'nan'", id="nan"),
        pytest.param(
            (HEADER + "a\t-1\t1\tkeep\tx\n").encode(), "its val_bpb is '-1'", id="negative"
        ),
        pytest.param((HEADER + "a\tinf\t1\tkeep\tx\n").encode(), "its val_bpb is 'inf'", id="inf"),
        pytest.param(
            (HEADER + "a\t1\t1\tkeep\t" + "x" * 20_000).encode(), "longer than", id="long"
        ),
        pytest.param((HEADER + "\n" * MOST_LINES).encode(), "over 20000 lines", id="lines"),
        pytest.param(b"x" * (MOST_BYTES + 1), "larger than 8 MiB", id="size"),
    ],
)
def test_what_is_no_such_table_is_refused_and_nothing_written(
    tmp_path: Path, content: bytes, words: str
) -> None:
    """The line is named, so that it can be corrected."""
    with pytest.raises(BadInput) as refused:
        brought(tmp_path, content)
    assert words in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_a_tag_that_is_taken_is_refused(tmp_path: Path) -> None:
    """Nothing that is there is ever overwritten."""
    tale = brought(tmp_path, ORIGINAL)
    before = (tale.folder / "imported.json").read_bytes()
    with pytest.raises(BadInput, match="already"):
        brought(tmp_path, HEADER + "a\t1\t1\tkeep\tx\n")
    assert (tale.folder / "imported.json").read_bytes() == before
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["theirs"]


@pytest.mark.parametrize("tag", ["../up", "UPPER", "", "-x", "a/b"])
def test_a_tag_that_is_no_name_is_refused(tmp_path: Path, tag: str) -> None:
    """It becomes a folder."""
    (tmp_path / "r.tsv").write_text(ORIGINAL)
    with pytest.raises(BadInput, match="no tag"):
        import_results(tmp_path / "runs", tmp_path / "r.tsv", tag)


def test_without_a_tag_the_file_names_it(tmp_path: Path) -> None:
    """All are called results.tsv, so the folder says more."""
    place = tmp_path / "Karpathy's Night!"
    place.mkdir()
    for name in ("results.tsv", "H100 (long).tsv"):
        (place / name).write_text(ORIGINAL)
    tags = [
        import_results(tmp_path / "runs", place / name, None).name
        for name in ("results.tsv", "results.tsv", "H100 (long).tsv")
    ]
    assert tags == ["karpathy-s-night", "karpathy-s-night-2", "h100-long"]


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    """A path is mistyped often."""
    for file in (tmp_path / "absent.tsv", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            import_results(tmp_path / "runs", file, "theirs")


def test_an_imported_table_is_only_for_looking(tmp_path: Path) -> None:
    """No night may go on from it, and no command takes it for a campaign."""
    folder = brought(tmp_path, ORIGINAL).folder
    runs = folder.parent
    assert find_to_look(runs, "theirs") == find_to_look(runs, None) == folder
    with pytest.raises(BadInput, match="was imported"):
        find_campaign(runs, "theirs")
    with pytest.raises(BadInput, match="no campaign yet"):
        find_campaign(runs, None)
    with (
        pytest.raises(CampaignError, match="imported"),
        open_campaign(runs, replace(FACTS, tag="theirs"), seed_train_py="x = 1\n"),
    ):
        pass
    tell(runs / "mine", make_night(3))
    (folder / "results.tsv").touch()  # however late it was imported, one's own night comes first
    assert find_to_look(runs, None).name == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["imported.json", "results.tsv"]


def test_the_command_imports_and_status_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and the table is there to look at."""
    monkeypatch.setenv("NIGHTLAB_RUNS", str(tmp_path / "runs"))
    (tmp_path / "night.tsv").write_text(ORIGINAL)
    said = CliRunner().invoke(app, ["import", str(tmp_path / "night.tsv")])
    assert said.exit_code == 0
    assert "imported as night" in said.output
    for command in (["status"], ["show", "2"], ["show"]):
        shown = CliRunner().invoke(app, [*command, "--tag", "night"])
        assert shown.exit_code == 0, shown.output
        assert "increase LR to 0.04" in shown.output
    told = json.loads(CliRunner().invoke(app, ["status", "--tag", "night", "--json"]).output)
    assert told["imported"] is True
    assert told["best_bpb"] == 0.9932
    assert [each["val_bpb"] for each in told["experiments"]][3] is None
    for command in ("diff", "log"):
        refused = CliRunner().invoke(app, [command, "2", "--tag", "night"])
        assert isinstance(refused.exception, LabError)
