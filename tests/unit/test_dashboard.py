"""The page's server over a real socket: what it shows of campaigns, and how it follows them."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.dashboard.rooms import LOOK_EVERY_S, Room
from lab.dashboard.watching import MOST_ROOMS, Watcher
from lab.imported import import_results
from lab.runs import kept_still, locked
from lab.story.now import write_now
from lab.story.reading import Tale
from lab.story.shapes import Now, Point, Story
from tests.unit.handed_in import NIGHT, SO_FAR, make_campaign, write_record
from tests.unit.nights import make_night, make_record
from tests.unit.served import PATIENCE_S, Site, served

TAG = "nov23"
HOSTILE = '</script><img src=x onerror="alert(1)"> \u2028 data: x'
IN_TIME_S = 2.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    make_campaign(tmp_path / "runs")
    with served(tmp_path / "runs") as site:
        yield site


def now_of(step: int, title: str = "Wider") -> Now:
    return Now(
        at=datetime.now(UTC).isoformat(),
        pid=1,
        experiment=6,
        kind="candidate",
        title=title,
        hypothesis="h",
        agent="offline",
        phase="training",
        cap_s=60.0,
        elapsed_s=float(step),
        fraction=step / 60,
        loss=3.0,
        tokens_per_s=1000.0,
        curve=(Point(train_s=1.0, step=step, loss=3.0),),
    )


def as_sent(value: object) -> Any:
    """A shape as a page gets it."""
    return json.loads(json.dumps(asdict(value)))  # type: ignore[call-overload]


def since(site: Site, count: int) -> str:
    """The events for a reader who has so many rows, of a Story that is not the last."""
    edition = site.get(f"/api/campaigns/{TAG}")["state"].rpartition("-")[0]
    return f"/api/campaigns/{TAG}/events?after={count}&has={edition}-0"


def test_the_page_and_its_files_come_from_here(site: Site) -> None:
    """A page that asked anybody else would not work on a plane, and would tell others what is researched."""
    page = site.ask("/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert b'data-actions="yes"' in page.body
    for line in page.body.decode().split('"'):
        if line.startswith("/static/"):
            file = site.ask(line)
            assert (file.status, file.headers["x-content-type-options"]) == (200, "nosniff"), line
            again = site.ask(line, headers={"If-None-Match": file.headers["etag"]})
            assert (again.status, again.body) == (304, b"")
    assert site.ask("/static/shell.py").status == 404
    assert site.ask("/static/../shell.py").status == 404
    assert site.ask("/static/%2e%2e/shell.py").status == 404


def test_a_campaign_is_sent_as_its_story(site: Site) -> None:
    """The page shows what the report shows: both are the same values."""
    tale = Tale.open(site.runs / TAG)
    story = site.get(f"/api/campaigns/{TAG}")
    assert story.pop("state")
    assert story == as_sent(tale.story())
    for number in (1, SO_FAR):
        detail = site.get(f"/api/campaigns/{TAG}/experiments/{number}")
        assert detail == as_sent(tale.detail(number))
    listed = site.get("/api/campaigns")
    assert listed == {"campaigns": [as_sent(tale.brief())], "actions": True}


def test_large_answers_are_packed(tmp_path: Path) -> None:
    """10,000 experiments are megabytes, and a team is not always near."""
    make_campaign(tmp_path, make_night(60))
    with served(tmp_path) as site:
        packed = site.ask(f"/api/campaigns/{TAG}", headers={"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(packed.body)) == site.get(f"/api/campaigns/{TAG}")
        assert len(packed.body) < len(gzip.decompress(packed.body)) / 3


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/campaigns/other",
        "/api/campaigns/other/events",
        "/api/campaigns/..",
        "/api/campaigns/../../etc/passwd",
        "/api/campaigns/%2e%2e",
        "/api/campaigns/%2e%2e%2fsecret",
        "/api/campaigns/..%2f..%2fsecret/experiments/1",
        "/api/campaigns/.hidden",
        "/api/campaigns/linked",
        "/api/campaigns/file",
        "/api/campaigns/folder",
        "/api/campaigns/nov23%00",
        f"/api/campaigns/{TAG}%2fexperiments",
        f"/api/campaigns/{TAG}/experiments/99",
        f"/api/campaigns/{TAG}/experiments/0",
        f"/api/campaigns/{TAG}/ledger.jsonl",
    ],
)
def test_nothing_but_a_listed_campaign_is_read(tmp_path: Path, path: str) -> None:
    """A name in an address may hold anything; it is compared with names and never joined to a path."""
    runs = tmp_path / "runs"
    make_campaign(runs)
    secret = make_campaign(tmp_path / "elsewhere")
    secret.rename(tmp_path / "secret")
    (runs / "linked").symlink_to(tmp_path / "secret")
    make_campaign(tmp_path / "more").rename(runs / ".hidden")
    (runs / "file").write_text("x")
    (runs / "folder").mkdir()
    with served(runs) as site:
        answer = site.ask(path)
        assert answer.status == 404 and answer.error
        assert [brief["tag"] for brief in site.get("/api/campaigns")["campaigns"]] == [TAG]


@pytest.mark.parametrize("number", ["x", "-1", "1.0", "9" * 5000, "1e3", "%D9%A1"])
def test_an_experiment_has_a_number(site: Site, number: str) -> None:
    """What is not one is answered in words, whatever it is."""
    answer = site.ask(f"/api/campaigns/{TAG}/experiments/{number}")
    assert answer.status == 422 and "number" in answer.error
    after = site.ask(f"/api/campaigns/{TAG}/events?after={number}")
    assert after.status == 422 and "number" in after.error


def test_a_campaign_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """One broken folder must not take the others from the list, nor become a server error."""
    make_campaign(tmp_path / "runs")
    broken = make_campaign(tmp_path / "more").rename(tmp_path / "runs" / "broken")
    ledger = broken / "ledger.jsonl"
    good = ledger.read_bytes()
    ledger.write_bytes(good.replace(b'"number"', b'"nothing"', 1))
    with served(tmp_path / "runs") as site:
        briefs = {brief["tag"]: brief for brief in site.get("/api/campaigns")["campaigns"]}
        assert briefs[TAG]["problem"] is None and briefs["broken"]["problem"]
        for path in ("", "/experiments/1"):
            answer = site.ask(f"/api/campaigns/broken{path}")
            assert answer.status == 409 and "ledger" in answer.error
        ledger.write_bytes(good)
        time.sleep(LOOK_EVERY_S)
        assert len(site.get("/api/campaigns/broken")["rows"]) == SO_FAR


def test_a_stream_says_what_broke_and_that_it_is_mended(site: Site) -> None:
    """A page that shows a night and goes on showing it, while nobody can read its ledger, would be believed."""
    ledger = site.runs / TAG / "ledger.jsonl"
    good = ledger.read_bytes()
    path = f"/api/campaigns/{TAG}/events?after={SO_FAR}"
    with site.events(path) as events:
        events.next("story")
        ledger.write_bytes(good.replace(b'"number"', b'"nothing"', 1))
        words = events.next("problem").data["error"]
        assert "ledger" in words and "/tmp" not in words
        with site.events(path) as later:
            assert later.next("problem").data == {"error": words}
            ledger.write_bytes(good)
            for stream in (events, later):
                told = stream.next("story").data
                assert (told["first"], len(told["new_rows"])) == (0, SO_FAR)


def test_nothing_known_is_told_again(site: Site) -> None:
    """A page that just loaded would draw everything twice; one that is shown again, each time."""
    state = site.get(f"/api/campaigns/{TAG}")["state"]
    path = f"/api/campaigns/{TAG}/events?after={SO_FAR}"
    with site.events(f"{path}&has={state}") as events:
        assert events.next().name == "now"
        write_record(site.runs / TAG, make_record(SO_FAR + 1, title="new"))
        told = events.next("story").data
        assert [row["title"] for row in told["new_rows"]] == ["new"]
    with site.events(f"{path}&has={told['state']}") as events:
        assert events.next().name == "now"
    with site.events(f"{path}&has={state}") as events:
        assert events.next().data["state"] == told["state"]


def test_hostile_words_travel_as_text(tmp_path: Path) -> None:
    """Titles, logs and diffs are somebody's: JSON carries them, and no answer of ours is HTML with them in it."""
    folder = make_campaign(tmp_path, [*NIGHT, make_record(SO_FAR + 1, title=HOSTILE)])
    place = folder / "experiments" / f"{SO_FAR + 1:04d}"
    (place / "train.log").write_bytes(b"\xff\xfe " + HOSTILE.encode() + b"\x1b[31m\x00")
    (place / "change.diff").write_text(f"-{HOSTILE}\n+{HOSTILE}\n")
    with served(tmp_path) as site, locked(folder):
        write_now(folder, now_of(1, title=HOSTILE))
        story = site.ask(f"/api/campaigns/{TAG}")
        assert story.headers["content-type"] == "application/json"
        assert "<img src=x onerror" in story.json["rows"][-1]["title"]
        detail = site.ask(f"/api/campaigns/{TAG}/experiments/{SO_FAR + 1}")
        assert detail.headers["content-type"] == "application/json"
        assert "<img src=x onerror" in detail.json["log_tail"]
        with site.events(f"/api/campaigns/{TAG}/events?after=0") as events:
            assert (
                events.next("story").data["new_rows"][-1]["title"]
                == story.json["rows"][-1]["title"]
            )
            while (now := events.next("now").data) is None:  # what was looked at just before
                pass
            assert now["title"] == HOSTILE
        assert b"onerror" not in site.ask("/").body


