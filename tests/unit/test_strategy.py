"""Where the next candidate starts, and what the lab puts forward: functions of Records and of nothing else."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.strategies import Story, World, draw_world, play
from lab.ledger import CANDIDATE, CONFIRM, Record, best_of, noise_of, open_candidate
from lab.lineage import ABLATION, COMBINATION, LAB
from lab.outcome import Status
from lab.strategy import ABLATE_AGAIN, KNOWN_CANDIDATES, Decision, Strategy, decide
from lab.verdict import Noise, refuse
from lab.workspace import Workspace
from tests.unit.nights import SEED_COMMIT, commit_of, make_run, make_seed

NOISE = Noise(sd_bpb=0.002, df=40)
START = make_seed(1.900, 1.898, 1.902)


class Files:
    """Files that are sets of words. Each candidate adds its own to its parent's; a conflict is told beforehand."""

    def __init__(self, records: Sequence[Record], conflicts: Sequence[str] = ()) -> None:
        self.conflicts = conflicts  # words whose change merges with nothing
        self.merges = 0
        self._files = {record.commit: "" for record in START}
        for record in records:
            if record.kind == CANDIDATE and record.commit is not None:
                words = {*self._files[record.parent].split(), f"idea{record.number}"}
                self._files[record.commit] = " ".join(sorted(words))

    def put(self, number: int, text: str) -> None:
        self._files[commit_of(number)] = text

    def read(self, commit: str) -> str:
        return self._files[commit]

    def merge(self, base: str, ours: str, theirs: str) -> str | None:
        self.merges += 1
        before, mine, other = (set(text.split()) for text in (base, ours, theirs))
        if (before ^ other) & set(self.conflicts):
            return None
        return " ".join(sorted((mine | (other - before)) - (before - other)))


def ask(
    records: Sequence[Record],
    *,
    strategy: Strategy = "tree",
    every: int = 0,
    files: Files | None = None,
    noise: Noise | None = NOISE,
) -> Decision:
    files = files or Files(records)
    return decide(
        records,
        strategy=strategy,
        ablate_every=every,
        noise=noise,
        read=files.read,
        merge=files.merge,
    )


class NoFiles(Files):
    """Nothing merges, so nothing is put forward."""

    def read(self, commit: str) -> str:
        return commit

    def merge(self, base: str, ours: str, theirs: str) -> str | None:
        return None


NO_FILES = NoFiles([])


def losses(first: int, count: int, parent: str | None = None) -> list[Record]:
    """Candidates that were clearly worse."""
    return [make_run(n, "discard", 1.95, parent=parent) for n in range(first, first + count)]


# ---- the parent ----


@pytest.mark.parametrize("strategy", ["greedy", "tree"])
def test_while_little_is_known_the_parent_is_the_best(strategy: Strategy) -> None:
    """With three runs of noise and five candidates, whoever seems near may be anywhere."""
    near = make_run(4, "discard", 1.8985)
    for count in range(KNOWN_CANDIDATES - 1):
        decision = ask([*START, near, *losses(5, count)], strategy=strategy)
        assert (decision.parent, decision.parent_number) == (SEED_COMMIT, 3)
        assert decision.proposal is None


def test_code_as_good_as_the_best_has_its_turn_and_then_the_best_again() -> None:
    """One line of descent ends where no single step pays; a tree that never returns ends elsewhere."""
    night = [*START, make_run(4, "discard", 1.8985), *losses(5, KNOWN_CANDIDATES)]
    assert ask(night, strategy="greedy").parent == SEED_COMMIT
    parents = []
    for _ in range(24):
        parents.append(ask(night).parent)
        night += losses(len(night) + 1, 1, parents[-1])
    assert parents[0] == commit_of(4)
    assert set(parents) == {commit_of(4), SEED_COMMIT}
    assert parents[-6:].count(commit_of(4)) == 3, "they take turns, being believed alike"


