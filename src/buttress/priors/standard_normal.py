"""p(z) = N(0, I)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from buttress.core import EMPTY, Given, Prior, PriorModule, Space

__all__ = ["StandardNormal"]


@dataclass(frozen=True)
class StandardNormal(Prior):
    """The standard normal distribution, p(z) = N(0, I).

    Source: Kingma and Welling, Auto-Encoding Variational Bayes, 2014.

    Example:
        >>> p = StandardNormal().build(Space((2,)))()
        >>> p.event_shape, round(p.log_prob(torch.zeros(2)).item(), 4)  # -ln(2 pi), half of it for each dimension
        (torch.Size([2]), -1.8379)
    """

    def build(self, space: Space) -> StandardNormalModule:
        """See :class:`buttress.core.Prior`."""
        return StandardNormalModule(space.shape)


class StandardNormalModule(PriorModule):
    """The module of :class:`StandardNormal`: nothing to learn, but it knows its device."""

    zero: Tensor

    def __init__(self, z_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(z_shape), persistent=False)
        self.made = self._make()

    def forward(self, given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.PriorModule`."""
        if self.made[0] is not self.zero:  # moved to another device or precision
            self.made = self._make()
        return self.made[1]

    def _make(self) -> tuple[Tensor, Distribution]:
        return self.zero, Independent(Normal(self.zero, torch.ones_like(self.zero)), self.zero.dim())
