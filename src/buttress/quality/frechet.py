r"""The Fréchet distance of two sets of features: that of the Gaussians with their means and covariances.

$$ d = \lVert \mu - \nu \rVert^2 + \mathrm{tr}(\Sigma + \Gamma - 2 (\Sigma^{1/2} \Gamma \Sigma^{1/2})^{1/2}) $$

It is what FID measures on features of Inception; on other features it is another number, and goes by another name. From
finite sets it is estimated too high, the more so the fewer they are: so both must have one size, and only distances
of the same size compare.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["frechet_distance"]


def frechet_distance(features: Float[Tensor, "N F"], others: Float[Tensor, "M F"]) -> float:
    """The squared Fréchet distance d, in squared units of the features; 0 for the same set.

    Args:
        features: Of one set, such as held-out images.
        others: Of another of the same size, such as samples.

    Source: Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, GANs Trained by a Two Time-Scale Update Rule Converge
    to a Local Nash Equilibrium, 2017; there on features of Inception.

    Errors:
        ValueError: The sets differ in size, or have fewer than two members.

    Example:
        >>> x = torch.randn(500, 3)
        >>> round(frechet_distance(x, x + torch.tensor([3.0, 4.0, 0.0])), 3)  # moved by 5
        25.0
    """
    if not 1 < len(features) == len(others):
        raise ValueError(
            f"Fréchet distance: got {len(features)} and {len(others)} examples, wanted as many of both, two or more: "
            "its bias depends on the number"
        )
    one, other = features.double(), others.double()
    root = _root(torch.cov(one.t()))
    mixed = torch.linalg.eigvalsh(root @ torch.atleast_2d(torch.cov(other.t())) @ root).clamp(min=0).sqrt().sum()
    apart = (one.mean(0) - other.mean(0)).square().sum()
    return max(0.0, (apart + one.var(0).sum() + other.var(0).sum() - 2 * mixed).item())


def _root(covariance: Float[Tensor, "*rest"]) -> Float[Tensor, "F F"]:
    values, vectors = torch.linalg.eigh(torch.atleast_2d(covariance))
    return vectors * values.clamp(min=0).sqrt() @ vectors.t()
