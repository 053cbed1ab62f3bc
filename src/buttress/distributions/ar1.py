r"""Normal sequences in which every place depends on the one before: AR(1), with variance 1 at every place.

$$ p(z_t | z_{t-1}) = N(a_t z_{t-1},\ 1 - a_t^2) $$

with $a_1 = 0$. For a normal q whose places are independent, with means m and variances v,

$$ \mathrm{KL} = \tfrac12 \sum_t \Bigl[ \frac{(m_t - a_t m_{t-1})^2 + v_t + a_t^2 v_{t-1}}{1 - a_t^2}
   - 1 - \log v_t + \log(1 - a_t^2) \Bigr] $$

in which the variance of the place before has a part. The diagonal of the precision matrix is
$\lambda_t = 1 / (1 - a_t^2) + a_{t+1}^2 / (1 - a_{t+1}^2)$, and no such q is nearer to p than

$$ \delta = \tfrac12 \sum_t [\log \lambda_t + \log(1 - a_t^2)] \qquad \text{at } m = 0,\ v_t = 1 / \lambda_t $$

which for n places of one a is $\tfrac12 [(n - 2) \log(1 + a^2) - \log(1 - a^2)]$.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints
from torch.distributions.kl import register_kl
from torch.nn import functional as F

__all__ = ["AR1"]


class AR1(Distribution):
    """An AR(1) sequence for each of D dimensions: event shape (T, D).

    Args:
        alpha: How much of the place before is kept, in [0, 1), shape (*batch, T, D). 0 begins a new sequence: at the
            first place, and at places beyond an example's true length, which are then N(0, 1) and independent.

    Example:
        >>> p = AR1(torch.tensor([[0.0], [0.8]]))  # two places, one dimension
        >>> round(p.committed.item(), 4), round(-0.5 * math.log(1 - 0.8**2), 4)
        (0.5108, 0.5108)
        >>> q = Independent(Normal(torch.zeros(2, 1), 0.6), 2)  # the nearest with independent places
        >>> round(torch.distributions.kl_divergence(q, p).item(), 4)
        0.5108
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(self, alpha: Float[Tensor, "*batch T D"], validate_args: bool | None = None) -> None:
        self.alpha = alpha
        super().__init__(alpha.shape[:-2], alpha.shape[-2:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """0."""
        return torch.zeros_like(self.alpha)

    @property
    def variance(self) -> Tensor:
        """1 at every place, whatever alpha."""
        return torch.ones_like(self.alpha)

    @property
    def noise(self) -> Float[Tensor, "*batch T D"]:
        """The variance of every place given the one before, 1 - a^2."""
        return 1 - self.alpha.square()

    @property
    def committed(self) -> Float[Tensor, "*batch"]:
        """The least KL(q || p) of a normal q with independent places: delta, in nats."""
        after = self.alpha.square() / self.noise
        precision = 1 / self.noise + F.pad(after[..., 1:, :], (0, 0, 0, 1))
        return 0.5 * (precision.log() + self.noise.log()).sum((-2, -1))

    def expand(self, batch_shape: Any, _instance: Any = None) -> AR1:
        """The same distribution for a larger batch, without copying."""
        return AR1(self.alpha.expand(*batch_shape, *self.event_shape))

    def log_prob(self, value: Float[Tensor, "*rest T D"]) -> Float[Tensor, "*rest"]:
        """log p(z) in nats."""
        apart = value - self.alpha * _before(value)
        each = apart.square() / self.noise + self.noise.log() + math.log(2 * math.pi)
        return -0.5 * each.sum((-2, -1))

    def rsample(self, sample_shape: Any = ()) -> Float[Tensor, "*rest T D"]:
        """Sequences of shape (*sample_shape, *batch, T, D). Only places are gone through one by one."""
        z = torch.randn(*sample_shape, *self.alpha.shape, dtype=self.alpha.dtype, device=self.alpha.device)
        z = z * self.noise.sqrt()
        places = [z[..., 0, :]]
        for t in range(1, self.event_shape[0]):
            places.append(z[..., t, :] + self.alpha[..., t, :] * places[-1])
        return torch.stack(places, -2)

    def kl_from(self, q: Normal) -> Float[Tensor, "*batch"]:
        """KL(q || p) in nats for q of batch shape (*batch, T, D), its places independent."""
        square, variance = self.alpha.square(), q.scale.square()
        apart = (q.loc - self.alpha * _before(q.loc)).square() + variance + square * _before(variance)
        each = apart / self.noise - 1 - 2 * q.scale.log() + self.noise.log()
        return 0.5 * each.sum((-2, -1))


def _before(values: Float[Tensor, "*rest T D"]) -> Float[Tensor, "*rest T D"]:
    """The value at the place before; 0 at the first, where nothing is multiplied by it."""
    return F.pad(values[..., :-1, :], (0, 0, 1, 0))


def _kl(q: Any, p: AR1) -> Tensor:
    if type(q.base_dist) is not Normal or q.event_shape != p.event_shape:
        raise NotImplementedError
    return p.kl_from(q.base_dist)


register_kl(Independent, AR1)(_kl)
