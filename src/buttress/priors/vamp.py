r"""The VampPrior: p(z) as the mixture of what the encoder says about K learned inputs.

$$ p(z) = \frac1K \sum_{k=1}^K q(z | u_k) $$

The best prior for a given encoder is the mixture of q(z|x) over all of the data; the pseudo-inputs u_k stand for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from buttress.core import EMPTY, DataSpec, Given, Layout, LikelihoodModule, Prior, PriorModule, Space

__all__ = ["Vamp"]


@dataclass(frozen=True)
class Vamp(Prior):
    """A mixture of posteriors at learned pseudo-inputs, in the space of ``LikelihoodModule.features``.

    They start as the data's mean and standard deviation, site by site, with noise. Those of images stay between black
    and white. Sentences have no such space: their features are token ids, of which nothing can be learned.

    Source: Tomczak and Welling, VAE with a VampPrior, 2018.

    Args:
        components: K, number of pseudo-inputs.

    Example:
        >>> Vamp(components=0)
        Traceback (most recent call last):
        ValueError: vamp prior: components is 0, wanted at least 1
    """

    factorised: ClassVar[bool] = False
    of_posterior: ClassVar[bool] = True
    components: int = 64

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.components < 1:
            raise ValueError(f"vamp prior: components is {self.components}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[Vamp, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(components=3),)

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes != 1 else "its pseudo-inputs need examples of one size, as images and tables have"

    def build(self, space: Space) -> VampModule:
        """See :class:`buttress.core.Prior`."""
        return VampModule(self)


class VampModule(PriorModule):
    """The module of :class:`Vamp`. It has no distribution before it is bound to an encoder."""

    posterior: Callable[[Tensor], Distribution] | None

    def __init__(self, part: Vamp) -> None:
        super().__init__()
        self.components, self.image, self.posterior = part.components, False, None
        self.register_parameter("raw", None)

    def bind(self, posterior: Callable[[Tensor], Distribution], likelihood: LikelihoodModule, spec: DataSpec) -> None:
        """See :class:`buttress.core.PriorModule`."""
        self.posterior, self.image = posterior, spec.layout.axes == 2 and likelihood.fractions
        mean, std = _features(likelihood, spec)
        start = mean + std * torch.randn(self.components, *spec.shape)
        self.raw = nn.Parameter(start.clamp(0.02, 0.98).logit() if self.image else start)

    @property
    def pseudo_inputs(self) -> Float[Tensor, "K *shape"]:
        """u, in the space of ``LikelihoodModule.features``."""
        return self.raw.sigmoid() if self.image else self.raw

    def forward(self, given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.PriorModule`."""
        if self.posterior is None:
            raise ValueError("vamp prior: it has no encoder yet; a LatentVariableModel binds its own")
        q = self.posterior(self.pseudo_inputs)
        return MixtureSameFamily(Categorical(logits=self.raw.new_zeros(self.components)), q)


def _features(likelihood: LikelihoodModule, spec: DataSpec) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Mean and standard deviation of the data as the encoder sees them."""
    if spec.mean is None or spec.std is None:
        middle, width = (0.5, 0.25) if spec.layout.axes == 2 else (0.0, 1.0)
        return torch.full(spec.shape, middle), torch.full(spec.shape, width)
    mean, std = spec.mean.float(), spec.std.float()
    if spec.layout.axes == 2 and likelihood.fractions:
        white = 255 if mean.max() > 1 else 1
        return mean / white, std / white
    low, high = likelihood.features(torch.stack([mean, mean + std]))
    return low, high - low
