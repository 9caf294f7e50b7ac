"""The live page against the product's own server: a campaign that grows while somebody looks, and the buttons.

The records come through the product's own Ledger, now.json through its own writer; only the containers are missing.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from lab.dashboard.gate import LOOPBACK_NAMES, Door
from lab.dashboard.rooms import Followed, Room
from lab.dashboard.watching import Shelf, Watcher
from lab.imported import import_results
from lab.inbox import Inbox
from lab.notes import read_pinned
from lab.runs import locked
from lab.settings import CHECKOUT
from lab.story.now import write_now
from lab.story.shapes import Now, Point
from tests.browser.conftest import Watched
from tests.unit.handed_in import BEST, make_campaign, write_record
from tests.unit.nights import make_night, make_record
from tests.unit.served import PATIENCE_S, Site, served, wait_until

TAG = "nov23"
SO_FAR = 60
SCREENSHOTS = CHECKOUT / ".nightlab" / "screenshots"
HOSTILE = '</script><img src=x onerror="window.hacked=1"><b>bold</b> ${1} \u202etxt'
TABLE = (
    "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
    "aaaaaaa\t1.86\t44.0\tkeep\tbaseline\n"
    f"bbbbbbb\t1.85\t44.2\tkeep\t{HOSTILE}\n"
    "ccccccc\t0.000000\t0.0\tcrash\ttoo wide\n"
)
TOKEN = "x" * 43


class Night:
    """A campaign that somebody runs, played: it holds the lock, and what it does it writes down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done = SO_FAR
        self._step = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._tell)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def finish(self, title: str = "A wider head") -> int:
        """One more experiment is done."""
        with self._lock:
            self.done += 1
            record = make_record(self.done, title=title, val_bpb=1.86, best_bpb=1.83)
            write_record(self.folder, record)
            return self.done

    def _tell(self) -> None:
        with locked(self.folder):
            while not self._over.wait(0.3):
                with self._lock:
                    self._step += 10
                    write_now(self.folder, self._now())

    def _now(self) -> Now:
        return Now(
            at=datetime.now(UTC).isoformat(),
            pid=1,
            experiment=self.done + 1,
            kind="candidate",
            title=f"idea {HOSTILE}",
            hypothesis=HOSTILE,
            agent="offline",
            phase="training",
            cap_s=60.0,
            elapsed_s=self._step / 10,
            fraction=min(1.0, self._step / 600),
            loss=3.5,
            tokens_per_s=12_000.0,
            curve=tuple(
                Point(train_s=step / 10, step=step, loss=3.0 + 5 / (step + 5))
                for step in range(0, self._step + 10, 10)
            ),
            telemetry={"power_w": 650.0, "temperature_c": 64.0},
            log_tail=f"step {self._step} | {HOSTILE}\n",
        )


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    runs = tmp_path / "runs"
    folder = make_campaign(runs, make_night(SO_FAR))
    older = make_campaign(tmp_path / "other", make_night(30, seed=4)).rename(runs / "nov22")
    (older / "campaign.json").write_text(
        (older / "campaign.json").read_text().replace(TAG, "nov22")
    )
    table = tmp_path / "results.tsv"
    table.write_text(TABLE)
    import_results(runs, table, "theirs")
    night = Night(folder)
    night.start()
    yield night
    night.stop()


@contextmanager
def shown(
    night: Night, context: BrowserContext, *, door: Door | None = None, actions: bool = True
) -> Iterator[Site]:
    """The lab of this night, served; no page is left that would miss its server."""
    with served(night.folder.parent, door=door, actions=actions) as site:
        yield site
        for page in context.pages:
            page.close()


@pytest.fixture
def site(night: Night, context: BrowserContext) -> Iterator[Site]:
    with shown(night, context) as site:
        yield site


def open_page(page: Page, site: Site, hash_: str = "") -> None:
    page.goto(f"{site.url}/{hash_}")
    expect(page.locator(".connection")).to_have_text("Live")
    expect(page.locator("table.experiments tr.line").first).to_be_visible()


def show(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"dashboard-{name}.png", full_page=True)


def line_of(page: Page, number: int) -> str:
    return f'tr.line[data-number="{number}"]'


