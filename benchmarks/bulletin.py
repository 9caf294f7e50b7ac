"""What telling a page costs the controller: now.json once a second must stay under 1 % of one core.

    make bench-bulletin

Opens the real Bulletin over a Screen for some tens of seconds, with as long a curve as a night can have and a log
at its bound, and reads the CPU time of its thread. The engine that is asked for the log is played by a process of
its own behind a unix socket; the client that asks is the real one.

    core_share    CPU seconds of the bulletin's thread by seconds watched
    now_bytes     of now.json at the end
    log_asked     how often the engine was asked for the log

Runs on the host.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import socketserver
import struct
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from rich.console import Console

from benchmarks.machine import machine
from lab.bulletin import Bulletin
from lab.container import Container, Engine
from lab.glimpse import Claim, Glimpse
from lab.show.screen import open_screen
from lab.story.now import NOW_FILE
from lab.training import MOST_CLAIMS

LINE = b"step 00123 | loss 4.0000 | 11432 tok/s | 40%" + b"." * 80 + b"\n"
SAMPLE = {f"reading_{number}": 12345.678 * number for number in range(17)}


class Answers(BaseHTTPRequestHandler):
    """As much of an engine as the client asks for the end of a log."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            body = json.dumps({"ApiVersion": "1.43"}).encode()
        elif "/logs" in self.path:
            body = (struct.pack(">BxxxL", 1, len(LINE)) + LINE) * 60
        else:
            body = json.dumps({"Id": "a" * 64, "Config": {"Tty": False}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def serve(socket: str) -> None:
    """Play the engine until the process is ended."""
    with socketserver.ThreadingUnixStreamServer(socket, Answers) as server:
        server.serve_forever()


def watch(folder: Path, seconds: float) -> tuple[float, int, int]:
    """The share of a core that the thread took, how large the file was, and how often the log was asked for."""
    url = f"unix://{folder / 'engine.sock'}"
    asked = 0
    claims = [Claim(i / 10, i, i * 1000, 4.0) for i in range(MOST_CLAIMS)]
    console = Console(file=io.StringIO())
    with Engine.connect(url) as engine, open_screen(folder / "e.jsonl", console=console) as screen:
        container = Container(engine, engine.client.containers.get("a" * 64), "nightlab-train")

        def log_tail() -> bytes:
            nonlocal asked
            asked += 1
            tail = container.tail()
            assert tail.endswith(LINE)
            return tail

        screen.event("experiment.proposed", experiment=1, kind="candidate", hypothesis="x" * 4_000)
        screen.phase("training", cap_s=300, experiment=1, title="A wider MLP")
        screen.running(Glimpse(claims=lambda: claims, log_tail=log_tail, sample=lambda: SAMPLE))
        with Bulletin(folder, screen, agent="offline"):
            thread = next(each for each in threading.enumerate() if each.name == "bulletin")
            clock = time.pthread_getcpuclockid(thread.ident or 0)
            began = time.monotonic()
            time.sleep(seconds)
            cpu_s = time.clock_gettime(clock)
            share = cpu_s / (time.monotonic() - began)
            return share, (folder / NOW_FILE).stat().st_size, asked


def main() -> None:
    """Watch, read the thread's clock, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        engine = multiprocessing.Process(target=serve, args=(str(folder / "engine.sock"),))
        engine.start()
        try:
            while not (folder / "engine.sock").exists():
                time.sleep(0.05)
            share, size, asked = watch(folder, seconds)
        finally:
            engine.terminate()
            engine.join()
    print(f"{'seconds':>7} {'of one core':>12} {'now.json':>10} {'log asked':>10}")
    print(f"{seconds:>7.0f} {share:>11.3%} {size:>8} B {asked:>10}")
    result = {
        "name": "bulletin",
        "machine": machine(),
        "core_share": round(share, 5),
        "now_bytes": size,
        "log_asked": asked,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
