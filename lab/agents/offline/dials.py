"""The numbers of train.py that are worth turning, and why one would.

Prior weights are (up, down), by device. They say what to try first in a fixed time: on a CPU a run has few
tokens and every step is dear, so size and the cost of a step come before anything subtle. The seed's batch and
rates for the CPU are tuned, its size is not: 200 steps at depth 3 came to 1.978, at width 192 to 1.973, against
2.008, for a quarter and a half more time.
"""

from __future__ import annotations

import math

from lab.agents.offline.constants import Value
from lab.agents.offline.ideas import Dial, Grid, Scale, Seen, Tail, Windows


def _batch_parts(seen: Seen, tokens: Value) -> dict[str, Value]:
    """A batch smaller than a forward pass makes the pass smaller; on a CPU they stay one and the same."""
    part = seen.constants.get("DEVICE_BATCH_TOKENS")
    if not isinstance(part, int) or not isinstance(tokens, int):
        return {}
    return {"DEVICE_BATCH_TOKENS": min(part, tokens) if seen.device == "gpu" else tokens}


def _same_size(seen: Seen, depth: Value) -> dict[str, Value]:
    """The width that keeps the matrices' parameters about equal, in whole heads."""
    old, width, head = (seen.constants.get(name) for name in ("DEPTH", "WIDTH", "HEAD_DIM"))
    if not (isinstance(old, int) and isinstance(width, int) and isinstance(head, int)):
        return {}
    assert isinstance(depth, int)
    heads = round(width * math.sqrt(old / depth) / head)
    if heads * head == width:  # one head is the least that can move
        heads += 1 if depth < old else -1
    return {"WIDTH": max(1, heads) * head}


_DEPTHS = Grid(rungs=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16))

