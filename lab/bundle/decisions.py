"""Level 1 of a verification: what the records say follows from the records. Seconds, no GPU, no trust.

Everything that can be derived is derived again, by the very functions that decided in the night: the rule and
the audit's plan (lab/weighing.py), the best and the noise (lab/ledger.py), lines and commits from the git
bundle, the tables from the ledger. Nothing from the bundle is run or imported.

What no derivation can show is whether the numbers were measured: whoever invents a whole night consistently,
scores and all, passes. Level 2 and a replay are for that.

Owns    which checks there are, and their order
Takes   the data/ folder of an unpacked bundle
Gives   Checks
Never   writes outside a scratch folder, and never raises for what a bundle holds
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from lab.bundle.checks import Check
from lab.bundle.commits import check_commits
from lab.bundle.derived import check_derived
from lab.bundle.evidence import (
    FACTS_CAP_BYTES,
    LEDGER_CAP_BYTES,
    Evidence,
    Findings,
    look,
    not_looked_at,
    read_capped,
    read_chain,
)
from lab.bundle.measured import check_measured
from lab.facts import FACTS_FILE, Facts, read_facts
from lab.ledger import (
    AUDIT,
    BASELINE,
    CANDIDATE,
    CONFIRM,
    KINDS,
    Record,
    baselines_of,
    open_candidate,
)
from lab.settings import Settings
from lab.verdict import Rule, Verdict
from lab.weighing import Case, decide

LEDGER_FILE = "ledger.jsonl"

# Derived again on another machine, a quantile of Student's t may differ in its last digits.
RELATIVE = 1e-9
ABSOLUTE_BPB = 1e-12


def check_records(payload: Path) -> list[Check]:
    """Every check of level 1; one that needs what another found broken says that it could not be looked at."""
    found: list[Facts] = []
    checks = [look("campaign facts", lambda: _facts(payload, found))]
    if not found:
        return [*checks, *_later("the facts of the campaign cannot be read")]
    records: list[Record] = []
    checks.append(look("hash chain", lambda: _chain(payload, records)))
    if not checks[-1].passed:
        return [*checks, *_later("the ledger is broken")]
    evidence = Evidence(payload=payload, facts=found[0], records=records)
    checks.append(look("order", lambda: _order(evidence)))
    if not checks[-1].passed:  # what refers to another record would lead nowhere
        return [*checks, *_later("the records are not those of a campaign")]
    commits, net_lines = check_commits(evidence)
    checks += [*commits, *check_measured(evidence)]
    if net_lines is None:
        checks.append(
            not_looked_at("verdicts", "without its commits nobody knows a change's lines")
        )
    else:
        checks.append(look("verdicts", lambda: _verdicts(evidence, net_lines)))
    return [*checks, *check_derived(evidence)]


def _later(why: str) -> list[Check]:
    return [not_looked_at(name, f"{why}.") for name in ("commits", "scores", "verdicts", "results")]


def _facts(payload: Path, found: list[Facts]) -> Findings:
    path = payload / FACTS_FILE
    facts = read_facts(path, read_capped(path, FACTS_CAP_BYTES))
    # The rule's bounds are those of the settings: one that keeps everything is no rule.
    Settings.model_validate(
        asdict(facts.rule)
        | {"profile": facts.profile, "noise_runs": facts.noise_runs, "seed": facts.seed}
        | {"tag": facts.tag}
    )
    prior = facts.prior_noise
    if prior and not (0.0 <= prior.sd_bpb < math.inf and prior.df > 0):
        yield f"its prior noise is no spread of any runs: {prior.sd_bpb}, {prior.df}"
    found.append(facts)
    usual = Rule()
    other = [
        f"{field.name} {getattr(facts.rule, field.name)}"
        for field in fields(Rule)
        if getattr(facts.rule, field.name) != getattr(usual, field.name)
    ]
    rule = f"a rule of its own: {', '.join(other)}" if other else "the usual rule"
    return f"campaign {facts.tag}, profile {facts.profile}, {rule}."


def _chain(payload: Path, records: list[Record]) -> Findings:
    anchor = hashlib.sha256(read_capped(payload / FACTS_FILE, FACTS_CAP_BYTES)).hexdigest()
    read, wrong = read_chain(read_capped(payload / LEDGER_FILE, LEDGER_CAP_BYTES), anchor)
    records += read
    if wrong:
        yield wrong
    return f"{len(read)} records, each with the sha256 of the one before, from campaign.json on."


def _order(evidence: Evidence) -> Findings:
    """Each record is one that the agenda could have chosen then."""
    for index, record in enumerate(evidence.records):
        if record.number != index + 1:
            yield f"line {index + 1} is experiment {record.number}"
            return ""  # what follows refers to numbers
        wrong = _wrong_reference(record, evidence.records[:index]) or _out_of_turn(
            record, evidence.records[:index], evidence.facts
        )
        if wrong:
            yield f"experiment {record.number} {wrong}"
            if record.kind not in KINDS or wrong.startswith("refers"):
                return ""
    return f"{len(evidence.records)} experiments, numbered without a gap, each in its turn."


def _wrong_reference(record: Record, past: Sequence[Record]) -> str | None:
    if record.kind not in KINDS:
        return f"is of no kind: {record.kind!r}"
    if (record.original is not None) is not (record.kind in (CONFIRM, AUDIT)):
        return f"refers to {record.original}, which a {record.kind} does not"
    for number in (record.original, record.repeats):
        if number is not None and not 1 <= number <= len(past):
            return f"refers to experiment {number}, which is not before it"
    if record.original is not None and past[record.original - 1].commit != record.commit:
        return f"refers to {record.original}, and is of another commit"
    return None


def _out_of_turn(record: Record, past: Sequence[Record], facts: Facts) -> str | None:
    """Why it was not this record's turn; None when it was."""
    if record.repeats is not None:
        spoilt = past[-1]
        if record.repeats != spoilt.number or spoilt.trial.status.says_something:
            return f"repeats {record.repeats}, which is not the experiment before it, spoilt"
        if (record.kind, record.original) != (spoilt.kind, spoilt.original):
            return f"repeats {record.repeats} as something else"
        return None
    waiting = open_candidate(past)
    if waiting is not None and (record.kind, record.original) != (CONFIRM, waiting.number):
        return f"was run while {waiting.number} was undecided"
    if waiting is None and record.kind == CONFIRM:
        return f"re-runs {record.original}, which was not to be confirmed"
    if record.kind == BASELINE and len(baselines_of(past)) >= facts.noise_runs:
        return f"is a baseline too many: there are {facts.noise_runs}"
    return None


