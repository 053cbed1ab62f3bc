import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from buttress.diagnostics.reference import LinearGaussian, LinearVAE


@pytest.fixture
def model():
    return LinearGaussian.random(dims=5, latents=2, variance=0.3)


def test_every_point_of_z_gives_the_log_marginal_by_bayes(model):
    x, z = model.sample(6)
    bayes = model.log_likelihood(x, z[None])[0] + model.prior().log_prob(z) - model.posterior(x).log_prob(z)
    assert torch.allclose(bayes, model.log_marginal(x))


def test_log_marginal_of_one_latent_agrees_with_quadrature():
    model = LinearGaussian.random(dims=3, latents=1)
    x, _ = model.sample(4)
    z = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    joint = model.log_likelihood(x, z[:, None, None].expand(-1, 4, 1)) + model.prior().log_prob(z[:, None])[:, None]
    assert torch.allclose(torch.trapezoid(joint.exp(), z, dim=0).log(), model.log_marginal(x))


def test_samples_have_the_covariance_of_the_model(model):
    x, z = model.sample(200_000)
    assert torch.allclose(torch.cov(x.T), model.covariance, atol=0.05)
    assert torch.allclose(torch.cov(z.T), torch.eye(2).double(), atol=0.02)
    assert torch.allclose(x.mean(0), model.mean, atol=0.02)


def test_mutual_information_is_the_mean_divergence_of_posterior_and_prior(model):
    x, _ = model.sample(100_000)
    prior = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    rates = kl_divergence(model.posterior(x), prior)
    assert abs(rates.mean().item() - model.mutual_information()) < 4 * rates.std().item() / math.sqrt(len(x))


def test_maximum_likelihood_is_a_stationary_maximum():
    x, _ = LinearGaussian.random(dims=6, latents=2).sample(500)
    best = LinearGaussian.maximum_likelihood(x, 2)
    w = best.weight.clone().requires_grad_()
    s = torch.tensor(best.variance, dtype=torch.float64).requires_grad_()
    loss = MultivariateNormal(best.mean, w @ w.T + s * torch.eye(6)).log_prob(x).mean()
    slopes = torch.autograd.grad(loss, [w, s])
    assert all(slope.abs().max() < 1e-8 for slope in slopes)
    for seed in range(5):
        off = torch.randn(6, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.1
        other = LinearGaussian(best.weight + off, best.mean, best.variance)
        assert other.log_marginal(x).mean() < best.log_marginal(x).mean()


def test_maximum_likelihood_drops_directions_below_the_noise():
    x, _ = LinearGaussian(torch.tensor([[3.0], [0.0], [0.0], [0.0]]).double(), torch.zeros(4).double(), 1.0).sample(500)
    weight = LinearGaussian.maximum_likelihood(x, 3).weight
    assert (weight[:, 0].norm() > 2) and (weight[:, 1:].norm() < 1)
    assert torch.allclose(weight.T @ weight, torch.diag((weight.T @ weight).diagonal()), atol=1e-9)


def test_the_linear_vae_meets_the_log_marginal_at_the_optimum_and_nowhere_else():
    x, _ = LinearGaussian.random(dims=6, latents=2).sample(300)
    best = LinearGaussian.maximum_likelihood(x, 2)
    assert torch.allclose(best.vae().elbo(x), best.log_marginal(x))
    for progress in (0.0, 0.5, 0.9):
        assert (best.lagging(progress).elbo(x) < best.log_marginal(x)).all()


def test_the_analytic_elbo_agrees_with_its_monte_carlo_mean(model):
    x, _ = model.sample(3)
    vae = LinearVAE(model, 0.3 * torch.ones(2, 5).double(), torch.tensor([0.4, 1.7]).double())
    q = vae.posterior(x)
    z = q.sample((200_000,))
    values = vae.log_likelihood(x, z) + vae.prior().log_prob(z) - q.log_prob(z)
    assert ((values.mean(0) - vae.elbo(x)).abs() < 4 * values.std(0) / math.sqrt(len(z))).all()


def test_the_best_independent_q_cannot_be_bettered():
    weight = torch.tensor([[1.0, 0.8], [0.5, 0.9], [0.0, 0.3]]).double()  # columns far from orthogonal
    model = LinearGaussian(weight, torch.ones(3).double(), 0.2)
    x, _ = model.sample(50)
    v, d = model.optimal_encoder()
    best = LinearVAE(model, v, d).elbo(x).mean()
    for other in (LinearVAE(model, v * 1.02, d), LinearVAE(model, v, d * 1.05), LinearVAE(model, v, d * 0.95)):
        assert other.elbo(x).mean() < best
        assert other.amortisation_gap(x).mean().item() == pytest.approx((best - other.elbo(x).mean()).item())


def test_rate_splits_into_information_and_mismatch(model):
    x, _ = model.sample(200_000)
    vae = model.lagging(0.6)
    assert vae.mutual_information() + vae.aggregate_kl() == pytest.approx(vae.rate(x).sum(1).mean().item(), rel=0.01)


def test_the_exact_posterior_is_worth_more_than_the_information_it_holds():
    x, _ = LinearGaussian.random(dims=5, latents=2).sample(500)
    vae = LinearGaussian.maximum_likelihood(x, 2).vae()
    assert vae.worth_shuffled() > vae.mutual_information()
    assert vae.worth_prior() == pytest.approx(vae.worth_shuffled())  # all q together are the prior


def test_a_collapsed_model_says_nothing(model):
    vae = model.collapsed()
    assert (vae.mutual_information(), vae.worth_shuffled(), vae.worth_prior()) == (0.0, 0.0, 0.0)
    x, _ = model.sample(10)
    assert torch.allclose(vae.elbo(x), vae.model.log_marginal(x))


def test_what_is_impossible_is_refused():
    with pytest.raises(ValueError, match="variance is 0"):
        LinearGaussian.random(3, 1, variance=0.0)
    with pytest.raises(ValueError, match="wanted 1 to 2"):
        LinearGaussian.maximum_likelihood(torch.randn(10, 3).double(), 3)