def test_a_growing_campaign_is_followed(site: Site) -> None:
    """Within two seconds, and only what is new: a night of 1,000 experiments is not sent again each minute."""
    folder = site.runs / TAG
    with site.events(since(site, SO_FAR)) as events:
        first = events.next("story")
        assert (first.data["first"], first.data["new_rows"]) == (SO_FAR, [])
        assert events.next("now").data is None
        for number in (SO_FAR + 1, SO_FAR + 2):
            write_record(folder, make_record(number, title=f"idea {number}"))
            began = time.monotonic()
            event = events.next("story")
            assert time.monotonic() - began < IN_TIME_S
            assert event.data["first"] == number - 1
            assert [row["title"] for row in event.data["new_rows"]] == [f"idea {number}"]
            assert event.data["standing"]["experiments"] == number
            assert "rows" not in event.data
            assert event.mark == str(number)
        whole = site.get(f"/api/campaigns/{TAG}")
        del whole["rows"]
        assert {k: v for k, v in event.data.items() if k not in ("new_rows", "first")} == whole


def test_a_reader_says_what_it_has(site: Site) -> None:
    """`after` is what the page loaded; after a lost connection the browser itself says what came last."""
    with site.events(since(site, 2)) as events:
        event = events.next("story").data
        assert (event["first"], [row["number"] for row in event["new_rows"]]) == (
            2,
            list(range(3, SO_FAR + 1)),
        )
    with site.events(since(site, 2), **{"Last-Event-ID": str(SO_FAR - 1)}) as events:
        assert [row["number"] for row in events.next("story").data["new_rows"]] == [SO_FAR]
    path = f"/api/campaigns/{TAG}/events"
    whole = f"{path}?after=2&has="  # has rows of another campaign of that name, or does not say of which
    for asked in (since(site, 900), path, f"{path}?after=2", whole, f"{whole}other.1.1-1"):
        with site.events(asked) as events:
            event = events.next("story").data
            assert (event["first"], len(event["new_rows"])) == (0, SO_FAR), asked