def test_the_nearer_of_two_comes_first_and_the_far_one_never() -> None:
    """A night has a hundred runs; they go where something is expected of them."""
    night = [
        *START,
        make_run(4, "discard", 1.9015),
        make_run(5, "discard", 1.8985),
        *losses(6, KNOWN_CANDIDATES),
    ]
    parents = []
    for _ in range(4):
        parents.append(ask(night).parent)
        night += losses(len(night) + 1, 1, parents[-1])
    assert parents[0] == commit_of(5)
    assert not {commit_of(n) for n in range(6, 40)} & set(parents)


@pytest.mark.parametrize("noise", [None, Noise(sd_bpb=0.0, df=3)])
def test_without_a_noise_the_tree_is_the_best_alone(noise: Noise | None) -> None:
    """Nothing can be said to lie within a noise that is not known, or is none."""
    night = [*START, make_run(4, "discard", 1.8985), *losses(5, KNOWN_CANDIDATES)]
    assert ask(night, noise=noise).parent == SEED_COMMIT


# ---- two near misses together ----

NEAR_PAIR = [
    *START,
    make_run(4, "discard", 1.8968, title="A"),
    make_run(5, "discard", 1.8967, title="B"),
    make_run(6, "discard", 1.93),
]


def test_two_near_misses_are_put_on_the_best_together() -> None:
    """Two gains that hide in the noise alone may be seen at once."""
    decision = ask(NEAR_PAIR)
    assert decision.proposal is not None
    assert decision.parent == SEED_COMMIT
    assert decision.proposal.agent == LAB
    assert decision.proposal.title == "4 and 5 together"
    assert decision.proposal.train_py == "idea4 idea5"
    assert decision.proposal.facts == {LAB: COMBINATION, "of": "4 5"}
    assert ask(NEAR_PAIR, strategy="greedy").proposal is None


def test_a_near_miss_of_an_older_best_is_put_on_the_new_one() -> None:
    """What was found before the last keep would be lost with it."""
    night = [*NEAR_PAIR, make_run(7, "confirm", 1.88), make_run(8, "keep", 1.885, of=7)]
    night += losses(9, 1, commit_of(7))
    proposal = ask(night).proposal
    assert proposal is not None
    assert proposal.train_py == "idea4 idea5 idea7"


def again(night: Sequence[Record], status: Status = Status.MEASURED) -> list[Record]:
    """The night after its combination was run, and one idea of the agent after that."""
    proposal = ask(night).proposal
    assert proposal is not None
    number = len(night) + 1
    run = make_run(number, "discard", 1.91, agent=LAB, facts=proposal.facts, status=status)
    return [*night, run, *losses(number + 1, 1)]


@pytest.mark.parametrize("status", [Status.MEASURED, Status.REJECTED, Status.CRASHED, Status.LOST])
def test_no_pair_is_tried_twice(status: Status) -> None:
    """However it ended: a pair that does not fit does not fit tomorrow."""
    assert ask(again(NEAR_PAIR, status)).proposal is None


@pytest.mark.parametrize(
    ("night", "conflicts"),
    [
        pytest.param(NEAR_PAIR, ["idea5"], id="they-conflict"),
        pytest.param(
            [*NEAR_PAIR[:-1], make_run(6, "discard", 1.9, agent=LAB)], [], id="our-turn-was"
        ),
        pytest.param([*NEAR_PAIR[:4], *losses(5, 2)], [], id="there-is-one"),
        pytest.param(
            [*START, make_run(4, "discard", 1.8995), make_run(5, "discard", 1.8995), *losses(6, 1)],
            [],
            id="too-little-to-be-seen",
        ),
        pytest.param(
            [*NEAR_PAIR[:5], make_run(6, "discard", 1.9, parent=commit_of(4))], [], id="control"
        ),
    ],
)
def test_what_would_show_nothing_is_not_put_together(
    request: pytest.FixtureRequest, night: list[Record], conflicts: list[str]
) -> None:
    """A run costs six minutes."""
    files = Files(night, conflicts)
    is_control = request.node.callspec.id == "control"
    assert (ask(night, files=files).proposal is not None) is is_control
    if is_control:
        files.put(6, "idea4 idea5")  # somebody tried just this
        assert ask(night, files=files).proposal is None


