"""Who may ask the page's server, and what a stranger learns: names, tokens, forged requests, headers."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import serving
from lab.dashboard import CLOSING_S, TOKEN_FILE, serve_dashboard
from lab.dashboard.gate import LOOPBACK_NAMES, MOST_BODY_BYTES, Door
from lab.errors import BadInput
from lab.imported import import_results
from lab.runs import locked
from lab.settings import CHECKOUT, Settings, read_settings
from tests.unit.handed_in import make_campaign
from tests.unit.served import PATIENCE_S, SENT, Site, served, wait_until

TAG = "nov23"
TOKEN = "t0ken-" + "x" * 40
STOP = f"/api/campaigns/{TAG}/stop"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    make_campaign(tmp_path / "runs")
    with served(tmp_path / "runs") as site, locked(site.runs / TAG):
        yield site


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    """A server that asks for a token."""
    make_campaign(tmp_path / "runs")
    door = Door(names=LOOPBACK_NAMES, token=TOKEN, cookie="nightlab-1")
    with served(tmp_path / "runs", door=door) as site:
        yield site


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("LOCALHOST:{port}", True),
        ("localhost.", True),
        ("[::1]:{port}", True),
        ("localhost:9000", True),  # `ssh -L 9000:127.0.0.1:8378`
        ("evil.example", False),
        ("evil.example:{port}", False),
        ("localhost.evil.example:{port}", False),
        ("127.0.0.1.evil.example:{port}", False),
        ("192.168.1.7:{port}", False),
        ("0.0.0.0:{port}", False),
        ("", False),
        ("[::1", True),
        ("127.0.0.1:80:evil.example", False),
    ],
)
def test_only_our_own_names_are_answered(site: Site, host: str, answered: bool) -> None:
    """A page of somebody's can point its own name at 127.0.0.1, and would then be of one origin with us."""
    for path in ("/", "/api/campaigns", "/static/page.css"):
        answer = site.ask(path, headers={"Host": host.format(port=site.port)})
        assert (answer.status != 403) is answered
        if not answered:
            assert "does not answer to that name" in answer.error


def test_a_name_that_the_user_gave_is_answered(tmp_path: Path) -> None:
    """Behind a proxy or in a container, only a person knows by which name others come."""
    door = Door(names=LOOPBACK_NAMES | {"lab.example"}, any_address=True)
    with served(tmp_path, door=door) as site:
        for host, status in (
            ("lab.example", 200),
            ("192.168.1.7:8378", 200),
            ("[fe80::1]:8378", 200),
            ("evil.example", 403),
            ("1.2.3.4.evil.example", 403),
        ):
            assert site.ask("/api/campaigns", headers={"Host": host}).status == status, host


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        pytest.param({}, 200, id="as-the-page-sends-it"),
        pytest.param({"Origin": "http://127.0.0.1:{port}"}, 200, id="own-origin"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="a-browser-says-so"),
        pytest.param({"Content-Type": "application/json; charset=utf-8"}, 200, id="with-charset"),
        pytest.param({"X-Nightlab": None}, 403, id="without-the-header"),
        pytest.param({"X-Nightlab": "2"}, 403, id="another-header"),
        pytest.param({"Content-Type": "text/plain"}, 403, id="as-a-form-can"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, 403, id="a-form"),
        pytest.param({"Content-Type": None}, 403, id="no-type"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="another-origin"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, 403, id="another-port-of-this-host"),
        pytest.param({"Origin": "http://localhost:{port}"}, 403, id="another-of-our-names"),
        pytest.param({"Origin": "null"}, 403, id="a-sandboxed-frame"),
        pytest.param({"Origin": ""}, 403, id="empty-origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="a-browser-says-cross-site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="a-browser-says-same-site"),
    ],
)
def test_another_page_cannot_press_our_buttons(
    site: Site, changed: dict[str, str | None], status: int
) -> None:
    """Any page in any browser here can send requests to loopback; none of them may end a night."""
    headers = {
        name: value.format(port=site.port)
        for name, value in (SENT | changed).items()
        if value is not None
    }
    answer = site.ask(STOP, method="POST", body=b'{"when": "after"}', headers=headers)
    assert answer.status == status
    assert (site.runs / TAG / "STOP").exists() is (status == 200)
    if status != 200:
        assert "another" in answer.error or "X-Nightlab" in answer.error


