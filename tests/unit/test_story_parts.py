"""The parts of a story, against nights that were worked out by hand."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from lab.ledger import AUDIT, CONFIRM, Record
from lab.lineage import ABLATION, LAB
from lab.outcome import Status
from lab.story.reading import Tale
from lab.story.sentences import sentences_of
from lab.story.shapes import Story
from tests.unit.nights import commit_of, make_night, make_record, make_run, make_seed
from tests.unit.stories import CAMPAIGN, tell

# Noise: the baselines' variance 0.0001 with 2 degrees of freedom, the re-runs' 0.00005 with 1. Together 0.00025 / 3,
# an sd of 0.0091287. Error of the gain: times the root of 1/3 + 1/2, 0.0083333. Student's t of 3 at 97.5 %: 3.18245.
KEPT_NIGHT = [
    *make_seed(1.90, 1.91, 1.89),
    make_run(4, "confirm", 1.84, title="wider"),
    make_run(5, "confirm", 1.85, of=4, title="wider"),
    make_run(6, "keep", 1.86, of=4, title="wider"),
]


def told(folder: Path, records: list[Record]) -> Story:
    return Tale.open(tell(folder / "nov23", records)).story()


def test_the_gain_has_the_interval_that_was_worked_out_by_hand(tmp_path: Path) -> None:
    """It is what says how sure the night is."""
    standing = told(tmp_path, KEPT_NIGHT).standing
    assert standing.baseline_bpb == pytest.approx(1.90)
    assert standing.best_bpb == pytest.approx(1.855)
    assert standing.gain_bpb == pytest.approx(0.045)
    assert standing.noise_sd_bpb == pytest.approx(0.0091287, abs=1e-6)
    assert standing.gain_low_bpb == pytest.approx(0.045 - 3.18245 * 0.0083333, abs=1e-5)
    assert standing.gain_high_bpb == pytest.approx(0.045 + 3.18245 * 0.0083333, abs=1e-5)
    assert standing.best_experiment == 6


def test_the_first_sentence_says_start_best_gain_and_how_sure(tmp_path: Path) -> None:
    """Somebody with one minute reads this and nothing else."""
    story = told(tmp_path, KEPT_NIGHT)
    assert story.sentences[0] == (
        "From 1.9000 to 1.8550 bits per byte: 0.0450 better (2.4 %), 0.0185 to 0.0715."
    )
    assert story.sentences[1] == (
        "The interval holds with 95 % confidence, and the holdout agrees (0.0400). "
        "On Xeon, 2 cores, with the cpu profile, in the frozen image sha256:abababababab; the agent was offline."
    )
    assert story.sentences[2].startswith("6 experiments (1 change tried, 1 kept) in 8 min")


def test_a_gain_that_may_be_none_is_said_to_be(tmp_path: Path) -> None:
    """An interval over zero is no gain to post."""
    night = [*make_seed(1.90, 1.93, 1.87), *KEPT_NIGHT[3:]]
    standing, sentence = (story := told(tmp_path, night)).standing, story.sentences[0]
    assert standing.gain_low_bpb is not None
    assert standing.gain_low_bpb < 0
    assert "so it may be none" in sentence


@pytest.mark.parametrize(
    ("low", "high", "holdout", "words"),
    [
        pytest.param(-0.005, -0.001, -0.004, ", 0.0010 to 0.0050.", id="a-proven-loss"),
        pytest.param(
            -0.005,
            0.001,
            -0.004,
            ", \N{MINUS SIGN}0.0050 to +0.0010, so it may be none.",
            id="nobody-knows",
        ),
    ],
)
def test_a_loss_that_is_certain_is_not_told_as_none(
    tmp_path: Path, low: float, high: float, holdout: float, words: str
) -> None:
    """The rule may keep a little worse for fewer lines; that the model became worse is then a result."""
    standing = told(tmp_path, KEPT_NIGHT).standing
    lost = replace(
        standing,
        best_bpb=1.903,
        gain_bpb=-0.003,
        gain_low_bpb=low,
        gain_high_bpb=high,
        holdout_gain_bpb=holdout,
    )
    first, second, _ = sentences_of(lost, CAMPAIGN, running=False)
    assert first.endswith(f"0.0030 worse (0.2 %){words}")
    assert ", and the holdout agrees (0.0040)." in second, "both say that it is worse"
    twice = replace(lost, holdout_gain_bpb=-0.009)
    assert "on the holdout it is more: 0.0090." in sentences_of(twice, CAMPAIGN, running=False)[1]
    better = replace(lost, holdout_gain_bpb=0.004)
    assert "the holdout does not show it (+0.0040)." in sentences_of(better, {}, running=False)[1]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        pytest.param([], "Nothing has been measured yet.", id="nothing"),
        pytest.param(
            [make_record(1, kind="baseline", status=Status.CRASHED)],
            "Nothing was measured: none of 1 experiment has a score.",
            id="all-failed",
        ),
        pytest.param(
            make_seed(1.90, 1.91),
            "The baseline is 1.9050 bits per byte, and no change was tried.",
            id="baseline-alone",
        ),
        pytest.param(
            [*make_seed(1.90, 1.91), make_run(3, "discard", 1.95), make_run(4, "discard", 1.96)],
            "The baseline is 1.9050 bits per byte, and none of 2 tried changes was kept.",
            id="none-kept",
        ),
    ],
)
def test_a_night_without_a_gain_claims_none(
    tmp_path: Path, records: list[Record], words: str
) -> None:
    """A story that always sounds like success says nothing."""
    story = told(tmp_path, records)
    assert story.sentences[0] == words
    assert story.standing.gain_bpb is None
    assert story.standing.gain_low_bpb is None


def test_a_holdout_that_shows_nothing_is_named(tmp_path: Path) -> None:
    """The holdout is the one text that no decision has seen."""
    kept = make_record(6, kind=CONFIRM, original=4, val_bpb=1.80, holdout_bpb=1.95)
    night = [
        *KEPT_NIGHT[:5],
        replace(kept, verdict=replace(kept.verdict, keep=True, confirm=False)),
    ]
    assert (
        "but the holdout does not show it (\N{MINUS SIGN}0.0400)"
        in told(tmp_path, night).sentences[1]
    )


def test_the_cost_is_told_where_it_is_known(tmp_path: Path) -> None:
    """Money, tokens and energy are a third of the question."""
    night = [replace(r, cost_usd=0.5, agent_tokens=12_000) for r in KEPT_NIGHT]
    sentence = told(tmp_path, night).sentences[2]
    assert "for 0.50 USD, 12.0 k tokens and 68 Wh of the trainings." in sentence


# ---- budget ----


def test_every_second_has_one_place(tmp_path: Path) -> None:
    """By hand: a baseline takes 87 s (6.5 + 60.1 + 8.1 + 9.0, 3.3 beside), a discard 78.4, a re-run is whole."""
    night = [
        *make_seed(1.90),
        make_record(2, val_bpb=1.95),
        make_record(3, status=Status.CRASHED),
        make_record(4, status=Status.LOST),
        make_record(5, val_bpb=1.85),
        make_record(6, kind=CONFIRM, original=5, val_bpb=1.85),
        make_record(7, kind=AUDIT, original=5, val_bpb=1.85),
    ]
    assert night[4].verdict.confirm
    story = told(tmp_path, night)
    shares = {share.name: share.seconds for share in story.budget}
    assert shares == pytest.approx(
        {
            "training": 3 * 60.1 + 78.0,
            "start-up": 3 * 6.5,
            "evaluation": 3 * 8.1,
            "audit": 2 * 9.0 + 87.0,
            "confirmation": 87.0,
            "idle": 5 * 0.2,
            "lost": 78.4,
            "controller": 3.3 + 3.7 + 0.4 + 3.3,
        }
    )
    took_s = sum(shares.values())
    assert story.standing.took_s == pytest.approx(took_s)
    assert story.standing.idle_share == pytest.approx(shares["idle"] / took_s)


def test_a_clock_that_was_set_meanwhile_does_not_lengthen_the_night(tmp_path: Path) -> None:
    """Hosts set their clocks at the first network, which may be in the middle of an experiment."""
    jumped = replace(make_record(1, kind="baseline"), finished_at="2026-11-24T22:00:00+00:00")
    back = replace(make_record(2, val_bpb=1.95), finished_at="2026-11-22T22:00:00+00:00")
    odd = replace(make_record(3, val_bpb=1.95), started_at="yesterday")
    story = told(tmp_path, [jumped, back, odd])
    assert sum(share.seconds for share in story.budget) < 87.4 + 78.4 + 78.4 + 1.0
    assert story.rows[2].at_s is not None


@pytest.mark.parametrize("seed", range(3))
def test_the_shares_of_any_night_add_up(tmp_path: Path, seed: int) -> None:
    """A bar whose parts are not its whole is a wrong bar."""
    night = make_night(80, seed=seed)
    story = told(tmp_path, night)
    whole = sum(r.agent_s + max(r.trial.total_s, 78.4) for r in night)
    assert sum(share.seconds for share in story.budget) == pytest.approx(whole)
    assert all(share.seconds >= 0 for share in story.budget)


# ---- contributions and lineage ----


def test_steps_lead_from_the_baseline_to_the_best(tmp_path: Path) -> None:
    """A waterfall that does not end at the best is a wrong picture."""
    for seed in range(4):
        story = told(tmp_path / str(seed), make_night(150, seed=seed))
        steps = story.contributions
        assert len(steps) == story.standing.kept > 0
        assert steps[0].from_bpb == story.standing.baseline_bpb
        assert steps[-1].to_bpb == story.standing.best_bpb
        assert all(a.to_bpb == b.from_bpb for a, b in itertools.pairwise(steps))


def test_a_step_names_the_candidate_and_what_it_took_out(tmp_path: Path) -> None:
    """Its diff is the candidate's; the re-run that decided has none."""
    second = [
        make_run(7, "confirm", 1.80, parent=commit_of(4), agent=LAB, facts={LAB: ABLATION}),
        make_run(8, "keep", 1.81, of=7, agent=LAB, facts={LAB: ABLATION}),
    ]
    first, last = told(tmp_path, [*KEPT_NIGHT, *second]).contributions
    assert (first.number, first.decided_at, first.title) == (4, 6, "wider")
    assert (first.from_bpb, first.to_bpb) == pytest.approx((1.90, 1.855))
    assert (last.number, last.ablation, first.ablation) == (7, True, False)
    assert last.to_bpb == pytest.approx(1.81)


