"""The blind audit: can a claim be reproduced without having been given the answers?

In a row of text the next input is the target, so a model that is shown whole rows can be fed its answers.
A fresh model container therefore gets every row again, in the same order and shape, but cut at a secret
random place and continued with other text. It gives its logits at the cut, and nothing else; the judge
takes the softmax and compares with the loss that was claimed there. A model that looks ahead, invents its
losses, learns while it is scored or carries text from row to row cannot match: the true next token was in
no input of this container. An honest causal model matches to the last bit, or to its own rounding.

With one point in each of N rows, a cheat on a share f of the scored tokens escapes with a probability of
at most (1 - f)^N, however it is spread over the rows.

Afterwards, when the blind answers are in, the same container scores some true rows in another order. For an
honest model that is an A/A run, and says how far its numbers repeat; for one that keeps something between
calls it is another run.

Owns    the cuts, the comparison, the tolerance
Takes   the claim's rows and losses, training rows to continue with, a connected fresh container
Gives   an Audit, in numbers
Never   decides what becomes of the experiment
"""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness import wire
from harness.claim import Lengths, Nats, Progress, Refused, Tokens, answer, hear
from harness.findings import Audit, Score
from harness.profiles import Profile
from harness.wire import Kind

# An A/A run sees a sample of what can differ; the tolerance is this much wider.
SAFETY = 8.0
# The same for the mean: rounding averages out, a cheat below the tolerance at every point would not.
# It is also no further from zero than honest rounding of this size could bring it.
MEAN_SHARE = 1 / 16
MEAN_FLOOR_NATS = 1e-5
MEAN_SDS = 6.0
# What the power is stated for: a cheat on this share of the scored tokens.
SMALL_CHEAT = 0.0005
REDRAWS = 20

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One split as container A claimed it."""

    rows: Tokens  # (N, T + 1)
    byte_len: Lengths  # (N, T)
    nats: Nats  # (N, T)
    score: Score


def cut_rows(
    rows: Tokens, byte_len: Lengths, donors: Tokens, draw: np.random.Generator
) -> tuple[Tokens, Indices]:
    """Cut each row behind one scored position and continue it with the same stretch of another text.

    Shapes, with n rows of T + 1 tokens and any number of donors:
        rows      (n, T + 1)
        byte_len  (n, T)      of the targets rows[:, 1:]; a cut falls on one that carries text
        donors    (M, T + 1)  rows of the training split
        return    (n, T) inputs, true up to and with the cut; (n,) cuts, 0 to T - 1
    """
    count, length = byte_len.shape
    cuts = np.where(byte_len > 0, draw.random(byte_len.shape), -1.0).argmax(axis=1)
    after = np.minimum(cuts + 1, length)  # index of the true next token
    chosen = draw.integers(len(donors), size=(count,))
    each = np.arange(count)
    for _ in range(REDRAWS):  # a donor that happens to agree would hand over the answer
        same = donors[chosen, after] == rows[each, after]
        if not same.any():
            break
        chosen[same] = draw.integers(len(donors), size=int(same.sum()))
    kept = np.arange(length)[None, :] <= cuts[:, None]
    return np.where(kept, rows[:, :-1], donors[chosen][:, :-1]).astype(np.uint16), cuts


def nats_of(logits: Nats, targets: Tokens) -> Nats:
    """Cost of each target under its logits, by a softmax of the judge's own, float32.

    Shapes: logits (n, V), targets (n,), return (n,). A logit may be -inf: that token is impossible.

    Raises:
        Refused: a logit is NaN or +inf, or every one of a row is -inf.
    """
    top = logits.max(axis=1, keepdims=True)
    if not np.isfinite(top).all():  # NaN and +inf win every maximum
        raise Refused("LOGITS_NOT_FINITE")
    shifted = logits - top
    total = np.log(np.exp(shifted).sum(axis=1, dtype=np.float32))
    cost: Nats = total - shifted[np.arange(len(targets)), targets]
    return cost


def ask_blind(
    model: socket.socket,
    claim: Claim,
    donors: Tokens,
    profile: Profile,
    draw: np.random.Generator,
    progress: Progress,
) -> Nats:
    """One blind point in each row: blind minus claimed, (points,) float32.

    Raises:
        Refused: the container failed on the cut rows, or its logits are none.
        WireError: it spoke something else or stopped in the middle.
    """
    differences = []
    for first in range(0, len(claim.rows), profile.evaluation_batch_rows):
        block = slice(first, first + profile.evaluation_batch_rows)
        rows, byte_len = np.asarray(claim.rows[block]), claim.byte_len[block]
        inputs, cuts = cut_rows(rows, byte_len, donors, draw)
        wire.send(
            model,
            Kind.CUTS,
            wire.CUTS_SHAPE.pack(*inputs.shape) + inputs.tobytes() + cuts.astype("<u2").tobytes(),
        )
        logits = answer(model, Kind.LOGITS, (len(rows), profile.vocab_size))
        each = np.arange(len(rows))
        scored = byte_len[each, cuts] > 0
        blind = nats_of(logits[scored], rows[each, cuts + 1][scored])
        differences.append(blind - claim.nats[block][each, cuts][scored])
        progress(first + len(rows), len(claim.rows))
    return np.concatenate(differences)


def ask_again(
    model: socket.socket, claim: Claim, profile: Profile, draw: np.random.Generator
) -> Nats:
    """Some true rows in another order: their losses minus the claimed ones, every scored token."""
    chosen = draw.permutation(len(claim.rows))[: profile.order_rows]
    nats = hear(
        model, np.asarray(claim.rows[chosen]), profile.evaluation_batch_rows, lambda *_: None
    )
    difference: Nats = (nats - claim.nats[chosen])[claim.byte_len[chosen] > 0]
    return difference


def audit(
    model: socket.socket,
    claims: list[Claim],
    donors: Tokens,
    profile: Profile,
    tolerance_nats: float | None,
    progress: Progress,
) -> Audit:
    """Hear a fresh container on every claim, the validation split's first.

    `tolerance_nats` None calibrates it here: the A/A run's worst difference, widened, between the
    profile's floor and cap.

    Raises:
        Refused: the container failed, or what it said is no answer.
        WireError: it spoke something else or stopped in the middle.
    """
    draw = np.random.default_rng()  # from the operating system: nobody else can know the cuts
    blind = [ask_blind(model, claim, donors, profile, draw, progress) for claim in claims]
    # Only now: this container may see a whole row once its blind answers are in.
    again = ask_again(model, claims[0], profile, draw)
    tolerance = tolerance_nats
    if tolerance is None:
        tolerance = min(
            max(SAFETY * _worst(again), profile.tolerance_floor_nats), profile.tolerance_cap_nats
        )
    every = np.concatenate(blind)
    first = claims[0].score
    per_byte = first.tokens / sum(shard.bytes for shard in first.shards) / math.log(2)
    return Audit(
        points=len(every),
        mismatches=_beyond(every, tolerance),
        mean_difference_nats=max((_mean(some) for some in blind), key=abs),
        worst_difference_nats=_worst(every),
        order_rows=min(profile.order_rows, len(claims[0].rows)),
        order_mismatches=_beyond(again, tolerance),
        order_worst_nats=_worst(again),
        tolerance_nats=tolerance,
        mean_tolerance_nats=min(MEAN_SHARE * tolerance, MEAN_FLOOR_NATS + _mean_error(every)),
        calibrated=tolerance_nats is None,
        claimed_bpb=first.bpb,
        blind_bpb=first.bpb + _mean(blind[0]) * per_byte,
        power=1 - (1 - SMALL_CHEAT) ** len(every),
    )


def _beyond(differences: Nats, tolerance: float) -> int:
    return int((np.abs(differences) > tolerance).sum())


def _worst(differences: Nats) -> float:
    return _finite(np.abs(differences).max())


def _mean(differences: Nats) -> float:
    return _finite(differences.mean(dtype=np.float64))


def _mean_error(differences: Nats) -> float:
    spread = float(differences.std(dtype=np.float64)) / math.sqrt(len(differences))
    return _finite(MEAN_SDS * spread)


def _finite(value: float) -> float:
    """A blind answer may give the true token no probability at all; JSON has no word for that."""
    return float(min(max(value, -1e9), 1e9))
