"""Posteriors so narrow that the digits of z run out."""

import math

import pytest
import torch
from closed_forms import normals, toy
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from buttress.diagnostics.estimators.mutual_information import information
from buttress.diagnostics.estimators.rate import bound


def correlated(loc, scale):
    tril = torch.tensor([[1.0, 0.0], [0.6, 0.8]]).to(loc) * scale
    return MultivariateNormal(loc, scale_tril=tril.expand(len(loc), 2, 2))


def mixture(loc, scale):
    """Two components a thousand sd apart, or in float32 at the same place."""
    middle = torch.stack([loc, loc + 1000 * scale * (loc.dtype == torch.float64)], 1)
    weights = Categorical(torch.ones(len(loc), 2).to(loc))
    return MixtureSameFamily(weights, Independent(Normal(middle, torch.full_like(middle, scale)), 1))


FAMILIES = {"product": normals, "correlated": correlated, "mixture": mixture}
ENTROPY = {"product": 0.0, "correlated": math.log(0.8), "mixture": math.log(2)}
"""Beyond 2 log(scale) + 1 + log(2 pi)."""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float64, 1e-8), (torch.float64, 1e-12), (torch.float32, 1e-12)])
def test_the_aggregate_kl_of_points_is_the_rate_less_log_n(family, dtype, scale):
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    model = toy(lambda x: FAMILIES[family](x, scale), latents=2)
    entropy = 0.0 if (family, dtype) == ("mixture", torch.float32) else ENTROPY[family]
    rate = (0.5 * x.square().sum(1)).mean().item() - 1 - 2 * math.log(scale) - entropy
    found = information(model, [x[:100], x[100:]])
    assert bound(model, [x]).rate.value == pytest.approx(rate, abs=0.2)
    assert found.mutual_information.value == pytest.approx(math.log(400), abs=1e-3)
    assert found.aggregate_kl.value == pytest.approx(rate - math.log(400), abs=0.2)


@pytest.mark.parametrize("family", FAMILIES)
def test_twins_one_sd_apart_far_from_0_are_told_apart_as_near_to_it(family):
    """I of pairs of twins: log of the number of pairs, and what two normals one sd apart in each coordinate tell."""
    scale, pairs = 1e-8, 100
    far = 55 + torch.randn(pairs, 2, generator=torch.Generator().manual_seed(0)).double()
    x = torch.cat([far, far + scale])
    near = information(
        toy(lambda x: FAMILIES[family](x, 1.0), latents=2),
        [torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double()],
        samples=20000,
    )
    found = information(toy(lambda x: FAMILIES[family](x, scale), latents=2), [x], samples=20)
    assert found.mutual_information.value == pytest.approx(math.log(pairs) + near.mutual_information.value, abs=0.03)