def test_the_tree_says_what_came_from_what(tmp_path: Path) -> None:
    """7 was built upon 4 and kept; 9 upon 7 and discarded; 10 upon the seed; 11 nobody knows."""
    night = [
        *KEPT_NIGHT,
        make_run(7, "confirm", 1.80, parent=commit_of(4)),
        make_run(8, "keep", 1.81, of=7),
        make_run(9, "discard", 1.90, parent=commit_of(7)),
        make_run(10, "discard", status=Status.CRASHED),
        make_run(11, "discard", status=Status.REJECTED),
        make_run(12, "discard", status=Status.LOST),
        make_run(13, "confirm", 1.79, parent=commit_of(7)),
    ]
    tree = {branch.number: branch for branch in told(tmp_path, night).lineage}
    assert {number: branch.parent for number, branch in tree.items()} == {
        0: None,
        4: 0,
        7: 4,
        9: 7,
        10: 0,
        11: None,
        13: 7,
    }
    assert {n: b.ending for n, b in tree.items()} == {
        0: "baseline",
        4: "keep",
        7: "keep",
        9: "discard",
        10: "crashed",
        11: "rejected",
        13: "confirm",
    }
    assert [n for n, b in tree.items() if b.on_path] == [0, 4, 7]
    assert tree[4].score_bpb == pytest.approx(1.855)  # of its re-runs, not the lucky first
    assert tree[9].score_bpb == pytest.approx(1.90)
    assert tree[10].score_bpb is None


