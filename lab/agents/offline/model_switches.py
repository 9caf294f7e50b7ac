"""Edits of the model in train.py: other parts, fewer parts. Each is written against the seed's own lines.

An edit whose place is gone, because an earlier keep removed or changed it, does not apply; that is all.

Priors on the CPU follow one draw each of 200 steps against the seed's 2.008: the MLP that sees the previous
position 1.968, the previous token's embedding 1.984, the squared leaky ReLU 1.988, value embeddings on every
block 1.997, no soft-cap 2.007, a bias on the logits 2.016, keys of the previous position 2.020.
"""

from __future__ import annotations

from lab.agents.offline.ideas import Switch
from lab.agents.offline.rewriting import Rewrite

_PREVIOUS_GROUPS = "groups: list[dict[str, Any]] = any_groups"


def _activation(move: str, name: str, put: str, why: str, gpu: float, cpu: float) -> Switch:
    return Switch(
        move=f"activation-{move}",
        family="activation",
        title=f"MLP activation: {name}",
        hypothesis=why,
        edits=(Rewrite(find="self.down(any_activation)", put=put, within="MLP.forward"),),
        gpu=gpu,
        cpu=cpu,
    )


def _gated(move: str, name: str, function: str, gpu: float, cpu: float) -> Switch:
    return Switch(
        move=f"activation-{move}",
        family="activation",
        title=f"MLP activation: {name}, at fewer parameters",
        hypothesis="A gate multiplies two views of the input; the smaller output matrix pays for it.",
        edits=(
            Rewrite(
                find="self.down = Linear(hidden, any_width)",
                put="self.down = Linear(hidden // 2, any_width)",
                within="MLP",
            ),
            Rewrite(
                find="return self.down(any_activation)",
                put="opened, value = self.up(x).chunk(2, dim=-1)\n"
                f"return self.down({function}(opened) * value)",
                within="MLP.forward",
            ),
        ),
        gpu=gpu,
        cpu=cpu,
    )


_ACTIVATIONS = (
    _activation(
        "gelu",
        "GELU instead of the squared ReLU",
        "self.down(F.gelu(self.up(x)))",
        "A smooth activation passes some gradient everywhere.",
        0.6,
        0.5,
    ),
    _activation(
        "silu",
        "SiLU instead of the squared ReLU",
        "self.down(F.silu(self.up(x)))",
        "Smooth, and cheaper than GELU.",
        0.5,
        0.5,
    ),
    _activation(
        "relu",
        "plain ReLU instead of its square",
        "self.down(F.relu(self.up(x)))",
        "One operation less, and gradients that do not vanish near zero.",
        0.3,
        0.7,
    ),
    _activation(
        "leaky",
        "squared leaky ReLU",
        "self.down(F.leaky_relu(self.up(x), 0.5).square())",
        "No hidden channel can die, and each still selects.",
        1.0,
        5.0,
    ),
    _gated("swiglu", "SwiGLU", "F.silu", 0.8, 1.0),
    _gated("reglu", "ReGLU", "F.relu", 0.5, 0.8),
)

