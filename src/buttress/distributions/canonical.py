r"""The same density in the class that most is known about.

$$ c + s \, N(\mu, \sigma^2) = N(c + s \mu, s^2 \sigma^2), \qquad
   N(\mu, W W^\top + D) = N(\mu, L L^\top), \qquad \textstyle\sum_{k=1}^{1} \pi_k q_k = q_1 $$

Closed forms, the noise of samples and the digits of a density hang on the class, which is a matter of taste: an affine
map of a normal, a mixture of one component and a low-rank normal are rewritten. Only PyTorch's own classes are, never
classes derived from them, whose density may be another one.
"""

from __future__ import annotations

import torch
from torch import distributions as d
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal
from torch.distributions.transforms import AffineTransform, ComposeTransform, Transform

from buttress.distributions.inspect import normal
from buttress.distributions.rows import parameters

__all__ = ["canonical", "canonical_prior"]

WIDEST = 256
"""Coordinates of a low-rank normal up to which its covariance is written out."""


def canonical(q: Distribution) -> Distribution:
    """q itself, or the same density as a (product of) normals, a multivariate normal, or a mixture's only component.

    Example:
        >>> q = d.TransformedDistribution(Normal(torch.tensor([1.0]), 2.0), AffineTransform(3.0, -0.5))
        >>> canonical(q).loc.item(), canonical(q).scale.item()
        (2.5, 1.0)
    """
    if type(q) is Independent:
        inner = canonical(q.base_dist)
        n = q.reinterpreted_batch_ndims
        return q if inner is q.base_dist else Independent(inner, n, validate_args=False)
    if type(q) is d.MixtureSameFamily:
        return _only_component(q)
    if type(q) is d.LowRankMultivariateNormal and q.event_shape[-1] <= WIDEST:
        factor = q.cov_factor.double()
        tril = torch.linalg.cholesky(factor @ factor.mT + q.cov_diag.double().diag_embed())
        return MultivariateNormal(q.loc, scale_tril=tril.to(q.loc), validate_args=False)
    return _moved(q) if type(q) is d.TransformedDistribution else q


def canonical_prior(p: Distribution) -> Distribution:
    """The same of a prior, and a multivariate normal without correlations as a product of normals.

    A q keeps its class, since another batch of it may be correlated.

    Example:
        >>> p = canonical_prior(MultivariateNormal(torch.zeros(3), torch.eye(3)))
        >>> p.event_shape, p.base_dist.scale
        (torch.Size([3]), tensor([1., 1., 1.]))
    """
    p = canonical(p)
    if type(p) is not MultivariateNormal:
        return p
    scale = p.scale_tril.diagonal(dim1=-2, dim2=-1)
    alone = bool((p.scale_tril == scale.diag_embed()).all())
    return Independent(Normal(p.loc, scale, validate_args=False), 1, validate_args=False) if alone else p


def _only_component(q: d.MixtureSameFamily) -> Distribution:
    """The component of a mixture of one; the mixture where it has more, or of a family that is not known."""
    if q.component_distribution.batch_shape[-1] != 1:
        return q
    component = canonical(q.component_distribution)
    found, axis = parameters(component), len(q.batch_shape)
    if found is None:
        return q
    return found.make({name: value.select(axis, 0) for name, value in found.tensors.items()})


def _moved(q: d.TransformedDistribution) -> Distribution:
    """An affine map of normals as normals."""
    every = [one for transform in q.transforms for one in _steps(transform)]
    steps = [one for one in every if type(one) is AffineTransform]
    base = canonical(q.base_dist)
    factor = normal(base)
    if not steps or len(steps) < len(every):
        return q
    if factor is not None:
        loc, scale = factor.loc, factor.scale
        for step in steps:
            loc, scale = step.loc + step.scale * loc, (step.scale * scale).abs()
        shape = q.batch_shape + q.event_shape
        moved = Normal(loc.expand(shape), scale.expand(shape), validate_args=False)
        return Independent(moved, len(q.event_shape), validate_args=False) if q.event_shape else moved
    return _moved_whole(q, base, steps) if type(base) is MultivariateNormal else q


def _moved_whole(q: Distribution, base: MultivariateNormal, steps: list[AffineTransform]) -> Distribution:
    """The same of a multivariate normal; the diagonal of L stays positive."""
    loc, tril = base.loc, base.scale_tril
    for step in steps:
        factor = step.scale * loc.new_ones(loc.shape)
        loc, tril = step.loc + factor * loc, factor[..., None] * tril
    tril = tril * tril.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    n, event = q.batch_shape, q.event_shape
    return MultivariateNormal(loc.expand(n + event), scale_tril=tril.expand(n + event + event), validate_args=False)


def _steps(transform: Transform) -> list[Transform]:
    """The parts that a transform is put together from."""
    return list(transform.parts) if type(transform) is ComposeTransform else [transform]