def test_a_commit_that_is_its_own_parent_ends_the_path(tmp_path: Path) -> None:
    """A forged ledger must not hold the page in a circle."""
    own = make_run(4, "confirm", 1.84, parent=commit_of(4))
    night = [*KEPT_NIGHT[:3], own, *KEPT_NIGHT[4:]]
    tree = told(tmp_path, night).lineage
    assert [(branch.number, branch.parent) for branch in tree] == [(0, None), (4, None)]


# ---- rows ----


def test_a_row_is_a_point_in_time_and_score(tmp_path: Path) -> None:
    """The chart draws the mean of a kept one's re-runs: its last run alone may be lucky."""
    last = make_record(6, kind=CONFIRM, original=4, reruns=[1.85], val_bpb=1.83)
    last = replace(
        last,
        verdict=replace(last.verdict, keep=True, confirm=False),
        started_at="2026-11-23T23:00:00+00:00",
        finished_at="2026-11-23T23:01:30+00:00",
    )
    row = told(tmp_path, [*KEPT_NIGHT[:5], last]).rows[-1]
    assert row.at_s == 3690.0
    assert row.val_bpb == pytest.approx(1.83)
    assert row.score_bpb == pytest.approx(1.84)
    assert row.best_bpb == pytest.approx(1.84)
    assert (row.ending, row.ending_words, row.original) == ("keep", "kept", 4)
    assert row.energy_j == 41_000.0


def test_hostile_titles_keep_their_letters_and_lose_their_tricks(tmp_path: Path) -> None:
    """A title is a model's text: it is shown to people in terminals and pages."""
    title = "\x1b]0;owned\x07<script>alert(1)</script>\n\u202eevil\x1b[31m" + "x" * 5000
    story = told(tmp_path, [replace(r, title=title) for r in KEPT_NIGHT])
    for shown in (story.rows[3].title, story.contributions[0].title, story.lineage[1].title):
        assert shown.startswith("<script>alert(1)</script> evilx")
        assert len(shown) <= 200
    fields = dataclasses.asdict(story)
    assert "\x1b" not in str(fields)


def test_commands_are_what_the_makefile_knows(tmp_path: Path) -> None:
    """A stranger types them as they stand."""
    commands = [each.command for each in told(tmp_path, KEPT_NIGHT).commands]
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    assert "make verify BUNDLE=nightlab-nov23.tar.zst RESCORE=1" in commands
    for command in commands:
        _, target, *variables = command.split()
        assert f"{target}:" in makefile or f"{target} " in makefile
        assert all(variable.split("=")[0] in makefile for variable in variables)


def test_a_folder_with_an_odd_name_gives_no_commands(tmp_path: Path) -> None:
    """What a page offers for copying goes into a shell."""
    folder = tell(tmp_path / "a; rm -rf ~", KEPT_NIGHT)
    assert Tale.open(folder).story().commands == ()
