"""`lab status`: one campaign, told from its folder."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from lab.cli import app
from lab.errors import CampaignError
from lab.ledger import Ledger, Record, best_of, noise_of
from lab.show.status import as_json, describe
from lab.show.tally import tally
from lab.story.budget import budget_of
from lab.verdict import Noise, sd_interval
from tests.unit.nights import make_kept, make_night, make_record, make_telemetry

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


@pytest.mark.parametrize(("schema", "words"), [(1, "an older version"), (99, "another version")])
def test_a_campaign_of_another_version_is_not_called_altered(
    tmp_path: Path, schema: int, words: str
) -> None:
    """Who is told that somebody altered a ledger looks for an enemy."""
    (tmp_path / "campaign.json").write_text(json.dumps({**FACTS, "schema": schema}))
    (tmp_path / "ledger.jsonl").write_text('{"number": 1, "kind": "baseline"}\n')
    for look in (describe, as_json):
        with pytest.raises(CampaignError) as caught:
            look(tmp_path, running=False)
        assert f"was written by {words} of the lab" in str(caught.value)
        assert "altered" not in str(caught.value)


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


@pytest.mark.parametrize(("width", "columns"), [(60, False), (75, False), (76, True), (100, True)])
def test_a_narrow_terminal_leaves_the_titles_their_room(
    tmp_path: Path, width: int, columns: bool
) -> None:
    """What was tried is what a person looks for; whether it was audited stands in `lab show`, too."""
    make_campaign(tmp_path, [make_record(1, kind="baseline", title="The seed, as it is")])
    shown = show(tmp_path, width=width)
    assert "The seed, as it is" in shown
    assert ("audited" in shown) is ("train_s" in shown) is columns


def test_a_pipe_cuts_no_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no columns; who searches in it must find the end of a title as well."""
    monkeypatch.setenv("NIGHTLAB_RUNS", str(tmp_path))
    title = "half of each key comes from the previous position, " * 3 + "the end"
    (tmp_path / "nov23").mkdir()
    make_campaign(tmp_path / "nov23", [make_record(n, title=title) for n in (1, 2)])
    lines = CliRunner().invoke(app, ["status"]).output.splitlines()
    assert sum(title in line for line in lines) == 2
    assert max(len(line) for line in lines) < 300, "nothing is stretched either"


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


def test_the_gain_on_unseen_text_stands_beside_the_selected_one(tmp_path: Path) -> None:
    """A night selects on the validation text, so some of its gain is luck; this line says how much."""
    night = [make_record(n, kind="baseline", val_bpb=1.9, holdout_bpb=1.95) for n in (1, 2)]
    make_campaign(tmp_path, night)
    assert "holdout" not in show(tmp_path), "nothing to compare before a keep"
    night += make_kept(3, val_bpb=1.8, best_bpb=1.9, holdout_bpb=1.87)
    (tmp_path / "kept").mkdir()
    make_campaign(tmp_path / "kept", night)
    assert "holdout  gain 0.0800, 0.0200 less than on val" in show(tmp_path / "kept")
    facts = json.loads(as_json(tmp_path / "kept", running=False))
    assert facts["holdout_gain_bpb"] == pytest.approx(0.08, abs=1e-9)
    scored = {e["number"]: e["holdout_bpb"] for e in facts["experiments"] if e["holdout_bpb"]}
    assert scored == pytest.approx({1: 1.95, 2: 1.95, len(night): 1.87}, abs=1e-9)


def test_a_gain_that_is_larger_on_unseen_text_is_not_called_less(tmp_path: Path) -> None:
    """A sign lost here would turn good news into a warning."""
    night = [make_record(1, kind="baseline", val_bpb=1.9, holdout_bpb=1.95)]
    make_campaign(tmp_path, [*night, *make_kept(2, val_bpb=1.8, best_bpb=1.9, holdout_bpb=1.82)])
    assert "holdout  gain 0.1300, 0.0300 more than on val" in show(tmp_path)


def test_the_gain_on_unseen_text_is_that_of_the_last_keep(tmp_path: Path) -> None:
    """The first keep is not what the user gets in the morning."""
    night = [make_record(1, kind="baseline", val_bpb=1.9, holdout_bpb=1.95)]
    night += make_kept(2, val_bpb=1.8, best_bpb=1.9, holdout_bpb=1.84)
    night += make_kept(len(night) + 1, val_bpb=1.7, best_bpb=1.8, holdout_bpb=1.80)
    make_campaign(tmp_path, night)
    facts = json.loads(as_json(tmp_path, running=False))
    assert facts["holdout_gain_bpb"] == pytest.approx(0.15, abs=1e-9)


def test_what_was_audited_is_said_of_each_and_of_all(tmp_path: Path) -> None:
    """A score that nobody checked must not look like one that somebody did."""
    night = make_night(40)
    night.append(make_record(41, kind="audit", original=1, val_bpb=1.9))
    make_campaign(tmp_path, night)
    shown = show(tmp_path).splitlines()
    (head,) = (line for line in shown if line.split()[:2] == ["#", "outcome"])
    column = head.index("audited")
    for record in night:
        (line,) = (line for line in shown if line.split()[:1] == [str(record.number)])
        assert line[column:].split()[0] == ("yes" if record.trial.audit else "no")
        if " discarded " in line:
            assert record.trial.audit is None
    audited = [record for record in night if record.trial.audit]
    assert 0 < len(audited) < len(night)
    share = sum(r.trial.audit_s or 0.0 for r in night) / sum(r.trial.total_s for r in night)
    assert any(
        f"{len(audited)} experiments, {share:.1%} of the time of all" in line for line in shown
    )
    facts = json.loads(as_json(tmp_path, running=False))
    assert facts["audited"] == len(audited)
    assert facts["audit_share"] == pytest.approx(share)
    assert [e["number"] for e in facts["experiments"] if e["audited"]] == [
        record.number for record in audited
    ]


