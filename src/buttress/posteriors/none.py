r"""No latent variable: z has one value, which costs nothing and says nothing.

$$ q(z|x) = p(z) = 1 \;\text{at}\; z = 0, \qquad \mathrm{KL}(q \| p) = \log 1 = 0, \qquad \mathrm{ELBO} = \log p(x) $$
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.distributions import Distribution, Independent

from buttress.core import Posterior, PosteriorModule, Space
from buttress.core.records import Latent
from buttress.distributions.point import Point

__all__ = ["NoLatent"]


@dataclass(frozen=True)
class NoLatent(Posterior):
    """A single code for every x, with the encoder ``none`` and the prior ``uniform``: what a decoder can do without z.

    It is the model to compare a latent-variable model with, and what a translation model is whose decoder reads the
    source itself.

    Example:
        >>> module = NoLatent().build(features=0)
        >>> module.space, module.embed(module(torch.zeros(2, 0)).sample())  # a constant from which weights can learn
        (Space(shape=(1,), classes=1, levels=()), tensor([[1.],
                [1.]]))
    """

    discrete: ClassVar[bool] = True
    reads: ClassVar[bool] = False

    def build(self, features: int, places: tuple[int, ...] = ()) -> NoLatentModule:
        """See :class:`buttress.core.Posterior`."""
        return NoLatentModule()


class NoLatentModule(PosteriorModule):
    """The module of :class:`NoLatent`."""

    z_shape, groups = (1,), ("z",)

    @property
    def space(self) -> Space:
        """See :class:`buttress.core.PosteriorModule`."""
        return Space((1,), classes=1)

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """See :class:`buttress.core.PosteriorModule`."""
        return torch.ones(value.shape, device=value.device)

    def forward(self, h: Float[Tensor, "B F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(Point(torch.zeros(len(h), 1, dtype=torch.long, device=h.device)), 1)

    def latent(
        self,
        h: Float[Tensor, "B F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        nothing = h.new_zeros(samples, len(h), 1)
        return Latent(nothing + 1, nothing, nothing[0], nothing.long())
