"""Muon, its parts, and the schedules of the seed."""

from __future__ import annotations

import pytest
import torch
import train_file

seed = train_file.load()


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        pytest.param(64, 64, id="square"),
        pytest.param(256, 64, id="tall"),
        pytest.param(64, 256, id="wide"),
        pytest.param(4, 32, id="gate"),
        pytest.param(1, 32, id="one-row"),
    ],
)
def test_orthogonalisation_brings_singular_values_near_one(rows: int, columns: int) -> None:
    """Muon's promise: every direction of the update counts alike, whatever the gradient favoured."""
    shorter = min(rows, columns)
    u, _ = torch.linalg.qr(torch.randn(3, rows, shorter))
    v, _ = torch.linalg.qr(torch.randn(3, columns, shorter))
    # An uneven spectrum, as real gradients have: a factor of 100 from first to last.
    matrices = u * torch.logspace(0, -2, shorter) @ v.mT
    values = torch.linalg.svdvals(seed.orthogonalise(matrices))
    assert values.min() > 0.85
    assert values.max() < 1.15


def test_orthogonalisation_keeps_the_singular_directions() -> None:
    """Only the lengths may change: the update must still point where the gradient pointed."""
    matrices = torch.randn(2, 24, 48)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ seed.orthogonalise(matrices) @ v.mT
    off_diagonal = turned - torch.diag_embed(turned.diagonal(dim1=-2, dim2=-1))
    assert off_diagonal.abs().max() < 1e-3


def test_orthogonalisation_does_not_care_about_scale_or_neighbours() -> None:
    """Matrices are batched for speed alone."""
    matrices = torch.randn(3, 16, 32)
    together = seed.orthogonalise(matrices * torch.tensor([1e-4, 1.0, 1e4])[:, None, None])
    alone = torch.cat([seed.orthogonalise(matrix[None]) for matrix in matrices])
    assert torch.allclose(together, alone, atol=1e-2)


def test_a_gradient_of_zeros_gives_no_step() -> None:
    """A gate that nothing depends on yet has an all-zero gradient; 0/0 would end the run."""
    update = seed.orthogonalise(torch.zeros(1, 8, 16))
    evened = seed.even_out_variance(update, torch.zeros(1, 1, 16))
    assert torch.equal(evened, torch.zeros(1, 8, 16))


def test_polar_steps_are_each_the_best_quintic_for_their_interval() -> None:
    """The constants are a minimax solution: each errs by the same amount at four points, in turn."""
    low, high = 0.001, 1.0
    for index, (a, b, c) in enumerate(seed.POLAR_STEPS):
        shrink = 1.01 if index < len(seed.POLAR_STEPS) - 1 else 1.0
        x = torch.linspace(low, high, 200_001, dtype=torch.float64)
        y = a * shrink * x + b * shrink**3 * x**3 + c * shrink**5 * x**5
        error = y - 1
        worst = error.abs().max().item()
        signs = torch.sign(error[error.abs() > worst * 0.99])
        assert signs[0] < 0 < signs[-1]
        assert int((signs[1:] != signs[:-1]).sum()) == 3
        low, high = 1 - worst, 1 + worst


@pytest.mark.parametrize(("rows", "columns"), [(48, 16), (16, 48), (32, 32)])
def test_variance_reduction_evens_neurons_out_and_keeps_the_norm(rows: int, columns: int) -> None:
    """A neuron with a habit of large updates is slowed, and the step as a whole stays as long."""
    tall = rows >= columns
    loud = torch.ones(rows, 1) if tall else torch.ones(1, columns)
    loud.flatten()[:4] = 10.0
    second_moment = torch.zeros(1, rows, 1) if tall else torch.zeros(1, 1, columns)
    for _ in range(100):
        update = (torch.randn(rows, columns) * loud)[None]
        evened = seed.even_out_variance(update, second_moment)
    assert torch.allclose(evened.norm(), update.norm(), rtol=1e-4)
    size = evened[0].square().mean(1 if tall else 0).sqrt()
    assert size[:4].mean() < 1.5 * size[4:].mean()


def test_weight_decay_never_works_against_the_update() -> None:
    """Cautious: a weight that the gradient wants larger is not pulled back at the same time."""
    weights = torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0])
    update = torch.tensor([0.5, -0.5, -0.5, 0.5, 0.5])  # it is subtracted
    decay = seed.cautious_decay(weights, update, 0.1)
    assert torch.allclose(decay, torch.tensor([0.1, -0.1, 0.0, 0.0, 0.0]))