def test_no_other_origin_is_ever_allowed(site: Site) -> None:
    """A browser asks first before it sends our header to another origin; whatever it asks, we do not agree."""
    asked = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-nightlab, content-type",
    }
    for path in ("/", STOP, "/api/campaigns"):
        answer = site.ask(path, method="OPTIONS", headers=asked)
        assert answer.status == 403
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_another_page_cannot_read(site: Site) -> None:
    """Nor tie up the server with streams that its browser throws away."""
    others = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    for path in ("/api/campaigns", "/api/events", f"/api/campaigns/{TAG}", "/static/page.css"):
        assert site.ask(path, headers=others).status == 403
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert site.ask("/", headers=followed).status == 200


@pytest.mark.parametrize("path", ["/", "/api/campaigns", "/nothing", STOP, "/static/page.css"])
def test_every_answer_has_its_headers(site: Site, path: str) -> None:
    """They are the browser's orders; one answer without them is the one that is used."""
    for headers in ({}, {"Host": "evil.example"}):
        answer = site.ask(path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in answer.headers
        fresh = "no-cache" if path.startswith("/static") and not headers else "no-store"
        assert answer.headers["cache-control"] == fresh


def test_a_stranger_learns_nothing(guarded: Site) -> None:
    """Without the token there is one answer to everything, known names and unknown ones."""
    for path in ("/", "/api/campaigns", f"/api/campaigns/{TAG}", "/nothing", "/static/page.css"):
        for cookie in ("", "nightlab-1=wrong", f"nightlab-2={TOKEN}", "nightlab-1=\xe9", "=;;"):
            answer = guarded.ask(path, headers={"Cookie": cookie})
            assert answer.status == 401, (path, cookie)
            assert b"token" in answer.body and TAG.encode() not in answer.body
    assert guarded.post(STOP, {"when": "now"}).status == 401
    assert guarded.ask(f"/api/campaigns?token={TOKEN}").status == 401, "only the page takes it"


def test_the_token_is_given_once(guarded: Site) -> None:
    """It comes in an address that was printed, and goes into a cookie that no script can read."""
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", "%C3%A9"):
        answer = guarded.ask(f"/?token={wrong}")
        assert answer.status == 401 and "set-cookie" not in answer.headers
        assert answer.headers["content-type"].startswith("text/html") and b"token" in answer.body
    answer = guarded.ask(f"/?token={TOKEN}")
    assert answer.status == 200 and TOKEN.encode() not in answer.body
    assert b'url=/"' in answer.body, "it goes on to an address without the token"
    cookie = answer.headers["set-cookie"]
    assert "; httponly" in cookie.lower() and "; samesite=strict" in cookie.lower()
    sent = {"Cookie": cookie.partition(";")[0]}
    assert guarded.ask("/", headers=sent).status == 200
    assert guarded.get("/api/campaigns", **sent)["campaigns"][0]["tag"] == TAG
    forged = sent | {"Origin": "http://evil.example"}
    assert guarded.post(STOP, {"when": "now"}, forged).status == 403, "the cookie alone is no proof"
    assert guarded.post(STOP, {"when": "now"}, sent).status == 409, "nothing runs"


def test_a_body_is_bounded(site: Site) -> None:
    """Memory that an answer takes is memory that trains."""
    large = b'{"when": "' + b"x" * MOST_BODY_BYTES + b'"}'
    answer = site.ask(STOP, method="POST", body=large, headers=SENT)
    assert answer.status == 413 and "bytes" in answer.error
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_S) as raw:
        head = f"POST {STOP} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Nightlab: 1\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.sendall(head.encode())
        got = b""
        for _ in range(3 * MOST_BODY_BYTES // 2**16):  # without a length, and without an end
            try:
                raw.sendall(b"10000\r\n" + b"x" * 2**16 + b"\r\n")
            except OSError:
                break
        with_timeout = time.monotonic() + PATIENCE_S
        while b"413" not in got and time.monotonic() < with_timeout:
            got += raw.recv(4096)
        assert b"413" in got
    assert not (site.runs / TAG / "STOP").exists()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: 127.0", id="half-a-head"),
        pytest.param(b"GET /no HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /", id="half-of-a-second"),
        pytest.param(
            f"POST {STOP} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Nightlab: 1\r\n"
            "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{".encode(),
            id="half-a-body",
        ),
    ],
)
def test_who_asks_nothing_does_not_keep_readers_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """So many connections are let in, and no more; holding all of them costs a stranger nothing."""
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 8)
    monkeypatch.setattr(serving, "REQUEST_PATIENCE_S", 4.0)
    make_campaign(tmp_path / "runs")
    with served(tmp_path / "runs") as site, contextlib.ExitStack() as held:
        events = held.enter_context(site.events("/api/events"))
        events.next("campaigns")
        for _ in range(8):
            address = ("127.0.0.1", site.port)
            silent = held.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
            silent.sendall(sent)
        wait_until(lambda: site.ask("/api/campaigns").status == 503)
        wait_until(lambda: site.ask("/api/campaigns").status == 200)
        with locked(tmp_path / "runs" / TAG):  # and who reads stays
            assert events.next("campaigns").data["campaigns"][0]["running"]


