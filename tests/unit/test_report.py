"""The report: one file, the same for the same records, with nothing in it that is not for a stranger."""

from __future__ import annotations

import base64
import dataclasses
import errno
import gzip
import json
import os
import re
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from lab.errors import BadInput, CampaignError
from lab.imported import import_results
from lab.report import writing
from lab.report.drawing import CARD_FILE, PROGRESS_FILE, REPORT_FILE, main
from lab.report.fitting import choose, fit, packed_bytes, thin
from lab.report.writing import cleaned, write_report
from lab.runs import locked
from lab.show.chart import draw_progress
from lab.story.reading import Tale
from lab.story.shapes import Detail, DiffLine, Point
from tests.unit.nights import make_kept, make_night, make_record
from tests.unit.reported import make_long, make_reported
from tests.unit.stories import tell

KEY = "sk-" + "a1B2" * 8
FILES = (REPORT_FILE, CARD_FILE, PROGRESS_FILE)


def story_in(page: Path) -> dict[str, Any]:
    """The story as the page's program reads it."""
    (text,) = re.findall(
        r'<script type="application/json" id="story">(.*?)</script>', page.read_text()
    )
    return dict(json.loads(text))


def details_in(page: Path) -> dict[int, dict[str, Any]]:
    """The details as the page's program unpacks them."""
    found = {}
    for packed in re.findall(r"<script [^>]*data-details[^>]*>(.*?)</script>", page.read_text()):
        for detail in json.loads(gzip.decompress(base64.b64decode(packed))):
            found[detail["number"]] = detail
    return found


