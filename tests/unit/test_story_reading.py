"""A campaign's folder as a story: what is read of it, how often, and what a torn or foreign one says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from lab.errors import BadInput, CampaignError
from lab.imported import import_results
from lab.ledger import best_of
from lab.outcome import Status
from lab.runs import locked
from lab.story import briefs as briefs_module
from lab.story.briefs import Briefs, list_briefs
from lab.story.reading import Tale
from lab.story.shapes import Story
from tests.unit.bundles import make_campaign
from tests.unit.nights import make_night, make_record, make_seed
from tests.unit.stories import lines_of, many, tell


@pytest.mark.parametrize("seed", [1, 2])
def test_a_story_that_grew_is_the_story_read_at_once(tmp_path: Path, seed: int) -> None:
    """A live page follows a night for hours; it must show what the report will show."""
    night = make_night(40, seed=seed)
    lines = lines_of(dataclasses.asdict(record) for record in night)
    grown = Tale.open(tell(tmp_path / "a" / "nov23", []))
    for count in range(len(lines) + 1):
        fresh = Tale.open(tell(tmp_path / str(count) / "nov23", night[:count]))
        if count:
            with (tmp_path / "a" / "nov23" / "ledger.jsonl").open("ab") as file:
                file.write(lines[count - 1])
            assert grown.refresh()
        assert grown.story() == fresh.story()
        best = best_of(night[:count])
        assert count == 0 or grown.rows_since(count - 1)[0].best_bpb == (best and best.val_bpb)


def test_a_row_never_changes_once_it_is_told(tmp_path: Path) -> None:
    """A page is sent only the rows that are new, so the older ones must stay true."""
    night = make_night(60)
    whole = Tale.open(tell(tmp_path / "whole", night)).rows_since(0)
    part = Tale.open(tell(tmp_path / "part", night[:25])).rows_since(0)
    assert whole[:25] == part
    assert Tale.open(tmp_path / "whole").rows_since(58) == whole[58:]


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """The reader may look at the very moment in which a record is written."""
    night = make_night(4)
    lines = lines_of(dataclasses.asdict(record) for record in night)
    folder = tell(tmp_path / "nov23", night[:3])
    tale = Tale.open(folder)
    for cut in (1, len(lines[3]) // 2, len(lines[3]) - 1):
        (folder / "ledger.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:cut])
        assert not tale.refresh()
        assert len(tale.records) == 3
    (folder / "ledger.jsonl").write_bytes(b"".join(lines))
    assert tale.refresh()
    assert tale.story() == Tale.open(folder).story()


def test_a_line_that_was_taken_back_is_forgotten(tmp_path: Path) -> None:
    """A record that did not reach the disk is cut off again; what was shown of it must go."""
    night = make_night(6)
    folder = tell(tmp_path / "nov23", night)
    tale = Tale.open(folder)
    tell(folder, night[:5])
    assert tale.refresh()
    assert tale.story() == Tale.open(folder).story()
    (folder / "ledger.jsonl").unlink()
    assert tale.refresh()
    assert tale.rows_since(0) == ()


def test_without_a_change_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is open all night must not cost the night anything."""
    tale = Tale.open(tell(tmp_path / "nov23", make_night(5)))
    story = tale.story()
    monkeypatch.setattr(tale, "_read", pytest.fail)
    assert not tale.refresh()
    assert tale.story() is story


def test_the_start_and_the_end_of_a_night_are_changes(tmp_path: Path) -> None:
    """The page says "running now", and must stop to say so."""
    folder = tell(tmp_path / "nov23", make_night(5))
    tale = Tale.open(folder)
    assert not tale.story().running
    with locked(folder):
        assert tale.refresh()
        assert tale.story().running
        assert tale.story().sentences[0].startswith(("So far", "The baseline"))
    assert tale.refresh()
    assert not tale.story().running


def test_opening_grows_no_faster_than_the_number_of_experiments(tmp_path: Path) -> None:
    """Months of nights must open like one; the seconds are for `make bench-reader` to measure."""

    def open_s(count: int) -> float:
        folder = tell(tmp_path / f"of{count}", [])
        (folder / "ledger.jsonl").write_bytes(b"".join(many(count)))
        began = time.process_time()
        assert len(Tale.open(folder).story().rows) == count
        return time.process_time() - began

    open_s(100)  # what is imported once is not meant
    few_s, many_s = open_s(1_000), open_s(10_000)
    assert (
        many_s < 30 * few_s
    )  # ten times as much where all is well, a hundred times where something is quadratic
    tale = Tale.open(tmp_path / "of10000")
    tale.story()
    began = time.process_time()
    for _ in range(100):
        assert not tale.refresh()
    assert time.process_time() - began < many_s / 5


