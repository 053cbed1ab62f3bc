"""Total correlation against the closed form of a Gaussian aggregate, its errors and its bias."""

from __future__ import annotations

import math

import pytest
import torch
from closed_forms import close, normals, toy

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.total_correlation import total_correlation


def codes(correlation: float, n: int, d: int = 2, seed: int = 0):
    """Means of q whose coordinates correlate."""
    c = torch.full((d, d), correlation).double() + (1 - correlation) * torch.eye(d).double()
    drawn = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()
    return drawn @ torch.linalg.cholesky(c).T, c


def truth(c, sigma: float) -> float:
    """Of N(0, C + sigma^2 I)."""
    q = c + sigma**2 * torch.eye(len(c))
    return -0.5 * torch.logdet(q / torch.sqrt(q.diag()[:, None] * q.diag())).item()


def found(x, sigma: float, **settings):
    return total_correlation(toy(lambda x: normals(x, sigma), x.shape[1]), list(x.split(700)), **settings)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_it_is_that_of_a_gaussian_aggregate(correlation, sigma):
    x, c = codes(correlation, 2000)
    both = found(x, sigma)
    assert close(both.estimate, truth(c, sigma)), (both.estimate, truth(c, sigma))
    assert both.at_least.value - 4 * both.at_least.error < truth(c, sigma)
    assert both.at_least.value < both.estimate.value


def test_it_is_zero_for_independent_codes_of_every_combination():
    grid = torch.cartesian_prod(*[torch.linspace(-2, 2, 12).double()] * 2)  # the mixture is a product exactly
    both = found(grid, 0.1)
    assert abs(both.estimate.value) < 1e-9


def test_the_bound_and_the_estimate_part_where_examples_are_few_for_what_z_tells():
    x, c = codes(0.0, 300, d=4)
    both = found(x, 0.1)  # 9.3 nats of information among 300 examples, log 300 = 5.7
    assert both.estimate.value > 1 and both.at_least.value < 0 == pytest.approx(truth(c, 0.1))


def test_minibatches_are_biased_the_published_weights_most_of_all():
    x, c = codes(0.5, 1000)
    true, whole = truth(c, 0.5), found(x, 0.5).estimate
    for batch, slack in ((50, 0.08), (500, 0.03)):
        stratified = found(x, 0.5, minibatch=batch).estimate
        assert abs(stratified.value - true) < slack + 3 * stratified.error
    narrow = (found(x, 0.1, minibatch=500).estimate.value, found(x, 0.1).estimate.value)
    assert narrow[0] < narrow[1]  # noise lowers a logarithm; too large a weight of its own q would raise it
    published = found(x, 0.5, minibatch=1000 // 2, stratified=False).estimate
    assert published.value - true == pytest.approx(math.log(1000), abs=0.3)  # (D - 1) log N, D = 2
    assert close(whole, true) and found(x, 0.5, minibatch=1000).estimate == whole
    with pytest.raises(ValueError, match="minibatch is 1 for 1000 examples"):
        found(x, 0.5, minibatch=1)


@pytest.mark.parametrize("which", ["estimate", "at_least"])
def test_errors_are_the_spread_over_data_sets(which):
    rows = [getattr(found(codes(0.9, 150, seed=seed)[0], 0.5, seed=seed), which) for seed in range(100)]
    spread = torch.tensor([row.value for row in rows]).std().item()
    assert 0.8 < sum(row.error for row in rows) / len(rows) / spread < 1.2


def test_it_is_measured_where_margins_are_known():
    x, _ = codes(0.5, 200)
    whole = torch.distributions.MultivariateNormal(x[:1] * 0, 0.1 * torch.eye(2).double())
    model = toy(lambda x: whole.expand((len(x),)), 2)
    assert total_correlation(model, [x]).estimate.value is None
    quick = {"nll_samples": 0, "gap_steps": 0}
    assert "total_correlation" in diagnose(toy(lambda x: normals(x, 0.5), 2), [x], **quick).estimates
    assert "total_correlation" not in diagnose(toy(lambda x: normals(x[:, :1], 0.5), 1), [x], **quick).estimates
