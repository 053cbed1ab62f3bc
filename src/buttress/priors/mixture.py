r"""p(z) as a mixture of diagonal Gaussians, all of it learned.

$$ p(z) = \sum_{k=1}^K \pi_k N(z; \mu_k, \operatorname{diag}(\sigma_k^2)), \qquad \pi = \operatorname{softmax}(w) $$
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from buttress.core import EMPTY, Given, Prior, PriorModule, Space
from buttress.nn.layers import bounded

__all__ = ["Mixture"]


@dataclass(frozen=True)
class Mixture(Prior):
    """A learned mixture of diagonal Gaussians.

    At the start the weights are equal, the means are drawn from N(0, spread^2 I) and the variances are 1 - spread^2,
    so that z has mean 0 and variance 1 over the draw of the means.

    Source: Dilokthanakul et al., Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders, 2016; as
    a baseline beside learned pseudo-inputs: Tomczak and Welling 2018.

    Args:
        components: K.
        spread: Standard deviation of the means at the start, above 0 and below 1.

    Example:
        >>> Mixture().build(Space((3,)))().event_shape
        torch.Size([3])
    """

    factorised: ClassVar[bool] = False
    components: int = 32
    spread: float = 0.7

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.components < 1:
            raise ValueError(f"mixture prior: components is {self.components}, wanted at least 1")
        if not 0 < self.spread < 1:
            raise ValueError(f"mixture prior: spread is {self.spread}, wanted above 0 (else all are one) and below 1")

    @classmethod
    def tiny(cls) -> tuple[Mixture, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(components=3),)

    def build(self, space: Space) -> MixtureModule:
        """See :class:`buttress.core.Prior`."""
        return MixtureModule(self, space.shape)


class MixtureModule(PriorModule):
    """The module of :class:`Mixture`."""

    def __init__(self, part: Mixture, z_shape: tuple[int, ...]) -> None:
        super().__init__()
        k = part.components
        self.weight = nn.Parameter(torch.zeros(k))
        self.mean = nn.Parameter(part.spread * torch.randn(k, *z_shape))
        self.log_scale = nn.Parameter(torch.full((k, *z_shape), 0.5 * math.log(1 - part.spread**2)))

    def forward(self, given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.PriorModule`."""
        scale = bounded(self.log_scale, -6.0, 4.0).exp()
        return MixtureSameFamily(
            Categorical(logits=self.weight), Independent(Normal(self.mean, scale), self.mean.dim() - 1)
        )