def test_a_change_that_is_in_the_best_already_is_not_put_there_again() -> None:
    """The near misses of a combination that was kept are inside, though the best does not descend from them."""
    pair = [*NEAR_PAIR, make_run(7, "discard", 1.8966, title="C")]
    facts = {LAB: COMBINATION, "of": "4 5"}
    kept = make_run(8, "confirm", 1.89, agent=LAB, facts=facts)
    night = [*pair, kept, make_run(9, "keep", 1.89, of=8), *losses(10, 1, commit_of(8))]
    files = Files(night)
    files.put(8, "idea4 idea5")
    assert ask(night, files=files).proposal is None


# ---- past keeps ----


def keep(number: int, val_bpb: float, parent: str | None, **more: str) -> list[Record]:
    return [
        make_run(number, "confirm", val_bpb - 0.003, parent=parent, title=f"Idea {number}", **more),  # type: ignore[arg-type]
        make_run(number + 1, "keep", val_bpb, of=number),
    ]


KEEPS = [
    *START,
    *keep(4, 1.88, None),
    *keep(6, 1.86, commit_of(4)),
    *keep(8, 1.84, commit_of(6)),
]


def test_the_best_is_tried_without_its_oldest_keep_when_that_is_due() -> None:
    """Dead weight that nobody looks at stays for good, and everything after it is built around it."""
    for every in (3, 4, 5, 6):
        for more in range(5):
            night = [*KEEPS, *losses(10, more, commit_of(8))]
            proposal = ask(night, strategy="greedy", every=every).proposal
            assert (proposal is not None) is (3 + more >= every)
    decision = ask(KEEPS, strategy="greedy", every=3)
    assert decision.proposal is not None
    assert decision.proposal.title == "without 4: Idea 4"
    assert decision.proposal.train_py == "idea6 idea8"
    assert decision.proposal.facts == {LAB: ABLATION, "of": "4"}
    assert (decision.parent, decision.parent_number) == (commit_of(8), 8)


def test_no_ablations_when_the_setting_says_so() -> None:
    """Zero is never, not always."""
    assert ask([*KEEPS, *losses(10, 99, commit_of(8))], every=0).proposal is None


def ablate(
    night: list[Record], files: Files | None = None, *, status: Status = Status.MEASURED
) -> int | None:
    """Ask when one is due and put it into the night: the keep that was taken away; None where none was."""
    proposal = ask(night, strategy="greedy", every=1, files=files or Files(night)).proposal
    if proposal is None:
        night += losses(len(night) + 1, 1, commit_of(8))
        return None
    night.append(
        make_run(
            len(night) + 1,
            "discard",
            1.9,
            parent=commit_of(8),
            agent=LAB,
            facts=proposal.facts,
            status=status,
        )
    )
    return int(proposal.facts["of"])


@pytest.mark.parametrize("status", [Status.MEASURED, Status.REJECTED, Status.LOST])
def test_each_keep_has_its_turn_and_never_two_in_a_row(status: Status) -> None:
    """Half a night of ablations would be half a night."""
    night = list(KEEPS)
    # Without 8 it would be the file of 6, which was measured.
    assert [ablate(night, status=status) for _ in range(6)] == [4, None, 6, None, None, None]


def test_a_keep_has_its_turn_again_when_much_has_changed() -> None:
    """What came later may do its work by now; but only a file that was never measured is worth a run."""
    night = list(KEEPS)
    assert [ablate(night), ablate(night), ablate(night)] == [4, None, 6]
    examined = len(night) - 2
    fresh = Files(night)  # in which neither ablation is a file that was measured
    while len(night) < examined + ABLATE_AGAIN + 5:
        night += losses(len(night) + 1, 1, commit_of(8))
        if len(night) == examined + ABLATE_AGAIN - 1:
            assert ask(night, strategy="greedy", every=1).proposal is None
    proposal = ask(night, strategy="greedy", every=1, files=Files(night)).proposal
    assert fresh.read(commit_of(8)) == "idea4 idea6 idea8"
    assert proposal is not None
    assert proposal.facts["of"] == "4"


