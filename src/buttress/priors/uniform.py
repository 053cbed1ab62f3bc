r"""p(z) = prod_g 1 / K for codes z_g in 0 .. K - 1: the prior under which a code costs log K nats, whatever it says.

K is that of the level of z to which a code belongs, where levels have codebooks of different sizes. Behind the true end
of an example, where its length is known, every code is 0 and costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from buttress.core import EMPTY, Given, Prior, PriorModule, Space
from buttress.priors._codes import impossible

__all__ = ["Uniform"]


@dataclass(frozen=True)
class Uniform(Prior):
    """The uniform distribution over discrete codes.

    Source: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017: the prior of their
    first stage.

    Errors:
        ValueError: z is not discrete.

    Example:
        >>> import torch
        >>> p = Uniform().build(Space((2, 3), classes=8))()
        >>> bits = -p.log_prob(torch.zeros(2, 3, dtype=torch.long)) / torch.tensor(2.0).log()
        >>> p.event_shape, round(float(bits), 3)
        (torch.Size([2, 3]), 18.0)
    """

    discrete: ClassVar[bool] = True

    def build(self, space: Space) -> UniformModule:
        """See :class:`buttress.core.Prior`."""
        return UniformModule(space)


class UniformModule(PriorModule):
    """The module of :class:`Uniform`: nothing to learn, but it knows its device."""

    logits: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        if space.classes is None:
            raise ValueError("uniform prior: z is made of real numbers, wanted codes; try the standard_normal prior")
        self.register_buffer("logits", impossible(space), persistent=False)

    def forward(self, given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.PriorModule`."""
        logits, inside = self.logits, self.inside(given)
        if inside is not None:
            behind = torch.where(torch.arange(logits.shape[-1], device=logits.device) == 0, 0.0, -torch.inf)
            logits = torch.where(inside[..., None], logits, behind)
        return Independent(Categorical(logits=logits), self.logits.dim() - 1)
