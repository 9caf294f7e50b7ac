"""Level 2 of a verification: the shipped weights score here what was claimed, and pass an audit made here.

The weights and their train.py are the sender's, and run sealed, as an experiment's do. The judge is ours: it is
taken only from a harness that is, to the byte, this checkout's. A sender's own judge would prove nothing about
his weights, so a recipe with another harness is not built; whoever trusts it checks it out and verifies there.

Owns    what is compared, and how far two hosts may differ
Takes   the settings of this host, the data/ folder of an unpacked bundle
Gives   Checks, with both numbers
Never   reads weights but as bytes, and never trains
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import wire
from harness.audit import MEAN_SHARE
from harness.findings import Plan, Score, add_up
from harness.manifest import manifest_sha256
from harness.profiles import PROFILES, Profile
from lab.bundle.checks import Check
from lab.bundle.evidence import (
    FACTS_CAP_BYTES,
    LEDGER_CAP_BYTES,
    MIB,
    Evidence,
    Findings,
    look,
    not_looked_at,
    open_regular,
    read_capped,
    read_chain,
    stated,
)
from lab.contract import MAX_BYTES
from lab.errors import LabError
from lab.facts import FACTS_FILE, read_facts
from lab.gate import CONFIG_FILE, WEIGHTS_FILE, Training
from lab.glimpse import Glimpse
from lab.host import Say
from lab.ledger import Record, best_of, tolerance_of
from lab.outcome import Status
from lab.settings import CHECKOUT, Settings
from lab.setup import Ready, set_up
from lab.trial import Trial, run_trial

LEVEL = 2
TRAIN_FILE = "train.py"
IMAGES = (("cpu", "none"), ("cuda", "hub"), ("cuda", "none"))  # variant and attention kernels

# These say that something is wrong with what was sent; any other ending says something of this host.
DAMNING = (Status.INVALID, Status.CRASHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What was sent of the best: its record, and the run whose weights they are."""

    evidence: Evidence
    record: Record
    training: Training
    val: Score
    profile: Profile


