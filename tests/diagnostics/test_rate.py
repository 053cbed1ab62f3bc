import pytest
import torch
from closed_forms import close, data, normals, toy
from torch.distributions import Categorical as Classes
from torch.distributions import Independent, Laplace, MixtureSameFamily, Normal

from buttress.diagnostics.estimators.rate import bound
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import LinearVAE


@pytest.mark.parametrize("progress", [0.3, 0.7, 1.0])
def test_elbo_rate_and_distortion_agree_with_the_linear_vae(progress):
    model, batches = data()
    vae, x = model.lagging(progress), torch.cat(batches)
    found = bound(vae, batches, samples=64)
    assert found.rate.method == "closed form"
    assert found.rate.value == pytest.approx(vae.rate(x).sum(1).mean().item())
    assert found.groups.tolist() == pytest.approx(vae.rate(x).mean(0).tolist())
    assert found.groups_error.tolist() == pytest.approx((vae.rate(x).std(0) / len(x) ** 0.5).tolist())
    assert found.distortion.value == pytest.approx(vae.distortion(x).mean().item(), rel=0.01)
    assert found.elbo.value == pytest.approx(-found.distortion.value - found.rate.value)
    assert close(found.elbo, vae.elbo(x).mean().item())


def test_a_full_covariance_has_a_closed_form_rate_but_no_groups():
    model, batches = data()
    found = bound(model, batches, samples=1)
    assert found.groups is None and found.rate.method == "closed form"
    assert found.rate.value == pytest.approx(model.vae().rate(torch.cat(batches)).sum(1).mean().item(), rel=1e-6)
    # at the exact posterior one sample says as much as a thousand
    assert found.rate.value + found.distortion.value != pytest.approx(0)


def mixture_prior():
    parts = Independent(Normal(torch.tensor([[-1.0], [1.0]]), 1.0), 1)
    return MixtureSameFamily(Classes(torch.ones(2)), parts)


def test_a_pair_without_closed_form_is_monte_carlo_and_says_so():
    x = torch.linspace(-2, 2, 50)[:, None]
    model = Adapter(
        posterior=lambda x: normals(x, 0.5), prior=mixture_prior, log_likelihood=lambda x, z: -(z - x).square().sum(-1)
    )
    found = bound(model, [x], samples=400)
    z = torch.linspace(-6, 6, 4001)
    q, p = Normal(x, 0.5), mixture_prior().log_prob(z[:, None])
    truth = torch.trapezoid(q.log_prob(z).exp() * (q.log_prob(z) - p), z).mean().item()
    assert found.rate.method == "Monte Carlo" and "Monte Carlo rate" in found.elbo.method and found.groups is None
    assert found.rate.value == pytest.approx(truth, abs=0.02)


def test_families_of_one_kind_other_than_normal_have_closed_forms():
    one, other = (lambda x: Independent(Laplace(x, 0.5), 1)), (lambda: Independent(Laplace(torch.zeros(2), 1.0), 1))
    model = Adapter(posterior=one, prior=other, log_likelihood=lambda x, z: -(z - x).abs().sum(-1))
    found = bound(model, [torch.randn(20, 2)])
    assert found.rate.method == "closed form" and found.groups.shape == (2,)
    assert found.effective_beta.value is None and "normal prior" in found.effective_beta.note


def test_the_elbo_is_measured_at_samples_not_at_means():
    vae = data()[0].vae()
    _, batches = data()
    found = bound(vae, batches, samples=200)
    at_mean = -vae.log_likelihood(torch.cat(batches), vae.means(torch.cat(batches))[None]).mean().item()
    assert found.distortion.value > at_mean + 0.3  # half a nat for each of two dimensions, nearly


@pytest.mark.parametrize("beta", [0.01, 0.25, 1.0, 4.0])
def test_the_effective_beta_of_a_linear_beta_vae_is_its_beta(beta):
    model, batches = data(800)
    weight = model.weight.square().sum(0) / model.variance  # of orthogonal columns
    v = torch.diag(1 / (weight + beta)) @ model.weight.T / model.variance
    vae = LinearVAE(model, v, beta / (weight + beta))
    found = bound(vae, batches, samples=64).effective_beta
    assert close(found, beta) and found.error < 0.1 * beta


def test_a_q_as_wide_as_the_prior_has_nothing_to_balance():
    model = toy(lambda x: normals(torch.zeros(len(x), 1)))
    assert bound(model, [torch.randn(9, 2)]).effective_beta.value is None
