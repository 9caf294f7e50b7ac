"""Where the next candidate starts, and what the lab itself puts forward.

Owns    which code is worth building on, which near misses go together, which past keep is tried without
Takes   Records, the noise, and two functions: the train.py of a commit, and a three-way merge
Gives   a Decision: a parent for the agent's next idea, or a Proposal by the lab
Never   decides what is kept: whatever a candidate starts from, it must beat the best by the same rule

Nothing is drawn and nothing is remembered. The same Records give the same Decision, so a resumed night goes on
as it would have gone on. A merge that conflicts leaves no Record: it is tried again, which takes milliseconds.

`greedy` is the default: in the simulation of benchmarks/strategies.py `tree` wins only where the noise is large.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.agents import Proposal
from lab.ledger import CANDIDATE, Best, Record, best_of
from lab.lineage import ABLATION, COMBINATION, LAB, Node, ancestry, nodes_of
from lab.verdict import Noise

Strategy = Literal["greedy", "tree"]
Read = Callable[[str], str]  # the train.py of a commit
Merge = Callable[[str, str, str], str | None]  # base, ours, theirs; None on a conflict

# `tree` is `greedy` until so many candidates were measured: before that the noise is known from three runs, and
# whoever seems near may be anywhere.
KNOWN_CANDIDATES = 10

# How far behind the best, in sds of one run, code may lie and still be built upon. Multiplied by
# sqrt(ln(all tries) / tries from there), which is 2 for what was never tried after 55 tries: then code that is
# believed two sds behind has its turn, once.
EXPLORATION = 1.0

# Two near misses are worth a run together when what both are believed to gain is this many standard errors of
# a first run against the best. Only the best few are paired.
COMBINE_SD = 1.0
COMBINE_FROM = 8

# After so many experiments a past keep may be tried without once more: much may have taken over its work since.
ABLATE_AGAIN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next."""

    parent: str  # the commit that the next candidate changes
    parent_number: int  # of the candidate or baseline that it is
    parent_bpb: float  # what is believed of its score; the best's bar is what counts
    why: str
    proposal: Proposal | None = None  # ready to run; None leaves the idea to the agent


def decide(
    records: Sequence[Record],
    *,
    strategy: Strategy,
    ablate_every: int,
    noise: Noise | None,
    read: Read,
    merge: Merge,
) -> Decision:
    """What the next candidate is. Asked when nothing is pending or undecided, and the baseline is known.

    `ablate_every` is after how many other candidates the best is tried without one of its changes; 0 is never.
    """
    best = best_of(records)
    assert best is not None, "there is a best once the baseline was measured"
    nodes = nodes_of(records, noise)
    proposal = ablation(records, nodes, best, every=ablate_every, read=read, merge=merge)
    if proposal is None and strategy == "tree":
        proposal = combination(records, nodes, best, noise, read=read, merge=merge)
    if proposal is None and strategy == "tree":
        return tree(records, nodes, best, noise)
    return greedy(records, best, proposal)


def greedy(records: Sequence[Record], best: Best, proposal: Proposal | None = None) -> Decision:
    """One line of descent: the next candidate starts from the best."""
    number = records[best.number - 1].original or best.number
    return Decision(
        parent=best.commit,
        parent_number=number,
        parent_bpb=best.val_bpb,
        why=proposal.title if proposal else f"from the best, {number}",
        proposal=proposal,
    )


def tree(
    records: Sequence[Record], nodes: Mapping[str, Node], best: Best, noise: Noise | None
) -> Decision:
    """The most promising code to build upon, by an upper confidence bound; the best while little is known.

    A child of code that seemed as good as the best may have what its parent had, unseen in the noise.
    """
    measured = sum(r.kind == CANDIDATE and r.trial.val_bpb is not None for r in records)
    head = nodes.get(best.commit)
    if measured < KNOWN_CANDIDATES or noise is None or noise.sd_bpb <= 0 or head is None:
        return greedy(records, best)
    choice = list({node.number: node for node in nodes.values()}.values())
    tries = sum(node.tries for node in choice)

    def bound(node: Node) -> float:
        # Whatever its score promises, the rule did not find it better than the best.
        ahead = min(best.val_bpb - node.believed_bpb, 0.0) if node is not head else 0.0
        return ahead / noise.sd_bpb + EXPLORATION * math.sqrt(
            math.log(1 + tries) / (1 + node.tries)
        )

    chosen = max(choice, key=lambda node: (bound(node), node is head, node.number))
    if chosen is head:
        return greedy(records, best)
    return Decision(
        parent=chosen.commit,
        parent_number=chosen.number,
        parent_bpb=chosen.believed_bpb,
        why=f"from {chosen.number}, believed {chosen.believed_bpb - best.val_bpb:+.4f} from the best "
        f"and tried {chosen.tries} times",
    )


