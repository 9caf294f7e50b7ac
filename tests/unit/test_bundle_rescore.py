"""Level 2 of a verification, what needs no container: what is refused before one, and what counts as the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.findings import Plan
from lab.bundle import rescore as module
from lab.bundle.checks import Check
from lab.bundle.evidence import FACTS_CAP_BYTES, Findings, look, stated
from lab.bundle.rescore import Claim, compare, rescore, tolerance_bpb
from lab.outcome import Status
from lab.settings import Settings, read_settings
from lab.trial import Trial
from tests.unit.bundles import Fields, Played, make_campaign, make_payload, rewrite
from tests.unit.nights import make_score


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    campaign = make_campaign(tmp_path_factory.mktemp("night"), [40, 48])
    return make_payload(campaign, tmp_path_factory.mktemp("bundle") / "data")


@pytest.fixture
def payload(honest: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "data"))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a host on which nothing may be started."""

    def must_not(*_: object, **__: object) -> None:
        raise AssertionError("it was going to start containers")

    monkeypatch.setattr(module, "set_up", must_not)
    return read_settings({})


def names(checks: list[Check]) -> dict[str, bool | None]:
    return {check.name: check.passed for check in checks}


# ---- before a container ----


def test_without_weights_there_is_nothing_to_score(payload: Path, settings: Settings) -> None:
    """Most bundles carry none; that is no failure, and no proof."""
    (payload / "best" / "model.safetensors").unlink()
    assert names(rescore(settings, payload, print)) == {"weights": None}


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("content", [b"", b"other", b"0" * (1 << 21)])
def test_what_was_not_sealed_is_not_run(
    payload: Path, settings: Settings, file: str, content: bytes
) -> None:
    """The claim is of those bytes; a longer file is not even read to its end."""
    (payload / "best" / file).write_bytes(content)
    assert names(rescore(settings, payload, print)) == {"weights": False}


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "train.py"])
def test_a_link_is_not_followed_into_a_container(
    payload: Path, settings: Settings, tmp_path: Path, file: str
) -> None:
    """What a model container reads must not be a file of the receiver."""
    shutil.move(payload / "best" / file, tmp_path / file)
    (payload / "best" / file).symlink_to(tmp_path / file)
    assert names(rescore(settings, payload, print)) == {"weights": False}


@pytest.mark.parametrize("file", ["ledger.jsonl", "campaign.json"])
@pytest.mark.parametrize("content", [b"", b"{}\n", b"[" * 100_000])
def test_records_that_cannot_be_read_are_a_failed_check(
    payload: Path, settings: Settings, file: str, content: bytes
) -> None:
    """Level 2 may be asked for alone."""
    (payload / file).write_bytes(content)
    assert names(rescore(settings, payload, print)) == {"weights": False}


def huge(records: list[Fields]) -> None:
    records[-2]["trial"]["training"]["checkpoint_bytes"] = 1 << 40


def wordless(records: list[Fields]) -> None:
    for shard in records[-2]["trial"]["val"]["shards"]:
        shard["bytes"] = 0


@pytest.mark.parametrize("forge", [huge, wordless])
def test_a_record_that_claims_the_impossible_is_not_run(
    payload: Path, settings: Settings, forge: object
) -> None:
    """A cap that the sender sets is none, and nobody divides by his zero."""
    best = json.loads((payload / "best" / "record.json").read_bytes())["number"]
    assert best == 4, "the last but one"
    rewrite(payload, forge)  # type: ignore[arg-type]
    assert names(rescore(settings, payload, print)) == {"weights": False}


def test_another_harness_is_not_built(payload: Path, settings: Settings) -> None:
    """The sender's own judge would acquit him."""
    rewrite(payload, lambda _: None, facts=lambda facts: facts.update(harness_sha256="0" * 64))
    checks = rescore(settings, payload, print)
    assert names(checks) == {"weights": True, "judge": None}
    assert "check the version out" in checks[1].words