def _verdicts(evidence: Evidence, net_lines: dict[int, int]) -> Findings:
    """What was decided is what the rule says, of the records before."""
    kept = []
    for index, record in enumerate(evidence.records):
        case = Case(
            past=evidence.records[:index],
            rule=evidence.facts.rule,
            prior=evidence.facts.prior_noise,
            kind=record.kind,
            original=record.original,
            net_lines=net_lines.get(record.number),
        )
        wrong = _difference(record.verdict, decide(case, record.trial))
        if wrong:
            yield f"experiment {record.number}: {wrong}"
        if record.verdict.keep:
            kept.append(record.original)
    tried = sum(record.kind == CANDIDATE for record in evidence.records)
    which = f" ({', '.join(map(str, kept))})" if kept else ""
    return f"{len(kept)} kept{which} of {tried} candidates, as the rule says of the records before."


def _difference(told: Verdict, derived: Verdict) -> str | None:
    """What one verdict says and the other does not; None when they agree."""
    if (told.keep, told.confirm) != (derived.keep, derived.confirm):
        return f"it says {json.dumps(told.sentence)}, and the rule {json.dumps(derived.sentence)}"
    for field in ("best_bpb", "gain_bpb", "margin_bpb", "price_bpb"):
        a, b = getattr(told, field), getattr(derived, field)
        if (a is None) is not (b is None) or (
            a is not None and not math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE_BPB)
        ):
            return f"{field} is {a}, and follows as {b}"
    if told.sentence != derived.sentence:
        return f"it says {json.dumps(told.sentence)}, and the rule {json.dumps(derived.sentence)}"
    return None
