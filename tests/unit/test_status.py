"""`lab status`: one campaign, told from its folder."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from lab.errors import CampaignError
from lab.ledger import Ledger, Record, best_of
from lab.show.results import tally
from lab.show.status import as_json, describe
from tests.unit.nights import make_night, make_record

FACTS = {
    "tag": "nov23",
    "profile": "cpu",
    "agent": "offline",
    "image_id": "sha256:" + "ab" * 32,
    "kernels": "none",
    "created_at": "2026-11-23T22:00:00+00:00",
    "fingerprint": {"class": {"cpu": "Xeon", "cores": 2.0}, "class_id": "f00"},
}


def make_campaign(folder: Path, records: list[Record]) -> None:
    (folder / "campaign.json").write_text(json.dumps(FACTS))
    ledger = Ledger.open(folder / "ledger.jsonl", anchor="a")
    for record in records:
        ledger.append(record)


def show(folder: Path, *, running: bool = False, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(describe(folder, running=running))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [60, 100])
def test_every_experiment_is_listed_and_the_head_agrees(tmp_path: Path, width: int) -> None:
    """The table is how a person finds the experiment that they remember."""
    night = make_night(40)
    make_campaign(tmp_path, night)
    shown = show(tmp_path, width=width)
    lines = shown.splitlines()
    assert max(cell_len(line) for line in lines) <= width
    for record in night:
        (line,) = (line for line in lines if line.split()[:1] == [str(record.number)])
        assert (
            (f"{record.trial.val_bpb:.4f}" in line)
            if record.trial.val_bpb
            else "." not in line[:40]
        )
        assert (" kept " in line) is record.verdict.keep
    counted = tally(night)
    assert f"{counted.baseline_bpb:.4f} -> {counted.best_bpb:.4f}" in shown
    for words in ("nov23  not running", "Xeon, 2 cores", "sha256:abababababab"):
        assert words in shown
    assert counted.noise is not None
    assert f"sd {counted.noise.sd_bpb:.4f}" in shown


def test_it_says_how_to_go_on(tmp_path: Path) -> None:
    """The next step is the last line: what to type, or how to stop what runs."""
    make_campaign(tmp_path, make_night(20))
    assert "make overnight TAG=nov23" in show(tmp_path).splitlines()[-1]
    running = show(tmp_path, running=True, width=300)
    assert "running now" in running
    assert f"touch {tmp_path / 'STOP'}" in running
    assert "make overnight" not in running


def test_a_campaign_without_experiments_is_shown(tmp_path: Path) -> None:
    """The first question is asked a minute after the start."""
    make_campaign(tmp_path, [])
    shown = show(tmp_path)
    assert "nothing measured yet" in shown
    assert "make overnight TAG=nov23" in shown


def test_no_campaign_is_a_clear_error(tmp_path: Path) -> None:
    """A mistyped TAG must not look like an empty night."""
    with pytest.raises(CampaignError, match="no campaign"):
        describe(tmp_path / "nov32", running=False)
    (tmp_path / "campaign.json").write_text("[1]")
    with pytest.raises(CampaignError, match="not a campaign"):
        as_json(tmp_path, running=False)


def test_json_has_the_same_facts_at_full_precision(tmp_path: Path) -> None:
    """A script decides on it; four decimals would merge neighbours."""
    night = make_night(40)
    make_campaign(tmp_path, night)
    facts = json.loads(as_json(tmp_path, running=True))
    counted = tally(night)
    assert facts["running"] is True
    assert facts["best_bpb"] == counted.best_bpb
    assert facts["baseline_bpb"] == counted.baseline_bpb
    best = best_of(night)
    assert best is not None
    assert (facts["best_experiment"], facts["best_commit"]) == (best.number, best.commit)
    assert [e["val_bpb"] for e in facts["experiments"]] == [r.trial.val_bpb for r in night]


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """It is run beside a night that writes the same folder."""
    make_campaign(tmp_path, make_night(5))
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'{"number": 6')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    show(tmp_path, running=True)
    as_json(tmp_path, running=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_title_cannot_draw(tmp_path: Path) -> None:
    """Titles come from a model; rich would read brackets as orders."""
    make_campaign(tmp_path, [make_record(1, title="[red]x[/red] \x1b[2J[/]")])
    shown = show(tmp_path)
    assert "[red]x[/red] [/]" in shown
    assert "\x1b" not in shown
