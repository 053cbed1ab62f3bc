r"""p(x) = prod over places of sum_k pi_k prod_c P_kc(x_c | x_<c): a discretised mixture of logistics, 8 bits a value.

With v = x / 127.5 - 1 in [-1, 1], half a grey level is h = 1 / 255, and a component's mass of a level is

$$ P(x) = \sigma(a) - \sigma(b), \quad a = (v - m + h) / s, \quad b = (v - m - h) / s, \qquad
   \log P = \log \sigma(a) + \log \sigma(-b) + \log (1 - e^{-2h/s}) $$

which is exact and never cancels. The edges take the tails: P(0) = sigma(a), P(255) = sigma(-b). Channels of a place
share the component k and see the channels before them: m_c = mu_c + sum_{c' < c} gamma_cc' v_c'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from buttress.core import DataSpec, Layout, Likelihood
from buttress.core.likelihood import COLDEST
from buttress.distributions.sites import SiteLikelihood, refuse_not_levels
from buttress.likelihoods.categorical import choose
from buttress.nn.layers import bounded, full

__all__ = ["LogisticMixture"]

HALF = 1 / 255
"""h: half a grey level, where 0 to 255 is scaled to -1 to 1."""


@dataclass(frozen=True)
class LogisticMixture(Likelihood):
    """A mixture of discretised logistics for 8-bit images: a true mass over 0 to 255 for every sub-pixel.

    Source: Salimans, Karpathy, Chen and Kingma, PixelCNN++, 2017. Ours computes every bin exactly, where theirs takes
    the density at the centre of a bin whose mass would cancel, and bounds the log-scale smoothly.

    Args:
        mixtures: Number of components K.
        min_log_scale: Lower bound of log s, where the grey levels span -1 to 1.
        max_log_scale: Upper bound of the same.

    Errors:
        ValueError: No component, or bounds that do not enclose 0.

    Example:
        >>> p = LogisticMixture(mixtures=2).build(DataSpec(Layout.image(1, 1, 1)))
        >>> levels = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
        >>> round(p(torch.randn(1, 1, p.channels)).log_prob(levels).exp().sum().item(), 4)
        1.0
    """

    discrete: ClassVar[bool] = True

    mixtures: int = 5
    min_log_scale: float = -7.0
    max_log_scale: float = 5.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.mixtures < 1:
            raise ValueError(f"logistic_mixture likelihood: mixtures is {self.mixtures}, wanted at least 1")
        if not self.min_log_scale < 0 < self.max_log_scale:
            raise ValueError(
                f"logistic_mixture likelihood: log-scale bounds are {self.min_log_scale} and {self.max_log_scale}; "
                "wanted one below 0 and one above"
            )

    @classmethod
    def tiny(cls) -> tuple[LogisticMixture, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(mixtures=2),)

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes == 2 and layout.numeric else "it needs images of grey levels"

    def build(self, spec: DataSpec) -> LogisticMixtureModule:
        """See :class:`buttress.core.Likelihood`."""
        return LogisticMixtureModule(self, spec)


class LogisticMixtureModule(SiteLikelihood):
    """The module of :class:`LogisticMixture`.

    Channels of a place, K numbers each: logits of pi; mu_c; raw log s_c; raw gamma_cc' for c' < c.
    """

    def __init__(self, part: LogisticMixture, spec: DataSpec) -> None:
        super().__init__(spec)
        self.part, self.mixtures, self.data_mean = part, part.mixtures, spec.mean
        self.pairs = [(c, before) for c in range(self.values) for before in range(c)]
        self.channels = self.mixtures * (1 + 2 * self.values + len(self.pairs))
        self.draws = 1 + self.values  # the component, then each channel

    def check(self, raw: Tensor) -> None:
        """See :class:`buttress.core.LikelihoodModule`."""
        refuse_not_levels(raw, "store the images as uint8, or use the gaussian likelihood with dequantize: false")

    def observe(self, raw: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return raw.to(torch.uint8)

    def features(self, x: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return x / 255

    def split(self, parameters: Float[Tensor, "*rest"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits (..., K), means and log-scales (..., C, K), couplings (..., pairs, K)."""
        parts = full(parameters).unflatten(-1, (-1, self.mixtures))
        logits, mean, scale, coupling = parts.split([1, self.values, self.values, len(self.pairs)], -2)
        log_scale = bounded(scale, self.part.min_log_scale, self.part.max_log_scale)
        return logits.squeeze(-2), mean, log_scale, coupling.tanh()

    def log_prob(self, parameters: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """See :class:`SiteLikelihood`."""
        logits, mean, log_scale, coupling = self.split(parameters)
        levels = self.to_places(x).to(mean.dtype)[..., None]  # (..., C, 1)
        v = levels / 127.5 - 1
        if self.pairs:
            means = torch.broadcast_tensors(*(self._mean(mean, coupling, v, c) for c in range(self.values)))
            mean = torch.stack(means, -2)
        mass = _log_mass(levels, v - mean, log_scale).sum(-2)
        return (mass + logits.log_softmax(-1)).logsumexp(-1).flatten(-2).sum(-1)

    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        logits, mean, log_scale, coupling = self.split(parameters)
        index = choose(logits, uniforms[..., :1])[..., None]  # (..., 1, 1)
        mean, log_scale, coupling = (t.take_along_dim(index, -1) for t in (mean, log_scale, coupling))
        levels: list[Tensor] = []
        for c in range(self.values):
            seen = torch.stack(levels, -2) / 127.5 - 1 if levels else mean
            v = self._mean(mean, coupling, seen, c) + log_scale[..., c, :].exp() * uniforms[..., c + 1 : c + 2].logit()
            levels.append(((v + 1) * 127.5).round().clamp(0, 255))
        return torch.cat(levels, -1).to(torch.uint8)

    def temper(
        self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"], temperature: float
    ) -> tuple[Tensor, Tensor]:
        """See :class:`buttress.core.LikelihoodModule`: the choice of the component, and the noise of its logistics."""
        logits, rest = full(parameters).split([self.mixtures, self.channels - self.mixtures], -1)
        choice, noise = uniforms[..., :1], (temperature * uniforms[..., 1:].logit(2**-25)).sigmoid()
        return torch.cat([logits / max(temperature, COLDEST), rest], -1), torch.cat([choice, noise], -1)

    def center(self, parameters: Float[Tensor, "*rest"]) -> Tensor:
        """The mean of the logistics' locations, each kept within the grey levels: near the mean, and cheap."""
        logits, mean, _, coupling = self.split(parameters)
        locations: list[Tensor] = []
        for c in range(self.values):
            seen = torch.stack(locations, -2) if locations else mean
            locations.append(self._mean(mean, coupling, seen, c).clamp(-1, 1))
        v = (torch.stack(locations, -2) * logits.softmax(-1)[..., None, :]).sum(-1)
        return (v + 1) * 127.5

    def start(self) -> Tensor | None:
        """Components spread evenly around the data's mean, at a scale of a tenth of the range; no coupling."""
        if self.data_mean is None:
            return None
        v = self.to_places(self.data_mean.float() / 127.5 - 1)[..., None]
        spread = torch.linspace(-0.5, 0.5, self.mixtures) if self.mixtures > 1 else torch.zeros(1)
        mean = v + spread * (1 - v.abs()).clamp(min=0)
        logits = mean.new_zeros(*mean.shape[:-2], 1, self.mixtures)
        coupling = mean.new_zeros(*mean.shape[:-2], len(self.pairs), self.mixtures)
        return torch.cat([logits, mean, torch.full_like(mean, -1.6), coupling], -2).flatten(-2)

    def _mean(self, mean: Tensor, coupling: Tensor, v: Tensor, c: int) -> Tensor:
        """m_c (..., K), given the channels before c in v (..., at least c, 1 or K)."""
        shifts = [coupling[..., i, :] * v[..., b, :] for i, (own, b) in enumerate(self.pairs) if own == c]
        return sum(shifts, mean[..., c, :])


def _log_mass(levels: Tensor, distance: Tensor, log_scale: Tensor) -> Tensor:
    """log P of ``levels`` whose ``distance`` from the location is v - m."""
    inverse = (-log_scale).exp()
    below = F.logsigmoid((distance + HALF) * inverse)  # log sigma(a): the mass up to this level
    above = F.logsigmoid((HALF - distance) * inverse)  # log sigma(-b): the mass from this level on
    width = (-(-2 * HALF * inverse).expm1()).log()
    return torch.where(levels <= 0, below, torch.where(levels >= 255, above, below + above + width))
