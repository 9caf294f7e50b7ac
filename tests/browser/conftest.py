"""A real browser: the distribution's Chromium, driven by Playwright, that may talk to this machine alone.

Every page is watched: a message on its console, an error of its program, a refused resource or a request to
another machine fails the test that opened it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from lab.host import look_at_host
from lab.settings import CHECKOUT, read_settings

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 10.0
HERE = {"127.0.0.1", "localhost", "[::1]"}


@dataclass
class Watched:
    """What went wrong on the pages of one test."""

    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Shoot(Protocol):
    """What keeps a picture; see `shoot`."""

    def __call__(self, page: Page, name: str, *, full: bool = False) -> Path: ...


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Closed with the last test of this folder: as long as it is open, no other event loop can run."""
    with sync_playwright() as playwright:
        # The sandbox needs what a container or root does not have; the pages are our own.
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    assert watched.problems == []


@pytest.fixture
def context(browser: Browser, watched: Watched) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")

    def pass_on(route: Route) -> None:
        url = route.request.url
        watched.requests.append(url)
        place = urlsplit(url)
        if place.scheme in ("http", "https", "ws", "wss") and place.hostname not in HERE:
            watched.problems.append(f"a request left the machine: {url}")
            route.abort()
        else:
            route.continue_()

    context.route("**/*", pass_on)
    context.on("page", lambda page: _watch(page, watched))
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def _watch(page: Page, watched: Watched) -> None:
    page.on("pageerror", lambda error: watched.problems.append(f"error: {error}"))
    page.on(
        "console",
        lambda said: (
            watched.problems.append(f"{said.type}: {said.text}")
            if said.type in ("error", "warning")
            else None
        ),
    )


def find_chromium() -> str:
    """Where Chromium is; installed from the distribution where that may be done."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    host = look_at_host()
    if read_settings(os.environ).install_engine and host.can_install:
        why = host.install("chromium")
        assert why is None, f"chromium could not be installed: {why}"
        if found := shutil.which("chromium"):
            return found
    pytest.fail("there is no Chromium here: install it, on Debian `apt-get install chromium`")


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Shoot:
    """Keeps a picture of a page under `.nightlab/screenshots/`, for people to look at."""
    folder = CHECKOUT / ".nightlab" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str, *, full: bool = False) -> Path:
        path = folder / f"{request.path.stem.removeprefix('test_')}-{name}.png"
        page.screenshot(path=path, full_page=full)
        return path

    return keep


def until(page: Page, what: str) -> None:
    """Wait until `what` is true on the page. Playwright's own way needs eval, which the policy forbids."""
    deadline = time.monotonic() + WAIT_S
    while not page.evaluate(what):
        assert time.monotonic() < deadline, f"never came true: {what}"
        page.wait_for_timeout(20)