def run_page(place: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """`lab dashboard` as a user starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "lab", "dashboard", "--port", "0", *words],
        cwd=CHECKOUT,
        env=dict(os.environ)
        | {"NIGHTLAB_RUNS": str(place / "runs"), "NIGHTLAB_STATE": str(place / "state")}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(page: subprocess.Popen[str]) -> tuple[str, int]:
    """The first line of a page that starts, and its port."""
    assert page.stdout is not None
    line = page.stdout.readline()
    found = re.search(r"live page at http://[^/]*:(\d+)/", line)
    assert found, line + (page.stderr.read() if page.stderr else "")
    return line, int(found[1])


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_somebody_reads(tmp_path: Path, sent: signal.Signals) -> None:
    """A page that stays open in a browser must not keep a terminal, nor fill it with what looks like a fault."""
    make_campaign(tmp_path / "runs")
    page = run_page(tmp_path)
    try:
        line, port = said(page)
        assert "token" not in line
        site = Site(port, tmp_path / "runs")
        with site.events(f"/api/campaigns/{TAG}/events") as events, site.events("/api/events"):
            events.next("now")
            page.send_signal(sent)
            began = time.monotonic()
            events.read_to_the_end()
            _, errors = page.communicate(timeout=PATIENCE_S)
            assert time.monotonic() - began < CLOSING_S
        code = 0 if sent == signal.SIGINT else -signal.SIGTERM
        assert (page.returncode, errors) == (code, "")
    finally:
        page.kill()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    assert not (tmp_path / "state").exists(), "on loopback no token is made"


def test_a_reader_that_takes_nothing_does_not_keep_it(tmp_path: Path) -> None:
    """A laptop that sleeps holds its connection and reads none of it."""
    table = tmp_path / "results.tsv"
    line = "1.8\t44.0\tdiscard\tan idea " + "of many words " * 12
    lines = [f"{number:07d}\t{line}\n" for number in range(19_000)]
    table.write_text("commit\tval_bpb\tmemory_gb\tstatus\tdescription\n" + "".join(lines))
    import_results(tmp_path / "runs", table, "long")
    page = run_page(tmp_path)
    try:
        _, port = said(page)
        with socket.socket() as asleep:
            asleep.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asleep.connect(("127.0.0.1", port))
            asleep.sendall(b"GET /api/campaigns/long/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert asleep.recv(15) == b"HTTP/1.1 200 OK"
            time.sleep(2.0)  # until the server can send no more
            page.send_signal(signal.SIGINT)
            began = time.monotonic()
            _, errors = page.communicate(timeout=PATIENCE_S)
            assert CLOSING_S - 0.5 < time.monotonic() - began < CLOSING_S + 1.5
        assert (page.returncode, errors) == (0, "")
    finally:
        page.kill()


def test_beyond_loopback_a_token_is_asked_for(tmp_path: Path) -> None:
    """`--host` is typed in a hurry: nobody may be let in because of that."""
    make_campaign(tmp_path / "runs")
    page = run_page(tmp_path, "--host", "0.0.0.0", "--read-only")
    try:
        line, port = said(page)
        token = (tmp_path / "state" / TOKEN_FILE).read_text().strip()
        assert f"?token={token}" in line
        assert page.stdout is not None and "in the clear" in page.stdout.readline()
        assert (tmp_path / "state" / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
        site = Site(port, tmp_path / "runs")
        assert site.ask("/api/campaigns").status == 401
        cookie = {"Cookie": f"nightlab-{port}={token}"}
        assert site.get("/api/campaigns", **cookie)["actions"] is False
        assert site.post(STOP, {"when": "now"}, cookie).status == 404
        page.send_signal(signal.SIGINT)
        page.communicate(timeout=PATIENCE_S)
    finally:
        page.kill()


def test_the_address_that_is_printed_is_answered(tmp_path: Path) -> None:
    """All of 127.0.0.0/8 is loopback, and needs no token."""
    make_campaign(tmp_path / "runs")
    page = run_page(tmp_path, "--host", "127.0.0.2")
    try:
        line, port = said(page)
        address = line.split()[-1]
        assert address == f"http://127.0.0.2:{port}/"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            assert answer.status == 200
    finally:
        page.send_signal(signal.SIGINT)
        page.communicate(timeout=PATIENCE_S)


def test_a_token_that_was_given_is_not_printed(tmp_path: Path) -> None:
    """What a container says is kept as its log."""
    page = run_page(tmp_path, "--host", "0.0.0.0", NIGHTLAB_DASHBOARD_TOKEN=TOKEN)
    try:
        line, port = said(page)
        assert TOKEN not in line and not (tmp_path / "state").exists()
        site = Site(port, tmp_path / "runs")
        assert site.get("/api/campaigns", Cookie=f"nightlab-{port}={TOKEN}")["campaigns"] == []
        page.send_signal(signal.SIGINT)
        out, errors = page.communicate(timeout=PATIENCE_S)
        assert TOKEN not in out + errors
    finally:
        page.kill()


def test_loopback_asks_for_a_token_where_one_is_wanted(tmp_path: Path) -> None:
    """On a machine of several users, its loopback is everybody's."""
    page = run_page(tmp_path, "--ask-token")
    try:
        line, port = said(page)
        assert "?token=" in line
        assert Site(port, tmp_path).ask("/api/campaigns").status == 401
    finally:
        page.kill()
        page.communicate()


@pytest.mark.parametrize("host", ["example.com", "", "1.2.3", "203.0.113.7"])
def test_an_address_that_is_not_ours_is_said(tmp_path: Path, host: str) -> None:
    """With what to give instead."""
    settings = Settings(runs=tmp_path, state=tmp_path / "state")
    with pytest.raises(BadInput, match=r"no address|cannot be used"):
        serve_dashboard(
            settings, host=host, port=0, read_only=True, ask_token=False, names=(), say=print
        )


@pytest.mark.parametrize("token", ["short", "x" * 31, "has a blank" + "x" * 40, "x" * 40 + ";"])
def test_a_weak_token_is_refused(token: str) -> None:
    """Also one that no cookie could carry."""
    with pytest.raises(BadInput, match="DASHBOARD_TOKEN"):
        read_settings({"NIGHTLAB_DASHBOARD_TOKEN": token})
    settings = read_settings({"NIGHTLAB_DASHBOARD_TOKEN": TOKEN})
    assert TOKEN not in repr(settings) and TOKEN not in settings.model_dump_json()


def test_a_fault_of_ours_tells_no_stranger(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack trace names paths and versions; it belongs into our terminal."""

    def break_down(*_: object) -> None:
        raise RuntimeError("at /home/me/secret")

    monkeypatch.setattr("lab.dashboard.pages.live_page", break_down)
    answer = site.ask("/")
    assert answer.status == 500
    assert "secret" not in answer.error and "RuntimeError" not in answer.error
    wait_until(lambda: site.ask("/api/campaigns").status == 200)
