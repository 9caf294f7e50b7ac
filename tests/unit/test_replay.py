"""`lab replay`, with bundles and runs that are made up: what is run, what is concluded, what survives a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab import replay as module
from lab.errors import BadInput, LabError
from lab.ledger import Record
from lab.outcome import Status
from lab.replay import EXIT_CODES, Sent, replay, tag_of
from lab.reproduction import CANNOT_TELL, NOT_REPRODUCED, REPRODUCED
from lab.settings import TAG_PATTERN, Settings
from lab.show.folder import read_records
from lab.show.replayed import Replay
from lab.show.words import ending
from tests.unit.sent import BASELINE_BPB, BEST_BPB, SENDER, Host, send

SAME = SENDER.fingerprint.class_id
OTHER = "6" * 16
Play = Callable[..., Replay]


@pytest.fixture
def play(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """`lab replay` of a bundle that has passed its checks."""
    settings = settings.model_copy(
        update={"data": tmp_path / "data", "state": tmp_path / "state", "min_free_bytes": 0}
    )

    def play(sent: Sent, *, runs: int = 3) -> Replay:
        monkeypatch.setattr(module, "_receive", lambda file, experiment: sent)
        return replay(settings, tmp_path / "x.tar.zst", experiment=None, runs=runs, say=print)

    return play


def records_of(done: Replay) -> list[Record]:
    return read_records(done.folder)


def test_in_the_same_class_the_claim_itself_is_met(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores compare there, so not one run is spent on the baseline."""
    host = Host(monkeypatch, class_id=SAME)
    host.best = [1.861, 1.859, 1.862]
    done = play(send())
    assert done.found.outcome == REPRODUCED and EXIT_CODES[done.found.outcome] == 0
    assert [name for name, _ in host.ran] == ["best"] * 3
    whole = json.loads((done.folder / "replay.json").read_text())
    assert whole["verdict"]["outcome"] == "reproduced" and whole["verdict"]["same_class"] is True
    assert whole["claim"]["gain_bpb"] == pytest.approx(BASELINE_BPB - BEST_BPB)
    assert [run["val_bpb"] for run in whole["here"]["runs"]] == pytest.approx([1.861, 1.859, 1.862])
    assert whole["verdict"]["p_reproduced"] < 0.05
    assert "the same class" in done.markdown and "\n" not in done.markdown


