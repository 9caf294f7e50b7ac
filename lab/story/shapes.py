"""What travels to a page: dataclasses whose `asdict` is its JSON.

None is what was not measured. Every text is somebody's: a page shows it as text and nothing else. Endings are
those of lab/show/words.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """One campaign in a list of them."""

    tag: str
    problem: str | None  # why it cannot be read; then everything below is empty
    running: bool = False
    imported: bool = False  # from somebody's results.tsv: no times, no noise, no audits
    profile: str | None = None
    hardware: str | None = None
    class_id: str | None = None  # scores compare only between equal ones
    created_at: str | None = None  # UTC, ISO 8601
    tried: int = 0
    kept: int = 0
    baseline_bpb: float | None = None
    best_bpb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One experiment as a point and a line of the table."""

    number: int
    kind: str
    ending: str  # "keep", "discard", "confirm", "baseline", "audit", "replay", or a Status
    ending_words: str  # the same for a person: "kept", "out of memory"
    original: int | None  # the experiment whose code it runs again
    title: str
    agent: str | None
    val_bpb: float | None  # of this run
    score_bpb: float | None  # what is drawn: of a kept one the mean of its re-runs, else val_bpb
    holdout_bpb: float | None
    gain_bpb: float | None  # over the best of that time, by the verdict
    best_bpb: float | None  # the best after it
    audited: bool
    train_s: float | None
    total_s: float | None
    at_s: (
        float | None
    )  # since the campaign's first experiment began, at its end; None when imported
    cost_usd: float | None
    energy_j: float | None
    net_lines: int | None
    commit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What it came to so far."""

    experiments: int  # records
    scored: int  # of them have a score
    tried: int  # candidates that say something
    kept: int
    baseline_bpb: float | None
    best_bpb: float | None
    best_experiment: int | None
    replays: int  # measured runs of another lab's code
    replay_bpb: float | None  # their mean
    gain_bpb: float | None  # best over baseline, positive is better; None before anything was kept
    gain_low_bpb: float | None  # 95 % interval
    gain_high_bpb: float | None
    noise_sd_bpb: float | None  # of one run
    noise_low_bpb: float | None  # 95 % interval
    noise_high_bpb: float | None
    margin_bpb: float | None  # what noise alone asked of the last gain
    holdout_gain_bpb: float | None
    audited: int
    idle_share: float | None
    cost_usd: float | None
    agent_tokens: int | None
    energy_j: float | None  # of all trainings whose own is known
    took_s: float | None  # sum of all experiments, waits between them included


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one keep brought: the step of the waterfall from the best before it."""

    number: int  # of the candidate, whose diff it is
    decided_at: int  # the re-run that kept it
    title: str
    from_bpb: float
    to_bpb: float
    ablation: bool  # it took something out


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One candidate or the seed in the tree of what came from what."""

    number: int  # 0 is the seed
    parent: (
        int | None
    )  # number of the Branch it changed; None for the seed, or when it is not known
    title: str
    ending: str  # of the idea, re-runs included: "keep", "discard", "confirm" (open), or a Status
    score_bpb: float | None
    on_path: bool  # the best of today came over it


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of the night's time."""

    name: str  # "training", "start-up", "evaluation", "audit", "confirmation", "idle", "lost", "controller"
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A line of where it ran and of what: `Image`, `sha256:...`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that the reader can type."""

    what: str  # "check a bundle of it without a GPU"
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One campaign."""

    tag: str
    running: bool
    imported: bool
    profile: str | None
    agent: str | None
    hardware: str | None
    class_id: str | None
    created_at: str | None
    sentences: tuple[
        str, ...
    ]  # three: what was gained and how sure it is; on what; in how long, for how much
    standing: Standing
    rows: tuple[Row, ...]
    contributions: tuple[Contribution, ...]
    lineage: tuple[Branch, ...]
    budget: tuple[Share, ...]  # empty when imported
    facts: tuple[Fact, ...]  # image, harness, data, ledger, rule
    hardware_class: tuple[Fact, ...]  # of the fingerprint
    conditions: tuple[Fact, ...]
    missing: tuple[Fact, ...]  # readings that could not be taken, and why
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    """A line of a change."""

    kind: str  # "+", "-", " " or "@"
    spans: tuple[tuple[str, str], ...]  # (class of token, text); a class is "" or one of TOKENS


TOKENS = ("keyword", "name", "string", "number", "comment", "operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Of a training curve, as train.py told it: its own claims."""

    train_s: float
    step: int
    loss: float | None  # nats a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What an experiment opens to."""

    number: int
    hypothesis: str
    reason: str  # why it has no score; empty when it has
    verdict: str
    notes: tuple[Fact, ...]  # of the agent
    diff: tuple[
        DiffLine, ...
    ]  # against its parent; empty for a baseline, a re-run points to `original`
    diff_cut: int  # lines left out
    lines_added: (
        int | None
    )  # of the whole change, what is left out included; None where there is none
    lines_removed: int | None
    curve: tuple[Point, ...]
    parent: int | None  # whose curve stands beside it
    parent_curve: tuple[Point, ...]
    audit: tuple[Fact, ...]  # empty when it was not audited
    telemetry: tuple[Fact, ...]
    conditions: tuple[Fact, ...]  # that differ before and after
    log_tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What a running night does at this moment: runs/<tag>/now.json, replaced about once a second."""

    at: str  # UTC, ISO 8601, when it was written
    pid: int  # of the controller
    experiment: int | None
    kind: str | None
    title: str
    hypothesis: str
    agent: str
    phase: str
    cap_s: float | None
    elapsed_s: float  # in this phase
    fraction: float | None
    loss: float | None
    tokens_per_s: float | None
    curve: tuple[Point, ...]  # of this experiment so far, at most CURVE_POINTS
    telemetry: dict[str, float] = field(
        default_factory=dict
    )  # the last sample, fields of samples.Sample
    log_tail: str = ""  # of the train container, at most LOG_CHARS
    seconds_left: float | None = None  # None: no time limit
    experiments_limit: int | None = None
    old_s: int | None = None  # since `at`, where that is long ago; said by whoever reads the file


CURVE_POINTS = 240
LOG_CHARS = 4_000
