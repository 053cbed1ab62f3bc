"""Probabilistic PCA in closed form, against an optimiser, scipy's dense Gaussian and models of linear parts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from buttress.baseline import baseline
from buttress.cli.main import main
from buttress.data.images import Images
from buttress.data.in_memory import as_data
from buttress.decoders.linear import LinearDecoder
from buttress.diagnostics.estimators.active_units import active_units
from buttress.diagnostics.reference import LinearGaussian
from buttress.diagnostics.spectrum import Spectrum
from buttress.encoders.linear import LinearEncoder
from buttress.experiments.ppca import Scaled, gaussian_for, linear_vae, optimum_at
from buttress.posteriors.gaussian import GaussianPosterior, latent_at
from buttress.runtime.memory import NoRoom


@pytest.fixture
def x():
    """Eigenvalues of about 8, 3, 1.5 and four of 0.25, turned and moved."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([8, 3, 1.5, 0.25, 0.25, 0.25, 0.25]).double().sqrt()
    turn = torch.linalg.qr(torch.randn(7, 7, generator=generator, dtype=torch.float64))[0]
    return (torch.randn(800, 7, generator=generator, dtype=torch.float64) * spread) @ turn.T + torch.arange(7)


def test_a_streamed_spectrum_is_that_of_all_rows_together(x):
    found = Spectrum.of((x + 1e4).float().split([1, 300, 499]))
    centred = (x + 1e4).float().double() - (x + 1e4).float().double().mean(0)
    assert torch.allclose(found.values, torch.linalg.eigvalsh(centred.T @ centred / 800).flip(0))
    assert torch.allclose(found.mean, (x + 1e4).float().double().mean(0)) and found.n == 800


@pytest.mark.parametrize("variance", [None, 0.4, 2.0, 20.0])
@pytest.mark.parametrize("latents", [1, 3, 5])
def test_eigenvalues_alone_give_the_mean_log_density_of_the_model(x, latents, variance):
    spectrum = Spectrum.of([x])
    model = LinearGaussian.of_spectrum(spectrum, latents, variance)
    dense = MultivariateNormal(model.mean, model.covariance).log_prob(x)
    assert torch.allclose(model.log_marginal(x), dense)
    assert spectrum.log_marginal(latents, model.variance) == pytest.approx(dense.mean().item(), abs=1e-9)
    assert int((model.weight.norm(dim=0) > 0).sum()) == min(latents, spectrum.above(model.variance))


