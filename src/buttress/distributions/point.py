r"""A distribution that is one point: q(z|x) = 1 at z = c(x), and 0 elsewhere. What a deterministic code is.

$$ \mathrm{KL}(q \| p) = -\log p(c), \qquad H(q) = 0 $$
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Categorical, Distribution, constraints, register_kl

__all__ = ["Point"]


class Point(Distribution):
    """All mass on one integer, for each entry of a tensor.

    Args:
        value: The integers; batch shape is theirs.

    Example:
        >>> q = Point(torch.tensor([2, 0]))
        >>> q.log_prob(torch.tensor([2, 1])).exp().tolist(), q.sample((3,)).shape
        ([1.0, 0.0], torch.Size([3, 2]))
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.nonnegative_integer

    def __init__(self, value: Int[Tensor, "*batch"]) -> None:
        self.value = value
        super().__init__(value.shape, torch.Size(), validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Point:
        """The same points for a larger batch, without copying."""
        return Point(self.value.expand(batch_shape))

    def log_prob(self, value: Int[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """0 at the point, minus infinity elsewhere."""
        same = value == self.value
        return torch.zeros(same.shape, device=same.device).masked_fill(~same, -torch.inf)

    def sample(self, sample_shape: Any = ()) -> Int[Tensor, "*rest"]:
        """The point itself."""
        return self.value.expand(self._extended_shape(sample_shape))

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Zero."""
        return torch.zeros(self.value.shape, device=self.value.device)


@register_kl(Point, Categorical)  # type: ignore[untyped-decorator]
def _kl(q: Point, p: Categorical) -> Tensor:
    return -p.log_prob(q.value)
