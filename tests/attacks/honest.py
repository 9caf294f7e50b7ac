"""Two hundred audits of honest models, inside the frozen image: `python -m tests.attacks.honest`.

A model container and the judge's audit speak their real protocol over a real socket, with the shape of the
smoke profile; only the processes are threads here, so that two hundred take a minute and not an hour. One
false alarm would cost an honest idea its night.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

os.environ.setdefault("NIGHTLAB_PROFILE", "smoke")  # harness.prepare reads it on import

import numpy as np
import torch

from harness.audit import Claim, audit
from harness.claim import Lengths, Tokens, await_ready, hear, score
from harness.findings import Audit
from harness.model_server import serve
from harness.profiles import PROFILES, Profile

HERE = Path(__file__).parent
AUDITS = 200
SPECIAL = 4
ROWS = 32  # of each audit; the shape of a batch is what numerics depend on
PROFILE = replace(PROFILES["smoke"], evaluation_batch_rows=16, order_rows=16)

Build = Callable[[], torch.nn.Module]


def honest_models() -> list[tuple[str, Build]]:
    """The seed, and everything in controls/, each with fresh random weights when it is built."""
    seed = _import(HERE.parents[1] / "workspace" / "train.py", "seed")
    models: list[tuple[str, Build]] = [("seed", lambda: seed.build_model(seed.default_config()))]
    for path in sorted((HERE / "controls").glob("*.py")):
        module = _import(path, path.stem)
        models.append((path.stem, lambda module=module: module.build_model({})))
    return models


def _import(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def audit_once(
    model: torch.nn.Module,
    rows: Tokens,
    donors: Tokens,
    *,
    profile: Profile = PROFILE,
    fresh: torch.nn.Module | None = None,
    tolerance_nats: float | None = None,
    beside: Tokens | None = None,
) -> Audit:
    """Claim with one server, audit with another.

    `fresh` is what the second one loads, if not the same; `beside` are the rows of a second split.
    """
    claims = []
    with Serving(model, profile) as judge:
        for split in (rows, beside):
            if split is not None:
                byte_len = lengths_of(split)
                nats = hear(judge, split, profile.evaluation_batch_rows, lambda *_: None)
                claims.append(
                    Claim(
                        rows=split, byte_len=byte_len, nats=nats, score=score(nats, byte_len, None)
                    )
                )
    with Serving(fresh or model, profile) as judge:
        return audit(judge, claims, donors, profile, tolerance_nats, lambda *_: None)


class Serving:
    """A model server in a thread, and the judge's end of its socket."""

    def __init__(self, model: torch.nn.Module, profile: Profile) -> None:
        self._judge, theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(theirs, profile, model))

    def _serve(self, sock: socket.socket, profile: Profile, model: torch.nn.Module) -> None:
        with sock:
            serve(sock, profile, model.eval())

    def __enter__(self) -> socket.socket:
        self._thread.start()
        await_ready(self._judge)
        return self._judge

    def __exit__(self, *_: object) -> None:
        self._judge.close()
        self._thread.join()


def draw_rows(count: int, draw: np.random.Generator, profile: Profile = PROFILE) -> Tokens:
    """Rows that look like packed text: a special token first, then tokens with a long tail of rare ones."""
    size = (count, profile.sequence_len + 1)
    rows = np.minimum(draw.zipf(1.3, size) - 1, profile.vocab_size - SPECIAL).astype(np.uint16)
    rows[:, 0] = profile.vocab_size - SPECIAL
    return rows


def lengths_of(rows: Tokens, profile: Profile = PROFILE) -> Lengths:
    """Four bytes a token; special ones, the last of the vocabulary, carry none."""
    return np.where(rows[:, 1:] < profile.vocab_size - SPECIAL, 4, 0).astype(np.int64)


def run_audits(count: int) -> Iterator[tuple[str, Audit]]:
    """Audits of honest models in turn, each with weights, rows and cuts of its own."""
    models = honest_models()
    draw = np.random.default_rng(1)
    for number in range(count):
        name, build = models[number % len(models)]
        torch.manual_seed(number)
        model = build()
        with torch.no_grad():  # as far from zero as trained weights are
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        yield name, audit_once(model, draw_rows(ROWS, draw), draw_rows(256, draw))


def main() -> int:
    """Run them all; the last line is one JSON object."""
    flagged = worst = 0
    for name, found in run_audits(AUDITS):
        worst = max(worst, found.worst_difference_nats, found.order_worst_nats)
        if not found.passed:
            flagged += 1
            print(f"false alarm on {name}: {found}")
    print(f"{AUDITS} audits of honest models: {flagged} flagged; worst difference {worst:.1e} nats")
    print(json.dumps({"audits": AUDITS, "flagged": flagged, "worst_nats": worst}))
    return 1 if flagged else 0


if __name__ == "__main__":
    sys.exit(main())