def test_the_page_follows_a_night(page: Page, site: Site, night: Night) -> None:
    """Whoever reads an experiment while the night goes on keeps what is open, and sees what comes."""
    open_page(page, site)
    expect(page).to_have_title(re.compile(f"{TAG} .running."))
    expect(page.locator(".campaigns li")).to_have_count(3)
    opener = page.locator(f"{line_of(page, 5)} button.opener")
    opener.click()
    detail = page.locator("#detail-5")
    expect(detail).to_contain_text("step 1")
    mark = page.evaluate("document.getElementById('detail-5').dataset.mine = 'yes'")
    assert mark == "yes"
    clock = page.locator("#now .clock, .now .clock").first
    before = clock.inner_text()
    wait_until(lambda: clock.inner_text() != before)
    for title in ("A wider head", "Another thing"):
        number = night.finish(title)
        row = page.locator(f"{line_of(page, number)} button.opener")
        expect(row).to_have_text(title, timeout=3000)
    expect(detail).to_be_visible()
    assert detail.get_attribute("data-mine") == "yes", "it was drawn anew"
    expect(opener).to_be_focused()
    show(page, "live")
    night.stop()
    expect(page).to_have_title(f"{TAG} · Nightlab", timeout=5000)


def test_another_campaign_can_be_chosen(page: Page, site: Site) -> None:
    """Past ones too; and the address says which, so that it can be sent to somebody."""
    open_page(page, site)
    page.locator(".campaigns button.link", has_text="nov22").click()
    expect(page).to_have_title("nov22 · Nightlab")
    assert "c=nov22" in page.url
    page.reload()
    expect(page).to_have_title("nov22 · Nightlab")


def test_campaigns_are_drawn_side_by_side(page: Page, site: Site) -> None:
    """The union of several logs, one of them of the original project."""
    open_page(page, site, f"#c={TAG}&c=nov22&c=theirs")
    expect(page.locator(".campaigns input:checked")).to_have_count(3)
    expect(page.locator(".warning")).to_be_visible()  # an imported table names no hardware
    show(page, "union")
    page.locator(".campaigns button.link", has_text="theirs").click()
    expect(page.locator("table.experiments tr.line")).to_have_count(3)
    show(page, "imported")


def test_hostile_words_stay_words(page: Page, site: Site, night: Night) -> None:
    """A title, a log or a hypothesis with markup in it is shown as it is written."""
    open_page(page, site)
    number = night.finish(HOSTILE)
    opener = page.locator(f"{line_of(page, number)} button.opener")
    expect(opener).to_contain_text('<img src=x onerror="window.hacked=1"><b>bold</b>')
    opener.click()
    expect(page.locator(f"#detail-{number}")).to_be_visible()
    expect(page.locator("pre.log").first).to_contain_text("<img src=x")
    page.locator(".campaigns button.link", has_text="theirs").click()
    expect(page.locator("table.experiments")).to_contain_text("<b>bold</b>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.locator("b", has_text="bold").count() == 0


def test_the_stop_buttons_stop(page: Page, site: Site, night: Night) -> None:
    """After this experiment at a click; at once only when asked twice."""
    open_page(page, site)
    stop = night.folder / "STOP"
    page.get_by_role("button", name="Stop after this experiment").click()
    expect(page.locator(".said")).to_contain_text("after this experiment")
    assert stop.read_text().strip() == "after"
    page.get_by_role("button", name="Stop now …").click()
    page.get_by_role("button", name="Let it run").click()
    assert stop.read_text().strip() == "after"
    page.get_by_role("button", name="Stop now …").click()
    show(page, "stop")
    page.locator("dialog").get_by_role("button", name="Stop now").click()
    expect(page.locator(".said")).to_contain_text("stops now")
    assert stop.read_text().strip() == "now"


def test_a_note_and_a_file_can_be_handed_in(
    page: Page, site: Site, night: Night, watched: Watched
) -> None:
    """And what cannot run is refused in words, with the form as it was."""
    open_page(page, site)
    page.get_by_text("Pin a note for the agent").click()
    page.get_by_label("Note", exact=True).fill("try fewer heads")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.locator(".said")).to_contain_text("Pinned")
    assert read_pinned(night.folder) == ("try fewer heads",)
    page.get_by_text("Queue a train.py").click()
    page.get_by_label("Title", exact=True).fill("Mine")
    code = page.get_by_label("train.py as text")
    code.fill("x = (")
    page.get_by_role("button", name="Queue", exact=True).click()
    expect(page.locator(".said")).to_contain_text("does not parse")
    expect(code).to_have_value("x = (")
    # A browser writes every such answer on its console; nothing else may be there.
    (told,) = watched.problems
    assert "422" in told
    watched.problems.clear()
    code.fill(BEST.replace('"width": 48', '"width": 64'))
    page.get_by_role("button", name="Queue", exact=True).click()
    expect(page.locator(".said")).to_contain_text("ticket 1")
    assert Inbox(night.folder).waiting() == [1]
    show(page, "actions")


