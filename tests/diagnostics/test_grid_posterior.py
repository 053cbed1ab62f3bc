import pytest
import torch
from closed_forms import normals, toy

from buttress.diagnostics.grid_posterior import grid_posterior
from buttress.diagnostics.reference import LinearGaussian


def one_dimensional(n=60):
    model = LinearGaussian.random(dims=4, latents=1, variance=0.7, seed=2)
    x, _ = model.sample(n, seed=3)
    return model, list(x.split([7, n - 7]))


def test_it_is_the_posterior_on_paper():
    model, batches = one_dimensional()
    found, x = grid_posterior(model, batches), torch.cat(batches)
    exact = model.posterior(x)
    torch.testing.assert_close(found.mean, exact.mean[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.variance, exact.variance[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.log_marginal, model.log_marginal(x), rtol=0, atol=1e-6)
    assert found.edge < 1e-12 and found.error < 1e-5


def test_a_grid_too_narrow_or_too_coarse_says_so():
    model, batches = one_dimensional()
    assert grid_posterior(model, batches, width=1.0).edge > 1e-3
    coarse, exact = grid_posterior(model, batches, step=2.5), model.posterior(torch.cat(batches)).mean[:, 0]
    assert coarse.error > (coarse.mean - exact).abs().max().item() > 0.01


def test_a_decoder_that_ignores_z_leaves_the_prior():
    found = grid_posterior(toy(lambda x: normals(x)), [torch.zeros(5, 1), torch.ones(2, 1)])
    torch.testing.assert_close(found.mean, torch.zeros(7).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.variance, torch.ones(7).double(), rtol=0, atol=1e-6)


def test_what_no_grid_can_hold_is_refused():
    with pytest.raises(ValueError, match="single number"):
        grid_posterior(toy(lambda x: normals(x), latents=2), [torch.zeros(5, 2)])
    with pytest.raises(ValueError, match="0 < step"):
        grid_posterior(toy(lambda x: normals(x)), [torch.zeros(5, 1)], step=0.0)
