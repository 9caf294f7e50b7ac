"""What every test may use: an engine, the frozen image, the smoke profile's data, a place for campaigns.

The image and the data are made once, as the product itself makes them, and then found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.container import Engine
from lab.glimpse import Glimpse
from lab.settings import Settings, read_settings
from lab.setup import Ready, set_up
from lab.trial import Bench
from tests.nvml import build as build_nvml

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class QuietWatch:
    """A Watch that wants nothing and remembers the phases."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def phase(self, name: str, *, cap_s: float) -> None:
        self.phases.append(name)

    def advance(
        self,
        *,
        fraction: float | None = None,
        loss: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        pass

    def running(self, glimpse: Glimpse) -> None:
        pass


@pytest.fixture(scope="session")
def ready() -> Iterator[Ready]:
    """A host that is set up for the smoke profile, by the product's own set-up."""
    settings = read_settings(os.environ, profile="smoke")
    with set_up(settings, campaign="tests", say=print) as ready:
        yield ready


@pytest.fixture
def engine(ready: Ready) -> Engine:
    return ready.bench.engine


@pytest.fixture
def bench(ready: Ready, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench of the test's own; every container it leaves behind fails the test."""
    campaign = f"test-{os.getpid()}"
    yield replace(ready.bench, campaign=campaign)
    assert ready.bench.engine.reap(campaign=campaign) == [], "a container was left behind"


@pytest.fixture
def watch() -> QuietWatch:
    return QuietWatch()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a night on the smoke profile whose campaigns are thrown away with the test."""
    return read_settings(os.environ, profile="smoke", runs=tmp_path / "runs", hours=1.0)


@pytest.fixture(scope="session")
def nvml(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libnvidia-ml.so.1 that plays the machine a test describes."""
    return build_nvml(
        tmp_path_factory.mktemp("nvml"), image=lambda: request.getfixturevalue("ready").bench
    )
