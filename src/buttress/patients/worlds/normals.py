"""A product of normals over the last dimension."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

__all__ = ["normals", "standard"]


def normals(loc: Float[Tensor, "*batch D"], scale: Tensor | float = 1.0) -> Distribution:
    """N(loc, diag scale^2).

    Example:
        >>> normals(torch.zeros(5, 2), 0.5).event_shape
        torch.Size([2])
    """
    return Independent(Normal(loc, torch.as_tensor(scale).to(loc).expand_as(loc)), 1)


def standard(dims: int) -> Distribution:
    """N(0, I) of some dimensions, in float64.

    Example:
        >>> standard(3).event_shape
        torch.Size([3])
    """
    return normals(torch.zeros(dims, dtype=torch.float64))
