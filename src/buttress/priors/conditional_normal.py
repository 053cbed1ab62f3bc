r"""p(z|y) = prod_j N(z_j; mu_j(y), sigma_j(y)^2), with a mean and a scale for every value of what is given.

$$ \mu(y), \log \sigma(y) = W\, c(y) + b $$

with c(y) a learned vector for each class. It starts as N(0, I) for every y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from buttress.conditions.embedding import Embedding
from buttress.core import EMPTY, DataSpec, Given, LikelihoodModule, Prior, PriorModule, Space
from buttress.nn.layers import bounded

__all__ = ["ConditionalNormal"]


@dataclass(frozen=True)
class ConditionalNormal(Prior):
    """A diagonal Gaussian whose mean and variance depend on what is given, such as a label.

    Source: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.

    Args:
        names: Conditions to read; () for all that the data offer.
        dim: Size of the learned vector of each condition.

    Errors:
        ValueError: A size below 1; when the model is built, the data offer no condition of that name.

    Example:
        >>> from buttress.core import Column, Layout
        >>> from buttress.likelihoods.gaussian import GaussianLikelihood
        >>> spec = DataSpec(Layout.table(3), given=(Column("label", classes=4),))
        >>> prior = ConditionalNormal().build(Space((2,)))
        >>> prior.bind(lambda x: x, GaussianLikelihood().build(spec), spec)
        >>> p = prior({"label": torch.tensor([0, 3, 3])})  # one distribution for every example
        >>> p.batch_shape, p.event_shape
        (torch.Size([3]), torch.Size([2]))
    """

    conditional: ClassVar[bool] = True

    names: tuple[str, ...] = ()
    dim: int = 16

    @classmethod
    def tiny(cls) -> tuple[ConditionalNormal, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(dim=2),)

    def build(self, space: Space) -> ConditionalNormalModule:
        """See :class:`buttress.core.Prior`."""
        return ConditionalNormalModule(Embedding(self.names, self.dim), space.shape)


class ConditionalNormalModule(PriorModule):
    """The module of :class:`ConditionalNormal`; it has no weights before it is bound to the data's conditions."""

    def __init__(self, condition: Embedding, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.part, self.shape = condition, shape
        self.names: tuple[str, ...] = ()

    def bind(self, posterior: Callable[[Tensor], Distribution], likelihood: LikelihoodModule, spec: DataSpec) -> None:
        """See :class:`buttress.core.PriorModule`."""
        try:
            self.condition = self.part.build(spec)
        except ValueError as error:
            raise ValueError(f"conditional_normal prior: {error}") from error
        self.names = self.condition.names
        self.linear = nn.Linear(self.condition.features, 2 * torch.Size(self.shape).numel())
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.PriorModule`."""
        mean, raw = self.linear(self.condition(given)).float().chunk(2, -1)
        scale = bounded(raw, -6.0, 4.0).exp()
        return Independent(Normal(mean.unflatten(-1, self.shape), scale.unflatten(-1, self.shape)), len(self.shape))
