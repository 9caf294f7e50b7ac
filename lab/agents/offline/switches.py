"""Edits of train.py's code: other parts, fewer parts. Each is written against the seed's own lines.

An edit whose place is gone, because an earlier keep removed or changed it, does not apply; that is all.
"""

from __future__ import annotations

from lab.agents.offline.ideas import Switch
from lab.agents.offline.rewriting import Drop, DropParameter, Rewrite

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
                find="self.down = nn.Linear(hidden, any_width, bias=False)",
                put="self.down = nn.Linear(hidden // 2, any_width, bias=False)",
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


def _warmdown(move: str, name: str, put: str, why: str, gpu: float, cpu: float) -> Switch:
    return Switch(
        move=f"warmdown-{move}",
        family="schedule",
        title=f"warm-down shape: {name}",
        hypothesis=why,
        edits=(
            Rewrite(
                find="return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * any_left",
                put=f"return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * {put}",
                within="lr_scale",
            ),
        ),
        gpu=gpu,
        cpu=cpu,
    )


def _polar(steps: int, gpu: float, cpu: float) -> Switch:
    return Switch(
        move=f"polar-{steps}",
        family="optimiser",
        title=f"orthogonalise in {steps} steps",
        hypothesis="A direction roughly orthogonal is enough, and the step becomes cheaper.",
        edits=(
            Rewrite(find="POLAR_STEPS", put=f"POLAR_STEPS[:{steps}]", within="orthogonalise"),
        ),
        gpu=gpu,
        cpu=cpu,
    )


