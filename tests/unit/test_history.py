"""What an agent is told of the past: what was decided, and nothing that could be searched against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.history import LOG_TAIL_BYTES, write_brief
from lab.ledger import Ledger, Record
from lab.outcome import Status
from lab.prompt import Brief
from lab.verdict import Noise
from tests.unit.nights import make_kept, make_night, make_record, make_telemetry

HOLDOUT_BPB = 7.654321
START = [make_record(n, kind="baseline", val_bpb=1.9, holdout_bpb=HOLDOUT_BPB) for n in (1, 2)]


def brief_of(folder: Path, records: list[Record]) -> Brief:
    ledger = Ledger.open(folder / "ledger.jsonl", anchor="a")
    for record in records:
        ledger.append(record)
    return write_brief(
        ledger,
        noise=Noise(sd_bpb=0.002, df=8),
        profile="cpu",
        program="Find something.",
        train_py="x = 1\n",
        seconds_left=None,
        folder_of=lambda number: folder / f"{number:04d}",
    )


def test_no_holdout_score_reaches_the_agent(tmp_path: Path) -> None:
    """The holdout is worth something as long as no decision, and no search, ever saw it."""
    night = [*START, *make_kept(3, val_bpb=1.85, best_bpb=1.9, holdout_bpb=HOLDOUT_BPB)]
    brief = brief_of(tmp_path, night)
    assert str(HOLDOUT_BPB)[:6] in (tmp_path / "ledger.jsonl").read_text(), "the control"
    assert str(HOLDOUT_BPB)[:4] not in repr(brief)
    assert "holdout" not in repr(brief)
    gap = night[-1].trial.holdout
    assert gap is not None
    assert f"{gap.bpb - 1.85:.4f}"[:5] not in repr(brief)


def test_a_re_run_is_no_experiment_of_its_own(tmp_path: Path) -> None:
    """An idea is one idea, however often it was run; four lines of one would look like four ideas."""
    night = make_night(60)
    night.append(make_record(61, kind="audit", original=1))
    assert {record.kind for record in night} == {"baseline", "candidate", "confirm", "audit"}
    brief = brief_of(tmp_path, night)
    shown = [past.number for past in brief.history]
    assert shown == [r.number for r in night if r.kind in ("baseline", "candidate")]
    assert {past.kind for past in brief.history} == {"baseline", "candidate"}
    assert brief.number == 62


def test_a_candidate_is_shown_as_it_was_decided(tmp_path: Path) -> None:
    """Its first run was lucky: an agent that saw that score would build on what was not there."""
    night = make_night(60)
    kept = [record for record in night if record.verdict.keep]
    brief = brief_of(tmp_path, night)
    shown = {past.number: past for past in brief.history}
    assert len(kept) > 1
    for record in kept:
        past = shown[record.original or 0]
        assert past.kept
        assert (past.val_bpb, past.gain_bpb) == (record.trial.val_bpb, record.verdict.gain_bpb)
        assert past.reason == record.verdict.sentence
    assert sum(past.kept for past in brief.history) == len(kept)


def test_the_device_is_told_of_the_run_that_decided(tmp_path: Path) -> None:
    """It stands beside that run's score, and a first run may have met another host's load."""
    first, *reruns = make_kept(3, val_bpb=1.85, best_bpb=1.9)
    last = replace(
        reruns[-1], trial=replace(reruns[-1].trial, telemetry=make_telemetry(throttled_s=12.4))
    )
    brief = brief_of(tmp_path, [*START, first, *reruns[:-1], last])
    assert "throttled" not in brief.history[0].vitals
    assert "throttled 12 of 60 s" in brief.history[2].vitals


def test_a_candidate_that_is_not_decided_is_shown_by_its_own_run(tmp_path: Path) -> None:
    """Between a first run and its re-run nothing is known yet, and the sentence says so."""
    promising = make_record(3, val_bpb=1.85, best_bpb=1.9)
    (past,) = brief_of(tmp_path, [*START, promising]).history[2:]
    assert (past.kept, past.val_bpb) == (False, promising.trial.val_bpb)
    assert past.reason == promising.verdict.sentence


def test_a_re_run_that_failed_decides(tmp_path: Path) -> None:
    """A change that crashes every other time is a change that crashes, whatever it scored once."""
    crashed = make_record(4, kind="confirm", original=3, status=Status.CRASHED)
    night = [*START, make_record(3, val_bpb=1.85, best_bpb=1.9), crashed]
    (past,) = brief_of(tmp_path, night).history[2:]
    assert (past.status, past.val_bpb, past.kept) == ("crashed", None, False)
    assert past.reason == crashed.trial.reason


@pytest.mark.parametrize("status", [Status.LOST, Status.CONTENDED, Status.CONDITIONS])
def test_what_the_host_spoilt_is_not_shown(tmp_path: Path, status: Status) -> None:
    """It says nothing of the idea, and an agent would learn to avoid it."""
    promising = make_record(3, val_bpb=1.85, best_bpb=1.9)
    spoilt = make_record(4, kind="confirm", original=3, status=status)
    another = make_record(5, status=status, title="never judged")
    history = brief_of(tmp_path, [*START, promising, spoilt, another]).history
    assert [past.number for past in history] == [1, 2, 3]
    assert (history[2].status, history[2].reason) == ("measured", promising.verdict.sentence)


def test_the_brief_says_what_there_is_to_beat(tmp_path: Path) -> None:
    """The bar is the mean of re-runs: the number that the rule itself will use."""
    night = make_night(60)
    brief = brief_of(tmp_path, night)
    best = Ledger.open(tmp_path / "ledger.jsonl", anchor="a").best()
    assert best is not None
    assert brief.best_bpb == best.val_bpb
    assert brief.baseline_bpb is not None
    assert brief.best_bpb < brief.baseline_bpb
    assert brief.noise_bpb == 0.002


def test_only_the_end_of_the_training_log_is_shown(tmp_path: Path) -> None:
    """What a model container prints may quote the validation text; a path of the host helps nobody."""
    folder = tmp_path / "0003"
    folder.mkdir()
    (folder / "train.log").write_text("start\n" + "x" * LOG_TAIL_BYTES + "\x1b[2J the end")
    (folder / "model.log").write_text("the true rows")
    (folder / "audit.json").write_text("blind")
    night = [*START, make_record(3, val_bpb=1.99)]
    brief = brief_of(tmp_path, night)
    (past,) = brief.history[2:]
    assert past.log_tail.endswith("the end")
    assert "start" not in past.log_tail
    assert "\x1b" not in past.log_tail
    assert len(past.log_tail) <= LOG_TAIL_BYTES
    assert [each.log_tail for each in brief.history[:2]] == ["", ""]
    for secret in ("the true rows", "blind", str(tmp_path)):
        assert secret not in repr(brief)


def test_a_conversation_gets_a_number_that_no_other_has(tmp_path: Path) -> None:
    """Two in one transcript would each be paid for twice. Not counted: a record may pay for several, or none."""
    several = replace(make_record(3, val_bpb=1.99), facts={"transcript": "1 2 3"})
    by_hand = make_record(4, val_bpb=1.99)
    for folder, records, number in (("a", START, 1), ("b", [*START, several, by_hand], 4)):
        (tmp_path / folder).mkdir()
        assert brief_of(tmp_path / folder, records).proposal == number


def test_the_agents_own_notes_come_back(tmp_path: Path) -> None:
    """They are the only memory that an agent has across nights."""
    noted = replace(make_record(3, val_bpb=1.99), facts={"tried": "depth 3"})
    assert brief_of(tmp_path, [*START, noted]).history[-1].facts == {"tried": "depth 3"}