def test_muon_step_is_what_its_parts_say() -> None:
    """The batched step against one matrix followed by hand through two steps."""
    torch.nn.init.normal_(matrix := torch.nn.Parameter(torch.empty(32, 16)))
    others = [torch.nn.Parameter(torch.randn(32, 16)), torch.nn.Parameter(torch.randn(16, 16))]
    muon = seed.Muon([others[0], matrix, others[1]])
    expected = matrix.detach().clone()
    running, second_moment = torch.zeros(1, 32, 16), torch.zeros(1, 32, 1)
    for _ in range(2):
        for parameter in (matrix, *others):
            parameter.grad = torch.randn_like(parameter)
        running = 0.9 * running + 0.1 * matrix.grad
        update = seed.orthogonalise(0.1 * matrix.grad + 0.9 * running)
        update = seed.even_out_variance(update, second_moment)[0]
        lr = 0.05 * (32 / 16) ** 0.5
        expected = expected - lr * update - seed.cautious_decay(expected, update, lr * 0.2)
        muon.step(lr=0.05, momentum=0.9, weight_decay=0.2)
    assert torch.allclose(matrix, expected, atol=1e-5)


def test_every_parameter_has_exactly_one_optimiser() -> None:
    """A parameter that nobody steps stays random for ever, and the loss still falls."""
    model = seed.build_model(train_file.config())
    optimiser = seed.Optimiser(model)
    stepped = [p for group in optimiser.adamw.param_groups for p in group["params"]]
    stepped += [p for group in optimiser.muon.groups for p in group]
    assert len(stepped) == len({id(p) for p in stepped})
    assert {id(p) for p in stepped} == {id(p) for p in model.parameters()}


def test_one_step_moves_every_parameter_that_has_a_gradient() -> None:
    """Learning rates, groups and shapes all meet here."""
    model = seed.build_model(train_file.config())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    optimiser = seed.Optimiser(model)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    tokens, targets = torch.randint(64, (2, 8, 32))
    model.loss(tokens, targets).backward()
    optimiser.step(0, 0.0)
    unmoved = [n for n, value in model.named_parameters() if torch.equal(value, before[n])]
    assert unmoved == []


def test_at_the_end_of_the_budget_nothing_moves() -> None:
    """The warm-down ends where the clock does: at the final share of the learning rate."""
    assert seed.FINAL_LR_SHARE == 0.0
    model = seed.build_model(train_file.config())
    optimiser = seed.Optimiser(model)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    tokens, targets = torch.randint(64, (2, 8, 32))
    model.loss(tokens, targets).backward()
    optimiser.step(500, 1.0)
    assert all(torch.equal(value, before[n]) for n, value in model.named_parameters())


def test_learning_rate_follows_the_time_and_not_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slower GPU takes fewer steps in the same time, and must still warm down to the end."""
    monkeypatch.setattr(seed, "WARMUP_SHARE", 0.1)
    monkeypatch.setattr(seed, "WARMDOWN_SHARE", 0.4)
    monkeypatch.setattr(seed, "FINAL_LR_SHARE", 0.2)
    at = {0.0: 0.0, 0.05: 0.5, 0.1: 1.0, 0.6: 1.0, 0.8: 0.6, 1.0: 0.2}
    for progress, scale in at.items():
        assert seed.lr_scale(progress) == pytest.approx(scale)


def test_learning_rate_without_warm_up_or_warm_down_is_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both shares may be set to 0, which must not divide by it."""
    monkeypatch.setattr(seed, "WARMUP_SHARE", 0.0)
    monkeypatch.setattr(seed, "WARMDOWN_SHARE", 0.0)
    assert [seed.lr_scale(progress) for progress in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


def test_muon_momentum_rises_and_stays() -> None:
    """From the first value to the second over the given steps, and no further."""
    first, last, steps = seed.MUON_MOMENTUM_START, seed.MUON_MOMENTUM, seed.MUON_MOMENTUM_STEPS
    assert seed.muon_momentum(0) == pytest.approx(first)
    assert seed.muon_momentum(steps // 2) == pytest.approx((first + last) / 2, abs=1e-3)
    assert seed.muon_momentum(10 * steps) == pytest.approx(last)
