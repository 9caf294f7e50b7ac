"""What a replay leaves: replay.json with every number, and one paragraph for an issue or a mail.

Owns    the record of a replay, and its words
Takes   the verdict, the claim, and the experiments of the replay's campaign
Gives   a Replay; the files replay.json and replay.md in the campaign's folder
Never   decides. A sender's title is shown as code, so that it links, mentions and formats nothing
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.claim import Claim
from lab.errors import CampaignError
from lab.facts import Facts
from lab.ledger import BASELINE, REPLAY, Record
from lab.parquet import replacing
from lab.reproduction import ERROR, KEPT_SHARE, MOST_MORE, POWER, Reproduction
from lab.show.classes import differences
from lab.show.folder import hardware_of
from lab.show.words import one_line

REPLAY_FILE = "replay.json"
WORDS_FILE = "replay.md"
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay as it stands."""

    found: Reproduction
    markdown: str  # one paragraph
    folder: Path


def write_replay(
    folder: Path,
    found: Reproduction,
    claim: Claim,
    *,
    bundle_sha256: str,
    facts: Facts,
    records: Sequence[Record],
) -> Replay:
    """Write replay.json and replay.md; what an earlier look said stays in the list of looks.

    Raises:
        CampaignError: the folder cannot be written. The ledger is not touched.
    """
    markdown = in_words(found, claim, bundle_sha256=bundle_sha256, facts=facts, records=records)
    whole = {
        "schema": SCHEMA,
        "bundle_sha256": bundle_sha256,
        "claim": _claim(claim),
        "here": _here(claim, facts, records),
        "rule": {
            "kept_share": KEPT_SHARE,
            "error": ERROR,
            "power": POWER,
            "most_more_runs": MOST_MORE,
        },
        "verdict": _verdict(found),
        "looks": _looks(folder / REPLAY_FILE, found, records),
    }
    try:
        with replacing(folder / REPLAY_FILE) as draft:
            draft.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        with replacing(folder / WORDS_FILE) as draft:
            draft.write_text(markdown + "\n", encoding="utf-8")
    except OSError as error:
        raise CampaignError(
            f"the verdict could not be written to {folder}.",
            why=error.strerror or str(error),
            do="free some disk and give the same command again; every run is in the ledger.",
        ) from error
    return Replay(found=found, markdown=markdown, folder=folder)


def in_words(
    found: Reproduction,
    claim: Claim,
    *,
    bundle_sha256: str,
    facts: Facts,
    records: Sequence[Record],
) -> str:
    """One paragraph of Markdown that says what was claimed, what was run here, and what follows."""
    sender, runs = claim.facts, claim.runs
    outcome, _, because = found.sentence.partition(": ")
    parts = [
        f"**{outcome}**: {because}",
        f"Experiment {claim.number} ({as_code(claim.title, 80)}) of {as_code(sender.tag, 40)}, {sender.profile} profile.",
        f"Bundle sha256 {as_code(bundle_sha256[:16])}.",
        f"Sender, on {as_code(_hardware(sender))}: baseline {_scores(runs.baseline)}, re-runs {_scores(runs.best)}.",
        f"Here, on {as_code(_hardware(facts))}, {_class(found, claim, facts)}: "
        + "; ".join(_runs_here(records))
        + ".",
        f"Harness {as_code(sender.harness_sha256[:12])}, seeds that the sender has not used.",
    ]
    return " ".join(parts)


def as_code(text: str, width: int = 48) -> str:
    """Text from somewhere else as Markdown that means nothing: no link, no mention, no cell of a table."""
    plain = one_line(text, width).replace("`", "'").replace("|", "/")
    return f"`{plain}`" if plain else "`?`"


def _hardware(facts: Facts) -> str:
    fingerprint = facts.fingerprint
    return hardware_of(
        {"fingerprint": {"class": fingerprint.comparable, "class_id": fingerprint.class_id}}
    )


def _class(found: Reproduction, claim: Claim, facts: Facts) -> str:
    if found.same_class:
        return "the same class, so that scores compare"
    apart = differences_of(claim, facts)
    return f"another class, so that only gains compare ({as_code('; '.join(apart), 400)})"


