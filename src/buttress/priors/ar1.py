r"""p(z) = prod_t N(z_t; a z_{t-1}, 1 - a^2): features that change slowly from position to position.

$$ a_k = s\, k / D, \quad k = 1 .. D, \qquad s \text{ such that } \delta
   = \tfrac12 \sum_k [(T - 2) \log(1 + a_k^2) - \log(1 - a_k^2)] $$

q(z|x) has independent positions, so that it can never equal this prior: its rate is at least delta, whatever x it is
for. Dimensions differ in how slow they are. The a are fixed: learned, they would go to 0 and take delta with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, TransformedDistribution
from torch.distributions.transforms import ReshapeTransform

from buttress.core import EMPTY, DataSpec, Given, LikelihoodModule, Prior, PriorModule, Space
from buttress.distributions.ar1 import AR1

__all__ = ["AR1Prior", "coefficients"]


@dataclass(frozen=True)
class AR1Prior(Prior):
    """The AR(1) prior of the delta-VAE, over one z for every position of a sentence or row of an image.

    Positions beyond an example's true length, which ``given["lengths"]`` says, are N(0, 1) as q is there: they cost
    nothing. A shorter example is committed to less than the longest one, a position alone to nothing.

    Source: Razavi, van den Oord, Poole and Vinyals, Preventing Posterior Collapse with delta-VAEs, 2019. Ours: the
    coefficients of the dimensions are multiples of the smallest.

    Args:
        delta: The least rate of an example of the longest length, in nats.

    Errors:
        ValueError: delta is not above 0; when built, z has fewer than two positions, or is a map.

    Example:
        >>> p = AR1Prior(delta=1.5).build(Space((10, 2)))({"lengths": torch.tensor([10, 4, 1])})
        >>> p.batch_shape, p.event_shape, [round(nats, 3) for nats in p.committed.tolist()]
        (torch.Size([3]), torch.Size([10, 2]), [1.5, 0.531, 0.0])
    """

    factorised: ClassVar[bool] = False

    delta: float = 2.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not 0 < self.delta < math.inf:
            raise ValueError(f"ar1 prior: delta is {self.delta}, wanted a number of nats above 0")

    def build(self, space: Space) -> AR1PriorModule:
        """See :class:`buttress.core.Prior`."""
        if len(space.shape) > 2 or space.shape[0] < 2 or space.levels:
            raise ValueError(
                f"ar1 prior: z has shape {space.shape}, wanted one z at each of two or more positions; try an encoder "
                "with one (--encoder.positions true for sentences, --encoder rows for images)"
            )
        return AR1PriorModule(self, space)


class AR1PriorModule(PriorModule):
    """The module of :class:`AR1Prior`: nothing to learn. A z without positions is read as one of D = 1."""

    alpha: Tensor

    def __init__(self, part: AR1Prior, space: Space) -> None:
        super().__init__()
        self.shape = space.shape
        places, dims = (*space.shape, 1)[:2]
        alpha = coefficients(part.delta, places, dims).expand(places, dims).clone()
        alpha[0] = 0
        self.register_buffer("alpha", alpha, persistent=False)

    def bind(self, posterior: Callable[[Tensor], Distribution], likelihood: LikelihoodModule, spec: DataSpec) -> None:
        """See :class:`buttress.core.PriorModule`."""
        if spec.layout.lengths and len(self.shape) == 2 and self.shape[0] != spec.layout.places[0]:
            raise ValueError(
                f"ar1 prior: z has {self.shape[0]} positions for {spec.layout.places[0]} of x, so that true lengths "
                "do not say where it ends; wanted an encoder with features at every position, such as recurrent with "
                "positions"
            )

    def forward(self, given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.PriorModule`."""
        if len(self.shape) == 1:
            return _Flat(
                AR1(self.alpha),
                [ReshapeTransform(torch.Size((*self.shape, 1)), torch.Size(self.shape))],
                validate_args=False,
            )
        if "lengths" not in given:
            return AR1(self.alpha)
        lengths = given["lengths"].to(self.alpha.device)
        inside = torch.arange(len(self.alpha), device=lengths.device) < lengths[:, None]
        return AR1(self.alpha * inside[..., None])


class _Flat(TransformedDistribution):
    """An AR(1) sequence of one dimension, laid in a row: its mean and variance stay known."""

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean.squeeze(-1)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance.squeeze(-1)


def coefficients(delta: float, places: int, dims: int) -> Float[Tensor, " D"]:
    """a_1 < ... < a_D for which a q with independent positions costs at least ``delta``, by bisection.

    Example:
        >>> a = coefficients(delta=3.0, places=20, dims=2)
        >>> a.shape, round((0.5 * (18 * (1 + a**2).log() - (1 - a**2).log())).sum().item(), 4)
        (torch.Size([2]), 3.0)
    """
    spread = torch.arange(1, dims + 1, dtype=torch.float64) / dims
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        square = (middle * spread).square()
        enough = 0.5 * ((places - 2) * square.log1p() - (-square).log1p()).sum().item() >= delta
        low, high = (low, middle) if enough else (middle, high)
    if high > 1 - 1e-6:
        raise ValueError(
            f"ar1 prior: {dims} dimensions at {places} positions can't be committed to {delta} nats by float32; try "
            "more dimensions or a smaller delta"
        )
    return (high * spread).float()
