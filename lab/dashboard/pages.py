"""The page's routes: what is answered to which request.

Owns    the HTTP interface
Takes   a Watcher, and the requests that the gate let through
Gives   JSON of lab/story/shapes, and events
Never   reads a file in the event loop's own thread
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lab.dashboard import actions
from lab.dashboard.gate import Door, Gate
from lab.dashboard.rooms import Room
from lab.dashboard.watching import Watcher, newest_tag
from lab.dashboard.wire import Problem, answer, as_json, raw_answer, refuse
from lab.page.shell import LIVE_POLICY, asset, live_page

RETRY_MS = 2000  # what a browser waits before it comes again
PING_S = 15  # a proxy may close what is silent
SEND_TIMEOUT_S = 30.0  # a reader that takes nothing for so long is gone
GZIP_LEVEL = 3  # 10,000 experiments are some MB: a tenth of it, in a quarter of the time of level 9
MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Live:
    """The application, and how its streams end: they have no end of their own."""

    app: ASGIApp
    end_streams: Callable[[], None]  # in the event loop that serves them


def make_app(runs: Path, program: Path, door: Door, *, actions_too: bool) -> Live:
    """The whole application, behind its gate."""
    # It would cancel a stream in the middle of an answer, and the web server calls that a fault.
    AppStatus.enable_automatic_graceful_drain = False
    site = Site(runs, program, actions_too=actions_too)
    app = Starlette(
        lifespan=site.alive,
        routes=site.routes(),
        middleware=[Middleware(GZipMiddleware, minimum_size=2048, compresslevel=GZIP_LEVEL)],
        exception_handlers={
            Problem: _say_problem,
            HTTPException: _say_http,
            Exception: _say_fault,
        },
    )
    return Live(Gate(app, door), site.end_streams)


class Site:
    """One lab's campaigns."""

    def __init__(self, runs: Path, program: Path, *, actions_too: bool) -> None:
        self._runs = runs
        self._program = program
        self._actions = actions_too
        self._watcher: Watcher | None = None

    @property
    def watcher(self) -> Watcher:
        """Made in the event loop that it works in."""
        if self._watcher is None:
            self._watcher = Watcher(self._runs)
        return self._watcher

    def routes(self) -> list[Route]:
        """Every route; those that change something only where that is allowed."""
        campaign = "/api/campaigns/{tag}"
        routes = [
            Route("/", self.page),
            Route("/static/{name:path}", self.static),
            Route("/api/campaigns", self.campaigns),
            Route("/api/events", self.campaigns_events),
            Route(campaign, self.story),
            Route(campaign + "/experiments/{number}", self.detail),
            Route(campaign + "/events", self.campaign_events),
        ]
        if self._actions:
            routes += [
                Route(campaign + "/stop", self.stop, methods=["POST"]),
                Route(campaign + "/note", self.note, methods=["POST"]),
                Route(campaign + "/queue", self.queue, methods=["POST"]),
            ]
        return routes

    @contextlib.asynccontextmanager
    async def alive(self, app: Starlette) -> AsyncIterator[None]:
        """While the server runs. What will be asked for first is read while the reader still types the address."""
        newest = await asyncio.to_thread(newest_tag, self._runs)
        warming = asyncio.create_task(self._read_ahead(newest))
        yield
        warming.cancel()

    def end_streams(self) -> None:
        """No stream ends by itself: the server's end is theirs."""
        self.watcher.end()

    async def page(self, request: Request) -> Response:
        content = live_page(actions=self._actions)
        return HTMLResponse(content, headers={"Content-Security-Policy": LIVE_POLICY})

    async def static(self, request: Request) -> Response:
        found = await asyncio.to_thread(asset, request.path_params["name"])
        if found is None:
            raise Problem(404, "there is no such file.")
        content, media_type = found
        mark = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        headers = {"ETag": mark, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == mark:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    async def campaigns(self, request: Request) -> Response:
        await asyncio.to_thread(self.watcher.shelf.visit)
        return raw_answer(self._campaigns_json())

    async def story(self, request: Request) -> Response:
        room = self.watcher.room(request.path_params["tag"])
        return raw_answer(await asyncio.to_thread(room.story_json))

    async def detail(self, request: Request) -> Response:
        room = self.watcher.room(request.path_params["tag"])
        number = _count(request.path_params["number"], "an experiment's number")
        return raw_answer(await asyncio.to_thread(room.detail_json, number))

    async def campaigns_events(self, request: Request) -> Response:
        await asyncio.to_thread(self.watcher.shelf.visit)
        return _stream(self._tell_campaigns())

    async def campaign_events(self, request: Request) -> Response:
        room = self.watcher.room(request.path_params["tag"])
        # A browser that comes again tells the last event that it saw.
        after = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
        count, has = _count(after, "after"), request.query_params.get("has") or ""
        with contextlib.suppress(Problem):  # the stream tells it, and that it was mended
            await asyncio.to_thread(room.visit)
        return _stream(self._tell_campaign(room, count, has))

    async def stop(self, request: Request) -> Response:
        folder, asked = self._folder(request), await actions.read_body(request, actions.Stop)
        return answer({"said": await asyncio.to_thread(actions.stop, folder, asked)})

    async def note(self, request: Request) -> Response:
        folder, asked = self._folder(request), await actions.read_body(request, actions.Note)
        return answer({"said": await asyncio.to_thread(actions.pin, folder, asked)})

    async def queue(self, request: Request) -> Response:
        folder, asked = self._folder(request), await actions.read_body(request, actions.Queue)
        said = await asyncio.to_thread(actions.queue, folder, self._program, asked)
        return answer({"said": said})

    async def _read_ahead(self, newest: str | None) -> None:
        if newest is not None:
            with contextlib.suppress(Problem):  # it is told to whoever asks
                await asyncio.to_thread(self.watcher.room(newest).story_json)
        await asyncio.to_thread(self.watcher.shelf.visit)

    def _folder(self, request: Request) -> Path:
        return self.watcher.room(request.path_params["tag"]).folder

    def _campaigns_json(self) -> bytes:
        return as_json({"campaigns": self.watcher.shelf.briefs, "actions": self._actions})

    async def _tell_campaigns(self) -> AsyncIterator[ServerSentEvent]:
        shelf, told = self.watcher.shelf, b""
        with self.watcher.following(shelf):
            while not self.watcher.over:
                beat = shelf.beat
                content = self._campaigns_json()
                if content != told:
                    told = content
                    yield _event("campaigns", content)
                await beat.wait()

    async def _tell_campaign(
        self, room: Room, count: int, has: str
    ) -> AsyncIterator[ServerSentEvent]:
        """Events of one campaign, for a reader who has `count` rows, of the Story whose state is `has`."""
        problem: str | None = None
        now: object = room  # no Now equals it
        with self.watcher.following(room):
            while not self.watcher.over:
                beat = room.beat
                if room.problem is None and (problem or has != room.state):
                    with contextlib.suppress(Problem):  # it broke meanwhile: the next beat tells it
                        count, has, content = await asyncio.to_thread(
                            room.news_json, count, "" if problem else has
                        )
                        problem = None
                        yield _event("story", content, mark=str(count))
                elif room.problem is not None and room.problem != problem:
                    problem = room.problem
                    yield _event("problem", as_json({"error": problem}))
                if now != room.now:
                    now = room.now
                    yield _event("now", as_json(now))
                await beat.wait()


def _stream(events: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    return EventSourceResponse(events, ping=PING_S, send_timeout=SEND_TIMEOUT_S, sep="\n")


def _event(name: str, content: bytes, *, mark: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(content.decode(), event=name, id=mark, retry=RETRY_MS, sep="\n")


def _count(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise Problem(422, f"{what} is a number.")
    return int(text)


async def _say_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return refuse(error.status, error.sentence)


async def _say_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing of that name.", 405: "that cannot be done to it."}
    return refuse(error.status_code, words.get(error.status_code, error.detail))


async def _say_fault(request: Request, error: Exception) -> Response:
    return refuse(500, "the page's server failed; its terminal says how.")