def test_a_ledger_that_begins_anew_is_sent_anew(site: Site) -> None:
    """Somebody removes a campaign and starts another of the same name while a page is open."""
    folder = site.runs / TAG
    with site.events(since(site, SO_FAR)) as events:
        assert events.next("story").data["first"] == SO_FAR
        (folder / "ledger.jsonl").unlink()
        write_record(folder, make_record(1, kind="baseline", title="another"))
        event = events.next("story").data
        while len(event["new_rows"]) != 1:  # it was seen between the two
            event = events.next("story").data
        assert (event["first"], event["new_rows"][0]["title"]) == (0, "another")


def test_what_runs_now_is_told(site: Site) -> None:
    """Phase, curve and log of the experiment under way, and at last that nothing runs."""
    folder = site.runs / TAG
    with site.events(since(site, SO_FAR)) as events:
        assert events.next("story").data["running"] is False
        assert events.next("now").data is None
        with locked(folder):
            write_now(folder, now_of(1))
            began = time.monotonic()
            assert events.next("story").data["running"] is True
            assert events.next("now").data["elapsed_s"] == 1.0
            assert time.monotonic() - began < IN_TIME_S
            write_now(folder, now_of(2))
            now = events.next("now").data
            assert now == as_sent(now_of(2)) | {"at": now["at"]}
        assert events.next("story").data["running"] is False
        assert events.next("now").data is None


