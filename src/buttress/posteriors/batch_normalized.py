r"""q(z|x) = N(mu, diag(sigma^2)) whose means are normalised over the batch, so that the rate has a floor.

$$ \mu_d = \gamma \frac{m_d - \bar m_d}{s_d} + b_d, \qquad
   \mathbb{E}_x \mathrm{KL} \ge \tfrac12 \mathbb{E}_x \sum_d \mu_d^2 = \tfrac12 \sum_d (\gamma^2 + b_d^2) $$

m is what the encoder gives; mean and deviation are those of the batch of all processes, gamma is fixed and b is
learned. The bound follows from $\sigma^2 - 1 - \log \sigma^2 \ge 0$. It is a floor of the rate alone: whether the
decoder reads z is for the diagnosis to show. Evaluation uses running statistics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from buttress.core.records import Latent
from buttress.nn.layers import bounded, full
from buttress.posteriors.gaussian import GaussianPosterior, GaussianPosteriorModule, latent_at, within
from buttress.runtime import distributed
from buttress.runtime.randomness import draw

__all__ = ["BatchNormalized"]

EPSILON, MOMENTUM = 1e-5, 0.1
"""Added to the variance; the share that a batch has in the running statistics."""


@dataclass(frozen=True)
class BatchNormalized(GaussianPosterior):
    """A diagonal Gaussian whose means have a fixed spread over the data.

    Source: Zhu et al., A Batch Normalized Inference Network Keeps the KL Vanishing Away, 2020.

    Args:
        dim: Number of latent dimensions D, at each place where the encoder gives features for several.
        min_log_variance: Lower bound of log sigma^2.
        max_log_variance: Upper bound of the same.
        bias: Not used here: b takes its place.
        variance: Whether sigma^2 depends on x, as for :class:`buttress.posteriors.gaussian.GaussianPosterior`.
        gamma: Standard deviation of the mean of each dimension over the data, in units of z; 0.5 is typical.

    Errors:
        ValueError: gamma is not a positive number.

    Example:
        >>> module = BatchNormalized(dim=2, gamma=0.5).build(features=5)
        >>> module.normal(torch.randn(100, 5)).loc.std(0, correction=0).round(decimals=3).tolist()
        [0.5, 0.5]
    """

    gamma: float = 0.5

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"batch_normalized posterior: gamma is {self.gamma}, wanted a number above 0")
        if self.variance == "unit":
            raise ValueError("batch_normalized posterior: its variance is learned; for one of 1 try gaussian")

    def build(self, features: int, places: tuple[int, ...] = ()) -> BatchNormalizedModule:
        """See :class:`buttress.core.Posterior`."""
        return BatchNormalizedModule(self, features, places)


class BatchNormalizedModule(GaussianPosteriorModule):
    """The module of :class:`BatchNormalized`."""

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, part: BatchNormalized, features: int, places: tuple[int, ...]) -> None:
        super().__init__(part, features, places)
        self.gamma, dim = part.gamma, part.dim
        self.linear = nn.Linear(
            features, self.linear.out_features, bias=False
        )  # the normalisation would take a bias of m away
        self.shift = nn.Parameter(torch.zeros(dim))
        self.log_variance = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_variance", torch.ones(dim))
        self.seen: tuple[Tensor, Tensor] | None = None

    def normal(
        self,
        h: Float[Tensor, "B *places F"],
        check: bool | None = None,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Normal:
        """See :class:`buttress.posteriors.gaussian.GaussianPosteriorModule`."""
        loc, *raw = full(self.linear(h)).split(self.z_shape[-1], -1)
        assert self.log_variance is not None  # see above
        scale = (0.5 * bounded(sum(raw, full(self.log_variance)), *self.bounds)).exp()
        if self.training:
            rows = loc.flatten(0, -2) if valid is None else loc[valid]
            mean, variance = _moments(rows)
            if loc.requires_grad:
                self.seen = mean.detach(), variance.detach()
        else:
            mean, variance = self.running_mean, self.running_variance
        unit = (loc - mean) * (variance + EPSILON).rsqrt()
        return Normal(self.gamma * unit + self.shift, scale, validate_args=check)

    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(within(self.normal(h, valid=valid), valid), len(self.z_shape))

    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        q = within(self.normal(h, check=False, valid=valid), valid)
        return latent_at(q, prior, draw(torch.randn, (samples, *q.loc.shape), batch_dim=1))

    @torch.no_grad()
    def after_step(self) -> None:
        """See :class:`buttress.core.PosteriorModule`."""
        if self.seen is None:
            return
        (mean, variance), self.seen = self.seen, None
        self.running_mean.lerp_(mean, MOMENTUM)
        self.running_variance.lerp_(variance, MOMENTUM)


def _moments(rows: Float[Tensor, "N D"]) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Mean and variance over the rows of all processes, with gradients that reach the rows of all."""
    sums = torch.stack([rows.new_full(rows.shape[1:], len(rows)), rows.sum(0)])
    count, first = distributed.differentiable_total(full(sums))
    mean = first / count
    return mean, distributed.differentiable_total((rows - mean).square().sum(0)) / count
