"""Edits of how train.py trains: optimiser, schedule and initial values, against the seed's own lines.

An edit whose place is gone, because an earlier keep removed or changed it, does not apply; that is all.
"""

from __future__ import annotations

from lab.agents.offline.ideas import Switch
from lab.agents.offline.rewriting import Drop, DropParameter, Rewrite


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
        edits=(Rewrite(find="POLAR_STEPS", put=f"POLAR_STEPS[:{steps}]", within="orthogonalise"),),
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
            Rewrite(find="cautious_decay(weights, update, any_amount)", put="any_amount * weights"),
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
        edits=(Rewrite(find="WEIGHT_DECAY * (1 - progress)", put="WEIGHT_DECAY"),),
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

TRAINING_SWITCHES: tuple[Switch, ...] = (*_OPTIMISER, *_SCHEDULE, *_INITIALISATION)
