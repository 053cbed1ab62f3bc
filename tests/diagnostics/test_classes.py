"""The same density written in another class of PyTorch gives the same estimates."""

import math

import pytest
import torch
from torch.distributions import (
    AffineTransform,
    Categorical,
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    kl_divergence,
)

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.protocol import Adapter
from buttress.distributions.canonical import canonical, canonical_prior
from buttress.distributions.rows import in_double, parameters


def product(loc, scale):
    return Independent(Normal(loc, scale), 1)


def whole(loc, scale):
    return MultivariateNormal(loc, scale_tril=torch.diag_embed(scale))


def low_rank(loc, scale):
    return LowRankMultivariateNormal(loc, torch.zeros(*loc.shape, 1), scale.square())


def one_component(loc, scale):
    weights = Categorical(torch.ones(*loc.shape[:-1], 1))
    return MixtureSameFamily(weights, Independent(Normal(loc[..., None, :], scale[..., None, :]), 1))


def two_components(loc, scale):
    """Two equal ones: no closed form, the same density."""
    weights = Categorical(torch.ones(*loc.shape[:-1], 2))
    both = [value[..., None, :].expand(*value.shape[:-1], 2, value.shape[-1]) for value in (loc, scale)]
    return MixtureSameFamily(weights, Independent(Normal(*both), 1))


def affine(loc, scale):
    noise = Normal(torch.zeros_like(loc), 1.0)
    return Independent(
        TransformedDistribution(noise, [AffineTransform(loc / 2, -scale), AffineTransform(loc / 2, 1)]), 1
    )


CLASSES = [product, whole, low_rank, one_component, two_components, affine]
NAMES = ("elbo", "rate", "mutual_information", "aggregate_kl", "worth_shuffled", "worth_prior", "active_units")
MORE = ("posterior_scale", "share_used", "information_beyond_nuisance", "nuisance_r2")


def measured(q, p):
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([0.2, 0.7, 1.0])
    model = Adapter(
        lambda x: q(0.8 * x * torch.tensor([1.0, 1.0, 0.0]), scale.expand(len(x), 3)),
        lambda: p(torch.zeros(3), torch.tensor([1.0, 2.0, 1.0])),
        lambda x, z: Normal(z, 0.5).log_prob(x)[..., :2].sum(-1),
    )
    return diagnose(model, list(x.split(100)), nll_samples=0, gap_steps=0).estimates


@pytest.mark.parametrize("p", [product, whole, two_components])
@pytest.mark.parametrize("q", CLASSES)
def test_estimates_do_not_depend_on_the_class(q, p):
    truth, found = measured(product, product), measured(q, p)
    for name in (*NAMES, *MORE):
        error = math.hypot(truth[name].error or 0.0, found[name].error or 0.0)
        slack = 4 * error if two_components in (q, p) else 1e-4
        assert found[name].value == pytest.approx(truth[name].value, abs=slack + 1e-4), name
    if two_components not in (q, p):
        assert found["effective_beta"].value == pytest.approx(truth["effective_beta"].value, abs=1e-4)


@pytest.mark.parametrize("family", CLASSES)
def test_the_density_stays(family):
    loc, scale = torch.randn(4, 3), torch.rand(4, 3) + 0.1
    q = family(loc, scale)
    for other in (canonical(q), canonical_prior(q)):
        z = torch.randn(5, 4, 3)
        assert torch.allclose(other.log_prob(z), product(loc, scale).log_prob(z), atol=1e-4)
        assert (other.batch_shape, other.event_shape) == ((4,), (3,))
    assert (canonical(q) is q) == (family in (product, whole, two_components))


def test_an_affine_map_of_correlated_normals_keeps_the_correlation():
    tril = torch.tensor([[1.0, 0.0], [0.9, 0.5]]).expand(3, 2, 2)
    base = MultivariateNormal(torch.randn(3, 2), scale_tril=tril)
    q = TransformedDistribution(
        base, [AffineTransform(torch.tensor([1.0, 2.0]), torch.tensor([-2.0, 0.5]), event_dim=1)]
    )
    z = q.sample((4,))
    assert torch.allclose(canonical(q).log_prob(z), q.log_prob(z), atol=1e-4)
    assert kl_divergence(canonical(q), canonical(q)).abs().max() < 1e-5
    assert canonical_prior(canonical(q)).scale_tril.shape == (3, 2, 2)


def test_a_class_of_ones_own_is_left_alone():
    class Mine(MultivariateNormal):
        pass

    q = Mine(torch.zeros(2), torch.eye(2))
    assert canonical_prior(q) is q


def test_the_rows_of_a_mixture_are_those_of_its_parts():
    q = two_components(torch.randn(4, 3), torch.rand(4, 3) + 0.1)
    found, z = parameters(q), torch.randn(2, 3)
    assert torch.allclose(
        found.take(torch.tensor([3, 1])).log_prob(z), q.log_prob(z[:, None])[[0, 1], [3, 1]], atol=1e-5
    )
    assert in_double(q).component_distribution.base_dist.loc.dtype == torch.float64