def drafts(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


# ---- what is in it ----


def test_the_same_records_give_the_same_bytes_anywhere(tmp_path: Path) -> None:
    """A report that changes by itself cannot be compared, and one that names its place tells on its writer."""
    first = make_reported(tmp_path / "here" / "nov23", 24)
    second = tmp_path / "a" / "longer" / "way" / "nov23"
    shutil.copytree(first, second)
    write_report(first)
    before = {name: (first / name).read_bytes() for name in FILES}
    os.utime(first / "ledger.jsonl", (0, 0))
    for folder in (first, second):
        write_report(folder)
        assert {name: (folder / name).read_bytes() for name in FILES} == before
    assert drafts(first) == []


def test_the_page_has_every_experiment_and_its_details(tmp_path: Path) -> None:
    """What a reader cannot find in it, nobody will send after it."""
    folder = make_reported(tmp_path / "nov23", 24)
    page = write_report(folder)
    story, details = story_in(page), details_in(page)
    assert [row["number"] for row in story["rows"]] == list(range(1, 25)) == sorted(details)
    changed = [n for n, detail in details.items() if detail["diff"]]
    assert changed == [row["number"] for row in story["rows"] if row["kind"] == "candidate"]
    assert all(detail["curve"] and detail["log_tail"] for detail in details.values())
    assert not [fact for fact in story["facts"] if fact["name"].startswith("Left out")]


def test_two_hundred_experiments_fit_in_a_mail(tmp_path: Path) -> None:
    """Mail servers and people refuse what is large."""
    folder = make_reported(tmp_path / "nov23", 200)
    began = time.monotonic()
    page = write_report(folder)
    took_s = time.monotonic() - began
    print(f"200 experiments: {page.stat().st_size / 1e6:.2f} MB in {took_s:.1f} s")
    assert page.stat().st_size < 2_000_000
    assert len(details_in(page)) == 200
    assert took_s < 120


def test_ten_thousand_experiments_are_written_and_the_page_says_what_it_lacks(
    tmp_path: Path,
) -> None:
    """A campaign that grew over months must not end with the one file that nobody can write."""
    folder = make_long(tmp_path / "nov23", 10_000)
    began = time.monotonic()
    page = write_report(folder)
    took_s = time.monotonic() - began
    print(f"10,000 experiments: {page.stat().st_size / 1e6:.2f} MB in {took_s:.1f} s")
    assert took_s < 180
    assert page.stat().st_size < 12_000_000
    story, details = story_in(page), details_in(page)
    assert len(story["rows"]) == 10_000
    assert set(range(9_851, 10_001)) <= set(details)
    kept = [row["number"] for row in story["rows"] if row["ending"] == "keep"]
    assert kept[-1] in details and kept[-20] in details
    (said,) = [fact["value"] for fact in story["facts"] if fact["name"].startswith("Left out")]
    assert "all but 300 of 10,000 experiments" in said


def test_nothing_of_this_host_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report is made to be sent; what names a host or a card stays behind."""
    monkeypatch.setattr(socket, "gethostname", lambda: "night-host-7f3a")
    folder = make_reported(tmp_path / "nov23", 8)
    campaign = json.loads((folder / "campaign.json").read_bytes())
    campaign["fingerprint"]["private"] = {"hostname": "7e" * 12, "gpu_uuid": "9c" * 12}
    (folder / "campaign.json").write_text(json.dumps(campaign))
    page = write_report(folder)
    text = page.read_text() + json.dumps(details_in(page))
    assert "2026-11-23" in text, "the control: the time of the records is in it"
    for private in ("7e" * 12, "9c" * 12, str(tmp_path), tmp_path.name, "night-host-7f3a"):
        assert private not in text
    assert time.strftime("%Y-%m-%dT%H") not in text


def test_what_looks_like_a_key_is_taken_out_wherever_it_stands(tmp_path: Path) -> None:
    """A key in a log is a key in every mailbox that the report reaches."""
    night = [
        make_record(1, kind="baseline", val_bpb=1.9, facts={"note": f"with {KEY}"}),
        make_record(2, val_bpb=1.95, best_bpb=1.9, title=f"use {KEY}"),
    ]
    folder = tell(tmp_path / "nov23", night)
    place = folder / "experiments" / "0002"
    place.mkdir(parents=True)
    (place / "train.log").write_text(f"key {KEY}\n")
    # Without quotes it is several tokens to a highlighter.
    (place / "change.diff").write_text(f"@@ -1,2 +1,2 @@\n x = 1\n-y = '{KEY}'\n+y = {KEY}\n")
    page = write_report(folder)
    text = page.read_text() + json.dumps(details_in(page), ensure_ascii=False)
    assert KEY not in text
    assert text.count("[redacted]") >= 5
    lines = ["".join(part for _, part in line["spans"]) for line in details_in(page)[2]["diff"]]
    assert lines[-1] == "y = [redacted]"


def test_a_value_without_secrets_stays_as_it_is(tmp_path: Path) -> None:
    """Cleaning must cost no colour, no number and no empty text."""
    detail = Tale.open(make_reported(tmp_path / "nov23", 6)).detail(5)
    assert cleaned(detail) == detail


def test_an_imported_table_has_a_report_too(tmp_path: Path) -> None:
    """Other people's nights are looked at with the same eyes, and what they do not say is not made up."""
    table = tmp_path / "results.tsv"
    table.write_text(
        "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
        "a1\t0.9979\t44.0\tkeep\tbaseline\n"
        "b2\t0.9931\t44.2\tkeep\tincrease LR\n"
        "c3\t1.0050\t44.0\tdiscard\tswitch to GeLU\n"
        "d4\t0.000000\t0.0\tcrash\tdouble width\n"
    )
    folder = import_results(tmp_path / "runs", table, "theirs")
    page = write_report(folder)
    story = story_in(page)
    assert story["imported"] is True
    assert [row["ending"] for row in story["rows"]] == ["baseline", "keep", "discard", "crashed"]
    assert (folder / PROGRESS_FILE).stat().st_size > 10_000
    assert (folder / CARD_FILE).stat().st_size > 10_000


def test_the_picture_of_a_report_is_the_picture_of_the_night(tmp_path: Path) -> None:
    """Two pictures of one night that differ would both be doubted."""
    night = make_night(60)
    folder = tell(tmp_path / "nov23", night)
    write_report(folder)
    expected = tmp_path / "expected.png"
    draw_progress(expected, night, title="nov23  ·  cpu  ·  Xeon, 2 cores")
    assert (folder / PROGRESS_FILE).read_bytes() == expected.read_bytes()


def test_a_night_that_has_ended_is_not_called_running(tmp_path: Path) -> None:
    """The last report is written while the controller still holds the campaign, and it is the one that is sent."""
    folder = tell(tmp_path / "nov23", make_night(8))
    with locked(folder):
        assert main([str(folder)]) == 0
        assert story_in(folder / REPORT_FILE)["running"] is True
        assert main([str(folder), "--ended"]) == 0
        last = (folder / REPORT_FILE).read_bytes()
    assert story_in(folder / REPORT_FILE)["running"] is False
    assert write_report(folder).read_bytes() == last


def test_a_night_that_runs_reads_few_details(tmp_path: Path) -> None:
    """The next experiment trains beside it; a report must not cost it steps."""
    folder = make_reported(tmp_path / "nov23", 80)
    main([str(folder)])
    details, story = details_in(folder / REPORT_FILE), story_in(folder / REPORT_FILE)
    assert len(details) == 50 and 80 in details
    assert any("all but 50 of 80" in fact["value"] for fact in story["facts"])


# ---- what can go wrong ----


def test_no_campaign_is_said_in_words(tmp_path: Path) -> None:
    """A typo in a name is no traceback."""
    with pytest.raises(CampaignError, match="there is no campaign"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_ledger_is_said_in_words(tmp_path: Path) -> None:
    """A page that leaves out what it cannot read would say more than the records do."""
    folder = tell(tmp_path / "nov23", make_night(6))
    lines = (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_bytes(
        b"".join([*lines[:3], b'{"number": "four"}\n', *lines[4:]])
    )
    with pytest.raises(CampaignError, match="altered") as raised:
        write_report(folder)
    assert "line 4" in raised.value.why
    assert not (folder / REPORT_FILE).exists()


def test_a_folder_that_is_not_there_is_named_before_any_work(tmp_path: Path) -> None:
    """Ten seconds of work and then an error would be unkind."""
    folder = tell(tmp_path / "nov23", make_night(6))
    with pytest.raises(BadInput, match="cannot be written") as raised:
        write_report(folder, tmp_path / "gone" / "report.html")
    assert str(tmp_path / "gone") in raised.value.why
    assert not (folder / REPORT_FILE).exists()


@pytest.mark.parametrize("name", ["", "night.html"], ids=["folder", "file"])
def test_a_report_elsewhere_leaves_the_campaign_as_it_was(tmp_path: Path, name: str) -> None:
    """Somebody who may only read a campaign can still report it."""
    folder = tell(tmp_path / "runs" / "nov23", make_night(6))
    before = sorted(path.name for path in folder.iterdir())
    other = tmp_path / "out"
    other.mkdir()
    page = write_report(folder, other / name)
    assert page == other / (name or REPORT_FILE)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in other.iterdir()] == [page.name]


@pytest.mark.parametrize("full_at", FILES)
def test_a_full_disk_leaves_whole_files_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    """Half a page that looks whole is worse than the one of yesterday."""
    folder = tell(tmp_path / "nov23", make_night(6))
    (folder / full_at).write_bytes(b"of yesterday")
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if full_at not in path.name:
            return write_bytes(path, content)
        write_bytes(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CampaignError, match="could not be written") as raised:
        write_report(folder)
    assert raised.value.why == "No space left on device"
    assert "free some disk" in raised.value.do
    assert (folder / full_at).read_bytes() == b"of yesterday"
    assert drafts(folder) == []


# ---- what has room ----


def detail(number: int, *, log: int = 0, points: int = 0, lines: int = 0) -> Detail:
    """A Detail of so many characters, points and lines, which pack no better than real ones."""
    return Detail(
        number=number,
        hypothesis="h",
        reason="",
        verdict="v",
        notes=(),
        diff=tuple(
            DiffLine(kind="+", spans=(("", f"line {i} {hash((number, i)):x}"),))
            for i in range(lines)
        ),
        diff_cut=0,
        lines_added=lines,
        lines_removed=0,
        curve=tuple(
            Point(train_s=i / 7, step=i, loss=(hash((number, i)) % 10**6) / 10**5)
            for i in range(points)
        ),
        parent=None,
        parent_curve=(),
        audit=(),
        telemetry=(),
        conditions=(),
        log_tail="".join(f"{hash((number, i)):x}\n" for i in range(log // 16 + 1))[:log],
    )


def test_what_fits_is_not_cut() -> None:
    """Room is there to be used."""
    details = [detail(n, log=2_000, points=120, lines=300) for n in range(1, 11)]
    fitted = fit(details, packed_bytes(details))
    assert fitted.details == tuple(details)
    assert fitted.said == ()


def test_logs_are_cut_before_curves_and_curves_before_diffs() -> None:
    """The change is what the experiment was; its log is what it said in passing."""
    details = [detail(n, log=4_000, points=120, lines=60) for n in range(1, 21)]
    whole = packed_bytes(details)
    by_share = {share: fit(details, int(whole * share)) for share in (0.9, 0.6, 0.4, 0.25, 0.04)}
    for share, fitted in by_share.items():
        assert packed_bytes(fitted.details) <= whole * share
        assert fitted.said
    assert all(len(d.log_tail) < 4_000 for d in by_share[0.9].details), "everybody's"
    assert all((len(d.curve), len(d.diff)) == (120, 60) for d in by_share[0.6].details)
    assert all(len(d.curve) < 120 and len(d.diff) == 60 for d in by_share[0.4].details)
    diffs = [len(d.diff) for d in by_share[0.25].details]
    assert diffs == sorted(diffs) and diffs[0] < diffs[-1] == 60, "the oldest first"
    assert by_share[0.04].details[-1].number == 20
    assert "experiments, the oldest first" in by_share[0.04].said[-1]


def test_a_diff_that_is_cut_says_where_and_by_how_much() -> None:
    """A reader must not take two ends for the whole change."""
    details = [detail(1, lines=500), detail(2, lines=500)]
    first, second = fit(details, packed_bytes(details) // 6).details
    for short in (first, second):
        (gap,) = [line for line in short.diff if line.kind == "@"]
        left = len(short.diff) - 1
        assert short.diff_cut == 500 - left
        assert f"{500 - left} lines are not in this file" in gap.spans[0][1]
        assert short.diff[0] == details[0 if short is first else 1].diff[0]
        assert short.diff[-1] == details[0 if short is first else 1].diff[-1]


def test_a_curve_keeps_its_ends() -> None:
    """Where it began and where it ended are what two curves are compared by."""
    curve = detail(1, points=100).curve
    thinned = thin(curve, 16)
    assert (len(thinned), thinned[0], thinned[-1]) == (16, curve[0], curve[-1])
    assert thin(curve, 100) == curve


def test_of_very_many_the_kept_and_the_latest_are_chosen(tmp_path: Path) -> None:
    """What was kept is the story, and the latest is what one asks about."""
    night = make_night(40)
    number = len(night) + 1
    night += make_kept(number, val_bpb=1.5, best_bpb=1.8)
    while len(night) < 140:
        night.append(make_record(len(night) + 1, val_bpb=1.9, best_bpb=1.5))
    rows = Tale.open(tell(tmp_path / "nov23", night)).story().rows
    assert choose(rows, 200) == list(range(1, 141))
    chosen = choose(rows, 40)
    kept = max(row.number for row in rows if row.ending == "keep")
    assert len(chosen) == 40 and chosen == sorted(set(chosen))
    assert {number, kept, *range(121, 141)} <= set(chosen)


def test_the_files_of_a_night_are_those_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The child process says on stderr what went wrong; the controller remembers it."""
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "no campaign" in capsys.readouterr().err
    folder = tell(tmp_path / "nov23", make_night(4))
    assert main([str(folder), "--ended"]) == 0
    night = {name: (folder / name).read_bytes() for name in FILES}
    write_report(folder)
    assert {name: (folder / name).read_bytes() for name in FILES} == night


def test_a_page_is_made_of_what_it_was_given(tmp_path: Path) -> None:
    """`make` reads a Tale and writes nothing."""
    folder = tell(tmp_path / "nov23", make_night(4))
    before = sorted(path.name for path in folder.iterdir())
    made = writing.make(Tale.open(folder))
    assert sorted(made) == sorted(FILES)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert dataclasses.asdict(Tale.open(folder).story())["tag"] == "nov23"