@dataclass(frozen=True, slots=True)
class Telling:
    """A Watch that tells the person who waits which phase begins."""

    say: Say

    def phase(self, name: str, *, cap_s: float) -> None:
        self.say(f"  {name}, at most {cap_s:.0f} s")

    def advance(
        self,
        *,
        fraction: float | None = None,
        loss: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        """Nothing to draw."""

    def running(self, glimpse: Glimpse) -> None:
        """Nothing is trained."""


def rescore(settings: Settings, payload: Path, say: Say) -> list[Check]:
    """Every check of level 2. What this host cannot do is not looked at, and its check says why."""
    if not (payload / "best" / WEIGHTS_FILE).exists():
        return [
            _not_looked_at("weights", "the bundle has no weights (`--with-weights` adds them).")
        ]
    found: list[Claim] = []
    with tempfile.TemporaryDirectory(prefix="nightlab-verify-") as scratch:
        folder = Path(scratch) / "best"
        checks = [_look("weights", lambda: _take(payload, folder, found))]
        if not checks[0].passed:
            return checks
        (claim,) = found
        facts = claim.evidence.facts
        here = manifest_sha256(CHECKOUT / "harness")
        if facts.harness_sha256 != here:
            why = (
                f"they were judged by the harness {facts.harness_sha256[:12]}, this checkout has {here[:12]}; "
                "check the version out that has it, and verify there."
            )
            return [*checks, _not_looked_at("judge", why)]
        mine = settings.model_copy(
            update={"profile": facts.profile, "variant": facts.variant, "kernels": facts.kernels}
        )
        try:
            with set_up(
                mine, campaign=f"verify-{os.getpid()}", say=say, image_id=facts.image_id
            ) as ready:
                return [*checks, *_judge(ready, folder, claim, say)]
        except LabError as error:
            why = f"this host could not do it: {error.what} {error.why}".strip()
            return [*checks, _not_looked_at("judge", why)]


def _look(name: str, findings: Callable[[], Findings]) -> Check:
    return look(name, findings, level=LEVEL)


def _not_looked_at(name: str, why: str) -> Check:
    return not_looked_at(name, why, level=LEVEL)


def _take(payload: Path, folder: Path, found: list[Claim]) -> Findings:
    """Read the best's record, and copy its files to where containers may see them, no byte more than was sealed."""
    facts_bytes = read_capped(payload / FACTS_FILE, FACTS_CAP_BYTES)
    facts = read_facts(payload / FACTS_FILE, facts_bytes)
    ledger = read_capped(payload / "ledger.jsonl", LEDGER_CAP_BYTES)
    records, wrong = read_chain(ledger, hashlib.sha256(facts_bytes).hexdigest())
    best, profile = best_of(records), PROFILES.get(facts.profile)
    if wrong or best is None or profile is None:
        yield wrong or "there is no best, or no such profile, to hold the weights against"
        return ""
    record = records[best.number - 1]
    training, val = record.trial.training, record.trial.val
    if training is None or val is None or not training.checkpoint_bytes:
        yield f"experiment {record.number} sealed no weights"
        return ""
    if add_up(val.shards) != val.bpb or (facts.variant, facts.kernels) not in IMAGES:
        yield f"experiment {record.number} has no score of any image; level 1 says more"
        return ""
    if training.checkpoint_bytes > profile.checkpoint_cap_bytes:
        yield f"{training.checkpoint_bytes:,} bytes are over the profile's cap"
        return ""
    place = folder / "checkpoint"
    place.mkdir(parents=True)
    for source, target, cap_bytes, sha256 in (
        (WEIGHTS_FILE, place / WEIGHTS_FILE, training.checkpoint_bytes, training.checkpoint_sha256),
        (CONFIG_FILE, place / CONFIG_FILE, wire.CONFIG_CAP_BYTES, training.config_sha256),
        (TRAIN_FILE, folder / TRAIN_FILE, MAX_BYTES, None),
    ):
        sealed = _copy_capped(payload / "best" / source, target, cap_bytes)
        if sha256 is not None and sealed != sha256:
            yield f"best/{source} has the sha256 {sealed[:12]}, and experiment {record.number} sealed {sha256[:12]}"
    for part in (folder, place):
        part.chmod(0o755)  # the container's user is another one
    evidence = Evidence(payload=payload, facts=facts, records=records)
    found.append(
        Claim(evidence=evidence, record=record, training=training, val=val, profile=profile)
    )
    return f"{training.checkpoint_bytes:,} bytes, as experiment {record.number} sealed them."


def _copy_capped(source: Path, target: Path, cap_bytes: int) -> str:
    """Copy a regular file of at most so many bytes; its sha256.

    Raises:
        ValueError: it is longer.
    """
    digest, left = hashlib.sha256(), cap_bytes
    with open_regular(source) as taken, target.open("wb") as given:
        while chunk := taken.read(MIB):
            left -= len(chunk)
            if left < 0:
                raise ValueError(f"best/{source.name} is over {cap_bytes:,} bytes")
            digest.update(chunk)
            given.write(chunk)
    target.chmod(0o644)
    return digest.hexdigest()


def _judge(ready: Ready, folder: Path, claim: Claim, say: Say) -> list[Check]:
    """Score and audit the weights here, by the containers of every experiment."""
    facts = claim.evidence.facts
    if ready.data_sha256 != facts.data_sha256:
        why = (
            f"the data prepared here is {ready.data_sha256[:12]}, the scores are of {facts.data_sha256[:12]}, "
            "and scores of other text do not compare."
        )
        return [_not_looked_at("judge", why)]
    same_class = ready.bench.class_id == facts.fingerprint.class_id
    say(f"scoring and auditing the weights of experiment {claim.record.number}")
    plan = Plan(
        # On other hardware an audit finds its own tolerance, which the profile caps.
        tolerance_nats=_known_tolerance(claim) if same_class else None,
        holdout=claim.record.trial.holdout is not None,
    )
    trial = run_trial(
        ready.bench,
        folder,
        number=1,
        seed=facts.seed,  # nothing is trained
        watch=Telling(say),
        doubt=lambda score, training: plan,
        sealed=claim.training,
    )
    judge = stated("judge", passed=True, words=_which_image(ready, claim), level=LEVEL)
    return [judge, *compare(trial, claim, same_class=same_class)]


def _which_image(ready: Ready, claim: Claim) -> str:
    facts = claim.evidence.facts
    if ready.image.id == facts.image_id:
        return f"the very image of the campaign, {facts.image_id[7:19]}."
    return (
        f"the campaign's image {facts.image_id[7:19]} is not here; {ready.image.id[7:19]} has the same harness, "
        "and was built from this checkout."
    )


def compare(trial: Trial, claim: Claim, *, same_class: bool) -> list[Check]:
    """What was found here beside what was claimed."""
    if trial.val is None or trial.audit is None:
        damning = trial.status in DAMNING
        words = f"{trial.status.value} here: {trial.reason}"
        return [stated("score", passed=False if damning else None, words=words, level=LEVEL)]
    most = tolerance_bpb(claim, same_class=same_class)
    checks = [_look("score", lambda: _same(trial.val, claim.val, most, same_class=same_class))]
    if claim.record.trial.holdout is not None:
        holdout = claim.record.trial.holdout
        checks.append(
            _look("holdout", lambda: _same(trial.holdout, holdout, most, same_class=same_class))
        )
    audit = trial.audit
    words = (
        f"passed here: {audit.points} blind points, the worst {audit.worst_difference_nats:.1e} "
        f"of {audit.tolerance_nats:.1e} nats."
    )
    return [*checks, stated("audit", passed=audit.passed, words=words, level=LEVEL)]


def tolerance_bpb(claim: Claim, *, same_class: bool) -> float:
    """How far the same weights may score from the claim.

    What an audit allows the mean of all differences: rounding averages out over a split. On hardware of another
    class it is that of the profile's widest tolerance, because other kernels round elsewhere.
    """
    known = _known_tolerance(claim) if same_class else None
    nats = claim.profile.tolerance_cap_nats if known is None else known
    per_byte = claim.val.tokens / sum(shard.bytes for shard in claim.val.shards) / math.log(2)
    return MEAN_SHARE * nats * per_byte


def _known_tolerance(claim: Claim) -> float | None:
    """What the campaign's own A/A run allowed, as far as the profile lets it."""
    known = tolerance_of(claim.evidence.records)
    return None if known is None else min(known, claim.profile.tolerance_cap_nats)


def _same(found: Score | None, claimed: Score, most: float, *, same_class: bool) -> Findings:
    if found is None:
        yield "it was not scored here"
        return ""
    off = found.bpb - claimed.bpb
    where = "hardware of the same class" if same_class else "other hardware"
    words = f"{found.bpb:.6f} here, {claimed.bpb:.6f} claimed: {off:+.1e} of {most:.1e} allowed on {where}"
    if not abs(off) <= most:
        yield words
    if (found.tokens, [s.bytes for s in found.shards]) != (
        claimed.tokens,
        [s.bytes for s in claimed.shards],
    ):
        yield f"{claimed.tokens} tokens were claimed, and the text here has {found.tokens}"
    return f"{words}."
