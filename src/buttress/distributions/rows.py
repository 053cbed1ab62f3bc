"""Some rows of a batch of distributions: its parameters as tensors, and the same family made of other rows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch import distributions as d
from torch.distributions import Distribution, Independent

from buttress.distributions.ar1 import AR1
from buttress.distributions.point import Point

__all__ = ["Parameters", "in_double", "parameters"]

NAMES: Mapping[type[Distribution], tuple[str, ...]] = {
    d.Normal: ("loc", "scale"),
    d.MultivariateNormal: ("loc", "scale_tril"),
    d.LowRankMultivariateNormal: ("loc", "cov_factor", "cov_diag"),
    d.Laplace: ("loc", "scale"),
    d.StudentT: ("df", "loc", "scale"),
    d.VonMises: ("loc", "concentration"),
    d.Uniform: ("low", "high"),
    d.Gamma: ("concentration", "rate"),
    d.Exponential: ("rate",),
    d.Dirichlet: ("concentration",),
    d.Categorical: ("logits",),
    d.OneHotCategorical: ("logits",),
    d.Bernoulli: ("logits",),
    AR1: ("alpha",),
}
"""What each family is made of."""
WEIGHTS = "logits of the mixture"
"""The name of what a mixture has besides its component's parameters."""


@dataclass(frozen=True)
class Parameters:
    """What a batch of distributions is made of.

    Args:
        tensors: By name, each of shape (B, ...).
        make: From such tensors, of any number of rows, to the distribution.

    Example:
        >>> import torch
        >>> q = Independent(d.Normal(torch.tensor([[1.0], [2.0]]), 1.0), 1)
        >>> parameters(q).take(torch.tensor([1])).mean
        tensor([[2.]])
    """

    tensors: Mapping[str, Tensor]
    make: Callable[[Mapping[str, Tensor]], Distribution]

    def take(self, rows: Any) -> Distribution:
        """The distribution of some rows: a slice, a mask, or their numbers."""
        return self.make({name: value[rows] for name, value in self.tensors.items()})


def parameters(q: Distribution) -> Parameters | None:
    """The parameters of q, batch shape (B,), or None where the family is not known here.

    Example:
        >>> import torch
        >>> parameters(d.Cauchy(torch.zeros(2), 1.0)) is None
        True
    """
    if isinstance(q, Independent):
        inner, n = parameters(q.base_dist), q.reinterpreted_batch_ndims
        if inner is None:
            return None
        make = inner.make
        return Parameters(inner.tensors, lambda tensors: Independent(make(tensors), n, validate_args=False))
    if type(q) is Point:
        return Parameters({"value": q.value}, lambda tensors: Point(tensors["value"]))
    if type(q) is d.MixtureSameFamily:
        return _of_mixture(q)
    family: Any = type(q)
    if family not in NAMES:
        return None
    tensors = {name: getattr(q, name) for name in NAMES[family]}
    return Parameters(tensors, lambda values: family(**values, validate_args=False))


def _of_mixture(q: d.MixtureSameFamily) -> Parameters | None:
    """Those of the component, and the logits of the weights."""
    inner = parameters(q.component_distribution)
    if inner is None:
        return None
    make = inner.make

    def mixture(tensors: Mapping[str, Tensor]) -> Distribution:
        rest = {name: value for name, value in tensors.items() if name != WEIGHTS}
        weights = d.Categorical(logits=tensors[WEIGHTS], validate_args=False)
        return d.MixtureSameFamily(weights, make(rest), validate_args=False)

    return Parameters({**inner.tensors, WEIGHTS: q.mixture_distribution.logits}, mixture)


def in_double(q: Distribution) -> Distribution:
    """q with its parameters in float64, or q itself where the family is not known here.

    Example:
        >>> import torch
        >>> in_double(d.Normal(torch.zeros(2), 1.0)).loc.dtype
        torch.float64
    """
    found = parameters(q)
    if found is None:
        return q
    return found.make({name: v.double() if v.is_floating_point() else v for name, v in found.tensors.items()})
