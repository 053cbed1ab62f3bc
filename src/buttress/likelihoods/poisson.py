r"""p(x) = prod_d Poisson(x_d; exp l_d): tables of counts whose variance given z is their mean.

$$ \log p(x) = \sum_d \left[ x_d l_d - e^{l_d} - \log x_d! \right] $$
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import DataSpec, Layout, Likelihood
from buttress.likelihoods._counts import CountsModule, poisson_quantile

__all__ = ["Poisson"]


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Counts, such as those of words in documents or of genes in cells: a Poisson distribution for each column.

    The decoder gives the logarithm of each mean. There is no factor for the size of an example (its number of words,
    or library size): z holds it. An encoder reads log(1 + x), about standardised. Counts that vary more than their
    mean given z call for the negative binomial.

    Source: Gopalan, Hofman and Blei, Scalable Recommendation with Poisson Factorization, 2015.

    Errors:
        ValueError: A column of categories; a value that is no whole number from 0.

    Example:
        >>> spec = DataSpec(Layout.table(2))
        >>> p = Poisson().build(spec)(torch.zeros(2, 1))  # two columns of mean 1
        >>> round(p.log_prob(torch.tensor([0.0, 3.0])).item(), 4)  # -1 - 1 - log 6
        -3.7918
    """

    discrete: ClassVar[bool] = True

    @classmethod
    def tiny(cls) -> tuple[Poisson, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(),)

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "it needs a table of counts" if layout.axes else ""

    def build(self, spec: DataSpec) -> PoissonModule:
        """See :class:`buttress.core.Likelihood`."""
        return PoissonModule("poisson", spec)


class PoissonModule(CountsModule):
    """The module of :class:`Poisson`: one log mean for each column."""

    def log_mass(self, log_mean: Float[Tensor, "*rest"], counts: Float[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
        """See :class:`CountsModule`."""
        return counts * log_mean - log_mean.exp() - torch.lgamma(counts + 1)

    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`. All columns must come at once: they may have offsets."""
        return self.stored(poisson_quantile(self.log_mean(parameters).exp(), uniforms), parameters)