def combination(
    records: Sequence[Record],
    nodes: Mapping[str, Node],
    best: Best,
    noise: Noise | None,
    *,
    read: Read,
    merge: Merge,
) -> Proposal | None:
    """Two near misses put on the best together, if their gains should then be seen; each pair once.

    Never straight after another proposal of the lab: the agent has the next turn.
    """
    last = next((r for r in reversed(records) if r.kind == CANDIDATE), None)
    if noise is None or last is None or last.agent == LAB:
        return None
    worth = COMBINE_SD * noise.sd_bpb * math.sqrt(1 / best.bar.runs + 1)
    inside = {node.number for node in ancestry(nodes, best.commit)}
    near = [n for n in nodes.values() if not n.kept and n.believed_gain_bpb > 0]
    near = [n for n in near if n.number not in inside and not n.ablation]
    near = sorted(near, key=lambda n: (-n.believed_gain_bpb, n.number))[:COMBINE_FROM]
    done = {record.facts["of"] for record in _by_the_lab(records, COMBINATION)}
    pairs = [
        pair
        for pair in itertools.combinations(near, 2)
        if _gain(pair) >= worth and _names(pair) not in done
    ]
    pairs.sort(key=lambda pair: (-_gain(pair), *sorted(node.number for node in pair)))
    known: set[str] = set()
    for pair in pairs:
        train_py = _put_on(read(best.commit), pair, read, merge)
        if train_py is not None and train_py not in (known := known or _known(records, read)):
            return _propose_together(pair, train_py)
    return None


def ablation(
    records: Sequence[Record],
    nodes: Mapping[str, Node],
    best: Best,
    *,
    every: int,
    read: Read,
    merge: Merge,
) -> Proposal | None:
    """The best without one change that it is made of, when that is due; the one unexamined longest first."""
    tests = list(_by_the_lab(records, ABLATION))
    since = tests[-1].number if tests else 0
    others = [r for r in records[since:] if r.kind == CANDIDATE and r.trial.status.says_something]
    if not every or len(others) < every:
        return None
    examined = {int(record.facts["of"]): record.number for record in tests}
    due = [
        node
        for node in ancestry(nodes, best.commit)
        if node.parent is not None
        and not node.ablation
        and len(records) - examined.get(node.number, -ABLATE_AGAIN) >= ABLATE_AGAIN
    ]
    known: set[str] = set()
    for node in sorted(due, key=lambda node: (examined.get(node.number, 0), node.number)):
        assert node.parent is not None, "the seed is not taken away"
        train_py = merge(read(node.commit), read(best.commit), read(node.parent))
        if train_py is not None and train_py not in (known := known or _known(records, read)):
            return _propose_without(node, train_py)
    return None


def _by_the_lab(records: Sequence[Record], what: str) -> Iterator[Record]:
    return (
        r for r in records if r.kind == CANDIDATE and r.agent == LAB and r.facts.get(LAB) == what
    )


def _known(records: Sequence[Record], read: Read) -> set[str]:
    """Every train.py that was measured or failed; running one again would show nothing."""
    done = [r for r in records if r.trial.status.says_something]
    return {read(commit) for commit in dict.fromkeys(r.commit for r in done) if commit is not None}


def _put_on(train_py: str, pair: tuple[Node, Node], read: Read, merge: Merge) -> str | None:
    """The best with both changes; None where one conflicts, or is in there already."""
    for node in sorted(pair, key=lambda node: node.number):
        assert node.parent is not None, "a near miss changed something"
        merged = merge(read(node.parent), train_py, read(node.commit))
        if merged is None or merged == train_py:
            return None
        train_py = merged
    return train_py


def _gain(pair: tuple[Node, Node]) -> float:
    return pair[0].believed_gain_bpb + pair[1].believed_gain_bpb


def _names(pair: tuple[Node, Node]) -> str:
    return " ".join(str(number) for number in sorted(node.number for node in pair))


def _propose_together(pair: tuple[Node, Node], train_py: str) -> Proposal:
    first, second = sorted(pair, key=lambda node: node.number)
    return Proposal(
        title=f"{first.number} and {second.number} together",
        hypothesis=f"{first.title}, believed to gain {first.believed_gain_bpb:.4f}, and {second.title}, "
        f"{second.believed_gain_bpb:.4f}: too little to be seen alone, perhaps enough together.",
        train_py=train_py,
        agent=LAB,
        facts={LAB: COMBINATION, "of": _names(pair)},
    )


def _propose_without(node: Node, train_py: str) -> Proposal:
    return Proposal(
        title=f"without {node.number}: {node.title}",
        hypothesis=f"Experiment {node.number}, believed to gain {node.believed_gain_bpb:.4f}, may have "
        "stopped earning its place.",
        train_py=train_py,
        agent=LAB,
        facts={LAB: ABLATION, "of": str(node.number)},
    )