DIALS: tuple[Dial, ...] = (
    # ---- Batch and shape: what a step costs and how many fit into the budget.
    Dial(
        move="batch",
        constant="BATCH_TOKENS",
        family="batch",
        ladder=Scale(factor=2.0, low=256, high=2**21, whole=True),
        up="Larger batches give calmer gradients and use the device better; worth it if steps are not scarce.",
        down="The budget is time: half the batch gives nearly twice the steps, and steps are scarce.",
        gpu=(1.0, 8.0),
        cpu=(1.5, 1.0),
        along=_batch_parts,
    ),
    Dial(
        move="device-batch",
        constant="DEVICE_BATCH_TOKENS",
        family="batch",
        ladder=Scale(factor=2.0, low=256, high=2**20, whole=True),
        up="Fewer, larger forward passes for the same step: less launch overhead, if memory allows.",
        down="Smaller forward passes stay in cache and leave memory free, at the same step.",
        gpu=(0.5, 0.5),
        cpu=(0.3, 0.6),
    ),
    Dial(
        move="depth",
        constant="DEPTH",
        family="shape",
        ladder=_DEPTHS,
        up="One more block composes more; the model may be too small for the tokens it sees.",
        down="One block less makes each step cheaper; the model may be too large for the time it has.",
        gpu=(4.0, 1.5),
        cpu=(4.0, 0.8),
    ),
    Dial(
        move="width",
        constant="WIDTH",
        family="shape",
        ladder=Grid(
            rungs=(32, 64, 96, 128, 160, 192, 256, 320, 384, 448, 512, 576, 640, 768, 896, 1024)
        ),
        up="A wider stream learns more from each token, and large matrices run nearer to the peak.",
        down="A narrower stream makes each step cheaper, so that more tokens are seen.",
        gpu=(3.0, 1.5),
        cpu=(4.0, 0.8),
    ),
    Dial(
        move="aspect",
        constant="DEPTH",
        family="shape",
        ladder=_DEPTHS,
        up="Deeper and narrower at about the same size: more composition for the same arithmetic.",
        down="Shallower and wider at about the same size: fewer, larger operations waste less time.",
        gpu=(1.5, 1.5),
        cpu=(1.0, 1.0),
        along=_same_size,
    ),
    Dial(
        move="mlp-ratio",
        constant="MLP_RATIO",
        family="shape",
        ladder=Grid(rungs=(1, 2, 3, 4, 5, 6, 8)),
        up="The MLP stores what attention cannot; more hidden channels per block.",
        down="A leaner MLP frees time for more steps.",
        gpu=(1.5, 1.5),
        cpu=(1.5, 1.0),
    ),
    Dial(
        move="mlp-lookback",
        constant="MLP_LOOKBACK",
        family="residual stream",
        ladder=Grid(rungs=(0.0, 0.125, 0.25, 0.375, 0.5)),
        up="The MLP then reads pairs of tokens, at no parameter and hardly any time.",
        down="The channels taken from the position before are missing at this one.",
        gpu=(1.0, 0.5),
        cpu=(2.0, 1.0),
    ),
    # ---- Attention.
    Dial(
        move="head-dim",
        constant="HEAD_DIM",
        family="attention",
        ladder=Grid(rungs=(16, 32, 64, 128, 256)),
        up="Fewer, larger heads match finer and run faster.",
        down="More, smaller heads can look at more places at once.",
        gpu=(0.5, 2.0),
        cpu=(1.0, 1.5),
    ),
    Dial(
        move="kv-groups",
        constant="HEADS_PER_KV_HEAD",
        family="attention",
        ladder=Grid(rungs=(1, 2, 4, 8)),
        up="Heads that share keys and values need fewer parameters and less time.",
        down="Keys and values of each head's own can attend to different things.",
        gpu=(1.0, 1.0),
        cpu=(0.8, 0.8),
    ),
    Dial(
        move="windows",
        constant="WINDOW_PATTERN",
        family="attention",
        ladder=Windows(patterns=("S", "SSSSSL", "SSSL", "SSL", "SL", "LS", "SLL", "L")),
        up="More blocks that see the whole context: what lies further back may be worth its cost.",
        down="More blocks with short windows: most of what matters is near, and short is cheap.",
        gpu=(2.0, 1.0),
        cpu=(2.0, 0.5),
    ),
    Dial(
        move="rotary-base",
        constant="ROTARY_BASE",
        family="attention",
        ladder=Scale(factor=4.0, low=100.0, high=2_000_000.0),
        up="A larger base turns more slowly: positions far apart stay comparable.",
        down="A smaller base uses all its frequencies within a short context.",
        gpu=(2.5, 0.5),
        cpu=(0.5, 1.0),
    ),
    Dial(
        move="gate-channels",
        constant="GATE_CHANNELS",
        family="attention",
        ladder=Scale(factor=2.0, low=4, high=128, whole=True),
        up="The gate decides better when it sees more of the stream.",
        down="A gate that reads fewer channels is cheaper and harder to overfit.",
        gpu=(0.5, 0.5),
        cpu=(0.5, 0.5),
    ),
    # ---- Loss head.
    Dial(
        move="softcap",
        constant="LOGIT_SOFTCAP",
        family="head",
        ladder=Scale(factor=1.5, low=4.0, high=100.0),
        up="A looser cap lets the model be surer where it may be.",
        down="A tighter cap holds back overconfidence, which a short run cannot unlearn.",
        gpu=(1.0, 1.0),
        cpu=(0.8, 0.8),
    ),
    # ---- Learning rates.
    Dial(
        move="matrix-lr",
        constant="MATRIX_LR",
        family="learning rate",
        ladder=Scale(factor=1.5, low=0.002, high=0.5),
        up="The run ends long before it converges: larger steps get further in the same time.",
        down="The steps may overshoot: smaller ones follow the valley more closely.",
        gpu=(2.0, 2.5),
        cpu=(1.5, 1.2),
    ),
    Dial(
        move="embedding-lr",
        constant="EMBEDDING_LR",
        family="learning rate",
        ladder=Scale(factor=1.5, low=0.01, high=5.0),
        up="Rare tokens are seen a few times only; their rows must move far at each sight.",
        down="Frequent tokens' rows may be jumping about; a smaller rate settles them.",
        gpu=(3.0, 1.5),
        cpu=(2.0, 0.8),
    ),
    Dial(
        move="unembedding-lr",
        constant="UNEMBEDDING_LR",
        family="learning rate",
        ladder=Scale(factor=2.0, low=0.0002, high=0.1),
        up="The output layer starts at nothing and has to arrive within the budget.",
        down="A slower output layer lets the blocks shape what it reads.",
        gpu=(3.0, 1.5),
        cpu=(0.8, 1.0),
    ),
    Dial(
        move="residual-scale-lr",
        constant="RESIDUAL_SCALE_LR",
        family="learning rate",
        ladder=Scale(factor=3.0, low=1e-5, high=1.0),
        up="Let each block's weight in the stream adapt faster.",
        down="Scales that hardly move keep the stream's balance while the matrices learn.",
        gpu=(0.7, 0.7),
        cpu=(0.7, 0.5),
    ),
    Dial(
        move="x0-scale-lr",
        constant="X0_SCALE_LR",
        family="learning rate",
        ladder=Scale(factor=3.0, low=1e-3, high=5.0),
        up="Let the share of the raw embedding adapt faster.",
        down="A rate of that size makes the share of the embedding jump; calm it.",
        gpu=(0.5, 1.0),
        cpu=(0.4, 0.4),
    ),
    # ---- Optimiser.
    Dial(
        move="weight-decay",
        constant="WEIGHT_DECAY",
        family="optimiser",
        ladder=Scale(factor=2.0, low=0.005, high=2.0),
        up="Decay keeps the matrices small, so that each update turns them further.",
        down="In one pass over the data there is nothing to overfit; decay only unlearns.",
        gpu=(1.5, 1.5),
        cpu=(1.0, 1.0),
    ),
    Dial(
        move="momentum",
        constant="MUON_MOMENTUM",
        family="optimiser",
        ladder=Tail(low=0.7, high=0.99),
        up="A longer average of gradients is calmer, which small batches need.",
        down="A shorter memory follows a loss that falls quickly.",
        gpu=(1.0, 1.0),
        cpu=(1.5, 1.0),
    ),
    Dial(
        move="momentum-start",
        constant="MUON_MOMENTUM_START",
        family="optimiser",
        ladder=Tail(low=0.5, high=0.97),
        up="Less of a momentum warm-up: start closer to where it ends.",
        down="Start with a shorter memory: the first gradients turn fastest.",
        gpu=(0.5, 0.5),
        cpu=(0.5, 0.4),
    ),
    Dial(
        move="momentum-steps",
        constant="MUON_MOMENTUM_STEPS",
        family="optimiser",
        ladder=Scale(factor=2.0, low=20, high=3000, whole=True),
        up="Let momentum rise over more of the run.",
        down="Momentum should be at full strength early in a run this short.",
        gpu=(0.5, 1.0),
        cpu=(0.8, 0.5),
    ),
    Dial(
        move="variance-beta",
        constant="MUON_VARIANCE_BETA",
        family="optimiser",
        ladder=Tail(low=0.7, high=0.998),
        up="A longer average of each neuron's variance evens updates out more reliably.",
        down="A shorter average follows the variance while it still changes.",
        gpu=(0.6, 0.6),
        cpu=(0.8, 0.6),
    ),
    Dial(
        move="adam-beta1",
        constant="ADAM_BETAS.0",
        family="optimiser",
        ladder=Tail(low=0.3, high=0.97),
        up="More momentum for embeddings and unembedding, whose gradients are sparse and noisy.",
        down="Less momentum: a sparse row should move when it is seen, not later.",
        gpu=(1.0, 0.7),
        cpu=(1.2, 0.8),
    ),
    Dial(
        move="adam-beta2",
        constant="ADAM_BETAS.1",
        family="optimiser",
        ladder=Tail(low=0.8, high=0.999),
        up="Rare tokens need a long memory of their gradients' size.",
        down="A shorter memory adapts the step to gradients that shrink quickly.",
        gpu=(1.2, 0.6),
        cpu=(2.0, 0.5),
    ),
    Dial(
        move="x0-beta1",
        constant="X0_BETAS.0",
        family="optimiser",
        ladder=Tail(low=0.5, high=0.99),
        up="Calm the few scalars that carry the embedding forward.",
        down="Let the few scalars that carry the embedding forward respond at once.",
        gpu=(0.2, 0.3),
        cpu=(0.2, 0.3),
    ),
    Dial(
        move="adam-eps",
        constant="ADAM_EPS",
        family="optimiser",
        ladder=Scale(factor=100.0, low=1e-14, high=1e-5),
        up="A floor under the second moment stops rare rows from leaping on tiny gradients.",
        down="No floor: let rows with tiny gradients move as far as the others.",
        gpu=(0.5, 0.1),
        cpu=(0.6, 0.1),
    ),
    # ---- Schedule.
    Dial(
        move="warmup",
        constant="WARMUP_SHARE",
        family="schedule",
        ladder=Grid(rungs=(0.0, 0.02, 0.05, 0.1)),
        up="A short warm-up spares the first steps, when momentum and variances are not yet known.",
        down="Warm-up is time at a low rate; a run this short may not afford it.",
        gpu=(1.0, 1.0),
        cpu=(1.2, 1.2),
    ),
    Dial(
        move="warmdown",
        constant="WARMDOWN_SHARE",
        family="schedule",
        ladder=Grid(rungs=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)),
        up="A longer descent averages the noise of small batches away.",
        down="Longer at the full rate gets further before it settles.",
        gpu=(3.0, 1.0),
        cpu=(1.5, 0.8),
    ),
    Dial(
        move="final-lr",
        constant="FINAL_LR_SHARE",
        family="schedule",
        ladder=Grid(rungs=(0.0, 0.02, 0.05, 0.1, 0.2)),
        up="Steps of rate zero teach nothing; end a little above.",
        down="Settle completely: the last noise costs more than the last steps bring.",
        gpu=(2.0, 1.0),
        cpu=(1.5, 1.0),
    ),
)