def test_the_list_is_followed(site: Site) -> None:
    """A campaign that begins, ends or is imported shows without a reload."""
    with site.events("/api/events") as events:
        first = events.next("campaigns").data
        assert first == site.get("/api/campaigns")
        with locked(site.runs / TAG):
            (brief,) = events.next("campaigns").data["campaigns"]
            assert (brief["running"], brief["tried"]) == (True, 1)
            write_record(site.runs / TAG, make_record(SO_FAR + 1))
            (brief,) = events.next("campaigns").data["campaigns"]
            assert brief["tried"] == 2
        assert events.next("campaigns").data["campaigns"][0]["running"] is False
        table = site.runs.parent / "results.tsv"
        table.write_text(
            "commit\tval_bpb\tmemory_gb\tstatus\tdescription\nabc1234\t1.0\t2.0\tkeep\tx\n"
        )
        import_results(site.runs, table, "theirs")
        tags = {brief["tag"] for brief in events.next("campaigns").data["campaigns"]}
        assert tags == {TAG, "theirs"}


def test_a_lab_without_campaigns_has_a_page(tmp_path: Path) -> None:
    """The first thing that somebody may start is the page."""
    with served(tmp_path / "runs") as site:
        assert site.get("/api/campaigns")["campaigns"] == []
        with site.events("/api/events") as events:
            assert events.next("campaigns").data["campaigns"] == []
            make_campaign(tmp_path / "runs")
            assert events.next("campaigns").data["campaigns"][0]["tag"] == TAG


def test_any_number_of_readers_cost_one_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten colleagues who watch a night must not take ten times the time from it."""
    looks: list[float] = []
    look = Room.look

    def counted(room: Room) -> bool:
        looks.append(time.monotonic())
        return look(room)

    monkeypatch.setattr(Room, "look", counted)
    path = since(site, SO_FAR)
    with contextlib.ExitStack() as readers:
        streams = [readers.enter_context(site.events(path)) for _ in range(10)]
        for stream in streams:
            stream.next("now")
        looks.clear()
        time.sleep(3.3 * LOOK_EVERY_S)
        assert 2 <= len(looks) <= 4
    time.sleep(2.5 * LOOK_EVERY_S)
    looks.clear()
    time.sleep(2.5 * LOOK_EVERY_S)
    assert looks == [], "nobody listens, so nobody looks"


def test_looking_writes_nothing(site: Site) -> None:
    """Whatever readers do, a night's own files are the night's."""

    def contents() -> dict[str, tuple[bytes, int]]:
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in site.runs.rglob("*")
            if path.is_file()
        }

    with (site.runs / TAG / "ledger.jsonl").open("ab") as file:
        file.write(
            b'{"number": 99, "tor'
        )  # what a power cut leaves; mending it is the controller's
    before = contents()
    site.get("/api/campaigns")
    site.get(f"/api/campaigns/{TAG}")
    site.get(f"/api/campaigns/{TAG}/experiments/3")
    with site.events(f"/api/campaigns/{TAG}/events") as events:
        events.next("now")
    assert contents() == before


def test_campaigns_that_nobody_follows_are_closed(tmp_path: Path) -> None:
    """Whoever walks through a year of campaigns must not fill the memory that trains."""
    campaign = make_campaign(tmp_path / "made")
    runs = tmp_path / "runs"
    for number in range(20):
        shutil.copytree(campaign, runs / f"c{number}")

    async def walk() -> list[str]:
        watcher = Watcher(runs)
        with watcher.following(watcher.room("c0")):
            for number in range(20):
                watcher.room(f"c{number}").story_json()
            return [tag for tag, room in watcher._rooms.items() if room.is_open]

    kept = asyncio.run(walk())
    assert "c0" in kept, "somebody follows it"
    assert len(kept) <= MOST_ROOMS + 2  # the one that is followed, and the one asked for last


def test_a_start_reads_the_newest_campaign_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is opened while 10,000 experiments are still being read; to read them twice takes twice as long."""
    make_campaign(tmp_path)
    opened: list[Path] = []
    really = Tale.open.__func__  # type: ignore[attr-defined]

    def slowly(cls: type[Tale], folder: Path) -> Tale:
        opened.append(folder)
        time.sleep(0.5)
        tale: Tale = really(cls, folder)
        return tale

    monkeypatch.setattr(Tale, "open", classmethod(slowly))
    with served(tmp_path) as site:
        assert site.get("/api/campaigns")["campaigns"][0]["tag"] == TAG
        assert len(site.get(f"/api/campaigns/{TAG}")["rows"]) == SO_FAR
    assert opened == [tmp_path / TAG]


