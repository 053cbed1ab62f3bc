"""p(z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core.likelihood import LikelihoodModule
from buttress.core.part import Part
from buttress.core.spec import DataSpec, Kind, Space

__all__ = ["Prior", "PriorModule"]


class PriorModule(nn.Module, ABC):
    """p(z).

    Example:
        >>> import torch
        >>> from buttress.priors.uniform import Uniform
        >>> prior = Uniform().build(Space((3,), classes=4))()
        >>> round(prior.log_prob(torch.tensor([0, 3, 1])).exp().item() * 4**3, 4)  # each of 4 x 4 x 4 codes alike
        1.0
    """

    @abstractmethod
    def forward(self) -> Distribution:
        """The distribution of one latent variable: batch shape (), event shape that of its space."""

    def bind(self, posterior: Callable[[Tensor], Distribution], likelihood: LikelihoodModule, spec: DataSpec) -> None:
        """Hear, once the model is whole, of what a prior may be made of.

        Args:
            posterior: From x as ``likelihood.features`` gives it to q(z|x). Its modules stay the model's own.
            likelihood: The decoder's.
            spec: What is known about the data, its shape as those features have it.
        """


class Prior(Part):
    """p(z).

    ``discrete`` says whether z is made of integers, or of real numbers; ``factorised`` whether log p(z) is a sum over
    the posterior's groups. Where it is not, what z costs cannot be shared out among them: the rate has one group, "z".

    Example:
        >>> from buttress.core import Space
        >>> from buttress.priors.standard_normal import StandardNormal
        >>> StandardNormal().build(Space((16,)))().event_shape
        torch.Size([16])
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image", "text", "table")
    discrete: ClassVar[bool] = False
    factorised: ClassVar[bool] = True

    @abstractmethod
    def build(self, space: Space) -> PriorModule:
        """The module, for latents of this space."""