_ATTENTION = (
    Switch(
        move="window-quarter",
        family="attention",
        title="short windows see a quarter of the context, not half",
        hypothesis="Most of what a local block uses is near; the rest is cost.",
        edits=(
            Rewrite(
                find='config["sequence_len"] // 2',
                put='config["sequence_len"] // 4',
                within="Attention",
            ),
        ),
        gpu=2.0,
        cpu=0.7,
    ),
    Switch(
        move="window-eighth",
        family="attention",
        title="short windows see an eighth of the context, not half",
        hypothesis="Local blocks may need a sentence only, and the full blocks carry the rest.",
        edits=(
            Rewrite(
                find='config["sequence_len"] // 2',
                put='config["sequence_len"] // 8',
                within="Attention",
            ),
        ),
        gpu=1.5,
        cpu=0.7,
    ),
    Switch(
        move="qk-sharper",
        family="attention",
        title="queries a fifth longer after the norm",
        hypothesis="Normalised queries and keys bound the attention logits; a factor lets it be sharper.",
        edits=(Rewrite(find="q, k = norm(q), norm(k)", put="q, k = 1.2 * norm(q), norm(k)"),),
        gpu=1.5,
        cpu=1.5,
    ),
    Switch(
        move="qk-norm-off",
        family="attention",
        title="no norm on queries and keys",
        hypothesis="At this size attention may be stable without it, and two norms a block are saved.",
        edits=(
            Rewrite(find="if QK_NORM:\n    ...", put=""),
            Rewrite(find="QK_NORM = any_value", put=""),
        ),
        gpu=0.3,
        cpu=0.5,
    ),
    Switch(
        move="keys-of-previous",
        family="attention",
        title="half of each key comes from the previous position",
        hypothesis="A head that looks for a token then finds what followed it, in one block instead of two.",
        edits=(
            Rewrite(
                find="q, k = rotate(q, cos, sin), rotate(k, cos, sin)",
                put="half = self.head_dim // 2\n"
                "previous = F.pad(k[..., half:], (0, 0, 0, 0, 1, -1))\n"
                "k = torch.cat((k[..., :half], previous), dim=-1)\n"
                "q, k = rotate(q, cos, sin), rotate(k, cos, sin)",
                within="Attention.forward",
            ),
        ),
        gpu=1.0,
        cpu=0.6,
    ),
    Switch(
        move="output-gate",
        family="attention",
        title="a gate on each head's output, from the stream",
        hypothesis="A head that finds nothing should be able to say nothing.",
        edits=(
            Rewrite(
                find="self.out = Linear(width, width)",
                put="self.out = Linear(width, width)\n"
                "self.out_gate = Linear(GATE_CHANNELS, self.heads)",
                within="Attention",
            ),
            Rewrite(
                find="return self.out(y.reshape(rows, length, -1))",
                put="y = y * (2 * torch.sigmoid(self.out_gate(x[..., :GATE_CHANNELS]))).unsqueeze(-1)\n"
                "return self.out(y.reshape(rows, length, -1))",
                within="Attention",
            ),
            Rewrite(
                find="nn.init.zeros_(attention.out.weight)",
                put="nn.init.zeros_(attention.out.weight)\nnn.init.zeros_(attention.out_gate.weight)",
            ),
        ),
        gpu=1.2,
        cpu=0.8,
    ),
    Switch(
        move="value-embeddings-off",
        family="value embeddings",
        title="no value embeddings",
        hypothesis="Tables that each batch touches thinly cost optimiser time; they may not earn it.",
        edits=(Rewrite(find="VALUE_EMBEDDINGS = True", put="VALUE_EMBEDDINGS = False"),),
        gpu=0.5,
        cpu=1.0,
    ),
    Switch(
        move="value-embeddings-everywhere",
        family="value embeddings",
        title="value embeddings on every block",
        hypothesis="If knowing the token helps the values of every other block, it may help all.",
        edits=(
            Rewrite(
                find="if VALUE_EMBEDDINGS and any_parity == any_last:\n    ...",
                put="if VALUE_EMBEDDINGS:\n"
                '    self.value_embedding = nn.Embedding(config["vocab_size"], kv_width)\n'
                "    self.gate = Linear(GATE_CHANNELS, self.kv_heads)",
                within="Attention",
            ),
        ),
        gpu=1.2,
        cpu=3.0,
    ),
    Switch(
        move="value-gate-off",
        family="value embeddings",
        title="value embeddings without a gate",
        hypothesis="The matrices can learn to ignore what they do not need; the gate is code that must earn its keep.",
        edits=(
            Rewrite(
                find="self.gate = Linear(GATE_CHANNELS, self.kv_heads)",
                put="",
                within="Attention",
            ),
            Rewrite(find="gate = 2 * torch.sigmoid(self.gate(any_x))", put=""),
            Rewrite(find="v = v + gate.unsqueeze(-1) * any_values", put="v = v + any_values"),
            Rewrite(find="nn.init.zeros_(attention.gate.weight)", put=""),
        ),
        gpu=0.6,
        cpu=0.8,
    ),
)

