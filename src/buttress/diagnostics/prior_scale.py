r"""Where the prior is and how wide, so that z can be measured in units of it.

$$ u_j = \frac{z_j - m_j}{s_j}, \qquad m_j = E_p[z_j], \quad s_j^2 = \operatorname{Var}_p(z_j) $$

A z rescaled together with its prior is the same z: in these units every number of it stays, and under N(0, I) they are
those of z. Where a prior does not know its moments (a flow) they are taken from samples of it; where it has none
(Cauchy) from the quartiles of these, which for a normal are the same. A prior of sequences that differ by their
lengths alone says so (``longest``, ``inside``), and samples of the longest serve for all.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.evaluation import draw

__all__ = ["PriorUnits", "prior_moments", "variance_of"]

SAMPLES, NUMBERS = 2000, 2**23
"""Most samples, and most numbers in them."""
QUARTILE = 0.6744897501960817
"""Of N(0, 1), the upper one."""


def prior_moments(
    p: Distribution, seed: int = 0
) -> tuple[Float[Tensor, "*batch_and_event"], Float[Tensor, "*batch_and_event"]]:
    """The mean and the standard deviation of each coordinate of z under the prior, in float64.

    Args:
        p: The prior of real numbers, batch shape () or (B,).
        seed: Matters only where the prior does not know its moments.

    Example:
        >>> from torch.distributions import Cauchy, Independent, Normal
        >>> [round(value.item()) for value in prior_moments(Independent(Normal(torch.ones(1), 3.0), 1))]
        [1, 3]
        >>> [round(value.item()) for value in prior_moments(Independent(Cauchy(torch.ones(1), 2.0), 1))]
        [1, 3]
    """
    known = _known(p)
    if known is not None:
        return known
    if p.batch_shape and (longest := getattr(p, "longest", None)) is not None:
        inside = p.inside[..., None]  # type: ignore[attr-defined]
        middle, scale = prior_moments(longest, seed)
        return middle.where(inside, 0.0), scale.where(inside, 1.0)
    n = max(64, min(SAMPLES, NUMBERS // max(1, p.batch_shape.numel() * p.event_shape.numel())))
    index = torch.arange(p.batch_shape.numel())
    z = draw(p, index, n, seed, "prior scale").double()
    z = z if p.batch_shape else z[:, 0]
    low, middle, high = z.sort(0).values[[n // 4, n // 2, n - 1 - n // 4]]
    quartiles = (high - low) / (2 * QUARTILE)
    spread, several = z.std(0), z.std(0) < 10 * quartiles
    return torch.where(several, z.mean(0), middle), torch.where(several, spread, quartiles)


class PriorUnits:
    """The same for block after block: a prior that all examples share is measured once.

    Args:
        seed: See :func:`prior_moments`.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> PriorUnits().of(Independent(Normal(torch.ones(1), 3.0), 1))[1].item()
        3.0
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._shared: tuple[Tensor, Tensor] | None = None

    def of(self, p: Distribution) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation."""
        if p.batch_shape:
            return prior_moments(p, self.seed)
        self._shared = prior_moments(p, self.seed) if self._shared is None else self._shared
        return self._shared


def _known(p: Distribution) -> tuple[Tensor, Tensor] | None:
    """The moments that the family gives, if they are finite and no variance is 0."""
    try:
        middle, variance = p.mean.double(), p.variance.double()
    except (NotImplementedError, AttributeError, RuntimeError):
        return None
    fit = bool(middle.isfinite().all() and variance.isfinite().all() and (variance > 0).all())
    shape = p.batch_shape + p.event_shape
    return (middle.expand(shape), variance.sqrt().expand(shape)) if fit else None


def variance_of(q: Distribution, index: Tensor, seed: int = 0) -> Float[Tensor, "B *event"]:
    """Var_q[z_j] of each example in float64, from samples where the family does not know it.

    Example:
        >>> variance_of(torch.distributions.Normal(torch.zeros(2), 3.0), torch.arange(2))
        tensor([9., 9.], dtype=torch.float64)
    """
    known = _known(q)
    if known is not None:
        return known[1].square()
    return draw(q, index, 64, seed, "scale of q").double().var(0)