def test_a_claim_that_was_made_up_is_found_out(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender's table is only a table: what the code does here is what counts."""
    Host(monkeypatch, class_id=SAME).best = [1.859, 1.861, 1.860]
    done = play(send(best_bpb=1.70))
    assert done.found.outcome == NOT_REPRODUCED and EXIT_CODES[done.found.outcome] == 20
    assert "0.1600 above the claimed 1.7000" in done.found.sentence
    assert "less than half of the claimed gain of 0.2000" in done.found.sentence


def test_in_another_class_only_gains_are_held_against_each_other(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slower card makes both worse; its baseline, run in turns with the best, takes that out."""
    host = Host(monkeypatch, class_id=OTHER, cores=1.0)
    host.baseline, host.best = [2.500, 2.501, 2.499], [2.462, 2.460, 2.461]
    done = play(send())
    assert done.found.outcome == REPRODUCED
    assert [name for name, _ in host.ran] == ["baseline", "best"] * 3
    assert done.found.gain_here_bpb == pytest.approx(0.039)
    assert "cores 1 against 2" in done.markdown
    assert "only gains compare" in done.markdown
    assert "above the claimed" not in done.found.sentence


def test_a_gain_that_is_not_there_on_another_class_is_not_reproduced(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A better score than the sender's, because the card is faster, is no reproduction."""
    host = Host(monkeypatch, class_id=OTHER)
    host.baseline, host.best = [1.500, 1.501, 1.499], [1.499, 1.501, 1.500]
    assert play(send()).found.outcome == NOT_REPRODUCED


def test_other_text_is_another_class(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits per byte of other validation text are another quantity, whatever the hardware."""
    host = Host(monkeypatch, class_id=SAME)
    host.data_sha256 = "9" * 64
    host.baseline, host.best = [2.500, 2.501, 2.499], [2.462, 2.460, 2.461]
    done = play(send())
    assert not done.found.same_class and "data 999999999999 against" in done.markdown


def test_an_unclear_result_says_how_many_more_runs_would_decide(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same command with that number goes on, where nothing is run twice."""
    host = Host(monkeypatch, class_id=OTHER)
    host.baseline, host.best = [1.90, 1.92], [1.865, 1.885]
    done = play(send(), runs=2)
    assert done.found.outcome == CANNOT_TELL and EXIT_CODES[done.found.outcome] == 21
    more = done.found.more_runs
    assert more is not None and f"{more} more runs of each would" in done.found.sentence
    host.baseline, host.best = [1.91, 1.912] * more, [1.87, 1.872] * more
    again = play(send(), runs=2 + more)
    assert again.found.outcome == REPRODUCED
    assert len(host.ran) == 2 * (2 + more)
    looks = json.loads((again.folder / "replay.json").read_text())["looks"]
    assert [look["outcome"] for look in looks] == [CANNOT_TELL, REPRODUCED]


def test_a_kill_loses_nothing_and_the_same_command_goes_on(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs of six minutes are not made twice because a laptop slept."""
    host = Host(monkeypatch, class_id=OTHER)
    host.baseline = [2.500, 2.501, 2.499]
    host.best = [2.462, SystemExit(137), 2.460, 2.461]
    with pytest.raises(SystemExit):
        play(send())
    done = play(send())
    assert done.found.outcome == REPRODUCED
    assert len(host.ran) == 6
    assert [record.number for record in records_of(done)] == [1, 2, 3, 4, 5, 6]
    assert [record.kind for record in records_of(done)] == ["baseline", "replay"] * 3


def test_the_seeds_are_none_that_the_sender_has_used(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the sender's seeds the sender's luck would be reproduced too."""
    host = Host(monkeypatch, class_id=SAME)
    host.best = [1.861, 1.859, 1.862]
    sent = send()
    play(sent)
    seeds = {seed for _, seed in host.ran}
    assert len(seeds) == 3 and not seeds & sent.claim.seeds and sent.claim.seeds


def test_what_a_neighbour_spoilt_is_run_again(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing of the claim."""
    host = Host(monkeypatch, class_id=SAME)
    host.best = [Status.CONTENDED, 1.861, 1.859, 1.862]
    done = play(send())
    assert done.found.outcome == REPRODUCED
    assert [ending(record) for record in records_of(done)] == ["contended", *["replay"] * 3]


def test_a_host_that_spoils_everything_ends_it(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay beside a neighbour who stays would run for ever."""
    Host(monkeypatch, class_id=SAME).best = [Status.CONTENDED] * 9
    with pytest.raises(LabError, match="in a row"):
        play(send())


@pytest.mark.parametrize(
    ("class_id", "status", "outcome", "runs"),
    [
        pytest.param(SAME, Status.CRASHED, NOT_REPRODUCED, 2, id="crashes-on-the-same-hardware"),
        pytest.param(OTHER, Status.OUT_OF_MEMORY, CANNOT_TELL, 2, id="does-not-fit-a-smaller-card"),
        pytest.param(SAME, Status.THROTTLED, CANNOT_TELL, 2, id="gets-too-warm"),
        pytest.param(OTHER, Status.INVALID, NOT_REPRODUCED, 1, id="fails-its-audit-anywhere"),
    ],
)
def test_a_best_without_a_score(
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
    class_id: str,
    status: Status,
    outcome: str,
    runs: int,
) -> None:
    """That a card is too small says nothing against the gain; that the claim fails its audit does."""
    host = Host(monkeypatch, class_id=class_id)
    host.baseline, host.best = [1.9] * 3, [status] * 3
    done = play(send())
    assert done.found.outcome == outcome
    assert [name for name, _ in host.ran].count("best") == runs
    assert status.value.replace("_", " ") in done.found.sentence
    json.loads((done.folder / "replay.json").read_text())


def test_a_baseline_that_does_not_run_here_decides_nothing(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is then nothing to gain over."""
    host = Host(monkeypatch, class_id=OTHER)
    host.baseline, host.best = [Status.CRASHED] * 3, [1.8] * 3
    done = play(send())
    assert done.found.outcome == CANNOT_TELL and "baseline" in done.found.sentence


def test_one_accident_is_not_the_end(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that timed out on a busy host is made again, and the paragraph says so."""
    host = Host(monkeypatch, class_id=SAME)
    host.best = [1.861, Status.TIMED_OUT, 1.859, 1.862]
    done = play(send())
    assert done.found.outcome == REPRODUCED
    assert "1 without a score" in done.markdown


def test_another_harness_is_refused_before_anything_runs(
    play: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another judge or another clock: not even the gains would compare."""
    host = Host(monkeypatch, class_id=SAME)
    host.best = [1.86]
    with pytest.raises(BadInput, match="another version of the harness") as refused:
        play(send(facts=replace(SENDER, harness_sha256="f" * 64)))
    assert "check out the version" in refused.value.do
    assert host.ran == [] and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["profile", "variant", "kernels"])
def test_what_nobody_knows_is_refused(
    play: Play, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A bundle may say anything, and these become settings here."""
    Host(monkeypatch, class_id=SAME)
    facts = replace(SENDER, **{name: "../../etc"})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="this checkout has no"):
        play(send(facts=facts))


@pytest.mark.parametrize("tag", ["sender", "../../x", "A" * 99, "", "nov.23_b"])
def test_the_campaign_has_a_plain_name_whatever_the_sender_calls_it(tag: str) -> None:
    """It becomes the name of a folder."""
    sent = send(facts=replace(SENDER, tag=tag))
    assert TAG_PATTERN.fullmatch(tag_of(sent)) and "." not in tag_of(sent)


def test_a_hostile_title_formats_nothing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paragraph is pasted into an issue: it must not link, mention or break out of its line."""
    Host(monkeypatch, class_id=SAME).best = [1.861, 1.859, 1.862]
    words = play(send()).markdown
    assert "`Width '48' / [x](http://a.b) @somebody <script>`" in words
    assert "\x1b" not in words and words.count("`") % 2 == 0
