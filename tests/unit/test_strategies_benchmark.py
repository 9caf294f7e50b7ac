"""The benchmark that compares strategies: that it is fair, not what it finds."""

from __future__ import annotations

import json
import random
import sys

import pytest

from benchmarks import strategies
from benchmarks.strategies import (
    RUNS,
    START_BPB,
    STRATEGIES,
    Idea,
    Story,
    World,
    compare,
    draw_world,
    file_of,
    ideas_of,
    merge,
    night,
    play,
    true_bpb,
)


def world_of(*gains: float, together: dict[tuple[int, int], float] | None = None) -> World:
    """Ideas with these gains, each in a place of its own; the rest of the night is harm."""
    gains = (*gains, *[-0.01] * (RUNS - len(gains)))
    ideas = tuple(
        Idea(place=n % strategies.PLACES, gain_bpb=gain, net_lines=0)
        for n, gain in enumerate(gains)
    )
    return World(
        ideas=ideas, together=together or {}, luck=draw_world(random.Random(1), interacting=0).luck
    )


def test_the_same_seed_gives_the_same_nights() -> None:
    """A default that was chosen by figures which nobody can get again was not chosen."""
    first = compare(0.002, interacting=0.05, nights=2, seed=7)
    assert first == compare(0.002, interacting=0.05, nights=2, seed=7)
    assert first != compare(0.002, interacting=0.05, nights=2, seed=8)


def test_every_strategy_spends_as_many_runs_in_the_same_world() -> None:
    """A strategy that got its own proposals for nothing would win by that alone."""
    world = draw_world(random.Random(3), interacting=0.05)
    firsts = set()
    for strategy, every in STRATEGIES.values():
        story = Story(world, 0.001)
        play(story, strategy, every)
        assert len(story.records) == RUNS
        firsts.add(tuple(r.trial.val_bpb for r in story.records[:8]))
    assert len(firsts) == 1, "and as long as they do the same they have the same luck"


@pytest.mark.parametrize("name", STRATEGIES)
def test_large_gains_are_found_and_none_are_made_up(name: str) -> None:
    """The figure is the truth of what was kept, so nothing that was kept by luck adds to it."""
    strategy, every = STRATEGIES[name]
    good = night(world_of(0.01, 0.01), 0.0005, strategy, every)
    assert good.gain_bpb == pytest.approx(
        START_BPB - true_bpb(world_of(0.01, 0.01), frozenset({0, 1}))
    )
    nothing = night(world_of(), 0.0005, strategy, every)
    assert (nothing.gain_bpb, nothing.dead) == (0.0, 0)


def test_pairs_do_what_neither_does_alone() -> None:
    """Without such pairs there would be nothing for a tree to find that greedy misses."""
    world = world_of(-0.001, -0.001, together={(0, 1): 0.01})
    alone = true_bpb(world, frozenset({0}))
    both = true_bpb(world, frozenset({0, 1}))
    assert both < START_BPB < alone


def test_a_merge_is_of_changes_and_refuses_two_of_one_place() -> None:
    """As git's is: by place, not by meaning."""
    world = world_of()
    far, same = strategies.PLACES - 1, strategies.PLACES  # idea 0 and `same` change one place
    base = file_of(frozenset({2}))
    ours = file_of(frozenset({0, 2}))
    assert merge(world, base, ours, file_of(frozenset({2, far}))) == file_of(frozenset({0, 2, far}))
    assert merge(world, base, ours, "") == "0"
    assert merge(world, base, ours, file_of(frozenset({2, same}))) is None
    assert merge(world, base, ours, ours) == ours
    assert ideas_of("7:" + ours) == {0, 2}


def test_the_last_line_is_for_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """README's figures are read from it."""
    monkeypatch.setattr(sys, "argv", ["strategies", "--nights", "2"])
    strategies.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"greedy_gain", "tree_gain", "nights"} <= set(result)
    assert result["nights"] == 2