def test_what_is_run_again_names_what_it_runs(tmp_path: Path) -> None:
    """Four lines with one title would be four riddles."""
    night = [make_record(1, kind="baseline", val_bpb=1.9)]
    night += make_kept(2, val_bpb=1.8, best_bpb=1.9, title="Depth 2 to 3")
    number = len(night) + 1
    night.append(make_record(number, kind="audit", original=2, val_bpb=1.8, title="Depth 2 to 3"))
    make_campaign(tmp_path, night)
    lines = {line.split()[0]: line for line in show(tmp_path).splitlines() if line.split()}
    assert "to confirm" in lines["2"]
    assert " Depth 2 to 3" in lines["2"]
    assert "re-run of" not in lines["2"]
    assert "re-run of 2: Depth 2 to 3" in lines["3"]
    assert "audited" in lines[str(number)]
    assert "audit of 2: Depth 2 to 3" in lines[str(number)]


def test_the_prior_of_the_host_is_part_of_the_noise_shown(tmp_path: Path) -> None:
    """Shown without it, the noise would not be the one that decided."""
    night = make_night(12)
    make_campaign(tmp_path, night)
    alone = json.loads(as_json(tmp_path, running=False))
    prior = Noise(sd_bpb=0.02, df=50)
    (tmp_path / "campaign.json").write_text(
        json.dumps(FACTS | {"prior_noise": {"sd_bpb": prior.sd_bpb, "df": prior.df}})
    )
    pooled = json.loads(as_json(tmp_path, running=False))
    noise = noise_of(night, prior)
    assert noise is not None
    assert (pooled["noise_sd_bpb"], pooled["noise_df"]) == (noise.sd_bpb, noise.df)
    assert alone["noise_df"] == noise.df - 50
    low, high = sd_interval(noise)
    assert f"sd {noise.sd_bpb:.4f}, {low:.4f} to {high:.4f} with 95 %" in show(tmp_path, width=160)


@pytest.mark.parametrize("baselines", [1, 3])
def test_the_best_is_the_one_that_the_ledger_names(tmp_path: Path, baselines: int) -> None:
    """`lab audit` and best/ follow the ledger; a second opinion here would name other weights."""
    night = [make_record(n, kind="baseline", val_bpb=1.9) for n in range(1, baselines + 1)]
    make_campaign(tmp_path, night)
    best = best_of(night)
    assert best is not None
    assert json.loads(as_json(tmp_path, running=False))["best_experiment"] == best.number


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


def test_what_the_agent_cost_and_how_long_it_was_waited_for_is_shown(tmp_path: Path) -> None:
    """A night that is paid for by the hour and by the token is looked at by both."""
    night = [make_record(n, kind="baseline", val_bpb=1.9) for n in (1, 2)]
    night.append(
        replace(make_record(3, val_bpb=1.95), cost_usd=1.25, agent_tokens=40_000, agent_s=26.0)
    )
    night.append(replace(make_record(4, val_bpb=1.95), cost_usd=1.25, repeats=3))
    make_campaign(tmp_path, night)
    facts = json.loads(as_json(tmp_path, running=False))
    assert facts["cost_usd"] == 1.25, "what was run again was paid for once"
    assert facts["agent_tokens"] == 40_000
    waited = sum(r.agent_s for r in night)
    page = sum(share.seconds for share in budget_of(night))
    assert facts["idle_share"] == pytest.approx(waited / page), "one share, wherever it stands"
    shown = show(tmp_path)
    assert "1.25 USD, 40.0 k tokens" in shown
    assert "waiting for the agent" in shown


def test_what_the_device_did_is_one_line(tmp_path: Path) -> None:
    """Hot, slow or hungry: who looks in the morning sees it beside the score, and a program has it all."""
    make_campaign(tmp_path, [make_record(1, kind="baseline"), make_record(2), make_record(3)])
    assert "device   SM at 1695 MHz, 682 W, 71 °C at most, throttled 0 s, 34 Wh in 3" in show(
        tmp_path
    )
    (_, _, last) = json.loads(as_json(tmp_path, running=False))["experiments"]
    assert last["telemetry"]["energy_j"] == 41_000.0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"mean_sm_clock_mhz": None}, "cores at 3100 MHz, 682 W", id="on-a-cpu"),
        pytest.param({"energy_j": None}, "throttled 0 s", id="no-meter"),
        pytest.param({"throttled_s": None}, "71 °C at most, 11 Wh in 1 training", id="unknown"),
    ],
)
def test_what_the_device_does_not_tell_is_left_out(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    """A zero would be read as a measurement."""
    record = make_record(1, kind="baseline")
    trial = replace(record.trial, telemetry=make_telemetry(**changed))
    make_campaign(tmp_path, [replace(record, trial=trial)])
    (line,) = (line for line in show(tmp_path).splitlines() if line.startswith("device"))
    assert words in line
    assert "trainings" not in line
    assert ("Wh" in line) is ("energy_j" not in changed)


def test_a_campaign_from_before_telemetry_is_shown_as_ever(tmp_path: Path) -> None:
    """An older ledger has no such field, and is read all the same."""
    make_campaign(tmp_path, [make_record(1, kind="baseline")])
    ledger = tmp_path / "ledger.jsonl"
    fields = json.loads(ledger.read_text())
    del fields["trial"]["telemetry"]
    ledger.write_text(json.dumps(fields) + "\n")
    assert "device" not in show(tmp_path)
