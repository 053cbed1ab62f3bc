"""Whether the optimum itself is collapsed: against closed forms, NumPy, and short training on either side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli as Coin
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from buttress.core import DataSpec, Layout
from buttress.core.batch import Batch
from buttress.core.model import LatentVariableModel
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimator import Subject
from buttress.diagnostics.estimators.optimum import optimum
from buttress.diagnostics.largest_eigenvalue import eigenvalues_above, lanczos, largest_eigenvalue
from buttress.diagnostics.passes import Encoded
from buttress.diagnostics.protocol import Adapter, Conditional
from buttress.diagnostics.reference import LinearGaussian
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.likelihoods.logistic_mixture import LogisticMixture
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal


def measured(model, x, given=None):
    """The estimates on x in batches of 300."""
    asked = Conditional(model)
    batches = [Batch(part) for part in x.split(300)] if given is None else [Batch(x, given)]
    conditions = () if given is None else tuple(given)
    return optimum(Subject(asked, Encoded(asked, batches), {"seed": 0}, conditions=conditions))


def normal_q(log_likelihood, dims=2):
    """A model with q = p(z) = N(0, I)."""
    return Adapter(
        lambda x: Independent(Normal(torch.zeros(len(x), dims), 1.0), 1),
        lambda: Independent(Normal(torch.zeros(dims), 1.0), 1),
        log_likelihood,
    )


def in_numpy(white):
    """The largest eigenvalue of the covariance of rows."""
    return np.linalg.eigvalsh(np.cov(np.asarray(white, dtype=np.float64), rowvar=False)).max()


def within(estimate, truth, errors=3.0):
    return abs(estimate.value - truth) < errors * estimate.error


def table(values, n=2000, dims=10, seed=0):
    """Normal data whose covariance has these eigenvalues, and 0.1 beyond."""
    own = torch.Generator().manual_seed(seed)
    spread = torch.full((dims,), 0.1)
    spread[: len(values)] = torch.tensor(values)
    rotation = torch.linalg.qr(torch.randn(dims, dims, generator=own))[0]
    return (torch.randn(n, dims, generator=own) * spread.sqrt()) @ rotation.T


# ------------------------------------------------------------------------------------------------ the eigenvalue


def test_lanczos_finds_the_largest_eigenvalue_of_any_covariance():
    own = torch.Generator().manual_seed(0)
    for n, m in ((30, 5), (30, 200), (200, 199)):
        x = torch.randn(n, m, generator=own, dtype=torch.float64)
        value, vector = lanczos(x @ x.T)
        assert value == pytest.approx(np.linalg.eigvalsh((x @ x.T).numpy()).max(), rel=2e-3)
        assert (x @ x.T @ vector - value * vector).norm() < 0.1 * value
    assert lanczos(torch.zeros(4, 4))[0] == 0.0


@pytest.mark.parametrize("dims", [3, 100, 1000])
def test_the_sample_s_own_largest_eigenvalue_is_above_and_the_held_out_one_below(dims):
    own, values = torch.Generator().manual_seed(1), []
    for seed in range(20):
        spread = torch.ones(dims)
        spread[0] = 9.0
        values.append(largest_eigenvalue(torch.randn(400, dims, generator=own) * spread.sqrt(), seed))
    found = {name: np.mean([getattr(v, name) for v in values]) for name in ("held_out", "value", "in_sample", "error")}
    assert found["held_out"] < found["value"] < found["in_sample"]
    assert abs(found["value"] - 9) < 2 * found["error"]
    if dims <= 100:  # and to first order in dims / N the middle is right
        assert abs(found["value"] - 9) < 0.35
    assert sum(abs(v.value - 9) < 3 * v.error for v in values) >= 19


def test_what_varies_in_no_direction_more_than_in_others_is_known_to_be_unknown():
    found = largest_eigenvalue(torch.randn(400, 200, generator=torch.Generator().manual_seed(0)))
    assert found.held_out < 1.2 < 1.8 < found.in_sample and abs(found.value - 1) < 3 * found.error


def test_a_constant_has_no_variance_and_too_few_examples_are_refused():
    assert largest_eigenvalue(torch.ones(50, 3)).value == 0.0
    with pytest.raises(ValueError, match="got 9 examples, wanted at least 10"):
        largest_eigenvalue(torch.ones(9, 3))


# ----------------------------------------------------------------------------------------------- linear-Gaussian


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_the_rate_of_the_linear_optimum_is_zero_exactly_where_the_ratio_is_at_most_beta(beta):
    """At the optimum of the beta-ELBO column i has |w_i|^2 = lambda_i - beta s^2; its rate is that of the best q."""
    x = table([5.0, 2.0, 1.0])
    values, vectors = torch.linalg.eigh(torch.cov(x.double().T, correction=0))
    top = values[-1].item()
    for share in (0.5, 0.97, 1.03, 2.0):
        variance = top * share / beta
        kept = (values.flip(0)[:3] - beta * variance).clamp(min=0)
        weight = vectors.flip(1)[:, :3] * kept.sqrt()
        # p(z|x)^(1/beta) is the posterior of a model whose variance is beta times as large
        rate = LinearGaussian(weight, x.double().mean(0), beta * variance).vae().rate(x).sum(-1).mean()
        found = measured(LinearGaussian(weight, x.double().mean(0), variance).vae(), x.double())
        ratio = found["optimum_ratio"]
        assert within(ratio, top / variance)
        assert (rate.item() < 1e-9) == (top / variance <= beta)
        assert found["likelihood_variance"].value == pytest.approx(variance, rel=1e-3)
        assert within(found["largest_eigenvalue"], top)
        assert found["eigenvalues_above_variance"].value == int((values > variance).sum())
        assert rate * beta <= found["savable_distortion"].value + 1e-9


@pytest.mark.parametrize("dims", [4, 300])
def test_eigenvalues_are_counted_from_both_sides(dims):
    x = table([9.0, 7.0, 5.0, 3.0], n=250, dims=dims)
    for threshold, count in ((1.5, 4), (6.0, 2), (20.0, 0)):
        assert eigenvalues_above(x, threshold) == (count, count)
    noise = torch.randn(200, 400, generator=torch.Generator().manual_seed(0))
    least, most = eigenvalues_above(noise, 1.1)  # all are 1
    assert least < 60 and most > 100
    assert most == int((torch.linalg.eigvalsh(torch.cov(noise.double().T)) > 1.1).sum())
    with pytest.raises(ValueError, match="wanted at least 10"):
        eigenvalues_above(noise[:9], 1.0)


def test_a_shallow_network_leaves_the_collapsed_point_on_one_side_of_the_threshold():
    x = table([5.0, 2.0])
    for variance, used in ((7.0, False), (3.0, True)):
        torch.manual_seed(0)
        vae = Shallow(10)
        vae.fit(x, lambda out, x, s=variance: 0.5 * (out - x).square().sum(-1) / s, steps=400)
        rate = vae.rate(x).mean().item()
        model = normal_q(lambda x, z, vae=vae, s=variance: Normal(vae.decoder(z), s**0.5).log_prob(x).sum(-1))
        ratio = measured(model, x)["optimum_ratio"]
        assert (rate > 0.1) == used == (ratio.value > 1)
        assert rate < 0.01 or used
        assert abs(ratio.value - 1) > 3 * ratio.error  # clear of the threshold
        assert ratio.value == pytest.approx(5 / variance, rel=0.1)


class Shallow(nn.Module):
    """One hidden layer, z of two numbers."""

    def __init__(self, dims, hidden=16):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dims, hidden), nn.Tanh(), nn.Linear(hidden, 4))
        self.decoder = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, dims))

    def rate(self, x):
        mean, log_variance = self.encoder(x).chunk(2, -1)
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)

    def fit(self, x, distortion, steps, beta=lambda step: 1.0):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        for step in range(steps):
            rows = x[torch.randint(len(x), (128,))]
            mean, log_variance = self.encoder(rows).chunk(2, -1)
            out = self.decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
            loss = (distortion(out, rows) + beta(step) * self.rate(rows)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def test_a_squared_error_averaged_over_columns_is_a_gaussian_of_half_as_many_as_variance():
    """The report that is made most often: D = 200, lambda_max = 1.56, annealed, and the KL is zero all the same."""
    x = table([1.56, 1.2, 0.8], dims=200, n=1000)
    torch.manual_seed(0)
    vae = Shallow(200)
    vae.fit(x, lambda out, x: (out - x).square().mean(-1), steps=300, beta=lambda step: min(1.0, step / 150))
    assert vae.rate(x).mean() < 0.01
    found = measured(normal_q(lambda x, z: -(vae.decoder(z) - x).square().mean(-1)), x)
    assert found["likelihood_variance"].value == pytest.approx(100, rel=1e-3)
    assert "lacks the constants" in found["likelihood_variance"].note
    assert within(found["largest_eigenvalue"], 1.56)
    assert found["optimum_ratio"].value + 3 * found["optimum_ratio"].error < 1
    assert found["residual_variance"].value == pytest.approx(x.var().item(), rel=0.1)
    assert found["savable_distortion"].value == pytest.approx(x.var(0).sum().item() / 200, rel=0.05)


def test_one_variance_for_each_column_gives_a_ratio_and_no_variance():
    x = table([5.0, 2.0]) * torch.tensor([1.0, 100.0] * 5)
    scale = torch.tensor([1.0, 50.0] * 5)
    found = measured(normal_q(lambda x, z: Normal(0 * z[..., :1], scale).log_prob(x).sum(-1)), x)
    assert set(found) == {"optimum_ratio", "savable_distortion"}
    assert within(found["optimum_ratio"], in_numpy(x / scale))


# ------------------------------------------------------------------------------------------------- other families


def coins(n=1500, dims=12):
    """Bits that follow two hidden ones, and one that never changes."""
    own = torch.Generator().manual_seed(0)
    hidden = torch.randint(2, (n, 2), generator=own).float()
    x = (torch.rand(n, dims, generator=own) < 0.2 + 0.5 * hidden[:, [0, 1] * (dims // 2)]).float()
    x[:, 3] = 0
    return x


def test_a_bernoulli_is_recognised_and_its_ratio_is_that_of_the_correlation_matrix():
    x = coins()
    changing = [i for i in range(12) if i != 3]
    truth = np.linalg.eigvalsh(np.corrcoef(x[:, changing].numpy(), rowvar=False)).max()
    decoder = nn.Linear(2, 12)
    cross_entropy = F.binary_cross_entropy_with_logits
    for log_likelihood in (
        lambda x, z: Coin(logits=decoder(z)).log_prob(x).sum(-1),
        lambda x, z: -cross_entropy(*torch.broadcast_tensors(decoder(z), x), reduction="none").sum(-1),
    ):
        found = measured(normal_q(log_likelihood), x)
        assert set(found) == {"optimum_ratio"} and "Bernoulli" in found["optimum_ratio"].note
        assert within(found["optimum_ratio"], truth)
    averaged = lambda x, z: -cross_entropy(*torch.broadcast_tensors(decoder(z), x), reduction="none").mean(-1)  # noqa: E731
    found = measured(normal_q(averaged), x)["optimum_ratio"]
    assert within(found, truth / 12) and "averaged" in found.note


def ours(spec, likelihood, decoder=None):
    """A model of parts with random weights."""
    torch.manual_seed(0)
    decoder = MlpDecoder(hidden=(5,)) if decoder is None else decoder
    return LatentVariableModel(
        spec, MlpEncoder(hidden=(5,)), GaussianPosterior(2), StandardNormal(), decoder, likelihood
    ).eval()


def test_the_likelihoods_of_runs_have_the_ratio_that_numpy_finds():
    x = coins()
    bits = ours(DataSpec(Layout.table(12), mean=x.mean(0), std=x.std(0)), Bernoulli(binarize="none"))
    changing = [i for i in range(12) if i != 3]
    truth = np.linalg.eigvalsh(np.corrcoef(x[:, changing].numpy(), rowvar=False)).max()
    assert within(measured(bits, x)["optimum_ratio"], truth)

    own = torch.Generator().manual_seed(0)
    hidden = torch.randint(3, (1500, 1), generator=own)
    codes = torch.where(torch.rand(1500, 8, generator=own) < 0.6, hidden, torch.randint(3, (1500, 8), generator=own))
    maps = ours(DataSpec(Layout.image(1, 2, 4)), Categorical(levels=3, ordinal=False))
    hot = F.one_hot(codes, 3).flatten(1).float()
    found = measured(maps, codes.view(-1, 1, 2, 4))
    assert set(found) == {"optimum_ratio"} and "categorical" in found["optimum_ratio"].note
    assert within(found["optimum_ratio"], in_numpy((hot - hot.mean(0)) / hot.mean(0).sqrt()))


@pytest.mark.parametrize("learned", ["fixed", "scalar", "optimal"])
def test_a_gaussian_run_is_measured_in_the_units_of_its_scaled_variable(learned):
    x = table([5.0, 2.0]) * torch.tensor([1.0, 100.0] * 5) + 30
    x[:, 4] = 7.0  # constant in the training data
    spec = DataSpec(Layout.table(10), mean=x.mean(0), std=x.std(0))
    model = ours(spec, GaussianLikelihood(variance=0.7, learned=learned))
    y = model.likelihood.features(x)
    found = measured(model, x)
    assert found["likelihood_variance"].value == pytest.approx(0.7, rel=1e-4)
    assert within(found["largest_eigenvalue"], in_numpy(y))
    z = model.posterior(x).sample()
    left = (y - model.likelihood.features(model.decode(z).mean)).square()[:, [0, 1, 2, 3, 5, 6, 7, 8, 9]].mean()
    assert found["residual_variance"].value == pytest.approx(left.item(), rel=0.1)
    assert "scaled variable" in found["residual_variance"].note and "lacks" not in found["likelihood_variance"].note


def test_where_the_decoder_gives_variances_they_are_part_of_what_z_may_explain():
    own = torch.Generator().manual_seed(0)
    loud = torch.rand(2000, 1, generator=own) < 0.5  # only the spread of a row depends on anything
    x = torch.randn(2000, 6, generator=own) * torch.where(loud, 2.0, 0.1)
    spec = DataSpec(Layout.table(6), mean=x.mean(0), std=x.std(0))
    found = measured(ours(spec, GaussianLikelihood(learned="per_site")), x)["optimum_ratio"]
    y = ((x - x.mean(0)) / x.std(0, correction=0)).double()
    truth = in_numpy(torch.cat([y, (y.square() - 1) / 2**0.5], 1))
    assert within(found, truth) and truth > 2 > in_numpy(y) + 0.5


# ------------------------------------------------------------------------------------------------------- refusals


def why(model, x, **more):
    found = measured(model, x, **more)
    assert set(found) == {"optimum_ratio"} and found["optimum_ratio"].value is None
    return found["optimum_ratio"].note


def test_decoders_whose_sites_explain_each_other_are_left_out_with_the_reason():
    x = table([5.0, 2.0])
    shifted = lambda x: torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)  # noqa: E731
    lagged = normal_q(lambda x, z: Normal(0.5 * shifted(x) + 0 * z[..., :1], 1.0).log_prob(x).sum(-1))
    assert "depend on each other given z" in why(lagged, x)
    bits = coins()
    net = nn.Sequential(nn.Linear(12, 12), nn.ReLU())
    causal = normal_q(lambda x, z: Coin(logits=net(shifted(x)) + 0 * z[..., :1]).log_prob(x).sum(-1))
    assert "depend on each other given z" in why(causal, bits)
    spec = DataSpec(Layout.image(1, 4, 4), mean=torch.full((1, 4, 4), 0.5), std=torch.full((1, 4, 4), 0.5))
    pixels = ours(spec, Bernoulli(binarize="none"), PixelCNN(channels=4, layers=1))
    assert "depend on each other" in why(pixels, coins(600, 16).view(-1, 1, 4, 4))
    symbols = ours(
        DataSpec(Layout.image(1, 4, 4)), Categorical(levels=2, ordinal=False), PixelCNN(channels=4, layers=1)
    )
    assert "depend on each other" in why(symbols, coins(600, 16).long().view(-1, 1, 4, 4))


def test_what_is_not_known_to_be_a_product_of_known_families_is_left_out_with_the_reason():
    x = table([5.0, 2.0])
    assert "neither a Gaussian" in why(
        normal_q(lambda x, z: Normal(0.0, 1 + z[..., :1].square()).log_prob(x).sum(-1)), x
    )
    laplace = torch.distributions.Laplace(0.0, 1.0)
    assert "neither a Gaussian" in why(normal_q(lambda x, z: laplace.log_prob(x + 0 * z[..., :1]).sum(-1)), x)
    assert "no slope in x" in why(normal_q(lambda x, z: Normal(z[..., :1], 1.0).log_prob(x.detach()).sum(-1)), x)
    spec = DataSpec(Layout.image(1, 2, 5))
    assert why(ours(spec, LogisticMixture(mixtures=2)), 100 + x.round().view(-1, 1, 2, 5))
    flat = normal_q(lambda x, z: Normal(z[..., :1], 1.0).log_prob(x).sum(-1))
    assert "too few" in why(flat, x[:19])
    given = normal_q(lambda x, z, given: Normal(z[..., :1], 1.0).log_prob(x).sum(-1))
    assert "not for conditional models" in why(given, x, given={"label": torch.zeros(len(x))})


def test_integers_and_codes_say_nothing():
    tokens = torch.randint(3, (200, 5), generator=torch.Generator().manual_seed(0))
    assert measured(normal_q(lambda x, z: (x.float() * z[..., :1]).sum(-1)), tokens) == {}
    even = torch.distributions.Categorical(torch.ones(4))
    codes = Adapter(
        lambda x: even.expand((len(x),)), lambda: even, lambda x, z: Normal(z[..., None], 1.0).log_prob(x).sum(-1)
    )
    assert measured(codes, table([5.0])) == {}


# ------------------------------------------------------------------------------------------------- in a diagnosis


def test_the_weight_of_the_rate_is_what_the_user_says_and_is_checked():
    model = LinearGaussian.random(dims=3, latents=1)
    x, quick = model.sample(200)[0], {"nll_samples": 0, "gap_steps": 0}
    found = diagnose(model.vae(), [x], beta=4.0, **quick).estimates
    assert found["rate_weight"].value == 4.0 and found["optimum_ratio"].value > 1
    assert "rate_weight" not in diagnose(model.vae(), [x], **quick).estimates
    with pytest.raises(ValueError, match=r"beta is -1.0, wanted the weight of the rate"):
        diagnose(model.vae(), [x], beta=-1.0, **quick)


def test_the_batches_that_the_data_come_in_make_no_difference():
    model = LinearGaussian.random(dims=3, latents=1)
    x = model.sample(500)[0]
    asked = Conditional(model.vae())
    one, other = (
        optimum(Subject(asked, Encoded(asked, [Batch(p) for p in x.split(size)]), {"seed": 0})) for size in (7, 500)
    )
    assert {k: v.value for k, v in one.items()} == pytest.approx({k: v.value for k, v in other.items()})
