r"""A z that a few examples need for all their numbers, and that says nothing of the others.

$x = (f, y)$ with f = 1 for a share of the examples and $y \sim N(f w z, \sigma^2)$ in each of D columns. So the
posterior is N(0, 1) where f = 0, and has precision $1 + D w^2 / \sigma^2$ where f = 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal

from buttress.diagnostics.protocol import Adapter
from buttress.patients.worlds.normals import normals, standard

__all__ = ["subgroup"]


def subgroup(
    share: float, n: int = 2000, dims: int = 20, strength: float = 1.0, noise: float = 0.5, seed: int = 0
) -> tuple[Adapter, Float[Tensor, "N D1"]]:
    """A model and its data; the first column is f.

    Args:
        share: Of the examples that use z.
        n: Examples.
        dims: D.
        strength: w.
        noise: sigma.
        seed: Of the data.

    Example:
        >>> model, x = subgroup(0.01, n=100)
        >>> x.shape, x[:, 0].sum().item()
        (torch.Size([100, 21]), 1.0)
    """
    own = torch.Generator().manual_seed(seed)
    few = (torch.randperm(n, generator=own) < share * n).double()[:, None]
    z = torch.randn(n, 1, generator=own, dtype=torch.float64)
    y = few * strength * z + noise * torch.randn(n, dims, generator=own, dtype=torch.float64)
    precision = 1 + dims * (strength / noise) ** 2

    def posterior(x: Tensor) -> Distribution:
        few, y = x[:, :1].double(), x[:, 1:].double()
        loc = few * strength / noise**2 * y.sum(1, keepdim=True) / precision
        return normals(loc, torch.where(few > 0, precision**-0.5, 1.0))

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        return Normal(x[:, :1].double() * strength * z, noise).log_prob(x[:, 1:].double()).sum(-1)

    return Adapter(posterior, lambda: standard(1), log_likelihood), torch.cat([few, y], 1)
