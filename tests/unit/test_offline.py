"""The offline agent: every mutation is a real file, and the history is never ignored."""

from __future__ import annotations

import ast
import functools
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.agents import NoMoreIdeas, Proposal
from lab.agents.offline import OfflineAgent, every_mutation
from lab.agents.offline.agent import MOVES
from lab.agents.offline.dials import DIALS
from lab.agents.offline.ideas import Dial, Switch
from lab.agents.similar import facts_of as digests_of
from lab.contract import check
from lab.errors import AgentError
from lab.prompt import Brief, Past, UnderWay

SEED_FILE = (Path(__file__).parents[2] / "workspace" / "train.py").read_text()
NOISE_BPB = 0.004

SMALL = """\
def by_device(*, gpu, cpu):
    return cpu


MATRIX_LR = by_device(gpu=0.04, cpu=0.04)
WARMDOWN_SHARE = 0.5
ADAM_BETAS = (0.8, 0.95)
LOGIT_SOFTCAP = 15.0
"""


@functools.cache
def mutations(profile: str) -> dict[str, str]:
    return every_mutation(SEED_FILE, profile)


def brief_of(
    history: tuple[Past, ...] = (), *, train_py: str = SMALL, profile: str = "cpu"
) -> Brief:
    return Brief(
        number=len(history) + 3,
        profile=profile,
        program="",
        train_py=train_py,
        baseline_bpb=1.83,
        best_bpb=1.83,
        noise_bpb=NOISE_BPB,
        seconds_left=None,
        history=history,
    )


def past_of(
    proposal: Proposal, number: int, *, gain: float | None, status: str = "measured"
) -> Past:
    return Past(
        number=number,
        kind="candidate",
        title=proposal.title,
        hypothesis=proposal.hypothesis,
        status=status,
        kept=gain is not None and gain > 2 * NOISE_BPB,
        val_bpb=None if gain is None else 1.83 - gain,
        gain_bpb=gain,
        reason="",
        facts=proposal.facts,
        log_tail="",
    )


def night(
    outcomes: list[tuple[float | None, str]], *, seed: int = 1, start: str = SMALL
) -> list[Proposal]:
    """Proposals of a night in which the experiments end as told; ends early with NoMoreIdeas."""
    best, history, proposals = start, (), []
    for gain, status in outcomes:
        try:
            proposal = OfflineAgent(seed=seed).propose(brief_of(history, train_py=best))
        except NoMoreIdeas:
            break
        past = past_of(proposal, len(history), gain=gain, status=status)
        history = (*history, past)
        proposals.append(proposal)
        best = proposal.train_py if past.kept else best
    return proposals


# ---- The catalogue ------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["gpu", "cpu", "smoke"])
def test_every_mutation_of_the_seed_is_another_file_that_keeps_the_contract(profile: str) -> None:
    """A candidate that is refused, or equals its parent, wastes an experiment of the night."""
    made = mutations(profile)
    assert len({name.partition("=")[0] for name in made}) >= 25
    seed_code = compile(SEED_FILE, "train.py", "exec")
    for name, train_py in made.items():
        check(train_py)
        assert compile(train_py, "train.py", "exec") != seed_code, name
    assert len(set(made.values())) == len(made)


@pytest.mark.parametrize("move", list(MOVES), ids=lambda move: move.move)
def test_every_entry_of_the_catalogue_fits_the_seed_somewhere(move: Dial | Switch) -> None:
    """An edit that no longer fits the seed is dead weight that nobody would notice."""
    made = {name.partition("=")[0] for profile in ("gpu", "cpu") for name in mutations(profile)}
    assert move.move in made


@pytest.mark.parametrize("profile", ["gpu", "cpu"])
def test_a_dial_leaves_the_other_device_alone(profile: str) -> None:
    """A night on a CPU must not spoil the file for a GPU."""
    other = "cpu" if profile == "gpu" else "gpu"

    def entries(train_py: str) -> list[str]:
        return [
            ast.unparse(keyword.value)
            for node in ast.walk(ast.parse(train_py))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "by_device"
            for keyword in node.keywords
            if keyword.arg == other
        ]

    dials = {dial.move for dial in DIALS}
    for name, train_py in mutations(profile).items():
        if name.partition("=")[0] in dials:
            assert entries(train_py) == entries(SEED_FILE), name


@pytest.mark.parametrize("profile", ["gpu", "cpu", "smoke"])
def test_comments_and_layout_survive_a_mutation(profile: str) -> None:
    """A diff must show the idea, not a reformatted file."""
    lines = set(SEED_FILE.splitlines())
    for name, train_py in mutations(profile).items():
        new = [line for line in train_py.splitlines() if line not in lines]
        assert len(new) <= 15, name
        assert all(len(line) <= 110 for line in new), name


