r"""E[z|s] for simple statistics s, fitted smoothly and judged on examples that the fit has not seen.

$$ f_j(s) = a_j + \sum_k b_{jk} \max(0, s - t_k), \qquad R^2_j = 1 - \frac{\sum_n (m_{nj} - f_j^{(-n)}(s_n))^2}
   {\sum_n (m_{nj} - \bar m_j)^2} $$

Broken lines with knots t at quantiles of s; of several statistics the sum of such lines. Each fifth of the examples is
predicted from the other four.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["predicted"]

KNOTS, EACH, FOLDS = 24, 20, 5
"""Most knots of a statistic, examples for each knot, and parts of the examples."""


def predicted(m: Float[Tensor, "N J"], statistics: Sequence[Float[Tensor, " N"]]) -> Float[Tensor, "N J"]:
    """E[z|s] of each example, from a fit to other examples.

    Args:
        m: What is to be predicted.
        statistics: One or several numbers of each example.

    Example:
        >>> s = torch.linspace(-1, 1, 500).double()
        >>> bool((predicted(s.abs()[:, None], [s])[:, 0] - s.abs()).abs().max() < 0.03)
        True
    """
    base = torch.cat([torch.ones(len(m), 1).double(), *[_lines(s.double()) for s in statistics]], 1)
    fold = torch.arange(len(m)) % FOLDS
    found = torch.empty(m.shape, dtype=torch.float64)
    for i in range(FOLDS):
        mine = fold == i
        found[mine] = base[mine] @ _fit(base[~mine], m[~mine].double())
    return found


def _lines(s: Float[Tensor, " N"]) -> Float[Tensor, "N K"]:
    """s on the scale of its spread, and bent at each knot; a knot at each value where it takes few."""
    s = (s - s.mean()) / s.std().clamp(min=1e-300)
    most = max(1, min(KNOTS, len(s) // EACH))
    values = s.unique()
    knots = values[1:-1] if len(values) <= most + 2 else s.quantile(torch.linspace(0, 1, most + 2)[1:-1].double())
    return torch.cat([s[:, None], (s[:, None] - knots.unique()).clamp(min=0)], 1)


def _fit(base: Float[Tensor, "M K"], m: Float[Tensor, "M J"]) -> Float[Tensor, "K J"]:
    """Least squares; directions that hardly occur are left out."""
    return torch.linalg.lstsq(base, m, rcond=1e-9, driver="gelsd").solution
