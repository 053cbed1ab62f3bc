r"""q(z|x) = N(mu, diag(sigma^2)) whose rate under N(0, I) is at least delta, whatever x is: independent delta-VAE.

$$ \sigma_j = \sigma_l + (\sigma_u - \sigma_l)\, \mathrm{sigmoid}(s_j), \qquad
   \mu_j^2 = 2 \delta / D + 1 + \log \sigma_j^2 - \sigma_j^2 + \mathrm{softplus}(m_j) $$

with $[\sigma_l, \sigma_u]$ where the right side without m is not negative, so that
$\mathrm{KL}_j = \delta / D + \tfrac12 \mathrm{softplus}(m_j)$.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from buttress.core import Posterior
from buttress.nn.layers import full
from buttress.posteriors.gaussian import GaussianPosterior, GaussianPosteriorModule

__all__ = ["CommittedGaussian"]

EDGE = 1e-6
"""Of the square of a mean, at least: at 0 its root has no gradient."""


@dataclass(frozen=True)
class CommittedGaussian(Posterior):
    """Gaussian that is never nearer to N(0, I) than delta. Under another prior it is committed to nothing.

    At places beyond an example's true length q is N(0, I) and costs nothing.

    Source: Razavi, van den Oord, Poole and Vinyals, Preventing Posterior Collapse with delta-VAEs, 2019 (independent
    delta-VAE). Ours: softplus in place of a positive part, which would stop learning; means are positive.

    Args:
        dim: Number of latent dimensions D, at each place where the encoder gives features for several.
        delta: The least rate of an example, or of a place, in nats, the same part of it in every dimension.

    Errors:
        ValueError: A dimension below 1, or a delta that is not above 0.

    Example:
        >>> import torch
        >>> q = CommittedGaussian(dim=2, delta=1.0).build(features=5)(torch.randn(7, 5))
        >>> prior = torch.distributions.Normal(0.0, 1.0)
        >>> bool((torch.distributions.kl_divergence(q.base_dist, prior) >= 0.5 - 1e-5).all())
        True
    """

    dim: int = 16
    delta: float = 2.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.dim < 1:
            raise ValueError(f"committed_gaussian posterior: dim is {self.dim}, wanted at least 1")
        if not 0 < self.delta < math.inf:
            raise ValueError(f"committed_gaussian posterior: delta is {self.delta}, wanted a number of nats above 0")

    @classmethod
    def tiny(cls) -> tuple[CommittedGaussian, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(dim=2, delta=0.5),)

    def build(self, features: int, places: tuple[int, ...] = ()) -> CommittedGaussianModule:
        """See :class:`buttress.core.Posterior`."""
        return CommittedGaussianModule(self, features, places)


class CommittedGaussianModule(GaussianPosteriorModule):
    """The module of :class:`CommittedGaussian`."""

    def __init__(self, part: CommittedGaussian, features: int, places: tuple[int, ...]) -> None:
        super().__init__(GaussianPosterior(part.dim), features, places)
        self.least = part.delta / part.dim
        self.low, self.high = (math.exp(0.5 * _root(self.least, side)) for side in (-1, 1))

    def normal(self, h: Float[Tensor, "B *places F"], check: bool | None = None) -> Normal:
        """See :class:`GaussianPosteriorModule`."""
        raw, width = full(self.linear(h)).chunk(2, -1)
        scale = self.low + (self.high - self.low) * width.sigmoid()
        needed = 2 * self.least + 1 + 2 * scale.log() - scale.square()
        return Normal((needed.clamp(min=0) + F.softplus(raw) + EDGE).sqrt(), scale, validate_args=check)


def _root(least: float, side: int) -> float:
    """The log-variance on a side of 0 at which the variance alone costs ``least``, by bisection."""
    inside, outside = 0.0, side * (2 * least + 2)
    for _ in range(80):
        middle = (inside + outside) / 2
        if math.exp(middle) - 1 - middle <= 2 * least:
            inside = middle
        else:
            outside = middle
    return inside