def test_who_looks_first_does_not_take_the_news_from_others(site: Site) -> None:
    """A second reader opens the page just when the night ends; the first must not go on to see it run."""
    folder = site.runs / TAG
    with site.events("/api/events") as listed, site.events(since(site, SO_FAR)) as followed:
        with locked(folder):
            while not listed.next("campaigns").data["campaigns"][0]["running"]:
                pass
            while not followed.next("story").data["running"]:
                pass
            time.sleep(1.2 * LOOK_EVERY_S)  # what was looked at just now is not looked at again
        began = time.monotonic()
        while time.monotonic() - began < 2 * LOOK_EVERY_S:  # between any two looks of the watcher's
            listed_running = site.get("/api/campaigns")["campaigns"][0]["running"]
            assert site.get(f"/api/campaigns/{TAG}/experiments/1")
            time.sleep(0.05)
        assert listed_running is False
        assert listed.next("campaigns").data["campaigns"][0]["running"] is False
        assert followed.next("story").data["running"] is False


def test_a_look_tells_what_others_saw_before_it(tmp_path: Path) -> None:
    """The property itself, without the clock: what was announced last is what counts."""
    folder = make_campaign(tmp_path)

    async def looked() -> list[bool]:
        watcher = Watcher(tmp_path)
        room = watcher.room(TAG)
        assert room.look() and watcher.shelf.look(), "nothing was announced before"
        with locked(folder):
            room._looked_at = watcher.shelf._looked_at = 0.0
            room.story_json()
            watcher.shelf.visit()
            return [room.look(), watcher.shelf.look(), room.look(), watcher.shelf.look()]

    assert asyncio.run(looked()) == [True, True, False, False]


