r"""p(x) = prod_i Bernoulli(x_i; sigma(l_i)) for sites that are 0 or 1.

$$ \log p(x) = -\sum_i \left[ \mathrm{softplus}(l_i) - x_i l_i \right], \qquad
   x_i \sim \mathrm{Bernoulli}(r_i / 255) \text{ for raw grey values } r_i $$

A mass over binary x: stored grey values are first made binary, which is part of what is modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from buttress.core import DataSpec, Layout, Likelihood
from buttress.core.likelihood import COLDEST
from buttress.distributions.sites import SiteLikelihood, refuse, refuse_not_finite
from buttress.nn.layers import full
from buttress.runtime.randomness import draw

__all__ = ["Bernoulli"]


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Binary sites: images made black and white, or tables of 0 and 1.

    Nats under different settings of ``binarize`` measure different data and must not be compared: a fixed binarisation
    costs nats more on test data than one drawn afresh.

    Source: dynamic binarisation and the start at the logit of the pixel means: Burda, Grosse and Salakhutdinov,
    Importance Weighted Autoencoders, 2016.

    Args:
        binarize: How grey values (uint8 from 0 to 255, or floats in [0, 1]) become 0 or 1: "stochastic", 1 with
            probability of the grey value, drawn afresh at every presentation; "threshold", 1 above one half; "none",
            the stored values must be 0 or 1 already.

    Example:
        >>> p = Bernoulli().build(DataSpec(Layout.image(1, 2, 2)))(torch.zeros(5, 2, 2, 1))
        >>> p.batch_shape, p.event_shape, p.log_prob(torch.ones(5, 1, 2, 2))[0].item()
        (torch.Size([5]), torch.Size([1, 2, 2]), -2.7725...)
    """

    discrete: ClassVar[bool] = True

    binarize: Literal["stochastic", "threshold", "none"] = "stochastic"

    @classmethod
    def tiny(cls) -> tuple[Bernoulli, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(), cls(binarize="threshold"))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.numeric and layout.axes != 1 else "it needs images or tables of 0 and 1"

    def build(self, spec: DataSpec) -> BernoulliModule:
        """See :class:`buttress.core.Likelihood`."""
        return BernoulliModule(self, spec)


class BernoulliModule(SiteLikelihood):
    """The module of :class:`Bernoulli`: one logit for each site."""

    def __init__(self, part: Bernoulli, spec: DataSpec) -> None:
        super().__init__(spec)
        self.binarize = part.binarize
        self.channels = self.values
        self.data_mean = spec.mean

    def check(self, raw: Tensor) -> None:
        """See :class:`buttress.core.LikelihoodModule`."""
        refuse_not_finite(raw)
        if self.binarize == "none":
            wanted, advice = "only 0 and 1", "binarize: threshold or stochastic, or another likelihood"
            refuse(raw, (raw != 0) & (raw != 1), wanted, advice)
        elif raw.dtype != torch.uint8:
            wanted, advice = "uint8, or floats in [0, 1]", "scale the data, store it as uint8, or use gaussian"
            refuse(raw, (raw < 0) | (raw > 1), wanted, advice)

    def observe(self, raw: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        if self.binarize == "none":
            return raw.float()
        grey = raw.dtype == torch.uint8
        if self.binarize == "threshold":
            return torch.gt(raw, 127 if grey else 0.5, out=raw.new_empty(raw.shape, dtype=torch.float32))
        uniform = draw(torch.rand, raw.shape).to(raw.device)
        return (uniform.mul_(255) < raw if grey else uniform < raw).float()

    def features(self, x: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return x

    def log_prob(self, parameters: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """See :class:`SiteLikelihood`."""
        logits, x = torch.broadcast_tensors(self.to_x(full(parameters)), x)
        return -self.total(F.binary_cross_entropy_with_logits(logits, x, reduction="none"))

    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return (uniforms < self.center(parameters)).float()

    def temper(
        self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"], temperature: float
    ) -> tuple[Tensor, Tensor]:
        """See :class:`buttress.core.LikelihoodModule`."""
        return full(parameters) / max(temperature, COLDEST), uniforms

    def center(self, parameters: Float[Tensor, "*rest"]) -> Tensor:
        """See :class:`SiteLikelihood`."""
        return full(parameters).sigmoid()

    def start(self) -> Tensor | None:
        """The logit of the data's mean at every site, kept off 0 and 1 by a thousandth."""
        if self.data_mean is None:
            return None
        mean = self.data_mean.float()
        grey = self.binarize != "none" and bool(mean.max() > 1)  # the mean of 0..255 rather than of 0..1
        return self.to_places((mean / 255 if grey else mean).logit(1e-3))