_STREAM = (
    Switch(
        move="x0-off",
        family="residual stream",
        title="no embedding mixed back in before each block",
        hypothesis="The stream already carries the embedding; one parameter and its optimiser less.",
        edits=(
            Rewrite(find="if X0_RESIDUAL:\n    ...", put="", times=3),
            Rewrite(find="X0_RESIDUAL = any_value", put=""),
            Rewrite(find="X0_SCALE_LR = any_value", put=""),
            Rewrite(find="X0_BETAS = any_value", put=""),
            Rewrite(
                find="x = x0 = norm(any_embedded)",
                put="x = norm(any_embedded)",
                within="GPT.forward",
            ),
        ),
        gpu=0.4,
        cpu=0.8,
    ),
    Switch(
        move="x0-start-zero",
        family="initialisation",
        title="start without the embedding mixed back in",
        hypothesis="Let the model ask for the raw embedding instead of being given it.",
        edits=(Rewrite(find="torch.full((depth,), 0.1)", put="torch.zeros(depth)"),),
        gpu=0.6,
        cpu=0.5,
    ),
    Switch(
        move="x0-start-more",
        family="initialisation",
        title="start with three tenths of the embedding mixed back in",
        hypothesis="Early on the embedding is the best thing the stream knows.",
        edits=(Rewrite(find="torch.full((depth,), 0.1)", put="torch.full((depth,), 0.3)"),),
        gpu=0.6,
        cpu=0.6,
    ),
    Switch(
        move="residual-scales-off",
        family="removal",
        title="remove the learned scales of the stream",
        hypothesis="They start at 1 and hardly move; equal score with less code is a gain.",
        edits=(
            Rewrite(find="self.residual_scales = any_value", put=""),
            Rewrite(find="x = self.residual_scales[i].to(dtype) * x", put=""),
            Rewrite(
                find="groups: list[dict[str, Any]] = "
                '[any_a, any_b, {"params": [model.residual_scales], "lr": RESIDUAL_SCALE_LR}]',
                put="groups: list[dict[str, Any]] = [\n            any_a,\n            any_b,\n        ]",
            ),
            Rewrite(find="RESIDUAL_SCALE_LR = any_value", put=""),
        ),
        gpu=0.6,
        cpu=1.0,
    ),
    Switch(
        move="parallel-block",
        family="residual stream",
        title="attention and MLP side by side, on one norm",
        hypothesis="Both read the same stream, so a norm and an addition are saved at little loss.",
        edits=(
            Rewrite(
                find="x = x + self.attention(norm(x), any_a, any_b, any_c)\n"
                "return x + self.mlp(look_back(norm(x)))",
                put="normed = norm(x)\n"
                "return x + self.attention(normed, any_a, any_b, any_c) + self.mlp(look_back(normed))",
                within="Block.forward",
            ),
        ),
        gpu=0.5,
        cpu=0.8,
    ),
    Switch(
        move="previous-token",
        family="residual stream",
        title="mix the previous token's embedding into each position, learned by channel",
        hypothesis="Pairs of tokens say much of the next one; without this a block of attention is spent on it.",
        edits=(
            Rewrite(
                find="self.residual_scales = any_value",
                put="self.residual_scales = any_value\n"
                "self.previous_scales = nn.Parameter(torch.zeros(width))",
            ),
            Rewrite(
                find="x = x0 = norm(any_embedded)",
                put="embedded = norm(any_embedded)\n"
                "previous = F.pad(embedded, (0, 0, 1, -1))\n"
                "x = x0 = embedded + self.previous_scales.to(dtype) * previous",
                within="GPT.forward",
            ),
            Rewrite(
                find=_PREVIOUS_GROUPS,
                put=f"{_PREVIOUS_GROUPS}\n"
                'groups.append({"params": [model.previous_scales], "lr": 0.02})',
            ),
        ),
        gpu=2.0,
        cpu=6.0,
    ),
    Switch(
        move="embedding-norm-off",
        family="removal",
        title="no norm on the embedding",
        hypothesis="Every block normalises what it reads; this norm may be one too many.",
        edits=(
            Rewrite(
                find="norm(self.embedding(tokens).to(dtype))",
                put="self.embedding(tokens).to(dtype)",
            ),
        ),
        gpu=0.4,
        cpu=0.6,
    ),
)

