"""Residual, finite scalar and categorical codes, and the rotation trick, against what defines each."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, Independent

from buttress.core import Space
from buttress.nn.rotation import rotated
from buttress.posteriors.categorical import CategoricalPosterior
from buttress.posteriors.finite_scalar_quantized import FiniteScalarQuantized
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized
from buttress.posteriors.residual_quantized import ResidualQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.priors.uniform import Uniform


def built(part, features=6, places=()):
    torch.manual_seed(0)
    module = part.build(features, places)
    return module, Uniform().build(module.space)()


def test_every_stage_takes_the_codeword_nearest_to_what_is_left():
    module, prior = built(ResidualQuantized(codes=5, dim=3, stages=3), places=(2,))
    h = torch.randn(7, 2, 6)
    codes, left = module(h).sample(), module.vectors(h)
    for level, book in zip(module.space.levels, module.codebook, strict=True):
        found = torch.cdist(left, book.expand(7, -1, -1)).argmin(-1)
        assert torch.equal(level.view(codes)[..., 0], found)
        left = left - book[found]
    latent = module.eval().latent(h, prior)
    torch.testing.assert_close(latent.z[0], module.vectors(h) - left)
    torch.testing.assert_close(latent.z[0], module.embed(codes))
    assert latent.kl.sum(1).tolist() == pytest.approx([6 * math.log(5)] * 7)


def test_later_stages_leave_less_once_codewords_have_followed():
    module, prior = built(ResidualQuantized(codes=16, dim=4, stages=3), features=4)
    with torch.no_grad():
        module.linear.weight.copy_(torch.eye(4))
        module.linear.bias.zero_()
    h = torch.randn(500, 4)
    for _ in range(60):
        module.train().latent(h.requires_grad_(), prior)
        module.after_step()
    _, words, residuals = module.quantize(h.detach())
    left = [r.square().sum(1).mean().item() for r in (*residuals, residuals[-1] - words[-1])]
    assert left[0] > 2 * left[1] > 4 * left[2] > 0
    assert left[3] < left[2]


def test_dropped_stages_are_the_last_ones_and_only_in_training():
    module, prior = built(ResidualQuantized(codes=4, dim=2, stages=3, dropout=1.0))
    h = torch.randn(200, 6, requires_grad=True)
    _, words, _ = module.quantize(module.vectors(h))
    prefixes = torch.stack(words).cumsum(0)
    read = module.train().latent(h, prior).z[0]
    same = (read - prefixes).abs().amax(-1) < 1e-5
    assert same.any(0).all() and same.any(1).all()  # some prefix each, and every length occurs
    torch.testing.assert_close(module.eval().latent(h, prior).z[0], prefixes[-1])


@pytest.mark.parametrize("levels", [(8, 6, 5), (2, 3), (7, 5, 5)])
def test_a_grid_has_its_levels_and_its_codes_are_their_numbers(levels):
    module, _ = built(FiniteScalarQuantized(levels=levels))
    grid = module.embed(torch.arange(math.prod(levels))[:, None])
    assert len(grid.unique(dim=0)) == math.prod(levels)
    for column, size in zip(grid.T, levels, strict=True):
        assert len(column.unique()) == size
        assert column.abs().max() <= 1
    axes = [(torch.arange(size) - size // 2) / (size // 2) for size in levels]
    listed = torch.tensor([row[::-1] for row in itertools.product(*axes[::-1])])  # the first digit runs fastest
    torch.testing.assert_close(grid, listed)


def test_rounding_reaches_every_level_and_its_code_is_what_is_read():
    module, prior = built(FiniteScalarQuantized(levels=(5, 4)), features=2)
    with torch.no_grad():
        module.linear.weight.copy_(torch.eye(2))
        module.linear.bias.zero_()
    axis = torch.linspace(-8, 8, 201)
    latent = module.latent(torch.cartesian_prod(axis, axis), prior)
    assert len(latent.codes.unique()) == 20
    torch.testing.assert_close(module.embed(latent.codes[0]), latent.z[0])
    assert module(torch.zeros(1, 2)).sample().item() == 2 + 5 * 2  # the middle of the grid


def test_gradients_pass_through_rounding_as_through_the_bound():
    module, prior = built(FiniteScalarQuantized(levels=(8, 5)))
    h = torch.randn(4, 6, requires_grad=True)
    module.latent(h, prior).z.sum().backward()
    sizes = torch.tensor([8, 5])
    half, offset = (sizes - 1) * 1.001 / 2, torch.tensor([0.5, 0.0])
    bounded = (module.linear(h) + (offset / half).atanh()).tanh() * half - offset
    wanted = torch.autograd.grad((bounded / torch.tensor([4, 2])).sum(), h)[0]
    torch.testing.assert_close(h.grad, wanted)


def test_a_categorical_sample_follows_q_and_its_rate_is_exact():
    module, prior = built(CategoricalPosterior(codes=3, dim=2, slots=2))
    h = torch.randn(1, 6)
    q = module.logits(h).exp()
    latent = module.latent(h, prior, samples=20_000)
    share = torch.nn.functional.one_hot(latent.codes[:, 0], 3).double().mean(0)
    torch.testing.assert_close(share, q[0].double(), atol=0.015, rtol=0)
    torch.testing.assert_close(latent.kl, math.log(3) + (q * q.log()).sum(-1))
    torch.testing.assert_close(latent.log_ratio.mean(0), latent.kl, atol=0.03, rtol=0)


def test_the_gradient_under_an_autoregressive_prior_is_that_of_the_sum_over_all_codes():
    torch.manual_seed(0)
    module = CategoricalPosterior(codes=2, dim=1, slots=2).build(3)
    prior = RecurrentPrior(hidden=4).build(Space((2,), classes=2))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_()
    h = torch.randn(1, 3, requires_grad=True)
    every = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    log_q = Independent(Categorical(logits=module.logits(h)), 1).log_prob(every)
    exact = torch.autograd.grad((log_q.exp() * (log_q - prior().log_prob(every).detach())).sum(), h)[0]
    latent = module.latent(h, prior(), samples=10_000)
    assert latent.kl is None
    found = torch.autograd.grad(latent.log_ratio.mean(0).sum(), h)[0]
    torch.testing.assert_close(found, exact, atol=0.06, rtol=0)
    assert exact.abs().max() > 0.2


def test_the_temperature_falls_by_one_factor_a_step_and_then_stays():
    module, _ = built(CategoricalPosterior(temperature=2.0, final_temperature=0.5, anneal=2))
    seen = []
    for _ in range(4):
        seen.append(module.temperature.item())
        module.after_step()
    assert seen == pytest.approx([2.0, 1.0, 0.5, 0.5])


def test_the_rotation_trick_is_the_matrix_that_turns_z_onto_q():
    torch.manual_seed(0)
    z, q, g = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4), torch.randn(5, 4)
    out = rotated(z, q)
    assert torch.equal(out, q)
    out.backward(g)
    for i in range(5):
        a, b = z[i].detach() / z[i].detach().norm(), q[i] / q[i].norm()
        w = (a + b) / (a + b).norm()
        turn = torch.eye(4) - 2 * torch.outer(w, w) + 2 * torch.outer(b, a)
        torch.testing.assert_close(turn @ turn.T, torch.eye(4))
        torch.testing.assert_close(z.grad[i], q[i].norm() / z[i].detach().norm() * turn.T @ g[i])


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (lambda: ResidualQuantized(stages=0), "stages is 0, wanted at least 1"),
        (lambda: ResidualQuantized(dropout=1.5), "dropout is 1.5, wanted a probability"),
        (lambda: HierarchicalQuantized(dropout=-0.5), "hierarchical_quantized posterior: dropout is -0.5, wanted a"),
        (lambda: FiniteScalarQuantized(levels=(8, 1)), "wanted levels of 2 or more"),
        (lambda: CategoricalPosterior(temperature=0.1), "temperatures are 0.1 and then 0.5"),
        (lambda: CategoricalPosterior(codes=1), "codes is 1, wanted at least 2"),
    ],
)
def test_contradictions_are_refused(part, problem):
    with pytest.raises(ValueError, match=problem):
        part()