def differences_of(claim: Claim, facts: Facts) -> list[str]:
    """What keeps the scores here from being held against the sender's, this host first."""
    apart = differences(facts.fingerprint.comparable, claim.facts.fingerprint.comparable)
    if facts.data_sha256 != claim.facts.data_sha256:
        apart.append(f"data {facts.data_sha256[:12]} against {claim.facts.data_sha256[:12]}")
    return apart


def _runs_here(records: Sequence[Record]) -> list[str]:
    shown = []
    for kind, name in ((BASELINE, "baseline"), (REPLAY, "the experiment")):
        scores = [
            r.trial.val_bpb for r in records if r.kind == kind and r.trial.val_bpb is not None
        ]
        failed = sum(r.kind == kind and _failed(r) for r in records)
        if scores or failed:
            shown.append(
                f"{name} {_scores(scores)}" + (f", {failed} without a score" if failed else "")
            )
    return shown or ["nothing was measured"]


def _failed(record: Record) -> bool:
    return record.trial.status.says_something and record.trial.val is None


def _scores(scores: Sequence[float]) -> str:
    return ", ".join(f"{score:.4f}" for score in scores) or "none"


def _claim(claim: Claim) -> dict[str, Any]:
    facts = claim.facts
    return {
        "tag": facts.tag,
        "experiment": claim.number,
        "title": claim.title,
        "commit": claim.commit,
        "profile": facts.profile,
        "class_id": facts.fingerprint.class_id,
        "image_id": facts.image_id,
        "harness_sha256": facts.harness_sha256,
        "data_sha256": facts.data_sha256,
        "train_sha256": facts.train_sha256,
        "baseline_bpb": list(claim.runs.baseline),
        "rerun_bpb": list(claim.runs.best),
        "gain_bpb": claim.runs.gain_bpb,
        "noise": dataclasses.asdict(claim.runs.noise) if claim.runs.noise else None,
    }


def _here(claim: Claim, facts: Facts, records: Sequence[Record]) -> dict[str, Any]:
    return {
        "tag": facts.tag,
        "class_id": facts.fingerprint.class_id,
        "class": facts.fingerprint.comparable,
        "differences": differences_of(claim, facts),
        "image_id": facts.image_id,
        "data_sha256": facts.data_sha256,
        "runs": [
            {
                "experiment": record.number,
                "of": "baseline" if record.kind == BASELINE else "best",
                "seed": record.trial.seed,
                "status": record.trial.status.value,
                "val_bpb": record.trial.val_bpb,
                "holdout_bpb": record.trial.holdout.bpb if record.trial.holdout else None,
                "audited": record.trial.audit.passed if record.trial.audit else None,
            }
            for record in records
            if record.kind in (BASELINE, REPLAY)
        ],
    }


def _verdict(found: Reproduction) -> dict[str, Any]:
    estimate = found.beyond_half
    low, high = estimate.interval() if estimate else (None, None)
    return {
        "outcome": found.outcome,
        "sentence": found.sentence,
        "same_class": found.same_class,
        "gain_claimed_bpb": found.gain_claimed_bpb,
        "gain_here_bpb": found.gain_here_bpb,
        "share_of_claim": found.share,
        "noise": dataclasses.asdict(found.noise) if found.noise else None,
        "beyond_half_bpb": estimate.value_bpb if estimate else None,
        "beyond_half_error_bpb": estimate.error_bpb if estimate else None,
        "beyond_half_df": estimate.df if estimate else None,
        "beyond_half_low_bpb": low,
        "beyond_half_high_bpb": high,
        "p_reproduced": estimate.p_above() if estimate else None,
        "more_runs": found.more_runs,
    }


def _looks(path: Path, found: Reproduction, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Every verdict that was given, oldest first: who asks often enough is told yes some day."""
    try:
        earlier = json.loads(path.read_bytes())["looks"]
    except (OSError, ValueError, KeyError, TypeError):
        earlier = []
    look = {"experiments": len(records), "outcome": found.outcome}
    looks = earlier if isinstance(earlier, list) else []
    return looks if looks and looks[-1] == look else [*looks, look]