def _init(move: str, title: str, why: str, find: str, put: str, gpu: float, cpu: float) -> Switch:
    return Switch(
        move=f"init-{move}",
        family="initialisation",
        title=title,
        hypothesis=why,
        edits=(Rewrite(find=find, put=put, within="GPT.initialise"),),
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
        1.5,
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
                find='config["sequence_len"] // 2', put='config["sequence_len"] // 4', within="Attention"
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
                find='config["sequence_len"] // 2', put='config["sequence_len"] // 8', within="Attention"
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
        edits=(
            Rewrite(find="q, k = norm(q), norm(k)", put="q, k = 1.2 * norm(q), norm(k)"),
        ),
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
        move="output-gate",
        family="attention",
        title="a gate on each head's output, from the stream",
        hypothesis="A head that finds nothing should be able to say nothing.",
        edits=(
            Rewrite(
                find="self.out = nn.Linear(width, width, bias=False)",
                put="self.out = nn.Linear(width, width, bias=False)\n"
                "self.out_gate = nn.Linear(GATE_CHANNELS, self.heads, bias=False)",
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
        edits=(
            Rewrite(find="VALUE_EMBEDDINGS = True", put="VALUE_EMBEDDINGS = False"),
        ),
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
                "    self.gate = nn.Linear(GATE_CHANNELS, self.kv_heads, bias=False)",
                within="Attention",
            ),
        ),
        gpu=1.2,
        cpu=2.0,
    ),
    Switch(
        move="value-gate-off",
        family="value embeddings",
        title="value embeddings without a gate",
        hypothesis="The matrices can learn to ignore what they do not need; the gate is code that must earn its keep.",
        edits=(
            Rewrite(
                find="self.gate = nn.Linear(GATE_CHANNELS, self.kv_heads, bias=False)",
                put="",
                within="Attention",
            ),
            Rewrite(find="gate = 2 * torch.sigmoid(self.gate(any_x))", put=""),
            Rewrite(
                find="v = v + gate.unsqueeze(-1) * any_values", put="v = v + any_values"
            ),
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
                find="x = x0 = norm(any_embedded)", put="x = norm(any_embedded)", within="GPT.forward"
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
        edits=(
            Rewrite(find="torch.full((depth,), 0.1)", put="torch.zeros(depth)"),
        ),
        gpu=0.6,
        cpu=0.5,
    ),
    Switch(
        move="x0-start-more",
        family="initialisation",
        title="start with three tenths of the embedding mixed back in",
        hypothesis="Early on the embedding is the best thing the stream knows.",
        edits=(
            Rewrite(
                find="torch.full((depth,), 0.1)", put="torch.full((depth,), 0.3)"
            ),
        ),
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
                find="x = x + self.attention(norm(x), any_a, any_b, any_c)\nreturn x + self.mlp(norm(x))",
                put="normed = norm(x)\n"
                "return x + self.attention(normed, any_a, any_b, any_c) + self.mlp(normed)",
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
                find="norm(self.embedding(tokens).to(dtype))", put="self.embedding(tokens).to(dtype)"
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
        hypothesis="A tanh over every logit is dear where the vocabulary is the largest matrix; code and time saved.",
        edits=(
            Rewrite(find="if LOGIT_SOFTCAP is not None:\n    ...", put=""),
            Rewrite(find="LOGIT_SOFTCAP = any_value", put=""),
        ),
        gpu=0.8,
        cpu=4.0,
    ),
    Switch(
        move="softcap-rational",
        family="head",
        title="soft-cap by a root instead of a tanh",
        hypothesis="The same bound with cheaper arithmetic, and tails that still carry gradient.",
        edits=(
            Rewrite(
                find="LOGIT_SOFTCAP * torch.tanh(logits / LOGIT_SOFTCAP)",
                put="logits * torch.rsqrt(1 + (logits / LOGIT_SOFTCAP).square())",
            ),
        ),
        gpu=0.6,
        cpu=1.0,
    ),
    Switch(
        move="unembedding-bias",
        family="head",
        title="a bias on the logits",
        hypothesis="How frequent each token is can be learned in a few steps by a bias, and by nothing else as fast.",
        edits=(
            Rewrite(
                find="self.unembedding = nn.Linear(width, vocab_size, bias=False)",
                put="self.unembedding = nn.Linear(width, vocab_size)",
            ),
            Rewrite(
                find="nn.init.normal_(self.unembedding.weight, std=any_std)",
                put="nn.init.normal_(self.unembedding.weight, std=any_std)\n"
                "nn.init.zeros_(self.unembedding.bias)",
            ),
            Rewrite(find="[model.unembedding.weight]", put="list(model.unembedding.parameters())"),
        ),
        gpu=0.5,
        cpu=2.0,
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

_OPTIMISER = (
    _polar(4, 0.8, 1.0),
    _polar(3, 0.3, 0.8),
    Switch(
        move="nesterov-off",
        family="removal",
        title="plain momentum instead of Nesterov's",
        hypothesis="After orthogonalisation the look-ahead may not matter.",
        edits=(
            Rewrite(
                find="self.orthogonalise(gradients.lerp_(running, momentum))",
                put="self.orthogonalise(running)",
            ),
        ),
        gpu=0.4,
        cpu=0.6,
    ),
    Switch(
        move="variance-off",
        family="removal",
        title="remove the evening out of variances",
        hypothesis="Orthogonalised updates are nearly even already; code, memory and time saved.",
        edits=(
            Drop(name="even_out_variance"),
            Rewrite(find="update = even_out_variance(update, second_moment)", put=""),
            Rewrite(find="self.second_moments = any_value", put=""),
            Rewrite(find="group, running, second_moment", put="group, running"),
            Rewrite(
                find="zip(self.groups, self.momenta, self.second_moments, strict=True)",
                put="zip(self.groups, self.momenta, strict=True)",
            ),
            Rewrite(find="MUON_VARIANCE_BETA = any_value", put=""),
        ),
        gpu=0.4,
        cpu=0.8,
    ),
    Switch(
        move="decay-plain",
        family="removal",
        title="plain weight decay instead of the cautious one",
        hypothesis="Asking each weight's sign first may bring nothing; less code.",
        edits=(
            Drop(name="cautious_decay"),
            Rewrite(
                find="cautious_decay(weights, update, any_amount)", put="any_amount * weights"
            ),
        ),
        gpu=0.5,
        cpu=0.6,
    ),
    Switch(
        move="decay-off",
        family="removal",
        title="remove weight decay",
        hypothesis="A model that sees each text once cannot overfit; decay may only slow it down.",
        edits=(
            Drop(name="cautious_decay"),
            Rewrite(
                find="change = shape_lr * update + cautious_decay(any_w, any_u, any_amount)",
                put="change = shape_lr * update",
            ),
            Rewrite(find="weights = torch.stack(list(group))", put=""),
            Rewrite(
                find="self.muon.step(lr=any_lr, momentum=any_momentum, weight_decay=any_decay)",
                put="self.muon.step(lr=any_lr, momentum=any_momentum)",
            ),
            DropParameter(function="Muon.step", parameter="weight_decay"),
            Rewrite(find="WEIGHT_DECAY = any_value", put=""),
        ),
        gpu=0.5,
        cpu=1.5,
    ),
    Switch(
        move="decay-constant",
        family="optimiser",
        title="weight decay that does not fade",
        hypothesis="Decay matters most at the end, when the rates no longer undo it.",
        edits=(
            Rewrite(find="WEIGHT_DECAY * (1 - progress)", put="WEIGHT_DECAY"),
        ),
        gpu=0.6,
        cpu=0.6,
    ),
    Switch(
        move="adam-decay",
        family="optimiser",
        title="a little weight decay on embeddings and unembedding",
        hypothesis="Rows of rare tokens drift; a little decay brings them back.",
        edits=(
            Rewrite(
                find="torch.optim.AdamW(any_groups, betas=any_betas, eps=any_eps, weight_decay=0.0, fused=True)",
                put="torch.optim.AdamW(\n"
                "            any_groups, betas=any_betas, eps=any_eps, weight_decay=0.01, fused=True\n"
                "        )",
            ),
        ),
        gpu=1.2,
        cpu=0.8,
    ),
    Switch(
        move="momentum-constant",
        family="removal",
        title="remove the momentum's warm-up",
        hypothesis="Momentum at its full strength from the start: two constants and a function less.",
        edits=(
            Rewrite(find="muon_momentum(step)", put="MUON_MOMENTUM"),
            Drop(name="muon_momentum"),
            Rewrite(find="MUON_MOMENTUM_START = any_value", put=""),
            Rewrite(find="MUON_MOMENTUM_STEPS = any_value", put=""),
        ),
        gpu=0.6,
        cpu=0.8,
    ),
    Switch(
        move="clip-gradients",
        family="optimiser",
        title="clip the gradients' norm at 1",
        hypothesis="One odd batch should not move the embeddings far; Muon does not need it, AdamW may.",
        edits=(
            Rewrite(
                find="self.optimiser.step(step, progress)",
                put="nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)\n"
                "self.optimiser.step(step, progress)",
                within="Trainer.step",
            ),
        ),
        gpu=0.4,
        cpu=0.4,
    ),
)

_SCHEDULE = (
    _warmdown(
        "cosine",
        "a cosine instead of a line",
        "0.5 * (1 - math.cos(math.pi * left))",
        "Leave the plateau gently and arrive gently.",
        0.8,
        0.8,
    ),
    _warmdown(
        "square",
        "a square instead of a line",
        "left**2",
        "Most of the descent first, then long at a low rate, where the noise averages out.",
        0.8,
        1.5,
    ),
    _warmdown(
        "root",
        "one less the root instead of a line",
        "(1 - math.sqrt(1 - left))",
        "A fast first descent was better than a line in long runs.",
        1.0,
        1.5,
    ),
    Switch(
        move="average-weights",
        family="schedule",
        title="save a running average of the weights",
        hypothesis="The last steps of small batches scatter around a better point: their mean.",
        edits=(
            Rewrite(
                find="clock = prepare.start()",
                put="averaged = [parameter.detach().clone() for parameter in model.parameters()]\n"
                "clock = prepare.start()",
                within="main",
            ),
            Rewrite(
                find="loss = trainer.step(batches, step, clock.progress())",
                put="loss = trainer.step(batches, step, clock.progress())\n"
                "# A copy until the last fifth of the budget, from then on a mean of about 20 steps.\n"
                "share = 0.05 if clock.progress() > 0.8 else 1.0\n"
                "torch._foreach_lerp_(averaged, [p.detach() for p in model.parameters()], share)",
                within="main",
            ),
            Rewrite(
                find="prepare.save(model, config)",
                put="with torch.no_grad():\n"
                "    torch._foreach_copy_(list(model.parameters()), averaged)\n"
                "prepare.save(model, config)",
                within="main",
            ),
        ),
        gpu=0.3,
        cpu=1.5,
    ),
    Switch(
        move="short-rows-first",
        family="schedule",
        title="rows of half the length for the first third",
        hypothesis="Early on only near context is used; short rows teach it at less cost.",
        edits=(
            Rewrite(
                find="batches = prepare.batches(trainer.rows)",
                put="short_batches = prepare.batches(2 * trainer.rows, prepare.SEQUENCE_LEN // 2)\n"
                "batches = prepare.batches(trainer.rows)",
                within="main",
            ),
            Rewrite(
                find="loss = trainer.step(batches, step, clock.progress())",
                put="rows = short_batches if clock.progress() < 1 / 3 else batches\n"
                "loss = trainer.step(rows, step, clock.progress())",
                within="main",
            ),
        ),
        gpu=0.0,  # a second shape would compile inside the budget
        cpu=1.0,
    ),
)

_INITIALISATION = (
    _init(
        "matrices-smaller",
        "matrices start at two thirds of their scale",
        "Smaller weights turn faster under updates of fixed size.",
        'bound = math.sqrt(3 / config["width"])',
        'bound = 0.67 * math.sqrt(3 / config["width"])',
        1.5,
        1.5,
    ),
    _init(
        "matrices-larger",
        "matrices start at one and a half times their scale",
        "Larger features at the start are found sooner by zero-initialised outputs.",
        'bound = math.sqrt(3 / config["width"])',
        'bound = 1.5 * math.sqrt(3 / config["width"])',
        0.5,
        0.6,
    ),
    _init(
        "unembedding-larger",
        "unembedding starts ten times larger",
        "Blocks get a gradient only through the unembedding; a larger one lets them start at once.",
        "nn.init.normal_(self.unembedding.weight, std=0.001)",
        "nn.init.normal_(self.unembedding.weight, std=0.01)",
        0.8,
        1.5,
    ),
    _init(
        "unembedding-zero",
        "unembedding starts at zero",
        "The first step then only learns how frequent tokens are, which is right for a first step.",
        "nn.init.normal_(self.unembedding.weight, std=any_std)",
        "nn.init.zeros_(self.unembedding.weight)",
        0.4,
        0.4,
    ),
    _init(
        "outputs-alive",
        "attention outputs start small instead of at zero",
        "Queries and keys get a gradient from the first step on.",
        "nn.init.zeros_(attention.out.weight)",
        "nn.init.uniform_(attention.out.weight, -0.2 * bound, 0.2 * bound)",
        0.4,
        0.7,
    ),
    _init(
        "embedding-smaller",
        "token embeddings start at a third of their scale",
        "The norm hides the scale, so each update turns a shorter row further.",
        "nn.init.normal_(self.embedding.weight, std=1.0)",
        "nn.init.normal_(self.embedding.weight, std=0.3)",
        1.0,
        2.0,
    ),
    _init(
        "values-zero",
        "value embeddings start at zero",
        "Noise in the values has to be unlearned before the tables say anything.",
        "nn.init.uniform_(attention.value_embedding.weight, -bound, bound)",
        "nn.init.zeros_(attention.value_embedding.weight)",
        0.5,
        0.8,
    ),
)

SWITCHES: tuple[Switch, ...] = (
    *_ACTIVATIONS,
    *_ATTENTION,
    *_STREAM,
    *_HEAD,
    *_OPTIMISER,
    *_SCHEDULE,
    *_INITIALISATION,
)
