"""Causes that a model shows as a whole: subgroups, families, nuisances, levels, averages; and near misses of each."""

import math

import pytest
import torch
from closed_forms import normals
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.codes_alive import ever_taken
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import LinearGaussian
from buttress.distributions.point import Point
from buttress.patients.worlds.pixels import logistic

NARROW, IDLE = "q's family is too narrow", "a level is idle"
BY_FEW, NUISANCE, AVERAGED = "used by few examples", "only a nuisance is encoded", "the log-likelihood is averaged"


def look(model, x, **settings):
    return diagnose(model, [x], **{"nll_samples": 0, "gap_steps": 0} | settings).verdict


# --- used by few ---


def of_a_subgroup(share, n=2000):
    """A z that the first ``share`` of the examples needs for twenty numbers, and that says nothing of the others."""
    own = torch.Generator().manual_seed(0)
    special = torch.arange(n) < share * n
    z = torch.randn(n, 1, generator=own)
    x = torch.cat([special[:, None].float(), 0.5 * torch.randn(n, 20, generator=own)], 1)
    x[:, 1:] += special[:, None] * z
    precision = 1 + 20 / 0.25

    def posterior(x):
        few = x[:, :1]
        loc = few * x[:, 1:].sum(1, keepdim=True) / 0.25 / precision
        return normals(loc, torch.where(few > 0, precision**-0.5, 1.0))

    def log_likelihood(x, z):
        return Normal(x[:, :1] * z, 0.5).log_prob(x[:, 1:]).sum(-1)

    return Adapter(posterior, lambda: normals(torch.zeros(1)), log_likelihood), x


def test_a_hundredth_that_uses_z_in_full_is_named():
    verdict = look(*of_a_subgroup(0.01))
    assert BY_FEW in verdict.causes and "the model ignores z" not in verdict.causes


def test_a_z_that_all_use_is_not_used_by_few():
    verdict = look(*of_a_subgroup(1.0))
    assert verdict.state == "used" and BY_FEW not in verdict.causes


# --- the family of q ---


def correlated(family):
    """Factors of which the data only show the sum: the posterior is correlated, and q is the best of its family. The
    diagonal one loses (6 log 76 - log 451) / 2 = 9.9 nats.
    """
    w = torch.ones(3, 6).double()
    model = LinearGaussian(w, torch.zeros(3).double(), 0.2)
    precision = torch.eye(6).double() + w.T @ w / 0.04
    mean = torch.linalg.solve(precision, w.T / 0.04)
    full = torch.linalg.cholesky(torch.linalg.inv(precision))
    scale = precision.diagonal().rsqrt()

    def posterior(x):
        loc = x.double() @ mean.T
        if family == "full":
            return MultivariateNormal(loc, scale_tril=full.expand(len(loc), 6, 6))
        return normals(loc, scale)

    adapter = Adapter(
        posterior,
        lambda: normals(torch.zeros(6).double()),
        lambda x, z: Normal(z @ w.T, 0.2).log_prob(x).sum(-1),
    )
    return adapter, model.sample(600)[0]


def test_a_diagonal_q_on_a_correlated_posterior_is_too_narrow_and_a_full_one_is_not():
    settings = {"gap_steps": 100, "gap_examples": 100, "nll_samples": 400, "nll_examples": 200}
    diagonal, full = (look(*correlated(family), **settings) for family in ("diagonal", "full"))
    assert NARROW in diagonal.causes and "inference lags" not in diagonal.causes
    assert NARROW not in full.causes


# --- nuisances ---


def sentences(words_too):
    """z tells the length, or the length and the first word of sentences of 50 words."""
    own, wide = torch.Generator().manual_seed(0), 14
    length = torch.randint(2, wide, (1500,), generator=own)
    words = torch.randint(4, 54, (1500, wide), generator=own)
    place = torch.arange(wide)
    x = torch.where(place < length[:, None], words, torch.where(place == length[:, None], 2, 0))

    def told(x):
        long = ((x > 3).sum(-1)[:, None] - 7.5) / 3.4
        word = (x[:, :1] - 28.5) / 14.4
        return torch.cat([long, word if words_too else torch.zeros_like(word)], 1)

    def log_likelihood(x, z):
        long, first = (x > 3).sum(-1), x[:, 0] - 4
        log_p = Categorical(logits=-8 * (torch.arange(2, wide) - (z[..., :1] * 3.4 + 7.5)).square()).log_prob(long - 2)
        if not words_too:
            return log_p - long * math.log(50)
        logits = -0.05 * (torch.arange(50) + 4 - (z[..., 1:] * 14.4 + 28.5)).square()
        return log_p + Categorical(logits=logits).log_prob(first) - (long - 1) * math.log(50)

    scale = torch.tensor([0.15, 0.15 if words_too else 1.0])
    return Adapter(lambda x: normals(told(x), scale), lambda: normals(torch.zeros(2)), log_likelihood), x


