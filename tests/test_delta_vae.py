"""The AR(1) prior against other ways to its KL and its least rate; what the anti-causal encoders know; delta-VAE."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, Space, remedy
from buttress.data.lstm_text import LstmText
from buttress.data.mnist5k import Mnist5k
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.distributions.ar1 import AR1
from buttress.distributions.inspect import closed_form_kl
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.encoders.rows import RowsEncoder
from buttress.posteriors.committed_gaussian import CommittedGaussian
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.ar1 import AR1Prior, coefficients
from cells import SPECS, given_for, raw_data

ALPHA = torch.tensor([[0.0, 0.0], [0.3, 0.9], [0.3, 0.9], [0.3, 0.9]], dtype=torch.float64)


def whole(alpha):
    """The same sequence of one dimension as a multivariate normal: its covariance is a product of coefficients."""
    places = len(alpha)
    rows = [[torch.prod(alpha[min(i, j) + 1 : max(i, j) + 1]) for j in range(places)] for i in range(places)]
    return MultivariateNormal(torch.zeros(places).double(), torch.tensor(rows).double())


def a_posterior(batch=5):
    torch.manual_seed(1)
    return Independent(Normal(torch.randn(batch, 4, 2).double(), 0.3 + torch.rand(batch, 4, 2).double()), 2)


def test_the_kl_is_that_of_the_multivariate_normal():
    q = a_posterior()
    parts = [MultivariateNormal(q.mean[..., k], covariance_matrix=q.variance[..., k].diag_embed()) for k in range(2)]
    wanted = sum(kl_divergence(part, whole(ALPHA[:, k])) for k, part in enumerate(parts))
    torch.testing.assert_close(kl_divergence(q, AR1(ALPHA)), wanted)
    torch.testing.assert_close(closed_form_kl(q, AR1(ALPHA)), wanted)


def test_the_kl_is_the_mean_of_the_log_ratio():
    q, p = a_posterior(), AR1(ALPHA)
    z = q.sample((20_000,))
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(0) / len(z) ** 0.5
    assert ((ratio.mean(0) - kl_divergence(q, p)).abs() < 4 * error).all()


def test_density_and_samples_are_those_of_the_multivariate_normal():
    p = AR1(ALPHA)
    z = torch.randn(7, 4, 2).double()
    wanted = sum(whole(ALPHA[:, k]).log_prob(z[..., k]) for k in range(2))
    torch.testing.assert_close(p.log_prob(z), wanted)
    torch.manual_seed(0)
    drawn = p.sample((40_000,))
    for k in range(2):
        torch.testing.assert_close(torch.cov(drawn[..., k].T), whole(ALPHA[:, k]).covariance_matrix, atol=0.03, rtol=0)


def test_no_posterior_comes_below_delta_and_descent_ends_there():
    prior = AR1Prior(delta=1.7).build(Space((6, 3)))
    p = prior({"lengths": torch.tensor([6, 4, 2, 1])})
    assert p.committed[0].item() == pytest.approx(1.7, abs=1e-5) and p.committed[3].item() == 0
    mean = torch.randn(4, 6, 3).mul(0.5).requires_grad_()
    log = torch.randn(4, 6, 3).mul(0.5).requires_grad_()
    optimizer = torch.optim.Adam([mean, log], 0.05)
    for _ in range(600):
        rate = p.kl_from(Normal(mean, log.exp()))
        assert (rate >= p.committed - 1e-5).all()
        optimizer.zero_grad()
        rate.sum().backward()
        optimizer.step()
    torch.testing.assert_close(rate, p.committed, atol=1e-4, rtol=0)


def test_delta_is_the_closed_form_of_the_paper():
    a = coefficients(delta=2.5, places=9, dims=4).double()
    assert (0.5 * (7 * (1 + a**2).log() - (1 - a**2).log())).sum().item() == pytest.approx(2.5, abs=1e-5)
    with pytest.raises(ValueError, match="more dimensions or a smaller delta"):
        coefficients(delta=1000.0, places=3, dims=1)


def test_places_beyond_the_length_cost_nothing():
    p = AR1Prior().build(Space((6, 2)))({"lengths": torch.tensor([3])})
    q = torch.randn(1, 6, 2), torch.rand(1, 6, 2) + 0.2
    inside = (torch.arange(6) < 3)[:, None]
    padded = Normal(torch.where(inside, q[0], 0.0), torch.where(inside, q[1], 1.0))
    alone = AR1(p.alpha[:, :3]).kl_from(Normal(q[0][:, :3], q[1][:, :3]))
    torch.testing.assert_close(p.kl_from(padded), alone)


@pytest.mark.parametrize("delta", [0.4, 3.0])
def test_every_batch_of_sentences_costs_delta_at_least_and_padding_changes_nothing(delta):
    spec = SPECS["text"]
    recipe = replace(
        baseline(LstmText(), spec), encoder=RecurrentEncoder(3, 4), decoder=RecurrentDecoder(embedding=3, hidden=4)
    )
    model = remedy.apply(f"delta_vae:delta={delta}:dim=2", recipe).model(spec).eval()
    x = model.observe(raw_data(spec, recipe.likelihood))
    given = given_for(spec, x)
    with torch.no_grad():
        for weight in model.inference.parameters():
            weight.add_(0.5 * torch.randn_like(weight))
        rate = model(x, given=given).latent.rate.sum(-1)
        assert (rate >= model.prior(given).committed - 1e-5).all()
        for i, size in enumerate(given["lengths"].tolist()):  # without its padding, and alone
            own = model(x[i : i + 1, :size], given={"lengths": given["lengths"][i : i + 1]}).latent.rate.sum(-1)
            torch.testing.assert_close(own, rate[i : i + 1])


def test_z_of_a_token_knows_it_and_those_after_it_alone():
    x = torch.tensor([[4, 5, 6, 4, 2, 0, 0], [4, 5, 2, 0, 0, 0, 0]])
    encoder = RecurrentEncoder(3, 4, positions=True, backward=True).build(DataSpec(Layout.text(9, longest=7)))
    with torch.no_grad():
        h = encoder(x)
        for t in range(4):
            other = x.clone()
            other[0, t] = 8
            changed = (encoder(other) != h).any(-1)
            assert changed[0].tolist() == [place <= t for place in range(7)] and not changed[1].any()


def test_z_of_a_row_knows_it_and_those_below_alone_and_speaks_to_it_alone():
    spec = DataSpec(Layout.image(1, 5, 4))
    encoder = RowsEncoder(hidden=3).build(spec)
    x = torch.rand(1, 1, 5, 4, requires_grad=True)
    for i in range(5):
        (slope,) = torch.autograd.grad(encoder(x)[0, i].sum(), x)
        assert slope[0, 0].any(-1).tolist() == [row >= i for row in range(5)]
    recipe = baseline(Mnist5k(), spec)
    decoder = PixelCNN(field=3, layers=2, channels=4, maps=2).build(spec, (5, 2), recipe.likelihood.build(spec))
    z = torch.randn(1, 5, 2, requires_grad=True)
    out = decoder.parameters_of(z.flatten(1), torch.zeros(1, 1, 5, 4))
    (slope,) = torch.autograd.grad(out[0, 2].sum(), z)
    assert slope[0].any(-1).tolist() == [row == 2 for row in range(5)]


def test_the_remedy_fits_images_and_commits_them():
    spec = DataSpec(Layout.image(1, 28, 28))
    recipe = replace(baseline(Mnist5k(), spec), decoder=PixelCNN(layers=2, channels=4, maps=2))
    model = remedy.apply("delta_vae:delta=5", recipe).model(spec)
    terms = model(torch.bernoulli(torch.rand(2, 1, 28, 28)))
    assert model.space.shape == (28, 4) and (terms.latent.rate.sum(-1) >= 5 - 1e-4).all()


@pytest.mark.parametrize("delta", [0.01, 1.0, 20.0])
def test_the_independent_version_is_committed_in_every_dimension(delta):
    torch.manual_seed(0)
    module = CommittedGaussian(dim=4, delta=delta).build(features=3)
    prior = Independent(Normal(torch.zeros(4), 1.0), 1)
    for size in (0.0, 1.0, 30.0, 1000.0):
        latent = module.latent(size * torch.randn(50, 3), prior)
        assert (latent.kl >= delta / 4 - 1e-5 * (1 + delta)).all() and torch.isfinite(latent.kl).all()


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="one z at each of two or more positions"):
        AR1Prior().build(Space((7, 7, 2)))
    with pytest.raises(ValueError, match="above 0"):
        AR1Prior(delta=0.0)
    with pytest.raises(ValueError, match="choose one of them"):
        RecurrentEncoder(backward=True, bidirectional=True)
    text = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
    with pytest.raises(remedy.DoesNotFit, match="posterior"):
        remedy.apply("delta_vae+batch_norm", replace(text, posterior=GaussianPosterior(4)))
