"""`lab compare`: campaigns of several hosts side by side, and what may be said about them.

Owns    what is read of each campaign, and which of its numbers compare with whose
Takes   bundles, folders of campaigns, or tags
Gives   a Comparison
Never   compares absolute scores across classes, or gains where the question was another one
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.claim import best_runs
from lab.contrast import Estimate
from lab.errors import BadInput
from lab.facts import FACTS_FILE, Facts, read_facts
from lab.ledger import Record, baselines_of, best_of, reruns_of
from lab.parquet import ArrowType, read_parquet
from lab.received import received
from lab.reproduction import Runs, gain_difference, score_difference
from lab.runs import find_campaign
from lab.show.classes import differences
from lab.show.comparison import NO_CURVE, Comparison, Host, Measured, Said
from lab.show.folder import hardware_of, read_campaign, read_records
from lab.show.tally import tally
from lab.show.words import kept_bpb, one_line

MOST_PAIRS = 6  # spelt out; of more hosts the table and the picture say enough
CURVE: dict[str, ArrowType] = {"tokens": "int64", "loss_nats": "double"}
MOST_CURVE_ROWS = 100_000
SMOOTHED_SHARE = 0.05  # of a curve's points, over which its loss is averaged
LEAST_P = 0.001  # smaller ones say more than normal noise can promise
CHANCE = 0.05  # under this, a difference is called one


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One campaign as it was read."""

    name: str
    checked: bool
    facts: Facts
    hardware: str
    records: Sequence[Record]
    curve: tuple[tuple[int, float], ...]  # of the best's last run: tokens, smoothed loss


def compare(runs: Path, names: Sequence[str]) -> Comparison:
    """Read all campaigns, in the order given.

    Raises:
        BadInput: a name is no bundle, folder or tag, or there is nothing to compare with.
        LabError: one of them was altered.
    """
    if len(names) < 2:
        raise BadInput("a comparison needs two campaigns.", do="name bundles, folders or tags.")
    found = []
    for name in names:
        with _opened(runs, name) as (folder, checked):
            found.append(_read(folder, checked=checked))
    return comparison_of(_with_own_names(found))


def comparison_of(found: Sequence[Found]) -> Comparison:
    """What may be said of campaigns that were read."""
    keys = list(dict.fromkeys(_class_key(each.facts) for each in found))
    target, why = _target(found)
    hosts = tuple(
        _host(each, 1 + keys.index(_class_key(each.facts)), target, why) for each in found
    )
    return Comparison(hosts=hosts, sentences=tuple(_sentences(hosts)))


@contextlib.contextmanager
def _opened(runs: Path, name: str) -> Iterator[tuple[Path, bool]]:
    """The folder of a campaign, and whether it is a bundle's, whose records were checked."""
    path = Path(name)
    if path.is_file():
        with received(path) as payload:
            yield payload, True
    elif (path / FACTS_FILE).exists():
        yield path, False
    else:
        yield find_campaign(runs, name), False


def _read(folder: Path, *, checked: bool) -> Found:
    facts = read_facts(folder / FACTS_FILE, (folder / FACTS_FILE).read_bytes())
    records = read_records(folder)
    best = best_of(records)
    curve = _curve(folder / "experiments" / f"{best.number:04d}" / "curve.parquet") if best else ()
    return Found(
        name=one_line(facts.tag, 40) or "?",
        checked=checked,
        facts=facts,
        hardware=hardware_of(read_campaign(folder)),
        records=records,
        curve=curve,
    )


def _curve(path: Path) -> tuple[tuple[int, float], ...]:
    """Tokens and smoothed loss of a run, by train.py's own claim; empty where there is no such table."""
    try:
        columns = read_parquet(path, CURVE, most_rows=MOST_CURVE_ROWS)
    except ValueError:
        return ()
    points = [
        (tokens, loss)
        for tokens, loss in zip(columns["tokens"], columns["loss_nats"], strict=True)
        if isinstance(tokens, int) and isinstance(loss, float) and loss == loss  # not NaN
    ]
    width = max(1, round(SMOOTHED_SHARE * len(points)))
    losses = [loss for _, loss in points]
    return tuple(
        (tokens, statistics.fmean(losses[max(0, index + 1 - width) : index + 1]))
        for index, (tokens, _) in enumerate(points)
    )


def _with_own_names(found: Sequence[Found]) -> list[Found]:
    """Two hosts may call their campaigns alike."""
    named: list[Found] = []
    for each in found:
        count = sum(other.facts.tag == each.facts.tag for other in named)
        named.append(replace(each, name=f"{each.name} ({count + 1})") if count else each)
    return named


def _class_key(facts: Facts) -> tuple[str, str]:
    """What must be equal for scores to compare: the hardware's class, which holds image and profile, and the text."""
    return facts.fingerprint.class_id, facts.data_sha256


def _question(facts: Facts) -> tuple[str, str, str]:
    """What must be equal for gains to compare: how it is measured, and on what."""
    return facts.profile, facts.harness_sha256, facts.data_sha256


def _target(found: Sequence[Found]) -> tuple[float | None, str]:
    """The highest of the last losses, which every curve reaches; or why there is none."""
    if len({_question(each.facts) for each in found}) > 1:
        return None, "losses are of different text"
    lasts = [each.curve[-1][1] for each in found if each.curve]
    if len(lasts) < 2:  # one curve has no other to reach
        return None, NO_CURVE
    return max(lasts), NO_CURVE


