"""Numbers of z in units of the prior: the same for a z rescaled together with its prior."""

import math

import pytest
import torch
from closed_forms import data, normals
from torch.distributions import (
    AffineTransform,
    Bernoulli,
    Cauchy,
    ExpTransform,
    Independent,
    MultivariateNormal,
    Normal,
    StudentT,
    TanhTransform,
    TransformedDistribution,
    Uniform,
)

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.active_units import active_units, discrete
from buttress.diagnostics.estimators.posterior_scale import posterior_scale
from buttress.diagnostics.prior_scale import prior_moments, variance_of
from buttress.diagnostics.protocol import Adapter

QUICK = {"nll_samples": 0, "gap_steps": 0}


def scaled(by, means=0.04):
    """Eight coordinates whose means move by ``means`` of the prior's sd, which is ``by``."""
    return Adapter(
        lambda x: normals(by * means * x, by),
        lambda: normals(torch.zeros(8), by),
        lambda x, z: -x.square().sum(-1).expand(z.shape[:2]),
    )


@pytest.mark.parametrize("by", [1e-3, 1.0, 100.0])
def test_active_units_do_not_change_with_the_scale_of_z(by):
    x = torch.randn(500, 8)
    assert active_units(scaled(by), [x]).value == 0.0
    assert active_units(scaled(by, means=0.5), [x]).value == 8.0
    assert diagnose(scaled(by), [x], **QUICK).estimates["posterior_scale"].value == pytest.approx(1.0, abs=1e-5)


def test_a_prior_that_depends_on_what_is_given_takes_its_part():
    """q equal to a prior that moves with the label says nothing beyond it."""
    from buttress.core.batch import Batch

    label = torch.randint(0, 2, (400, 1)).float()
    for extra, active in ((0.0, 0.0), (0.5, 1.0)):
        model = Adapter(
            lambda x, given, extra=extra: normals(10 * given["label"] + extra * x, 1.0),
            lambda given: normals(10 * given["label"], 1.0),
            lambda x, z: -x.square().sum(-1).expand(z.shape[:2]),
        )
        batches = [Batch(torch.randn(400, 1), {"label": label})]
        assert active_units(model, batches).value == active


@pytest.mark.parametrize(
    ("p", "loc", "scale"),
    [
        (Normal(1.0, 2.0), 1.0, 2.0),
        (Uniform(0.0, 1.0), 0.5, 12**-0.5),
        (TransformedDistribution(Normal(0.0, 0.5), [ExpTransform()]), math.exp(0.125), 0.604),
        (TransformedDistribution(Uniform(0.0, 1.0), [AffineTransform(2.0, 4.0)]), 4.0, 4 * 12**-0.5),
        (Cauchy(3.0, 1.0), 3.0, 1 / 0.6745),
        (StudentT(5.0, 1.0, 1.0), 1.0, (5 / 3) ** 0.5),
    ],
)
def test_the_moments_of_a_prior_come_from_its_family_or_from_samples(p, loc, scale):
    found = [value.item() for value in prior_moments(Independent(p.expand((1,)), 1))]
    assert found == pytest.approx([loc, scale], rel=0.12)


def test_the_width_of_a_q_without_a_variance_comes_from_samples():
    q = TransformedDistribution(Normal(torch.zeros(3), 0.1), [TanhTransform()])
    assert variance_of(q, torch.arange(3)).sqrt().mean().item() == pytest.approx(0.1, rel=0.2)


def test_one_narrow_coordinate_of_sixteen_decides():
    x = torch.randn(400, 16)
    used = torch.arange(16) == 3

    def model(scale):
        return Adapter(
            lambda x: normals(x * used, torch.where(used, scale, 1.0)),
            lambda: normals(torch.zeros(16)),
            lambda x, z: Normal(z, 0.5).log_prob(x)[..., 3],
        )

    for scale in (1e-4, 0.37):
        found = diagnose(model(scale), [x], **QUICK).estimates["posterior_scale"]
        assert found.value == pytest.approx(scale, rel=1e-3)


def test_the_scale_of_the_exact_posterior_is_known():
    model, batches = data(500, latents=1)
    found = posterior_scale(model.vae(), batches).estimate
    assert found.value == pytest.approx(math.exp(-model.mutual_information()), rel=1e-4)


def test_a_correlated_q_and_prior_are_seen_through_their_margins():
    cov = torch.tensor([[4.0, 1.0], [1.0, 9.0]])
    model = Adapter(
        lambda x: MultivariateNormal(x, 0.01 * cov),
        lambda: MultivariateNormal(torch.zeros(2), cov),
        lambda x, z: Normal(z, 0.5).log_prob(x).sum(-1),
    )
    assert diagnose(model, [torch.randn(200, 2)], **QUICK).estimates["posterior_scale"].value == pytest.approx(0.1)


def test_whole_numbers_have_no_width():
    model = Adapter(
        lambda x: Independent(Bernoulli(x), 1),
        lambda: Independent(Bernoulli(torch.full((2,), 0.5)), 1),
        lambda x, z: -(z - x).abs().sum(-1),
    )
    assert discrete(model.prior())
    assert "posterior_scale" not in diagnose(model, [torch.rand(100, 2)], **QUICK).estimates