def test_a_page_that_only_shows_has_no_buttons(
    page: Page, context: BrowserContext, night: Night
) -> None:
    """A team reads; one person decides."""
    with shown(night, context, actions=False) as site:
        open_page(page, site)
        expect(page.get_by_role("button", name="Stop")).to_have_count(0)
        expect(page.get_by_text("Queue a train.py")).to_have_count(0)


def test_the_printed_address_opens_the_page(
    context: BrowserContext, page: Page, night: Night, watched: Watched
) -> None:
    """The token goes out of the address and into a cookie that no script reads; a second visit needs none."""
    door = Door(names=LOOPBACK_NAMES, token=TOKEN)
    with shown(night, context, door=door) as site:
        open_page(page, site, f"?token={TOKEN}")
        assert TOKEN not in page.url
        assert page.evaluate("document.cookie") == ""
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        again = context.new_page()
        open_page(again, site)
        context.clear_cookies()
        page.close()
        again.goto(site.url)
        expect(again.locator("main")).to_contain_text("needs its token")
    assert all("401" in text for text in watched.problems)
    watched.problems.clear()


def test_a_server_that_comes_back_is_found_again(
    page: Page, night: Night, watched: Watched
) -> None:
    """Somebody restarts `make dashboard`; an open page goes on by itself, and has lost nothing."""
    with served(night.folder.parent) as site:
        open_page(page, site)
    expect(page.locator(".connection")).to_have_text(re.compile("No connection"))
    number = night.finish("while nobody served")
    with served(night.folder.parent, port=site.port):
        expect(page.locator(".connection")).to_have_text("Live", timeout=20_000)
        expect(page.locator(f"{line_of(page, number)} button.opener")).to_have_text(
            "while nobody served"
        )
        page.goto("about:blank")
    assert all("ERR_CONNECTION" in text or "ERR_INCOMPLETE" in text for text in watched.problems)
    watched.problems.clear()


HIDE = """
(() => {
  let hidden = false;
  Object.defineProperty(document, "hidden", { get: () => hidden });
  Object.defineProperty(document, "visibilityState", { get: () => (hidden ? "hidden" : "visible") });
  window.turn = (to) => {
    hidden = to;
    document.dispatchEvent(new Event("visibilitychange"));
  };
})();
"""


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many streams the server has open."""
    open_now: list[Followed] = []
    following = Watcher.following

    @contextmanager
    def counted(watcher: Watcher, followed: Followed) -> Iterator[None]:
        with following(watcher, followed):
            open_now.append(followed)
            try:
                yield
            finally:
                open_now.remove(followed)

    monkeypatch.setattr(Watcher, "following", counted)
    return lambda: len(open_now)


def come_true(page: Page, true: Callable[[], bool]) -> None:
    """Until it is true; the browser's requests go on meanwhile, which come through this thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came"
        page.wait_for_timeout(50)


