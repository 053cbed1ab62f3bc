r"""The importance-weighted bound.

$$ L_k(x) = \mathbb{E}_{z_1..z_k \sim q} \log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i|x)}, \qquad
   \mathrm{ELBO} = L_1 \le L_k \le \log p(x) $$
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Objective
from buttress.core.records import Terms

__all__ = ["ImportanceWeighted", "importance_weighted_bound"]


def importance_weighted_bound(log_weight: Float[Tensor, "S B"]) -> Float[Tensor, " B"]:
    """L_S of every example, in nats, from S log-weights log p(x, z) - log q(z|x). The mean stands inside the logarithm.

    Example:
        >>> importance_weighted_bound(torch.tensor([[-3.0], [-3.0]])).item()
        -3.0
    """
    return torch.logsumexp(log_weight, 0) - math.log(log_weight.shape[0])


@dataclass(frozen=True)
class ImportanceWeighted(Objective):
    """The negative importance-weighted bound with ``samples`` samples.

    Source: Burda et al., Importance Weighted Autoencoders, 2016.

    Args:
        samples: k. With 1 it is the Monte Carlo ELBO.

    Example:
        >>> ImportanceWeighted().samples
        20
    """

    samples: int = 20

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.samples < 1:
            raise ValueError(f"importance-weighted bound: samples is {self.samples}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[ImportanceWeighted, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(samples=3),)

    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """See :class:`buttress.core.Objective`."""
        return -importance_weighted_bound(terms.log_weight).mean()