def test_a_fault_of_ours_is_that_campaigns_problem(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No reader foresees every file; nobody's page may be ended by one, and what was mended is shown again."""
    shutil.copytree(site.runs / TAG, site.runs / "bad")
    story = Tale.story
    bad = True

    def broken(tale: Tale) -> Story:
        if tale.tag == "bad" and bad:
            raise ValueError("Unknown format code 'g' for object of type 'str'")
        return story(tale)

    with (
        site.events(since(site, SO_FAR)) as good,
        site.events("/api/campaigns/bad/events") as followed,
        site.events("/api/events") as listed,
    ):
        followed.next("story")
        monkeypatch.setattr(Tale, "story", broken)
        write_record(site.runs / "bad", make_record(SO_FAR + 1))
        words = followed.next("problem").data["error"]
        assert "ValueError" in words and "Unknown" not in words
        assert "Unknown format code" in caplog.text
        while not any(brief["problem"] for brief in listed.next("campaigns").data["campaigns"]):
            pass
        assert site.ask("/api/campaigns/bad").status == 409
        write_record(site.runs / TAG, make_record(SO_FAR + 1, title="goes on"))
        while not (rows := good.next("story").data["new_rows"]):
            pass
        assert rows[-1]["title"] == "goes on"
        bad = False
        write_record(site.runs / "bad", make_record(SO_FAR + 2))
        assert len(followed.next("story").data["new_rows"]) == SO_FAR + 2


def test_a_look_that_fails_is_followed_by_the_next(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One fault at two in the morning, and the page of the whole team would be dead until somebody restarts it."""
    look, fails = Room.look, [True]

    def at_first(room: Room) -> bool:
        if fails:
            fails.clear()
            raise MemoryError("nothing left")
        return look(room)

    with site.events(since(site, SO_FAR)) as events:
        events.next("now")
        monkeypatch.setattr(Room, "look", at_first)
        write_record(site.runs / TAG, make_record(SO_FAR + 1, title="after it"))
        assert events.next("story").data["new_rows"][0]["title"] == "after it"
    assert not fails and "nothing left" in caplog.text
    with site.events(since(site, SO_FAR)) as events:
        assert events.next("story")


def test_another_campaign_of_the_name_is_sent_whole(site: Site) -> None:
    """A tab that comes back has four rows of a night that was deleted; they are none of the new night's."""
    state = site.get(f"/api/campaigns/{TAG}")["state"]
    folder = site.runs / TAG
    shutil.rmtree(folder)
    make_campaign(site.runs, make_night(SO_FAR + 3, seed=9))
    time.sleep(1.1 * LOOK_EVERY_S)
    with site.events(f"/api/campaigns/{TAG}/events?after={SO_FAR}&has={state}") as events:
        told = events.next("story").data
        assert (told["first"], len(told["new_rows"])) == (0, SO_FAR + 3)


def test_a_campaign_that_goes_is_said_to_be_gone(site: Site) -> None:
    """`Nothing has been measured yet` would be the words for a night that never was."""
    with site.events(since(site, SO_FAR)) as events:
        events.next("now")
        shutil.rmtree(site.runs / TAG)
        assert "no campaign" in events.next("problem").data["error"]
        assert site.ask(f"/api/campaigns/{TAG}").status == 404
        make_campaign(site.runs, make_night(7, seed=9))
        told = events.next("story").data
        assert (told["first"], len(told["new_rows"])) == (0, 7)


def test_a_room_that_was_closed_meanwhile_is_followed_all_the_same(tmp_path: Path) -> None:
    """Between a request and its stream others may ask for as many campaigns as stay open."""
    campaign = make_campaign(tmp_path / "made")
    runs = tmp_path / "runs"
    for number in range(MOST_ROOMS + 2):
        shutil.copytree(campaign, runs / f"c{number}")

    async def follow() -> None:
        watcher = Watcher(runs)
        room = watcher.room("c0")
        for number in range(1, MOST_ROOMS + 2):
            watcher.room(f"c{number}")
        assert "c0" not in watcher._rooms
        with watcher.following(room):
            await asyncio.wait_for(room.beat.wait(), 3 * LOOK_EVERY_S)
        assert not watcher._followed

    asyncio.run(follow())


def test_a_campaign_that_is_being_read_does_not_hold_up_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One ledger of months must not keep a reader of another campaign waiting behind the list."""
    campaign = make_campaign(tmp_path / "made")
    runs = tmp_path / "runs"
    for tag in ("long", "short"):
        shutil.copytree(campaign, runs / tag)
    opened = Tale.open.__func__  # type: ignore[attr-defined]
    reading, go_on = threading.Event(), threading.Event()

    def slowly(cls: type[Tale], folder: Path) -> Tale:
        if folder.name == "long":
            reading.set()
            assert go_on.wait(PATIENCE_S)
        tale: Tale = opened(cls, folder)
        return tale

    async def ask() -> None:
        watcher = Watcher(runs)
        short = watcher.room("short")
        short.story_json()
        monkeypatch.setattr(Tale, "open", classmethod(slowly))
        listing = threading.Thread(target=watcher.shelf.look)
        listing.start()
        try:
            assert reading.wait(PATIENCE_S)
            answering = threading.Thread(target=short.story_json)
            answering.start()
            answering.join(2.0)
            assert not answering.is_alive(), "it waits for the list"
        finally:
            go_on.set()
            listing.join(PATIENCE_S)
        assert len(watcher.shelf.briefs) == 2

    asyncio.run(ask())


def test_a_bundle_in_the_making_is_no_night(site: Site) -> None:
    """A STOP that the page left for it would end the next night before it begins."""
    folder = site.runs / TAG
    write_now(folder, now_of(1))
    with kept_still(folder):
        assert site.get(f"/api/campaigns/{TAG}")["running"] is False
        assert site.get("/api/campaigns")["campaigns"][0]["running"] is False
        answer = site.post(f"/api/campaigns/{TAG}/stop", {"when": "after"})
        assert answer.status == 409 and not (folder / "STOP").exists()
        with site.events(since(site, SO_FAR)) as events:
            assert events.next("now").data is None