@pytest.mark.parametrize("words_too", [False, True])
def test_a_z_that_tells_the_length_alone_is_named(words_too):
    verdict = look(*sentences(words_too))
    assert verdict.state == "used" and (NUISANCE in verdict.causes) is not words_too


# --- levels ---


def two_codes(second):
    """Two slots of four codes; the second repeats nothing, is constant, or is not read."""
    own = torch.Generator().manual_seed(0)
    codes = torch.randint(4, (800, 2), generator=own)
    table = torch.eye(4)
    x = torch.cat([table[codes[:, 0]], table[codes[:, 1]]], 1) + 0.2 * torch.randn(800, 8, generator=own)

    def posterior(x):
        found = torch.stack([x[:, :4].argmax(1), x[:, 4:].argmax(1)], 1)
        if second == "constant":
            found[:, 1] = 0
        return Independent(Point(found), 1)

    def log_likelihood(x, z):
        read = table[z[..., 1]] if second == "read" else torch.full((4,), 0.25)
        means = torch.cat([table[z[..., 0]], read.expand(*z.shape[:-1], 4)], -1)
        return Normal(means, 0.4).log_prob(x).sum(-1)

    uniform = Independent(Categorical(logits=torch.zeros(2, 4)), 1)
    return Adapter(posterior, lambda: uniform, log_likelihood), x


@pytest.mark.parametrize("second", ["read", "constant", "unread"])
def test_a_slot_that_is_constant_or_not_read_is_idle(second):
    verdict = look(*two_codes(second))
    assert (IDLE in verdict.causes) is (second != "read")


# --- averages ---


@pytest.mark.parametrize("how", ["mean", "sum"])
def test_a_squared_error_averaged_over_columns_is_named(how):
    own, sigma = torch.Generator().manual_seed(0), 0.3
    w = torch.linalg.qr(torch.randn(64, 6, generator=own))[0] * torch.linspace(1, 2, 6)
    x = torch.randn(400, 6, generator=own) @ w.T + sigma * torch.randn(400, 64, generator=own)
    precise = w.square().sum(0) + sigma**2

    def log_likelihood(x, z):
        if how == "mean":
            return -(x - z @ w.T).square().mean(-1)
        return Normal(z @ w.T, sigma).log_prob(x).sum(-1)

    model = Adapter(
        lambda x: normals(x @ w / precise, (sigma**2 / precise).sqrt()),
        lambda: normals(torch.zeros(6)),
        log_likelihood,
    )
    assert (AVERAGED in look(model, x, gap_steps=30, gap_examples=50).causes) is (how == "mean")


# --- widths ---


def test_a_q_of_no_width_that_is_read_is_no_model_that_ignores_z():
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    model = Adapter(
        lambda x: normals(x[:, :2], 1e-12),
        lambda: normals(torch.zeros(2)),
        lambda x, z: Normal(torch.cat([z] * 3, -1), 0.5).log_prob(x).sum(-1),
    )
    verdict = look(model, x, gap_steps=20, gap_examples=40)
    assert verdict.causes == ("the estimates are not to be trusted",)  # z is its mean, rounded


@pytest.mark.parametrize("n", [2, 3])
def test_two_or_three_examples_are_measured_without_a_fault(n):
    model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
    assert look(model.vae(), model.sample(n)[0]).state


# --- a loss that averages ---


class Plain(torch.nn.Module):
    """A VAE as people write it."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(256, 8), torch.nn.Sequential(
            torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 256)
        )  # fmt: skip

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        mean, log_variance = self.encoder(x.flatten(1)).chunk(2, -1)
        return self.decode(mean + torch.randn_like(mean) * (log_variance / 2).exp()), mean, log_variance


def trained(x, steps):
    """With a cross-entropy that is averaged over pixels beside a summed KL."""
    torch.manual_seed(0)
    model = Plain()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        recon, mean, log_variance = model(x)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(recon, x.flatten(1)) + kl
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def test_an_averaged_cross_entropy_is_no_lag_unless_the_loss_is_said_to_be_an_elbo():
    x = logistic(500, 16, 3, 2.0)[1]
    model, quick = trained(x, 60), {"likelihood": "bernoulli", "gap_steps": 40, "gap_examples": 40}
    found, said = look(model, x, **quick), look(model, x, **quick, beta=1.0)
    assert (found.cause, said.cause) == ("the loss is not built as an ELBO", "inference lags")
    assert found.advice == () and "averages over the 256 numbers" in " ".join(found.reasons)


# --- codes that are ever taken ---


def test_codes_not_met_yet_are_counted_in_with_an_honest_error():
    """A hundred codes, each taken 2.5 times on average: 92 are met."""
    own, k = torch.Generator().manual_seed(0), 100
    rows = [torch.bincount(torch.randint(k, (250,), generator=own), minlength=k) for _ in range(200)]
    found = torch.tensor([ever_taken(row) for row in rows])
    assert (torch.stack(rows) > 0).sum(1).double().mean() < 93
    assert abs(found[:, 0].mean() - k) < 2
    assert 0.6 < found[:, 0].std() / found[:, 1].sqrt().mean() < 1.5