def test_a_page_that_nobody_sees_holds_no_line(
    page: Page, context: BrowserContext, site: Site, night: Night, streams: Callable[[], int]
) -> None:
    """A browser has six connections to one server: with three tabs open, a fourth would wait for ever."""
    context.add_init_script(HIDE)
    pages = [page, *(context.new_page() for _ in range(4))]
    for each in pages:
        open_page(each, site)
        come_true(page, lambda: streams() == 2)
        each.evaluate("turn(true)")
        come_true(page, lambda: streams() == 0)
    number = night.finish("while nobody looked")
    row = f"{line_of(page, number)} button.opener"
    page.wait_for_timeout(2500)
    expect(page.locator(row)).to_have_count(0)
    for each in pages[:2]:
        each.evaluate("turn(false)")
        expect(each.locator(row)).to_have_text("while nobody looked", timeout=3000)
        expect(each.locator(".connection")).to_have_text("Live")
    come_true(page, lambda: streams() == 4)
    number = night.finish("and on")
    for each in pages[:2]:
        expect(each.locator(f"{line_of(page, number)} button.opener")).to_have_text("and on")


def test_a_page_that_is_left_and_come_back_to_goes_on(
    page: Page, site: Site, night: Night, streams: Callable[[], int]
) -> None:
    """The browser keeps a page that is left as it was; its lines it must not keep."""
    open_page(page, site)
    turn = "(name) => window.dispatchEvent(new PageTransitionEvent(name, { persisted: true }))"
    page.evaluate(turn, "pagehide")
    come_true(page, lambda: streams() == 0)
    number = night.finish("meanwhile")
    page.evaluate(turn, "pageshow")
    expect(page.locator(f"{line_of(page, number)} button.opener")).to_have_text("meanwhile")
    expect(page.locator(".connection")).to_have_text("Live")
    come_true(page, lambda: streams() == 2)


def test_a_page_draws_once_what_it_loaded(
    page: Page, site: Site, night: Night, streams: Callable[[], int]
) -> None:
    """The first answer of a stream is what the page has just asked for; with 10,000 points that is felt."""
    night.stop()
    page.add_init_script(
        "window.addEventListener('DOMContentLoaded', () => { const view = Nightlab.page; const show = view.show;"
        " window.drawn = 0; view.show = (...all) => { window.drawn += 1; return show(...all); }; })"
    )
    open_page(page, site, f"#c={TAG}")
    come_true(page, lambda: streams() == 2)
    page.wait_for_timeout(2500)
    assert page.evaluate("window.drawn") == 1
    write_record(night.folder, make_record(SO_FAR + 1, title="one more"))
    expect(page.locator(f"{line_of(page, SO_FAR + 1)} button.opener")).to_have_text("one more")
    assert page.evaluate("window.drawn") == 2


def test_a_ledger_that_breaks_is_said_and_so_is_its_mending(
    page: Page, site: Site, night: Night, watched: Watched
) -> None:
    """What stands on the page is then of before; nobody should take it for what is."""
    night.stop()
    ledger = night.folder / "ledger.jsonl"
    good = ledger.read_bytes()
    open_page(page, site, f"#c={TAG}")
    ledger.write_bytes(good.replace(b'"number"', b'"nothing"', 1))
    problem = page.locator("main > .problem")
    expect(problem).to_contain_text("is not a record")
    expect(problem).to_contain_text("known before")
    expect(page.locator("tr.line")).to_have_count(SO_FAR)
    show(page, "broken")
    page.reload()
    expect(problem).to_contain_text("is not a record")
    expect(page.locator("tr.line")).to_have_count(0)
    ledger.write_bytes(good)
    expect(page.locator("tr.line")).to_have_count(SO_FAR)
    expect(problem).to_be_hidden()
    assert all("409" in text for text in watched.problems)  # the browser says it on its console
    watched.problems.clear()


