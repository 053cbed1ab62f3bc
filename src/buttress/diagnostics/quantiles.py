r"""A quantile over examples with its standard error, from the order statistics around it.

$$ \epsilon = \tfrac12 \bigl(v_{(Nq + s)} - v_{(Nq - s)}\bigr), \qquad s = \sqrt{N q (1 - q)} $$

The number of examples below the quantile is binomial with the standard deviation s, whatever their distribution.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.estimate import Estimate

__all__ = ["quantile"]


def quantile(values: Float[Tensor, " N"], share: float, method: str, note: str = "") -> Estimate:
    """The value that a share of the examples lies below.

    Args:
        values: One of each example.
        share: Between 0 and 1; 0.5 for the median.
        method: See :class:`buttress.diagnostics.estimate.Estimate`.
        note: What else a reader must know.

    Example:
        >>> print(quantile(torch.arange(101.0), 0.5, "counting"))
        50 ± 5
    """
    values, n = values.double().sort().values, len(values)
    spread = math.sqrt(n * share * (1 - share)) / n
    low, middle, high = (torch.quantile(values, min(1.0, max(0.0, share + k * spread))).item() for k in (-1, 0, 1))
    return Estimate(middle, (high - low) / 2 if n > 1 else None, n, method, note=note)
