"""A server that says what a test wants, for the live page: real HTTP and real events, invented campaigns."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lab.page.payload import as_json
from lab.page.shell import LIVE_POLICY, asset, live_page
from lab.story.shapes import Brief, Detail, Now, Story


@dataclass
class StandIn:
    """What it serves; a test changes it and then tells the pages that listen."""

    stories: dict[str, Story]
    details: dict[str, dict[int, Detail]] = field(default_factory=dict)
    now: Now | None = None
    actions: bool = True
    refusal: str | None = None  # what every POST is answered with
    posted: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    listeners: list[tuple[str, queue.Queue[str | None]]] = field(default_factory=list)
    url: str = ""

    def briefs(self) -> list[Brief]:
        return [
            Brief(
                tag=tag,
                problem=None,
                running=story.running,
                imported=story.imported,
                profile=story.profile,
                hardware=story.hardware,
                class_id=story.class_id,
                created_at=story.created_at,
                tried=story.standing.tried,
                kept=story.standing.kept,
                baseline_bpb=story.standing.baseline_bpb,
                best_bpb=story.standing.best_bpb,
            )
            for tag, story in self.stories.items()
        ]

    def campaigns(self) -> str:
        return as_json({"campaigns": self.briefs(), "actions": self.actions})

    def news(self, tag: str, count: int) -> str:
        story = json.loads(as_json(self.stories[tag]))
        rows = story.pop("rows")
        return json.dumps({**story, "new_rows": rows[count:], "first": count})

    def tell(self, tag: str, event: str, data: str) -> None:
        for name, line in list(self.listeners):
            if name == tag:
                line.put(f"event: {event}\ndata: {data}\n\n")

    def grow(self, story: Story) -> None:
        """The campaign has more rows now, and its readers hear of it."""
        count = len(self.stories[story.tag].rows)
        self.stories[story.tag] = story
        self.tell(story.tag, "story", self.news(story.tag, count))
        self.tell("", "campaigns", self.campaigns())

    def hang_up(self) -> None:
        """End every stream, as a restart of the server does."""
        for _, line in list(self.listeners):
            line.put(None)


@contextmanager
def standing_in(stand: StandIn) -> Iterator[StandIn]:
    """Serve it on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the library's name
            pass

        def do_GET(self) -> None:
            place = urlsplit(self.path)
            parts = [unquote(part) for part in place.path.split("/")[1:]]
            stand.asked.append(place.path)
            if place.path == "/":
                self._answer(live_page(actions=stand.actions).encode(), "text/html; charset=utf-8")
            elif parts[0] == "static" and (found := asset("/".join(parts[1:]))):
                self._answer(*found)
            elif parts == ["api", "events"]:
                self._stream("", [f"event: campaigns\ndata: {stand.campaigns()}\n\n"])
            elif parts[:2] == ["api", "campaigns"] and parts[2] in stand.stories:
                self._campaign(parts[2], parts[3:], parse_qs(place.query))
            else:
                self._answer(b'{"error": "there is no such thing."}', "application/json", 404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stand.posted.append((self.path, body, self.headers.get("X-Nightlab")))
            if stand.refusal is not None:
                self._answer(as_json({"error": stand.refusal}).encode(), "application/json", 409)
            else:
                self._answer(b'{"said": "It was done."}', "application/json")

        def _campaign(self, tag: str, rest: list[str], query: dict[str, list[str]]) -> None:
            if rest == ["events"]:
                first = stand.news(tag, int(query["after"][0]))
                hello = [
                    f"event: story\ndata: {first}\n\n",
                    f"event: now\ndata: {as_json(stand.now)}\n\n",
                ]
                self._stream(tag, hello)
            elif rest:
                detail = stand.details[tag][int(rest[1])]
                self._answer(as_json(detail).encode(), "application/json")
            else:
                self._answer(as_json(stand.stories[tag]).encode(), "application/json")

        def _answer(self, content: bytes, media_type: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", LIVE_POLICY)
            self.end_headers()
            self.wfile.write(content)

        def _stream(self, tag: str, hello: list[str]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            line: queue.Queue[str | None] = queue.Queue()
            for said in hello:
                line.put(said)
            mine = (tag, line)
            stand.listeners.append(mine)
            try:
                while (event := line.get()) is not None:
                    self.wfile.write(event.encode())
                    self.wfile.flush()
            except OSError:
                pass  # the reader went away
            finally:
                stand.listeners.remove(mine)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stand.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield stand
    finally:
        stand.hang_up()
        server.shutdown()
        server.server_close()
        thread.join()