def test_the_tip_is_the_sha256_of_the_last_line(tmp_path: Path) -> None:
    """With it a reader can tell that a report and a ledger belong together."""
    folder = tell(tmp_path / "nov23", make_night(5))
    last = (folder / "ledger.jsonl").read_bytes().splitlines()[-1]
    facts = {fact.name: fact.value for fact in Tale.open(folder).story().facts}
    assert hashlib.sha256(last).hexdigest() in facts["Ledger"]


def test_a_night_of_the_product_itself_is_told(tmp_path: Path) -> None:
    """The other nights here are drawn; this one ran through agenda, rule, ledger and repository."""
    folder = make_campaign(tmp_path, [40, 56, 64, 80])
    tale = Tale.open(folder)
    story = tale.story()
    assert [row.ending for row in story.rows].count("keep") == story.standing.kept == 2
    step = story.contributions[-1]
    diff = tale.detail(step.number).diff
    assert any(line.kind == "+" and '"width": 56' in _text(line) for line in diff)
    assert json.dumps(dataclasses.asdict(story), allow_nan=False)
    for row in story.rows:
        assert json.dumps(dataclasses.asdict(tale.detail(row.number)), allow_nan=False)


def _text(line: Any) -> str:
    return "".join(text for _, text in line.spans)


@pytest.mark.parametrize("number", [0, -1, 6])
def test_an_experiment_that_is_not_there_is_bad_input(tmp_path: Path, number: int) -> None:
    """A number comes from an address line."""
    tale = Tale.open(tell(tmp_path / "nov23", make_night(5)))
    with pytest.raises(BadInput, match="no experiment"):
        tale.detail(number)


@pytest.mark.parametrize(
    "content",
    [b"{}\n", b"not json\n", b"[" * 50_000 + b"\n", b'{"number": 1}\n', b"\xff\xfe\n", b"\n"],
    ids=["empty", "words", "deep", "short", "no-text", "blank"],
)
def test_a_ledger_of_something_else_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    """A folder may come from anywhere."""
    folder = tell(tmp_path / "nov23", [])
    (folder / "ledger.jsonl").write_bytes(content)
    with pytest.raises(CampaignError, match="altered"):
        Tale.open(folder)


def test_a_bad_line_does_not_take_back_what_was_read(tmp_path: Path) -> None:
    """The page keeps what it has, and says at every look what is wrong."""
    folder = tell(tmp_path / "nov23", make_night(5))
    tale = Tale.open(folder)
    story = tale.story()
    with (folder / "ledger.jsonl").open("ab") as file:
        file.write(b"{}\n")
    for _ in range(2):
        with pytest.raises(CampaignError, match="altered"):
            tale.refresh()
    assert tale.story() == story


def test_records_out_of_order_are_refused(tmp_path: Path) -> None:
    """Everything is found by its number."""
    with pytest.raises(CampaignError, match="altered"):
        Tale.open(tell(tmp_path / "nov23", [make_record(2)]))


def test_a_campaign_of_another_version_is_not_called_altered(tmp_path: Path) -> None:
    """Nobody did anything wrong, and looking for a copy would not help."""
    folder = tell(tmp_path / "nov23", [], schema=2)
    (folder / "ledger.jsonl").write_bytes(b'{"number": 1}\n')
    with pytest.raises(CampaignError, match="an older version"):
        Tale.open(folder)


