"""Waiting for an engine that went away, and starting it again if it is ours to start."""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.container import Engine
from lab.engine import ensure_engine
from lab.errors import EngineError
from lab.interrupts import Interrupts
from lab.settings import Settings

PATIENCE_S = 300.0
ASK_EVERY_S = 2.0


def wait_for_engine(
    settings: Settings, engine: Engine, interrupts: Interrupts, say: Callable[[str], None]
) -> None:
    """Return once the engine answers again.

    Raises:
        EngineError: it did not come back within five minutes, or may not be started.
        StopNow: the user does not want to wait.
    """
    began = time.monotonic()
    told = False
    while not engine.answers():
        if not told:
            say("the container engine does not answer; waiting for it")
            told = True
        try:
            ensure_engine(settings, say)
        except EngineError:
            if time.monotonic() - began > PATIENCE_S:
                raise
        interrupts.check()
        if interrupts.why_stop():
            raise EngineError(
                "the container engine is gone, and you asked to stop.",
                do="start the engine and the same TAG again; every record is in the ledger.",
            )
        time.sleep(ASK_EVERY_S)