def test_shapes_that_cannot_be_built_are_not_proposed() -> None:
    """Heads must divide the width and groups the heads; finding out in a container costs minutes."""
    small = "WIDTH = 128\nHEAD_DIM = 64\nHEADS_PER_KV_HEAD = 2\nDEPTH = 2\n"
    for name, train_py in every_mutation(small, "cpu").items():
        made = {
            node.targets[0].id: ast.literal_eval(node.value)  # type: ignore[attr-defined]
            for node in ast.parse(train_py).body
            if isinstance(node, ast.Assign)
        }
        assert made["WIDTH"] % made["HEAD_DIM"] == 0, name
        assert (made["WIDTH"] // made["HEAD_DIM"]) % made["HEADS_PER_KV_HEAD"] == 0, name
        assert made["DEPTH"] >= 1, name


def test_a_batch_below_one_forward_pass_makes_the_pass_smaller() -> None:
    """Otherwise the batch would stay what it was, and the experiment would measure nothing."""
    small = "BATCH_TOKENS = by_device(gpu=2**18, cpu=1024)\n"
    small += "DEVICE_BATCH_TOKENS = by_device(gpu=2**18, cpu=1024)\n"
    made = every_mutation(small, "gpu")[f"batch={2**17}"]
    assert made.count("gpu=2**17") == 2


def test_window_patterns_that_come_to_the_same_are_not_proposed() -> None:
    """With two blocks only the first one's window can differ: SSSL and SL are one model."""
    made = every_mutation('WINDOW_PATTERN = "SSSL"\nDEPTH = 2\n', "cpu")
    assert [name for name in made if name.startswith("windows")] == ["windows=LS"]


# ---- The choice ---------------------------------------------------------------------------------


def test_the_same_brief_and_seed_give_the_same_proposal() -> None:
    """A night that was killed and resumed must be the night that was not."""
    outcomes = [(random.Random(n).gauss(-0.003, 0.01), "measured") for n in range(12)]
    assert night(outcomes) == night(outcomes)
    assert [p.title for p in night(outcomes, seed=2)] != [p.title for p in night(outcomes, seed=1)]


def test_what_is_under_way_is_not_proposed_once_more() -> None:
    """As a stand-in it is asked while an experiment runs that may be its own."""
    first = OfflineAgent(seed=1).propose(brief_of())
    running = UnderWay(number=3, title=first.title, train_py=first.train_py, facts=first.facts)
    again = OfflineAgent(seed=1).propose(replace(brief_of(), ahead=(running,)))
    assert again.train_py != first.train_py


def test_what_somebody_else_tried_is_not_proposed_once_more() -> None:
    """A model had the same idea an hour ago, and wrote a comment beside it."""
    first = OfflineAgent(seed=1).propose(brief_of())
    theirs = replace(first, facts=digests_of(SMALL, first.train_py + "# mine\n"))
    earlier = past_of(theirs, 3, gain=-0.01)
    again = OfflineAgent(seed=1).propose(replace(brief_of((earlier,)), number=3))
    assert again.train_py != first.train_py


def test_on_a_cpu_and_on_a_gpu_other_ideas_come_first() -> None:
    """What binds differs: steps are dear on a CPU, tokens are plenty on a GPU."""
    firsts = {
        profile: [
            OfflineAgent(seed=seed).propose(brief_of(train_py=SEED_FILE, profile=profile)).title
            for seed in range(6)
        ]
        for profile in ("cpu", "gpu")
    }
    assert firsts["cpu"] != firsts["gpu"]


endings = st.one_of(
    st.tuples(st.floats(-0.05, 0.03), st.just("measured")),
    st.tuples(st.none(), st.sampled_from(["crashed", "out_of_memory", "timed_out", "invalid"])),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(endings, min_size=40, max_size=60), st.integers(0, 5))
def test_whatever_happens_no_file_comes_twice(
    outcomes: list[tuple[float | None, str]], seed: int
) -> None:
    """A repeated file is a lost experiment, and a second draw of the same lottery."""
    files = [SMALL, *(p.train_py for p in night(outcomes, seed=seed))]
    assert len(set(files)) == len(files)


def test_when_everything_was_tried_the_night_ends() -> None:
    """An agent that runs dry must say so instead of going round in circles."""
    proposals = night([(-0.002, "measured")] * 500)
    assert 10 < len(proposals) < 500


def test_a_failed_value_is_not_proposed_again_after_another_keep() -> None:
    """The parent is new, the idea is not."""
    first = OfflineAgent(seed=1).propose(brief_of())
    moved = SMALL.replace("LOGIT_SOFTCAP = 15.0", "LOGIT_SOFTCAP = 30.0")
    history = (past_of(first, 0, gain=-0.02),)
    for seed in range(30):
        again = OfflineAgent(seed=seed).propose(brief_of(history, train_py=moved))
        assert again.title != first.title


def test_what_the_lab_lost_may_come_again() -> None:
    """The lab's own failure says nothing of the idea."""
    first = OfflineAgent(seed=1).propose(brief_of())
    lost = (past_of(first, 0, gain=None, status="lost"),)
    titles = {OfflineAgent(seed=seed).propose(brief_of(lost)).title for seed in range(60)}
    assert first.title in titles


def turn(value: float) -> tuple[Proposal, str]:
    """The proposal that turns the matrices' rate from 0.04 to `value`, as the agent itself makes it."""
    for seed in range(500):
        proposal = OfflineAgent(seed=seed).propose(brief_of())
        if proposal.title == f"MATRIX_LR 0.04 -> {value:g}":
            return proposal, proposal.train_py
    raise AssertionError(f"no seed proposes {value}")


def rates_after(history: tuple[Past, ...], train_py: str, draws: int = 80) -> list[float]:
    """Where the matrices' rate is turned to next, over many seeds."""
    titles = [
        OfflineAgent(seed=seed).propose(brief_of(history, train_py=train_py)).title
        for seed in range(draws)
    ]
    return [
        float(t.rsplit(" ", 1)[1]) for t in titles if t.startswith("MATRIX_LR") and ";" not in t
    ]


def test_a_success_is_followed_in_its_direction() -> None:
    """Around a keep is where the next one is."""
    up, kept_file = turn(0.06)
    rates = rates_after((past_of(up, 0, gain=0.02),), kept_file)
    assert rates
    assert sum(rate > 0.06 for rate in rates) > 2 * sum(rate < 0.06 for rate in rates)
    assert 0.04 not in rates


def test_after_a_step_too_far_it_looks_between() -> None:
    """Kept at 0.06 and lost at 0.09: the best is near, and half a step away."""
    up, kept_file = turn(0.06)
    history = (past_of(up, 0, gain=0.02),)
    further = next(
        p
        for seed in range(500)
        if (p := OfflineAgent(seed=seed).propose(brief_of(history, train_py=kept_file))).title
        == "MATRIX_LR 0.06 -> 0.09"
    )
    history = (*history, past_of(further, 1, gain=-0.01))
    rates = rates_after(history, kept_file)
    between = [rate for rate in rates if 0.04 < rate < 0.09]
    assert len(between) > len(rates) / 2
    assert 0.09 not in rates


def test_two_near_misses_from_different_places_are_combined() -> None:
    """Each gain is within the noise; together they may be beyond it."""
    first, _ = turn(0.06)
    second = next(
        p
        for seed in range(500)
        if (p := OfflineAgent(seed=seed).propose(brief_of())).title.startswith("WARMDOWN_SHARE")
    )
    history = (past_of(first, 0, gain=0.006), past_of(second, 1, gain=0.005))
    together = {
        proposal.title: proposal.train_py
        for seed in range(80)
        if ";" in (proposal := OfflineAgent(seed=seed).propose(brief_of(history))).title
    }
    assert together
    for title, train_py in together.items():
        assert first.title in title
        assert second.title in title
        assert "cpu=0.06" in train_py
    # And a combination that was measured is not measured again.
    [title] = together
    combination = next(
        p
        for seed in range(80)
        if (p := OfflineAgent(seed=seed).propose(brief_of(history))).title == title
    )
    history = (*history, past_of(combination, 2, gain=-0.001))
    assert all(
        ";" not in OfflineAgent(seed=seed).propose(brief_of(history)).title for seed in range(80)
    )


def test_facts_of_another_agent_or_spoiled_ones_are_passed_over() -> None:
    """A campaign may change its agent in the middle; a ledger is read, not trusted."""
    first = OfflineAgent(seed=1).propose(brief_of())
    for facts in (
        {},
        {"moves": "{"},
        {"moves": "[1]"},
        {"moves": '[{"move": 1}]'},
        {"moves": "null"},
    ):
        stranger = past_of(
            Proposal(title="", hypothesis="", train_py="", agent="other", facts=facts),
            0,
            gain=-0.01,
        )
        proposal = OfflineAgent(seed=1).propose(brief_of((stranger,)))
        assert proposal.train_py != SMALL
    assert first.facts.keys() == {"moves", "parent", "file"}


def test_a_best_file_that_does_not_parse_is_said_clearly() -> None:
    """A library's parser error would tell the user nothing."""
    with pytest.raises(AgentError, match="cannot read"):
        OfflineAgent(seed=1).propose(brief_of(train_py="def f(:\n"))


def test_a_file_without_anything_to_turn_ends_the_night() -> None:
    """Somebody's own train.py may share nothing with the seed."""
    with pytest.raises(NoMoreIdeas):
        OfflineAgent(seed=1).propose(brief_of(train_py="x = 1\n"))