def test_a_change_that_others_stand_upon_is_passed_over() -> None:
    """It cannot be taken out by itself; the next one can."""
    assert ablate(list(KEEPS), Files(KEEPS, ["idea4"])) == 6
    files = Files(KEEPS, ["idea4", "idea6"])
    night = list(KEEPS)
    assert ablate(night, files) is None
    assert files.merges == 3, "all three were looked at, and no run was spent"


def test_what_is_not_in_the_best_is_not_taken_from_it() -> None:
    """A keep that came from a near miss may have left an earlier keep behind; what it rode in on came along."""
    near = make_run(6, "discard", 1.8985, title="Near")
    night = [*START, *keep(4, 1.898, None), near, *keep(7, 1.86, commit_of(6))]
    night += keep(9, 1.84, commit_of(7))
    seen = []
    for _ in range(6):
        proposal = ask(night, strategy="greedy", every=1).proposal
        if proposal is None:
            night += losses(len(night) + 1, 1, commit_of(9))
            continue
        seen.append((proposal.title, proposal.train_py))
        night.append(
            make_run(
                len(night) + 1, "discard", 1.9, parent=commit_of(9), agent=LAB, facts=proposal.facts
            )
        )
    assert seen == [("without 6: Near", "idea7 idea9"), ("without 7: Idea 7", "idea6 idea9")]


def test_an_ablation_that_was_kept_is_not_ablated() -> None:
    """That would put back what was just taken out."""
    night = [*KEEPS, *keep(10, 1.839, commit_of(8), agent=LAB)]
    facts = {LAB: ABLATION, "of": "4"}
    night[9] = replace(night[9], facts=facts)
    night += losses(12, 1, commit_of(10))
    files = Files(night)
    files.put(10, "idea6 idea8")
    files.put(12, "idea6 idea8 idea12")
    proposal = ask(night, strategy="greedy", every=1, files=files).proposal
    assert proposal is not None
    assert proposal.facts["of"] == "6"
    assert proposal.train_py == "idea8"


def test_git_takes_a_kept_change_out_of_a_real_file(tmp_path: Path) -> None:
    """The three-way merge of a real repository, asked as a night asks it."""
    workspace = Workspace.open(
        tmp_path / "repo", tag="t", seed="".join(f"x{n} = 0\n" for n in range(9))
    )
    seed = workspace.head()
    commits, text = {SEED_COMMIT: seed}, workspace.read(seed)
    for number, line in ((4, 1), (6, 4), (8, 7)):
        text = text.replace(f"x{line} = 0", f"x{line} = 1")
        candidate = workspace.commit(text, number=number, parent=seed, message="m\n")
        commits[commit_of(number)] = candidate.commit
    decision = decide(
        KEEPS,
        strategy="greedy",
        ablate_every=1,
        noise=NOISE,
        read=lambda commit: workspace.read(commits.get(commit, seed)),
        merge=workspace.merge,
    )
    assert decision.proposal is not None
    assert decision.proposal.train_py == text.replace("x1 = 1", "x1 = 0")


# ---- whole nights, by the functions of the lab, in a world that is drawn ----

NIGHTS = [
    pytest.param(strategy, noise_bpb, seed, id=f"{strategy}-{noise_bpb}-{seed}")
    for strategy in ("greedy", "tree")
    for noise_bpb in (0.001, 0.004)
    for seed in (1, 2)
]
EVERY = 8


def told(strategy: Strategy, noise_bpb: float, seed: int, *, runs: int = 100) -> Story:
    story = Story(world_of(seed), noise_bpb)
    play(story, strategy, EVERY, runs=runs)
    return story


def world_of(seed: int) -> World:
    return draw_world(random.Random(seed), interacting=0.05)