SLOW_S = 1.5


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes its time for the campaign nov22, and for every Detail."""
    story_json, detail_json = Room.story_json, Room.detail_json

    def story_later(room: Room) -> bytes:
        if room.folder.name == "nov22":
            time.sleep(SLOW_S)
        return story_json(room)

    def detail_later(room: Room, number: int) -> bytes:
        time.sleep(SLOW_S)
        return detail_json(room, number)

    monkeypatch.setattr(Room, "story_json", story_later)
    monkeypatch.setattr(Room, "detail_json", detail_later)


@pytest.mark.usefixtures("slow")
def test_what_is_clicked_while_a_campaign_loads_means_what_is_shown(
    page: Page, site: Site, night: Night, watched: Watched
) -> None:
    """Who clicks twice sees the campaign that was chosen, and it moves; until then everything is of the one before."""
    open_page(page, site)
    chosen = page.locator(".campaigns button.link", has_text="nov22")
    chosen.click()
    page.locator(f"{line_of(page, 5)} button.opener").click()
    chosen.click()
    page.get_by_label("Draw theirs in the chart").check()
    expect(page).to_have_title(f"{TAG} (running) · Nightlab")
    expect(page.locator("tr.line").first).to_be_visible()
    expect(page).to_have_title("nov22 · Nightlab")
    details = [url for url in watched.requests if "/experiments/" in url]
    assert [url.rpartition("/api")[2] for url in details] == [f"/campaigns/{TAG}/experiments/5"]
    expect(page.locator(".campaigns input:checked")).to_have_count(2)
    older = night.folder.parent / "nov22"
    write_record(older, make_record(31, title="and it goes on"))
    expect(page.locator(f"{line_of(page, 31)} button.opener")).to_have_text("and it goes on")
    page.locator(".campaigns button.link", has_text=TAG).click()
    number = night.finish("seen again")
    expect(page.locator(f"{line_of(page, number)} button.opener")).to_have_text("seen again")


@pytest.mark.usefixtures("slow")
def test_a_night_is_stopped_by_its_name(page: Page, site: Site, night: Night) -> None:
    """What was asked about is what is stopped, whatever is shown by the time of the answer."""
    open_page(page, site)
    page.locator(".campaigns button.link", has_text="nov22").click()
    page.get_by_role("button", name="Stop now …").click()
    expect(page.locator("dialog h2")).to_have_text(f"Stop the night of {TAG} now?")
    expect(page).to_have_title("nov22 · Nightlab")
    with locked(night.folder.parent / "nov22"):
        page.locator("dialog").get_by_role("button", name="Stop now").click()
        expect(page.locator(".said")).to_contain_text("stops now")
    assert (night.folder / "STOP").read_text().strip() == "now"
    assert not (night.folder.parent / "nov22" / "STOP").exists()


@pytest.mark.usefixtures("slow")
def test_a_detail_that_was_hidden_while_it_was_read_is_there(page: Page, site: Site) -> None:
    """Somebody opens a line and goes on typing in the search."""
    open_page(page, site)
    page.locator(f"{line_of(page, 5)} button.opener").click()
    expect(page.locator("#detail-5")).to_have_text("Reading …")
    search = page.get_by_label("Search titles")
    search.fill("no such title")
    expect(page.locator("tr.line")).to_have_count(0)
    page.wait_for_timeout(1000 * SLOW_S + 500)
    search.fill("")
    expect(page.locator("#detail-5")).to_contain_text("step 1", timeout=1000)


COUNT_WATCHERS = """
window.watching = 0;
window.ResizeObserver = class extends ResizeObserver {
  observe(...given) { window.watching += 1; super.observe(...given); }
  disconnect() { window.watching -= 1; super.disconnect(); }
};
"""
OPEN_AND_LEAVE = """async (tag) => {
  const curve = [1, 2, 3].map((at) => ({ train_s: at, step: at, loss: 4 - at }));
  const texts = { hypothesis: "", verdict: "", reason: "", log_tail: "" };
  const lists = { notes: [], diff: [], parent_curve: [], audit: [], telemetry: [], conditions: [] };
  const table = Nightlab.tableView(async (number) => ({ number, parent: null, diff_cut: 0, curve, ...texts, ...lists }));
  document.getElementById("main").append(table.node);
  const story = Nightlab.live.stories.get(tag);
  const counts = [window.watching];
  table.show(story);
  for (const number of [5, 6]) table.open(number);
  await new Promise((done) => setTimeout(done, 200));
  counts.push(window.watching);
  table.show({ ...story, tag: "another" });
  counts.push(window.watching, table.opened().length);
  return counts;
}"""


def test_what_was_open_in_another_campaign_is_closed(page: Page, site: Site, night: Night) -> None:
    """Who walks through a year of campaigns would drag every chart along that he ever opened."""
    night.stop()
    page.add_init_script(COUNT_WATCHERS)
    open_page(page, site, f"#c={TAG}")
    before, open_, after, opened = page.evaluate(OPEN_AND_LEAVE, TAG)
    assert (open_, after, opened) == (before + 2, before, 0)


def test_a_campaign_that_was_deleted_is_said_to_be_gone(
    page: Page, site: Site, night: Night, watched: Watched
) -> None:
    """It was measured, and its rows are on the screen: it is neither an empty night nor a lost connection."""
    night.stop()
    open_page(page, site, f"#c={TAG}")
    shutil.rmtree(night.folder)
    problem = page.locator("main > .problem")
    expect(problem).to_contain_text("no campaign")
    expect(page.locator("tr.line")).to_have_count(SO_FAR)
    page.evaluate(HIDE)
    page.evaluate("turn(true)")
    page.evaluate("turn(false)")  # the page comes again, and there is nothing to follow
    expect(problem).to_contain_text("there is no campaign of that name")
    expect(page.locator(".connection")).to_have_text("Not live; trying again")
    make_campaign(night.folder.parent, make_night(7))
    expect(page.locator("tr.line")).to_have_count(7, timeout=20_000)
    expect(problem).to_be_hidden()
    assert all("404" in text for text in watched.problems)
    watched.problems.clear()


def test_a_reader_who_is_refused_is_told_why(
    page: Page, context: BrowserContext, night: Night, watched: Watched
) -> None:
    """The token is another since the server was started again: waiting for a connection would be for ever."""
    with served(night.folder.parent, door=Door(names=LOOPBACK_NAMES, token=TOKEN)) as site:
        open_page(page, site, f"?token={TOKEN}")
    door = Door(names=LOOPBACK_NAMES, token="y" * 43)
    with served(night.folder.parent, door=door, port=site.port):
        expect(page.locator(".connection")).to_have_text(
            "Not live; trying again", timeout=PATIENCE_S * 1000
        )
        expect(page.locator("main > .problem")).to_contain_text("needs its token")
        page.goto("about:blank")
    watched.problems.clear()  # the browser says each refusal on its console


def test_what_the_address_names_does_not_wait_for_the_list(
    page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab of years is a thousand ledgers, and somebody was sent the address of one."""
    listed, visit = threading.Event(), Shelf.visit

    def later(shelf: Shelf) -> None:
        assert listed.wait(PATIENCE_S)
        visit(shelf)

    monkeypatch.setattr(Shelf, "visit", later)
    try:
        page.goto(f"{site.url}/#c=nov22")
        expect(page).to_have_title("nov22 · Nightlab")
        expect(page.locator("table.experiments tr.line")).to_have_count(30)
        expect(page.locator(".campaigns li")).to_have_count(0)
    finally:
        listed.set()
    expect(page.locator(".campaigns li")).to_have_count(3)
    expect(page).to_have_title("nov22 · Nightlab")


def test_an_old_moment_is_told_with_its_age(page: Page, site: Site, night: Night) -> None:
    """With a full disk the last that was written stands for hours."""
    night.stop()
    with locked(night.folder):
        os.utime(night.folder / "lock", (0.0, 0.0))
        at = datetime.now(UTC) - timedelta(seconds=125)
        write_now(night.folder, replace(night._now(), at=at.isoformat()))
        open_page(page, site)
        expect(page.locator("#now .phase")).to_contain_text("training, as of 2 min 0 s ago")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, site: Site, scheme: str) -> None:
    """A night is everybody's to follow: with a running experiment, an open one, and the forms."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    open_page(page, site, f"#c={TAG}&c=nov22&c=theirs")
    page.locator(f"{line_of(page, 5)} button.opener").click()
    expect(page.locator("#detail-5 .log")).to_be_visible()
    expect(page.locator("#now")).to_be_visible()
    page.get_by_text("Pin a note for the agent").click()
    page.get_by_text("Queue a train.py").click()
    found = Axe().run(page).response["violations"]
    serious = [
        (f["id"], [node["html"][:200] for node in f["nodes"]])
        for f in found
        if f["impact"] in ("serious", "critical")
    ]
    assert serious == []
    show(page, scheme)