def test_one_bad_campaign_does_not_hide_the_others(tmp_path: Path) -> None:
    """The list is how a person finds a campaign, and tells which cannot be read."""
    tell(tmp_path / "good", make_night(5))
    (tell(tmp_path / "bad", []) / "ledger.jsonl").write_bytes(b"{}\n")
    (tmp_path / "worse").mkdir()
    (tmp_path / "worse" / "campaign.json").write_text("[]")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "table.tsv").write_text(
        "commit\tval_bpb\tmemory_gb\tstatus\tdescription\na\t1\t1\tkeep\tx\n"
    )
    import_results(tmp_path, tmp_path / "table.tsv", None)
    briefs = {brief.tag: brief for brief in list_briefs(tmp_path)}
    assert set(briefs) == {"good", "bad", "worse", "table"}
    assert briefs["good"].problem is None
    assert briefs["good"].baseline_bpb == Tale.open(tmp_path / "good").story().standing.baseline_bpb
    assert "altered" in (briefs["bad"].problem or "")
    assert briefs["worse"].problem
    assert all(str(tmp_path) not in (brief.problem or "") for brief in briefs.values())
    assert briefs["table"].imported
    assert list_briefs(tmp_path / "absent") == []


def test_a_list_reads_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page asks for it again and again, in a lab of any age, and a night that runs is open already."""
    tell(tmp_path / "one", make_night(5))
    two = tell(tmp_path / "two", make_seed(1.9, 1.91))
    known = Briefs(tmp_path)
    with locked(two):
        before = known.read()
        monkeypatch.setattr(briefs_module.Tale, "open", pytest.fail)
        assert known.read() == before
        grown = [*make_seed(1.9, 1.91), make_record(3, status=Status.CRASHED)]
        lines = lines_of(dataclasses.asdict(record) for record in grown)
        (two / "ledger.jsonl").write_bytes(b"".join(lines))
        assert {brief.tag: brief.tried for brief in known.read()}["two"] == 1
    monkeypatch.undo()
    tell(tmp_path / "one", make_seed(1.8, 1.81))
    after = {brief.tag: brief for brief in known.read()}
    assert after["one"].baseline_bpb == pytest.approx(1.805)
    assert not after["two"].running
    shutil.rmtree(tmp_path / "one")
    assert [brief.tag for brief in known.read()] == ["two"]


def test_a_fault_of_ours_in_one_campaign_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No reader foresees every file; it is told once where it can be mended."""
    for tag in ("good", "bad"):
        tell(tmp_path / tag, make_night(5))
    story = Tale.story

    def broken(tale: Tale) -> Story:
        if tale.tag == "bad":
            raise RecursionError("too deep")
        return story(tale)

    monkeypatch.setattr(Tale, "story", broken)
    known = Briefs(tmp_path)
    for _ in range(2):
        problems = {brief.tag: brief.problem for brief in known.read()}
        assert problems == {"good": None, "bad": "it cannot be read: RecursionError."}
    assert len(caplog.records) == 1 and "too deep" in caplog.text


def test_another_campaign_of_the_name_is_read_anew(tmp_path: Path) -> None:
    """Somebody deletes a night and starts it again under its tag; a head of the one over rows of the other would lie."""
    folder = tell(tmp_path / "nov23", make_night(5), profile="cpu")
    tale = Tale.open(folder)
    edition = tale.edition
    tell(folder, make_night(9, seed=3), profile="smoke")  # the same files, and longer than before
    assert tale.refresh()
    assert tale.edition > edition
    assert tale.story() == Tale.open(folder).story()
    assert tale.story().profile == "smoke"
    shutil.rmtree(folder)
    with pytest.raises(CampaignError, match="no campaign"):
        tale.refresh()


def test_another_table_of_the_name_is_read_anew(tmp_path: Path) -> None:
    """What was imported can be taken away and imported again, too."""
    table = tmp_path / "results.tsv"
    head = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
    table.write_text(head + "a\t1.5\t1\tkeep\tx\n")
    tale = Tale.open(import_results(tmp_path / "runs", table, "theirs"))
    assert not tale.refresh()
    shutil.rmtree(tale.folder)
    table.write_text(head + "a\t1.5\t1\tkeep\tx\nb\t1.4\t1\tkeep\ty\n")
    import_results(tmp_path / "runs", table, "theirs")
    assert tale.refresh()
    assert len(tale.story().rows) == 2


def test_a_line_that_was_taken_back_makes_another_edition(tmp_path: Path) -> None:
    """A reader who has the row that went must not keep it when another takes its number."""
    folder = tell(tmp_path / "nov23", make_night(6))
    tale = Tale.open(folder)
    edition = tale.edition
    lines = (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_bytes(b"".join(lines[:5]))
    assert tale.refresh()
    assert tale.edition > edition
