import math
from typing import ClassVar

import pytest
import torch
from closed_forms import close, data, normals, toy
from torch.distributions import Beta, Distribution, Independent, Normal, Uniform, constraints

from buttress.diagnostics.aggregate import Aggregate
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimators.mutual_information import (
    aggregate_kl,
    beside_rate,
    information,
    mutual_information,
)
from buttress.diagnostics.estimators.prior_moments import aggregate_kl_at_least
from buttress.diagnostics.estimators.rate import bound
from buttress.diagnostics.passes import passes
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.diagnostics.verdict import COLLAPSED, USED


@pytest.mark.parametrize("progress", [0.3, 1.0])
def test_both_halves_agree_with_the_linear_vae(progress):
    model, batches = data(2000)
    vae = model.lagging(progress)
    assert close(mutual_information(vae, batches), vae.mutual_information())
    assert aggregate_kl(vae, batches).value == pytest.approx(vae.aggregate_kl(), abs=0.1)


def test_a_full_covariance_goes_the_general_way_and_agrees():
    model, batches = data(1000)
    assert close(mutual_information(model, batches), model.mutual_information())


@pytest.mark.parametrize("n", [2, 10, 600])
def test_posteriors_far_apart_give_log_n_and_say_that_it_is_the_ceiling(n):
    model = toy(lambda x: normals(x, 0.01))
    found = information(model, list(torch.arange(float(n))[:, None].split(4)))
    assert found.mutual_information.value == pytest.approx(math.log(n), abs=1e-9)
    assert found.mutual_information.ceiling == pytest.approx(math.log(n))
    assert "at its ceiling: a lower bound" in found.mutual_information.note
    assert "upper bound" in found.aggregate_kl.note


def test_the_ceiling_is_never_passed():
    for seed in range(20):
        found = mutual_information(toy(lambda x: normals(x, 0.3)), [torch.randn(30, 1)], seed=seed)
        assert found.value <= found.ceiling


def test_the_ceiling_is_that_of_the_whole_data_not_of_a_batch():
    model = toy(lambda x: normals(x, 0.01))
    found = mutual_information(model, list(torch.arange(320.0)[:, None].split(32)))
    assert found.value == pytest.approx(math.log(320)) and found.value > math.log(32) + 2


def test_a_cap_is_stated():
    found = mutual_information(toy(lambda x: normals(x, 0.01)), [torch.arange(100.0)[:, None]], examples=40)
    assert (found.n, found.ceiling) == (40, pytest.approx(math.log(40))) and "N = 40" in found.note


def test_q_equal_to_the_prior_gives_nothing():
    model = toy(lambda x: normals(torch.zeros(len(x), 3)), latents=3)
    found = information(model, [torch.randn(500, 2)])
    assert found.mutual_information.value == pytest.approx(0, abs=1e-9)
    assert found.aggregate_kl.value == pytest.approx(0, abs=1e-5)
    assert "ceiling" not in found.mutual_information.note


def mixture(x, scale):
    """Truth by quadrature: I and KL(q || p) of the mixture of N(x_n, scale^2)."""
    z = torch.linspace(-12, 12, 20001).double()
    q = Normal(x.double(), scale).log_prob(z)
    whole, p = q.logsumexp(0) - math.log(len(x)), Normal(0.0, 1.0).log_prob(z)
    information = torch.trapezoid(q.exp() * (q - whole), z).mean().item()
    return information, torch.trapezoid(whole.exp() * (whole - p), z).item()


@pytest.mark.parametrize("scale", [0.2, 1.0])
def test_the_rate_splits_on_a_mixture_as_by_quadrature(scale):
    x = torch.tensor([[-2.0], [-0.5], [0.1], [2.5]])
    model = toy(lambda x: normals(x, scale))
    found = information(model, [x], samples=20_000)
    one, other = mixture(x, scale)
    assert found.mutual_information.value == pytest.approx(one, abs=0.02)
    assert found.aggregate_kl.value == pytest.approx(other, abs=0.04)
    rate = bound(model, [x]).rate.value
    assert rate == pytest.approx(one + other, abs=1e-3)
    assert found.mutual_information.value + found.aggregate_kl.value == pytest.approx(rate, abs=0.04)