@pytest.mark.parametrize(("strategy", "noise_bpb", "seed"), NIGHTS)
def test_a_resumed_night_goes_on_as_it_would_have(
    strategy: Strategy, noise_bpb: float, seed: int
) -> None:
    """A power cut must not change what is found."""
    whole = told(strategy, noise_bpb, seed).records
    for cut in (3, 17, 40, 71, 99):
        resumed = Story(world_of(seed), noise_bpb, list(whole[:cut]))
        play(resumed, strategy, EVERY)
        assert resumed.records == whole


@pytest.mark.parametrize(("strategy", "noise_bpb", "seed"), NIGHTS)
def test_what_the_lab_puts_forward_keeps_its_measure(
    strategy: Strategy, noise_bpb: float, seed: int
) -> None:
    """The night is the agent's; the lab has its turn, and never the same thing twice."""
    records = told(strategy, noise_bpb, seed).records
    candidates = [record for record in records if record.kind == CANDIDATE]
    turns = [index for index, r in enumerate(candidates) if r.facts.get(LAB) == ABLATION]
    assert all(after - before > EVERY for before, after in itertools.pairwise([-1, *turns]))
    ours = [record for record in candidates if record.agent == LAB]
    assert len({(r.facts[LAB], r.facts["of"]) for r in ours}) == len(ours)
    files = [record.title for record in candidates]
    assert all(files.count(record.title) == 1 for record in ours), "no file that was run before"
    if strategy == "greedy":
        assert all(r.facts[LAB] == ABLATION for r in ours)
        for record in candidates:
            best = best_of(records[: record.number - 1])
            assert best is not None
            assert record.parent == best.commit


def test_tree_is_greedy_while_little_is_known_and_something_else_later() -> None:
    """In every drawn night; else the comparison of the two would compare nothing."""
    for seed in range(4):
        greedy, tree = (
            [r for r in told(s, 0.001, seed).records if r.agent != LAB and r.kind == CANDIDATE]
            for s in ("greedy", "tree")
        )
        assert any(a.parent != b.parent for a, b in zip(greedy, tree, strict=False))
        for record in tree[:KNOWN_CANDIDATES]:
            best = best_of(told("tree", 0.001, seed, runs=record.number - 1).records)
            assert best is not None
            assert record.parent == best.commit


def test_the_tree_never_builds_upon_what_is_not_sound() -> None:
    """Whatever else goes wrong in a night: a parent was measured, audited where it was kept, and is decided."""
    elsewhere = 0
    for seed in range(8):
        records = spoil(told("tree", 0.004, seed).records, random.Random(seed))
        for count in range(3, len(records), 3):
            past = records[:count]
            best = best_of(past)
            if best is None or open_candidate(past):
                continue
            parent = ask(past, noise=noise_of(past, None), files=NO_FILES).parent
            if parent == best.commit:
                continue
            elsewhere += 1
            runs = [r for r in past if r.commit == parent]
            said = [r for r in runs if r.trial.status.says_something]
            assert all(r.trial.val_bpb is not None for r in said)
            assert all(r.trial.audit and r.trial.audit.passed for r in runs if r.verdict.keep)
            assert not said[-1].verdict.confirm
    assert elsewhere > 20, "the control"


def spoil(records: Sequence[Record], draw: random.Random) -> list[Record]:
    """The same night in which a fifth of the runs came to nothing, and half of the keeps had no audit."""
    spoilt = []
    for record in records:
        changed = record
        if record.kind in (CANDIDATE, CONFIRM) and draw.random() < 0.2:
            status = draw.choice([s for s in Status if s is not Status.MEASURED])
            trial = replace(record.trial, status=status, val=None, audit=None)
            changed = replace(record, trial=trial, verdict=refuse("spoilt", best_bpb=None))
        elif record.verdict.keep and draw.random() < 0.5:
            changed = replace(record, trial=replace(record.trial, audit=None))
        spoilt.append(changed)
    return spoilt
