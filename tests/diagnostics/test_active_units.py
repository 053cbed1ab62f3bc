import pytest
import torch
from closed_forms import close, normals, toy
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from buttress.diagnostics.estimate import Moments, mean, ratio
from buttress.diagnostics.estimators.active_units import active_units, activity
from buttress.diagnostics.estimators.collapsed_fraction import collapsed_fraction, critical_rates


def planted(variances, n=1000):
    """x whose columns have exactly these variances."""
    x = torch.randn(n, len(variances), dtype=torch.float64)
    return (x - x.mean(0)) / x.std(0) * torch.tensor(variances, dtype=torch.float64).sqrt()


def test_planted_variances_come_back_and_are_counted():
    x = planted([0.005, 0.02, 1.0, 0.0])
    model = toy(lambda x: normals(x, 3.0), latents=4)
    found = activity(model, list(x.split(170)))
    assert found.variance_of_mean.tolist() == pytest.approx([0.005, 0.02, 1.0, 0.0], abs=1e-6)
    count = active_units(model, [x])
    assert (count.value, count.ceiling, count.n, count.error) == (2.0, 4.0, 1000, None)


def test_a_far_mean_does_not_cancel():
    x = planted([0.02])
    model = toy(lambda x: normals(1e4 + x))
    assert activity(model, list(x.split(7))).variance_of_mean.item() == pytest.approx(0.02, rel=1e-4)


def test_a_family_without_a_mean_is_measured_by_two_independent_samples():
    def squashed(x, scale=1.0):
        return Independent(TransformedDistribution(Normal(x, scale), [TanhTransform()]), 1)

    x = planted([1.0, 0.0], n=4000)
    found = activity(toy(squashed, latents=2), list(x.split(500)))
    noise = torch.linspace(-8, 8, 2001).double()
    weight = Normal(0.0, 1.0).log_prob(noise).exp()
    truth = torch.trapezoid(torch.tanh(x[:, :1] + noise) * weight, noise).var().item()
    assert found.method == "covariance of sample means"
    assert found.variance_of_mean.tolist() == pytest.approx([truth, 0.0], abs=0.01)


def test_a_rare_spike_is_not_collapsed():
    x = torch.zeros(1000, 3)
    x[:20, 0] = 3.0  # one example in fifty: 4.5 nats
    x[:5, 1] = 3.0  # one in two hundred
    model = toy(lambda x: normals(x), latents=3)
    assert collapsed_fraction(model, list(x.split(300))).value == pytest.approx(2 / 3)
    assert collapsed_fraction(model, [x], delta=0.001).value == pytest.approx(1 / 3)
    assert collapsed_fraction(model, [x], epsilon=5.0).value == 1.0


def test_the_critical_rate_of_each_factor_gives_the_collapsed_share_at_every_epsilon():
    x = torch.randn(997, 5, dtype=torch.float64) * torch.tensor([0.01, 0.1, 0.5, 1.0, 3.0])
    model = toy(lambda x: normals(x), latents=5)
    rates = x.square() / 2
    for delta in (0.0, 0.01, 0.3):
        critical = critical_rates(model, list(x.split(100)), delta=delta)
        assert torch.equal(critical, critical_rates(model, [x], delta=delta))
        for epsilon in (1e-6, 0.001, 0.1, 1.0, 10.0):
            share = ((rates < epsilon).double().mean(0) >= 1 - delta).double().mean().item()
            assert (critical < epsilon).double().mean().item() == share
            assert collapsed_fraction(model, [x], epsilon=epsilon, delta=delta).value == pytest.approx(share)


def test_the_collapsed_fraction_needs_a_closed_form():
    model = toy(lambda x: Independent(TransformedDistribution(Normal(x, 1.0), [TanhTransform()]), 1))
    assert collapsed_fraction(model, [torch.zeros(5, 1)]).value is None


def test_moments_do_not_depend_on_the_batches():
    x = torch.randn(100, 3) + 50
    moments = Moments()
    for rows in x.split([1, 60, 39]):
        moments.add(rows)
    assert torch.allclose(moments.variance, x.double().var(0)) and torch.allclose(moments.mean, x.double().mean(0))
    assert torch.allclose(moments.error, x.double().std(0) / 10)


def test_errors_of_means_and_ratios_are_honest():
    means, ratios = [], []
    for _ in range(300):
        below = torch.rand(200) + 0.5
        above = 3 * below + torch.randn(200)
        means.append(mean(above, ""))
        ratios.append(ratio(above, below))
    assert torch.tensor([m.value for m in means]).std() == pytest.approx(means[0].error, rel=0.2)
    assert torch.tensor([r for r, _ in ratios]).std() == pytest.approx(ratios[0][1], rel=0.2)
    assert close(means[0], 3.0)