class Plain(Distribution):
    """A normal that nothing is known about."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector

    def __init__(self, inner):
        self.inner = inner
        super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)

    def sample(self, shape=()):
        return self.inner.sample(shape)

    def log_prob(self, z):
        return self.inner.log_prob(z)


def test_the_fast_way_for_normals_equals_the_general_one():
    loc, scale = 30 + torch.randn(50, 4).double(), torch.rand(50, 4).double() * 0.1 + 1e-3
    fast, slow = (
        Aggregate(list(passes(toy(posterior), [loc])))
        for posterior in (lambda x: normals(x, scale), lambda x: Plain(normals(x, scale)))
    )
    e = torch.randn(3, 50, 4).double()
    z, own = loc + scale * e, torch.arange(50)
    log_q = normals(loc, scale).log_prob(z)
    assert torch.allclose(fast.log_prob(z, own, log_q, e), slow.log_prob(z, own, log_q, None), atol=1e-6)


def test_any_distribution_will_do():
    x = torch.tensor([[-2.0], [2.5]])
    found = mutual_information(toy(lambda x: Plain(normals(x, 1.0))), [x], samples=20_000)
    assert found.value == pytest.approx(mixture(x, 1.0)[0], abs=0.02)


def test_its_standard_error_is_honest():
    model, _ = data()
    vae, values = model.lagging(0.5), []
    for seed in range(60):
        values.append(mutual_information(vae, [model.sample(300, seed=seed)[0]], seed=seed))
    spread = torch.tensor([v.value for v in values]).std().item()
    assert spread == pytest.approx(sum(v.error for v in values) / 60, rel=0.35)


def test_noise_puts_the_estimate_above_the_rate_but_not_by_more_than_the_errors_allow():
    model, _ = data()
    vae = model.lagging(0.05)
    above, rates = [], []
    for seed in range(60):
        x = [model.sample(20, seed=seed)[0]]
        found, rate = mutual_information(vae, x, seed=seed), bound(vae, x, samples=1, seed=seed).rate
        rates.append(rate.value)
        above.append(found.value > rate.value)
        assert beside_rate(found, rate) == found
    assert 0 < sum(above) < 30
    assert sum(rates) / 60 == pytest.approx(vae.mutual_information() + vae.aggregate_kl(), rel=0.01)


def without_constant(model, constant):
    """The model with log p(z) too large by ``constant``: no density."""
    prior = model.prior()

    class Loud(Plain):
        def log_prob(self, z):
            return prior.log_prob(z) + constant

    return Adapter(model.posterior, lambda: Loud(prior), model.log_likelihood)


def test_a_rate_that_is_too_low_by_a_constant_is_told_and_the_verdict_rests_on_it():
    model, batches = data(300)
    sound, wrong = (diagnose(m, batches, nll_samples=0, gap_steps=0) for m in (model, without_constant(model, 2.6)))
    assert sound.verdict.state == USED and "above the rate" not in sound.estimates["mutual_information"].note
    assert "more than noise" in (note := wrong.estimates["mutual_information"].note) and note.startswith("N = 300; ")
    assert wrong.verdict.state == COLLAPSED
    assert any("cannot exceed the rate" in reason for reason in wrong.verdict.reasons)


@pytest.mark.parametrize(("value", "told"), [(0.5, False), (0.5001, False), (0.51, True), (None, False)])
def test_codes_that_reach_their_rate_are_within_rounding(value, told):
    found = beside_rate(Estimate(value, 0.0, 100, "counting equal codes"), Estimate(0.5, 0.0, 100, "closed form"))
    assert ("above the rate" in found.note) is told


@pytest.mark.parametrize("width", [1.0, 3.0])
def test_uniform_posteriors_split_as_by_counting_overlaps(width):
    """x on a lattice: z in [x, x + width) could come from ``width`` of N places."""
    x = torch.arange(40.0)[:, None]
    model = toy(lambda x: Independent(Uniform(x, x + width), 1))
    found = information(model, [x], samples=2000)
    number = torch.tensor([min(i + 1, 40 + int(width) - 1 - i, width) for i in range(40 + int(width) - 1)])
    truth = math.log(40) - (number * number.log()).sum().item() / (40 * width)
    assert found.mutual_information.value == pytest.approx(truth, abs=0.01)
    assert diagnose(model, [x], nll_samples=3, gap_steps=2).estimates["nll"].value is not None


def test_a_density_that_is_no_number_outside_its_support_counts_as_none():
    from buttress.distributions.inspect import log_density

    q = Independent(Beta(torch.full((3, 2), 2.0), 3.0), 1)
    z = torch.tensor([[0.5, 0.5], [0.5, -1.0], [2.0, 0.5]])
    assert torch.isfinite(log_density(q, z)).tolist() == [True, False, False]
    assert torch.equal(log_density(q, z[:, None])[:, 0], log_density(q, z))


def test_the_moments_of_all_q_prove_a_part_of_their_distance_from_the_prior():
    """For q(z) that is normal with independent coordinates it is all of it; for others it is no more."""
    model = LinearGaussian(torch.eye(4, 2).double(), torch.zeros(4).double(), 0.5)
    loud = LinearVAE(model, 3 * model.vae().encoder, model.vae().spread)
    x = model.sample(4000)[0]
    assert close(aggregate_kl_at_least(loud, [x]), loud.aggregate_kl())
    mixed = LinearVAE(model, torch.tensor([[2.0, 1, 0, 0], [1, 2, 0, 0]]).double(), model.vae().spread)
    proven = aggregate_kl_at_least(mixed, [x])
    assert proven.value + 2 * proven.error < mixed.aggregate_kl()
    near = aggregate_kl_at_least(model.vae(), [x])
    assert abs(near.value) <= 3 * near.error + 2 / 4000
