"""What code came from what: which of it is sound, and what its score is taken to be."""

from __future__ import annotations

import pytest

from lab.ledger import AUDIT, BASELINE, Record
from lab.lineage import gains_over_parent, nodes_of, scores_by_commit
from lab.outcome import Status
from lab.verdict import Noise
from tests.unit.nights import SEED_COMMIT, commit_of, make_run, make_seed

NOISE = Noise(sd_bpb=0.002, df=40)
START = make_seed(1.900, 1.898, 1.902)
KEPT = [
    *START,
    make_run(4, "confirm", 1.880),
    make_run(5, "confirm", 1.889, of=4),
    make_run(6, "keep", 1.891, of=4),
]


def numbers(records: list[Record], noise: Noise | None = NOISE) -> set[int]:
    return {node.number for node in nodes_of(records, noise).values()}


def test_the_seed_what_was_kept_and_near_misses_may_be_built_upon() -> None:
    """A night that knows only its best cannot leave a dead end."""
    night = [
        *KEPT,
        make_run(7, "discard", 1.8895, parent=commit_of(4)),  # a little better
        make_run(8, "discard", 1.8915, parent=commit_of(4)),  # a little worse
        make_run(9, "discard", 1.8960, parent=commit_of(4)),  # clearly worse
    ]
    assert numbers(night) == {3, 4, 7, 8}
    assert {n.number for n in nodes_of(night, NOISE).values() if n.kept} == {3, 4}
    assert numbers(night, None) == {3, 4}, "without a noise nothing is near"


def test_every_baseline_is_the_same_seed() -> None:
    """Each run of it is a commit of its own, and a candidate may have started from any of them."""
    night = [
        START[0],
        make_run(2, "discard", 1.9, parent=START[0].commit),
        *make_seed(1.9, first=3),
    ]
    nodes = nodes_of(night, NOISE)
    assert nodes[night[0].commit or ""] is nodes[night[2].commit or ""]
    assert nodes[SEED_COMMIT].tries == 1


NEAR = make_run(7, "discard", 1.889, parent=commit_of(4))
PROMISING = make_run(7, "confirm", 1.885, parent=commit_of(4))


@pytest.mark.parametrize(
    "after",
    [
        *(
            pytest.param([make_run(7, "discard", 1.889, status=status)], id=status.value)
            for status in Status
            if status is not Status.MEASURED
        ),
        pytest.param([PROMISING], id="undecided"),
        pytest.param([PROMISING, make_run(8, "confirm", 1.886, of=7)], id="still-undecided"),
        *(
            pytest.param(
                [PROMISING, make_run(8, "discard", 1.889, of=7, status=status)], id=f"then-{status}"
            )
            for status in (Status.INVALID, Status.CRASHED, Status.TIMED_OUT)
        ),
        pytest.param(
            [NEAR, make_run(8, "audit", of=7, kind=AUDIT, status=Status.INVALID)], id="audited"
        ),
        pytest.param(
            [
                PROMISING,
                make_run(8, "discard", 1.889, of=7),
                make_run(9, "audit", of=8, kind=AUDIT, status=Status.INVALID),
            ],
            id="re-run-audited",
        ),
        pytest.param(
            [PROMISING, make_run(8, "keep", 1.88, of=7, audited=False)], id="kept-without-an-audit"
        ),
        pytest.param(
            [PROMISING, make_run(8, "keep", 1.88, of=7, passed=False)], id="kept-by-a-failed-audit"
        ),
        pytest.param([make_run(7, "discard", 1.88, parent="e" * 40)], id="from-nowhere"),
    ],
)
def test_what_is_not_sound_is_not_built_upon(after: list[Record]) -> None:
    """What cheats or crashes would hand that on to everything that starts from it."""
    child = make_run(7 + len(after), "discard", 1.887, parent=commit_of(7))
    assert numbers([*KEPT, *after]) == {3, 4}
    assert numbers([*KEPT, *after, child]) == {3, 4}, "nor is its child"
    assert 7 in numbers([*KEPT, NEAR]), "the control"


@pytest.mark.parametrize("status", [Status.LOST, Status.CONTENDED, Status.CONDITIONS])
def test_a_spoilt_re_run_says_nothing_of_the_code(status: Status) -> None:
    """That the lab lost a run is not the idea's fault."""
    again = [PROMISING, make_run(8, "discard", 1.8, of=7, status=status)]
    assert 7 in numbers([*KEPT, *again, make_run(9, "discard", 1.889, of=7)])


def test_what_was_selected_for_being_low_is_not_taken_at_its_word() -> None:
    """Of a hundred near misses, the best was mostly lucky; re-runs were not selected."""
    night = [
        *KEPT,
        make_run(7, "discard", 1.886, parent=commit_of(4)),
        make_run(8, "confirm", 1.880, parent=commit_of(4)),
        make_run(9, "confirm", 1.886, of=8),
        make_run(10, "discard", 1.888, of=8),
        make_run(11, "discard", 1.882, parent=commit_of(7)),
    ]
    believed = {n.number: n for n in nodes_of(night, NOISE).values()}
    assert believed[4].believed_bpb == pytest.approx(1.890, abs=1e-6)
    assert believed[4].believed_gain_bpb == pytest.approx(0.010, abs=1e-6)
    assert believed[7].believed_gain_bpb == pytest.approx(0.004 / 2, abs=1e-6)
    assert believed[8].believed_gain_bpb == pytest.approx(0.003 * 2 / 3, abs=1e-6)
    assert believed[11].believed_bpb == pytest.approx(1.890 - 0.002 - 0.002, abs=1e-6)
    assert believed[4].tries == 2
    assert believed[7].tries == 1


def test_what_the_best_was_built_upon_stays_in_sight() -> None:
    """When the noise turns out smaller, a near miss is none any more; the keep that came from it is one still."""
    night = [
        *START,
        make_run(4, "discard", 1.902),
        make_run(5, "confirm", 1.880, parent=commit_of(4)),
        make_run(6, "keep", 1.881, of=5),
    ]
    assert numbers(night, Noise(sd_bpb=0.0001, df=40)) == {3, 4, 5}
    assert numbers(night[:4], Noise(sd_bpb=0.0001, df=40)) == {3}


def test_a_gain_over_the_parent_is_told_apart_from_one_over_the_best() -> None:
    """An idea is not to blame that it was tried on code that was behind."""
    night = [
        *KEPT,
        make_run(7, "discard", 1.895),
        make_run(8, "discard", 1.899, parent=commit_of(7)),
        make_run(9, "discard", 1.8, parent=commit_of(7), status=Status.CRASHED),
    ]
    gains = gains_over_parent(night)
    assert gains == {
        4: pytest.approx(0.010, abs=1e-6),
        7: pytest.approx(0.005, abs=1e-6),
        8: pytest.approx(-0.004, abs=1e-6),
    }
    assert scores_by_commit(night)[commit_of(4)] == pytest.approx([1.889, 1.891], abs=1e-6)


def test_nothing_is_known_before_a_baseline() -> None:
    """A night that starts with a crash has nothing to build upon."""
    crashed = make_run(1, "discard", kind=BASELINE, status=Status.CRASHED)
    assert nodes_of([], NOISE) == nodes_of([crashed], NOISE) == {}