_HEAD = (
    Switch(
        move="softcap-off",
        family="head",
        title="remove the soft-cap on the logits",
        hypothesis="A bound on every logit is dear where the vocabulary is the largest matrix; code and time saved.",
        edits=(
            Rewrite(find="if LOGIT_SOFTCAP is not None:\n    ...", put=""),
            Rewrite(find="LOGIT_SOFTCAP = any_value", put=""),
        ),
        gpu=0.8,
        cpu=0.0,  # the seed has no cap there
    ),
    Switch(
        move="softcap-rational",
        family="head",
        title="soft-cap by a root instead of a hyperbolic tangent",
        hypothesis="The same bound, approached more slowly: the tails still carry gradient.",
        edits=(
            Rewrite(
                find="if LOGIT_SOFTCAP is not None:\n    logits = any_capped",
                put="if LOGIT_SOFTCAP is not None:\n"
                "    logits = logits * torch.rsqrt(1 + (logits / LOGIT_SOFTCAP).square())",
            ),
        ),
        gpu=0.6,
        cpu=0.0,  # the seed has no cap there
    ),
    Switch(
        move="unembedding-bias",
        family="head",
        title="a bias on the logits",
        hypothesis="How frequent each token is can be learned in a few steps by a bias, and by nothing else as fast.",
        edits=(
            Rewrite(
                find="self.unembedding = any_layer",
                put="self.unembedding = any_layer\n"
                "self.unembedding_bias = nn.Parameter(torch.zeros(vocab_size))",
            ),
            Rewrite(
                find="logits = self.unembedding(any_x).float()",
                put="logits = self.unembedding(any_x).float() + self.unembedding_bias",
            ),
            Rewrite(
                find="[model.unembedding.weight]",
                put="[model.unembedding.weight, model.unembedding_bias]",
            ),
        ),
        gpu=0.5,
        cpu=0.4,
    ),
    Switch(
        move="tied-embeddings",
        family="head",
        title="one matrix for embedding and unembedding",
        hypothesis="Every prediction then also teaches the input side, with half the parameters to update.",
        edits=(
            Rewrite(find="self.unembedding = any_layer", put=""),
            Rewrite(
                find="nn.init.normal_(self.embedding.weight, std=1.0)",
                put="nn.init.normal_(self.embedding.weight, std=0.01)",
            ),
            Rewrite(find="nn.init.normal_(self.unembedding.weight, std=any_std)", put=""),
            Rewrite(
                find="self.unembedding(any_x).float()",
                put="F.linear(any_x, self.embedding.weight.to(dtype)).float()",
            ),
            Rewrite(
                find="embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]",
                put="embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)][1:]",
            ),
            Rewrite(find="[model.unembedding.weight]", put="[model.embedding.weight]"),
            Rewrite(
                find="attended = 0",
                put="matrices += self.embedding.weight.numel()\nattended = 0",
                within="GPT.flops_per_token",
            ),
        ),
        gpu=0.4,
        cpu=1.0,
    ),
)

MODEL_SWITCHES: tuple[Switch, ...] = (*_ACTIVATIONS, *_ATTENTION, *_STREAM, *_HEAD)