def test_a_column_left_out_gains_what_is_said_or_stays_collapsed(x):
    spectrum = Spectrum.of([x])
    for used, variance in ((0, 1.0), (1, 1.0), (2, 1.0)):
        more, fewer = spectrum.log_marginal(used + 1, variance), spectrum.log_marginal(used, variance)
        assert spectrum.gain(used, variance) == pytest.approx(more - fewer if used else _collapsed_gain(spectrum, more))
    assert spectrum.above(1.0) == 3 and spectrum.gain(3, 1.0) == 0.0
    model = LinearGaussian.of_spectrum(spectrum, 2, 2.0)  # two are above 2: a third column may only lose
    best = model.log_marginal(x).mean()
    for seed in range(20):
        column = 0.05 * torch.randn(7, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert replace(model, weight=torch.cat([model.weight, column], 1)).log_marginal(x).mean() < best
    saddle = LinearGaussian.of_spectrum(spectrum, 1, 2.0)
    up = torch.cat([saddle.weight, 0.05 * spectrum.vectors[:, 1:2]], 1)
    assert replace(saddle, weight=up).log_marginal(x).mean() > saddle.log_marginal(x).mean()


def _collapsed_gain(spectrum, more):
    flat = -0.5 * (spectrum.dims * math.log(2 * math.pi) + spectrum.values.sum().item())
    return more - flat


def test_what_cannot_be_is_refused(x, monkeypatch):
    with pytest.raises(ValueError, match="wanted 1 to 6"):
        Spectrum.of([x]).best_variance(7)
    with pytest.raises(ValueError, match="unbounded"):
        Spectrum.of([x[:, :2] @ torch.ones(2, 4).double()]).best_variance(2)
    with pytest.raises(ValueError, match="no examples"):
        Spectrum.of([])
    monkeypatch.setattr("buttress.runtime.memory.total_memory", lambda: 1000)
    with pytest.raises(NoRoom, match="covariance of 7 numbers"):
        Spectrum.of([x])


def linear_model(data, latents, variance):
    splits = data.open()
    recipe = replace(
        baseline(data, splits.spec),
        encoder=LinearEncoder(),
        posterior=GaussianPosterior(latents, variance="constant"),
        decoder=LinearDecoder(),
        likelihood=replace(gaussian_for(splits.spec), variance=variance, learned="fixed"),
    )
    torch.manual_seed(0)
    return splits, recipe.model(splits.spec).double()


def exact_elbo(model, x):
    """Of a linear model: z at sigma points, whose first and second moments are those of q."""
    q = model.inference.normal(model.encode(x))
    k = q.loc.shape[-1]
    points = math.sqrt(k) * torch.cat([torch.eye(k), -torch.eye(k)]).double()[:, None].expand(-1, len(x), -1)
    latent = latent_at(q, model.prior(), points)
    return model.log_likelihood(x, latent.z).mean(0) - latent.kl.sum(1)


def fitted(model, x, steps=40):
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=25, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def loss():
        optimiser.zero_grad()
        value = -exact_elbo(model, x).mean()
        value.backward()
        return value

    for _ in range(steps):
        optimiser.step(loss)
    return model.eval()


@pytest.mark.parametrize("variance", [0.05, 0.3, 1.0])
def test_linear_parts_meet_the_optimum_of_ppca_and_use_as_many_latents_as_eigenvalues_exceed_the_variance(x, variance):
    splits, model = linear_model(as_data(x.float()), 4, variance)
    data = Scaled(splits, gaussian_for(splits.spec))
    spectrum = Spectrum.of(data.train())
    best = optimum_at(data, spectrum, 4, variance)
    train = splits.train.batch(torch.arange(len(splits.train))).double()
    fitted(model, train)
    elbo = exact_elbo(model, train).mean().item()
    assert elbo == pytest.approx(best.train, abs=0.01)
    assert active_units(model, [train]).value == best.used == min(4, spectrum.above(variance))
    closed = linear_vae(model)
    y = model.likelihood.features(train).double()
    assert closed.elbo(y).mean().item() - data.log_units == pytest.approx(elbo, abs=1e-6)


def test_the_closed_form_of_linear_parts_is_their_elbo_for_colours_and_constant_columns(x, tmp_path, own_cache):
    levels = np.random.default_rng(0).integers(0, 256, (40, 3, 2, 2), np.uint8)
    np.save(tmp_path / "colours.npy", levels)
    flat = x.float().clone()
    flat[:, 2] = 3.0
    for data in (Images(str(tmp_path / "colours.npy"), layout="NCHW"), as_data(flat)):
        splits, model = linear_model(data, 2, 0.5)
        rows = model.observe(splits.train.batch(torch.arange(20)).float())
        scaled = Scaled(splits, gaussian_for(splits.spec))
        closed = linear_vae(model.eval()).elbo(model.likelihood.features(rows).flatten(1)[:, scaled.kept])
        assert torch.allclose(closed - scaled.log_units, exact_elbo(model, rows.double()), atol=1e-4)
    assert scaled.constant == (splits.spec.columns[2],) and Spectrum.of(scaled.train()).dims == 6


def test_a_shifted_encoder_is_accounted_for():
    model = LinearGaussian.random(dims=4, latents=2, variance=0.3)
    moved = replace(model.vae(), shift=torch.tensor([0.5, -1.0]).double())
    x, _ = model.sample(200_000)
    assert moved.rate(x).sum(1).mean().item() == pytest.approx(
        moved.mutual_information() + moved.aggregate_kl(), rel=0.01
    )
    prior = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q = moved.posterior(x).sample()
    lost = model.log_likelihood(x, q[None]).mean() - model.log_likelihood(x, prior[None]).mean()
    assert lost.item() == pytest.approx(moved.worth_prior(), rel=0.03)


def test_only_linear_models_have_a_closed_form(x):
    data = as_data(x.float())
    spec = data.open().spec
    with pytest.raises(ValueError, match="expected a linear model"):
        linear_vae(baseline(data, spec).model(spec))


def test_the_command_prints_the_spectrum_of_a_table(x, tmp_path, capsys):
    np.save(tmp_path / "table.npy", x.numpy().astype("float32"))
    assert (
        main(
            [
                "ppca",
                str(tmp_path / "table.npy"),
                "--latents",
                "2",
                "--variance",
                "100",
                "--out",
                str(tmp_path / "s.json"),
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "stays collapsed" in printed and "0 of 2" in printed and "2 of 2" in printed
    assert (tmp_path / "s.json").read_text().count("\n") > 7
    assert main(["ppca", str(tmp_path / "table.npy")]) == 0  # of 50 latents there can be but 6
    assert "of 6" in capsys.readouterr().out
    assert main(["ppca", str(tmp_path / "table.npy"), "--latents", "7"]) == 2
    assert "wanted 1 to 6" in capsys.readouterr().err


def test_the_variance_of_q_is_one_number_a_dimension_whatever_x():
    module = GaussianPosterior(2, variance="constant").build(features=3)
    q = module(torch.randn(5, 3)).base_dist
    assert q.scale.shape == (5, 2) and (q.scale == 1).all() and q.loc.std() > 0
    module.log_variance.data.fill_(-100.0)
    assert module(torch.randn(5, 3)).variance.min() > math.exp(-12.1)
