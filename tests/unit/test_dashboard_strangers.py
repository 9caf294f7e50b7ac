"""A page served by a user who may not read everything: what it cannot see is said, and not called absent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.dashboard import serve_dashboard
from lab.errors import BadInput
from lab.settings import read_settings
from lab.story.briefs import list_briefs
from tests.unit.handed_in import make_campaign
from tests.unit.served import served

TAG = "nov23"
STRANGER = 65534


@pytest.fixture
def runs() -> Iterator[Path]:
    """A folder of campaigns that everybody can reach."""
    above = Path(tempfile.mkdtemp())
    above.chmod(0o755)
    make_campaign(above / "runs")
    yield above / "runs"
    shutil.rmtree(above)


@pytest.fixture
def as_stranger() -> Iterator[None]:
    """Without root's way through every mode."""
    if os.geteuid():
        yield
        return
    os.seteuid(STRANGER)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("closed", ["", "lock", "ledger.jsonl"])
def test_what_cannot_be_read_stands_in_the_list(
    runs: Path, closed: str, request: pytest.FixtureRequest
) -> None:
    """A lab with umask 077 keeps all others out of a folder, a lock or a ledger."""
    shutil.copytree(runs / TAG, runs / "closed")
    (runs / "closed" / "lock").touch()
    (runs / "closed" / closed).chmod(0)
    request.getfixturevalue("as_stranger")
    briefs = {brief.tag: brief.problem for brief in list_briefs(runs)}
    assert briefs[TAG] is None
    assert "Permission denied" in (briefs["closed"] or "")
    with served(runs) as site:
        assert len(site.get("/api/campaigns")["campaigns"]) == 2
        answer = site.ask("/api/campaigns/closed")
        assert answer.status == 409 and "Permission denied" in answer.error


def test_a_folder_of_campaigns_that_is_closed_is_not_called_empty(
    runs: Path, request: pytest.FixtureRequest
) -> None:
    settings = read_settings({}, runs=runs)
    runs.chmod(0o700)
    request.getfixturevalue("as_stranger")
    with pytest.raises(BadInput, match=rf"{os.geteuid()}:\d+ cannot read") as caught:
        serve_dashboard(
            settings,
            host="127.0.0.1",
            port=0,
            read_only=True,
            ask_token=False,
            names=[],
            say=print,
        )
    assert "make team USER=" in caught.value.do