def test_a_host_that_cannot_is_no_verdict_on_the_bundle(
    payload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No engine here says nothing of the sender."""
    settings = read_settings({}, docker_host="unix:///nowhere.sock", install_engine=False)
    checks = rescore(settings, payload, print)
    assert names(checks) == {"weights": True, "judge": None}
    assert "this host could not" in checks[1].words


# ---- the comparison ----


@pytest.fixture(scope="module")
def claim(honest: Path, tmp_path_factory: pytest.TempPathFactory) -> Claim:
    found: list[Claim] = []
    check = look("weights", lambda: module._take(honest, tmp_path_factory.mktemp("s") / "b", found))
    assert check.passed, check
    return found[0]


def trial_of(claim: Claim, *, off: float = 0.0, passed: bool = True) -> Trial:
    val, holdout = make_score(claim.val.bpb + off), claim.record.trial.holdout
    assert holdout is not None
    audit = Played().audit(val, Plan(tolerance_nats=1e-4, holdout=True), passed=passed)
    return replace(claim.record.trial, val=val, holdout=make_score(holdout.bpb + off), audit=audit)


@pytest.mark.parametrize("same_class", [True, False])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_score_is_the_same_within_its_tolerance_and_no_further(
    claim: Claim, same_class: bool, side: float
) -> None:
    """Better than claimed is as false as worse: it is another model, or another text."""
    most = tolerance_bpb(claim, same_class=same_class)
    for share, passed in ((0.0, True), (0.9, True), (1.1, False)):
        checks = compare(trial_of(claim, off=side * share * most), claim, same_class=same_class)
        assert names(checks) == {"score": passed, "holdout": passed, "audit": True}
    where = "same class" if same_class else "other hardware"
    assert where in checks[0].words


def test_other_hardware_is_allowed_more_and_less_than_a_gain(claim: Claim) -> None:
    """Kernels round differently; but a tolerance over the gains of a night would pass anything."""
    same, other = (tolerance_bpb(claim, same_class=same) for same in (True, False))
    assert 0.0 < same < other < 0.001


def test_a_sender_cannot_widen_his_tolerance(claim: Claim) -> None:
    """It stands in his own records."""
    first = claim.evidence.records[0]
    assert first.trial.audit is not None
    wide = replace(first.trial.audit, tolerance_nats=50.0)
    records = [replace(first, trial=replace(first.trial, audit=wide))]
    forged = replace(claim, evidence=replace(claim.evidence, records=records))
    assert tolerance_bpb(forged, same_class=True) == tolerance_bpb(claim, same_class=False)


@pytest.mark.parametrize(
    ("status", "passed"),
    [
        (Status.INVALID, False),
        (Status.CRASHED, False),
        (Status.LOST, None),
        (Status.CONTENDED, None),
        (Status.TIMED_OUT, None),
        (Status.OUT_OF_MEMORY, None),
    ],
)
def test_only_what_the_model_did_is_held_against_it(
    claim: Claim, status: Status, passed: bool | None
) -> None:
    """A small or a crowded host must not call a sender a liar."""
    trial = replace(trial_of(claim), status=status, reason="so it was", val=None)
    assert names(compare(trial, claim, same_class=True)) == {"score": passed}


def test_a_score_of_another_text_is_not_the_same(claim: Claim) -> None:
    """Equal numbers of different texts are a coincidence."""
    trial = trial_of(claim)
    assert trial.val is not None
    trial = replace(trial, val=replace(trial.val, tokens=trial.val.tokens - 1))
    assert names(compare(trial, claim, same_class=True))["score"] is False


# ---- how a check is made ----


def test_words_from_a_bundle_are_harmless_in_a_terminal() -> None:
    """A title may hold an escape sequence that rewrites the line above: "failed" to "passed"."""

    def findings() -> Findings:
        yield "a\x1b[1A\r\nb" + "c" * FACTS_CAP_BYTES
        return ""

    for check in (look("x", findings), stated("x", passed=None, words="a\x1b[1A\nb")):
        assert check.words.isprintable()
        assert len(check.words) < 500