def _host(found: Found, class_number: int, target: float | None, why: str) -> Host:
    records = found.records
    runs = best_runs(found.facts, records)
    counted = tally(records, found.facts.prior_noise)
    best = best_of(records)
    number = records[best.number - 1].original if best else None
    energies = [
        summary.energy_j
        for record in records
        if (summary := record.trial.telemetry) is not None and summary.energy_j is not None
    ]
    sources = {
        record.trial.telemetry.energy_source or ""
        for record in records
        if record.trial.telemetry is not None and record.trial.telemetry.energy_j is not None
    }
    return Host(
        name=found.name,
        checked=found.checked,
        facts=found.facts,
        hardware=found.hardware,
        class_number=class_number,
        runs=runs,
        gain=runs.gain(),
        title=one_line(records[number - 1].title, 80) if number is not None else "",
        tried=counted.tried,
        kept=counted.kept,
        baseline=_measured(baselines_of(records)),
        best=_measured(reruns_of(records, number) if number is not None else []),
        tokens_to_target=None if target is None else _tokens_to(found.curve, target),
        why_no_tokens=why,
        energy_j=statistics.fmean(energies) if energies else None,
        energy_source="; ".join(sorted(one_line(source, 80) for source in sources)),
        cost_usd=counted.cost_usd,
        path=_path(records, runs),
    )


def _tokens_to(curve: Sequence[tuple[int, float]], target: float) -> int | None:
    return next((tokens for tokens, loss in curve if loss <= target), None)


def _measured(records: Sequence[Record]) -> Measured:
    trained = [record.trial.training for record in records if record.trial.training is not None]
    speeds = [run.tokens / run.train_s for run in trained if run.tokens and run.train_s]
    return Measured(
        steps=_mean_of([run.steps for run in trained if run.steps is not None]),
        tokens_per_s=_mean_of(speeds),
    )


def _mean_of(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _path(records: Sequence[Record], runs: Runs) -> tuple[tuple[int, float], ...]:
    """The gain of the best so far: from the first baseline over every keep to the last experiment."""
    baselines = baselines_of(records)
    if not baselines:
        return ()
    start = statistics.fmean(runs.baseline)
    steps = [(r.number, start - score) for r in records if (score := kept_bpb(r)) is not None]
    last = steps[-1][1] if steps else 0.0
    return ((baselines[0].number, 0.0), *steps, (records[-1].number, last))


# ---- what may be said ----


def _sentences(hosts: Sequence[Host]) -> Iterator[Said]:
    yield from _classes(hosts)
    comparable = len({_question(host.facts) for host in hosts}) == 1
    if not comparable:
        yield Said(
            "They were measured by different profiles, harnesses or data: neither scores nor gains "
            "compare between those, they only stand beside each other."
        )
    if len({host.facts.train_sha256 for host in hosts}) > 1:
        yield Said("They began with different train.py, so their gains have different starts.")
    pairs = list(itertools.combinations(hosts, 2))
    if len(pairs) > MOST_PAIRS:
        return
    for first, second in pairs:
        if sentence := _pair(first, second):
            yield sentence


def _classes(hosts: Sequence[Host]) -> Iterator[Said]:
    first = hosts[0]
    if all(host.class_number == first.class_number for host in hosts):
        all_of_them = "Both" if len(hosts) == 2 else f"All {len(hosts)}"
        yield Said(f"{all_of_them} are of one class of hardware, so their scores compare.")
        return
    yield Said(
        "They are of different classes, so absolute scores do not compare: a lower one may only be the "
        "faster machine's. What compares are the gains, each over its own baseline."
    )
    seen = {first.class_number}
    for host in hosts[1:]:
        if host.class_number in seen:
            continue
        seen.add(host.class_number)
        apart = differences(host.facts.fingerprint.comparable, first.facts.fingerprint.comparable)
        if host.facts.data_sha256 != first.facts.data_sha256:
            apart.append("other data")
        yield Said(
            f"Class {host.class_number} against class {first.class_number}: {{}}.",
            ("; ".join(apart),),
        )


def _pair(first: Host, second: Host) -> Said | None:
    """What two hosts say about each other; None where nothing may be said, or nothing is known."""
    names = first.name, second.name
    if _class_key(first.facts) == _class_key(second.facts):
        apart = score_difference(first.runs, second.runs)
        return _difference(
            apart, names, "The best of {{}} scores {} than that of {{}}", "lower", "higher"
        )
    same_start = first.facts.train_sha256 == second.facts.train_sha256
    if _question(first.facts) != _question(second.facts) or not same_start:
        return None
    apart = gain_difference(first.runs, second.runs)
    return _difference(
        apart, names, "{{}} gained {} than {{}}, each over its own baseline", "less", "more"
    )


def _difference(
    apart: Estimate | None, names: tuple[str, str], what: str, less: str, more: str
) -> Said | None:
    """`what` has a place for the size of the difference between those of the two names."""
    if apart is None or apart.error_bpb == 0:
        return None
    low, high = apart.interval()
    if apart.value_bpb < 0:
        low, high = -high, -low
    p = apart.p_apart()
    chance = f"p = {p:.2g}" if p >= LEAST_P else f"p < {LEAST_P}"
    size = f"{abs(apart.value_bpb):.4f} {less if apart.value_bpb < 0 else more}"
    beyond = "more than the noise explains" if p < CHANCE else "no more than the noise explains"
    return Said(
        f"{what.format(size)} ({low:.4f} to {high:.4f} with 95 % confidence, {chance}): {beyond}.",
        names,
    )
