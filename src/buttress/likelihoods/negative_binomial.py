r"""p(x) = prod_d NB(x_d; mu_d, r_d) with mu_d = exp l_d: tables of counts that vary more than their mean.

$$ \log p(x) = \sum_d \left[ \log \frac{\Gamma(x_d + r_d)}{\Gamma(r_d) \, x_d!}
               + r_d \log \frac{r_d}{r_d + \mu_d} + x_d \log \frac{\mu_d}{r_d + \mu_d} \right], \qquad
   \mathrm{Var}\, x_d = \mu_d + \mu_d^2 / r_d $$

It is a Poisson distribution whose mean is gamma distributed, with shape r and mean mu; so are its samples drawn. As r
grows it becomes the Poisson distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import DataSpec, Layout, Likelihood
from buttress.likelihoods._counts import CountsModule, gamma_quantile, poisson_quantile
from buttress.nn.layers import bounded, unbounded

__all__ = ["NegativeBinomial"]

LEAST, MOST = -10.0, 15.0
"""Bounds of log r."""


@dataclass(frozen=True)
class NegativeBinomial(Likelihood):
    """Overdispersed counts, such as those of genes in cells: mean from the decoder, inverse dispersion r learned.

    The decoder gives the logarithm of each mean. There is no factor for the size of an example (its library size): z
    holds it. An encoder reads log(1 + x), about standardised.

    Source: Lopez, Regier, Cole, Jordan and Yosef, Deep generative modeling for single-cell transcriptomics, 2018 (where
    the mean is also multiplied by a library size).

    Args:
        inverse_dispersion: r, or where learning starts. The smaller, the more counts vary beyond a Poisson.
        learned: "per_column", one r for each column; "scalar", one for all; "fixed".

    Errors:
        ValueError: An r out of bounds; a column of categories; a value that is no whole number from 0.

    Example:
        >>> spec = DataSpec(Layout.table(1))
        >>> p = NegativeBinomial(inverse_dispersion=1.0).build(spec)(torch.zeros(1, 1))
        >>> p.log_prob(torch.tensor([[0.0], [1.0], [2.0]])).exp()  # geometric
        tensor([0.5000, 0.2500, 0.1250], grad_fn=<ExpBackward0>)
    """

    discrete: ClassVar[bool] = True

    inverse_dispersion: float = 1.0
    learned: Literal["fixed", "scalar", "per_column"] = "per_column"

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        low, high = math.exp(LEAST), math.exp(MOST)
        if not low < self.inverse_dispersion < high:
            raise ValueError(
                f"negative_binomial likelihood: inverse_dispersion is {self.inverse_dispersion}, wanted a number "
                f"between {low:.3g} and {high:.3g}"
            )

    @classmethod
    def tiny(cls) -> tuple[NegativeBinomial, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(), cls(2.0, "fixed"))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "it needs a table of counts" if layout.axes else ""

    def build(self, spec: DataSpec) -> NegativeBinomialModule:
        """See :class:`buttress.core.Likelihood`."""
        return NegativeBinomialModule(self, spec)


class NegativeBinomialModule(CountsModule):
    """The module of :class:`NegativeBinomial`: one log mean for each column, and r as a parameter of its own."""

    def __init__(self, part: NegativeBinomial, spec: DataSpec) -> None:
        super().__init__("negative_binomial", spec)
        self.draws = 2  # the mean of a Poisson, and the count
        start = unbounded(math.log(part.inverse_dispersion), LEAST, MOST)
        raw = torch.full((spec.layout.channels if part.learned == "per_column" else 1,), start)
        self.part = part
        self.raw_log_r = nn.Parameter(raw) if part.learned != "fixed" else None

    @property
    def log_r(self) -> Float[Tensor, " V"]:
        """log r in float64: one for all columns, or one for each."""
        if self.raw_log_r is None:
            return self.offset.new_full((1,), math.log(self.part.inverse_dispersion))
        return bounded(self.raw_log_r.double(), LEAST, MOST)

    def log_mass(self, log_mean: Float[Tensor, "*rest"], counts: Float[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
        """See :class:`CountsModule`."""
        log_r = self.log_r
        r = log_r.exp()
        ways = torch.lgamma(counts + r) - torch.lgamma(r) - torch.lgamma(counts + 1)
        return ways + r * F.logsigmoid(log_r - log_mean) + counts * F.logsigmoid(log_mean - log_r)

    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`. All columns must come at once: each has its r."""
        log_r = self.log_r[:, None]
        rate = gamma_quantile(log_r.exp(), uniforms[..., :1]) * (self.log_mean(parameters) - log_r).exp()
        return self.stored(poisson_quantile(rate, uniforms[..., 1:]), parameters)
