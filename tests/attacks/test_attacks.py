"""No attack is kept, and no honest model is doubted: the whole suite, in real containers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.outcome import Status
from lab.setup import Ready
from tests.attacks.declared import ATTACKS, CONTROLS, read_declared
from tests.attacks.suite import Outcome, Suite, open_place

BY_THE_AUDIT = {"blind audit": "could not reproduce the claim", "order check": "another order"}


@pytest.fixture(scope="session")
def outcomes(ready: Ready) -> Iterator[dict[str, Outcome]]:
    """Everything, once: two files at a time take half as long as one after the other."""
    bench = replace(ready.bench, campaign=f"attacks-{os.getpid()}")
    with open_place() as place:
        suite = Suite(bench, Path(place))
        found = suite.run_all(CONTROLS, honest=True, say=lambda _: None)
        found += suite.run_all(ATTACKS, honest=False, say=lambda _: None)
        yield {outcome.declared.name: outcome for outcome in [*found, suite.seeds[0]]}
    left = ready.bench.engine.reap(campaign=bench.campaign)
    assert left == [], "an attack's container outlived it"


@pytest.mark.parametrize("file", ATTACKS, ids=lambda file: file.stem)
def test_an_attack_is_not_kept(outcomes: dict[str, Outcome], file: Path) -> None:
    """A score that was not earned would be in every bundle, and in every comparison after it."""
    declared, outcome = read_declared(file), outcomes[file.stem]
    trial = outcome.trial
    assert not outcome.kept, f"measured {trial.val_bpb}"
    assert trial.status is declared.outcome, trial.reason
    if declared.caught_by in BY_THE_AUDIT:
        doubted = trial.audit is not None and BY_THE_AUDIT[declared.caught_by] in trial.reason
        assert doubted or trial.reason.startswith("audit:"), trial.reason
        assert trial.val_bpb is None, "what is invalid has no score"
    if trial.status is Status.MEASURED:
        assert trial.audit is not None and trial.audit.passed


@pytest.mark.parametrize(
    "file",
    [file for file in ATTACKS if "audit" in file.read_text().partition("caught by: ")[2][:20]],
    ids=lambda file: file.stem,
)
def test_what_an_attack_would_have_scored_is_what_it_says(
    outcomes: dict[str, Outcome], file: Path
) -> None:
    """An attack that no longer gains anything tests nothing."""
    believed, claimed = read_declared(file).believed_bpb, outcomes[file.stem].claimed_bpb
    assert believed is not None and claimed is not None
    assert claimed == pytest.approx(believed, rel=0.25, abs=0.05)


@pytest.mark.parametrize("name", ["seed", *(file.stem for file in CONTROLS)])
def test_an_honest_model_is_never_doubted(outcomes: dict[str, Outcome], name: str) -> None:
    """The suite must be able to tell the difference."""
    trial = outcomes[name].trial
    assert trial.status is Status.MEASURED, trial.reason
    assert trial.audit is not None and trial.audit.passed
    assert trial.audit.worst_difference_nats <= trial.audit.tolerance_nats
