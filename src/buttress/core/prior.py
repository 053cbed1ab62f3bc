"""p(z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core.batch import EMPTY, Given
from buttress.core.likelihood import LikelihoodModule
from buttress.core.part import DataPart
from buttress.core.spec import DataSpec, Space

__all__ = ["NeighbourPriorModule", "Prior", "PriorModule"]


class PriorModule(nn.Module, ABC):
    """p(z).

    Example:
        >>> import torch
        >>> from buttress.priors.uniform import Uniform
        >>> prior = Uniform().build(Space((3,), classes=4))()
        >>> round(prior.log_prob(torch.tensor([0, 3, 1])).exp().item() * 4**3, 4)  # each of 4 x 4 x 4 codes alike
        1.0
    """

    _inside: Callable[[Given], Bool[Tensor, "B *event"] | None] | None = None

    @abstractmethod
    def forward(self, given: Given = EMPTY) -> Distribution:
        """The distribution of one latent variable: event shape that of its space, batch shape () or, where it depends
        on what is given, (B,).
        """

    def bind(self, posterior: Callable[[Tensor], Distribution], likelihood: LikelihoodModule, spec: DataSpec) -> None:
        """Called once the model is built, with what a prior may be made of.

        Args:
            posterior: From x as ``likelihood.features`` gives it to q(z|x). Its modules stay the model's own.
            likelihood: The decoder's.
            spec: What is known about the data, its shape as those features have it.
        """

    def within(self, inside: Callable[[Given], Bool[Tensor, "B *event"] | None]) -> None:
        """Called once the model is built, with what tells which codes lie within the true lengths; None for all.

        A prior over codes has all its mass on code 0 at the others, where the posterior puts it, too.
        """
        self._inside = inside

    def inside(self, given: Given) -> Bool[Tensor, "B *event"] | None:
        """Which codes lie within the true lengths that are given; None where all do, or none are given."""
        return None if self._inside is None else self._inside(given)

    def beside(self, q: Callable[[], Distribution], given: Given = EMPTY) -> Distribution:
        """What a training batch pays its rate to: p(z), unless its examples are told something that p(z) is not.

        Args:
            q: Gives q(z|x) of the batch.
            given: As in :meth:`forward`; "index" says which training examples the batch holds.
        """
        return self(given)

    def refresh(self, posteriors: Callable[[], Iterator[Distribution]]) -> None:
        """Bring what is remembered of the training data up to date: before the first step and before evaluation.

        Args:
            posteriors: Gives q(z|x) of all training examples in their order, a batch at a time.
        """

    def after_step(self) -> None:
        """Update statistics that no gradient reaches. Training calls it once after each step."""


class NeighbourPriorModule(PriorModule):
    """A p(z) that is the mean, over the codes c of the training examples, of a p(z|c).

    Example:
        >>> import torch
        >>> from buttress.priors.associative import Associative
        >>> prior = Associative(neighbours=3).build(Space((2,)))
        >>> near = prior.near(torch.zeros(5, 2))  # for each of five codes its three neighbours
        >>> near.shape, prior.of_code(near).batch_shape
        (torch.Size([5, 3, 2]), torch.Size([5, 3]))
    """

    @abstractmethod
    def near(self, codes: Float[Tensor, "B D"]) -> Float[Tensor, "B K D"]:
        """The K codes of training examples among which the neighbour of each code is drawn."""

    @abstractmethod
    def of_code(self, codes: Float[Tensor, "*batch D"]) -> Distribution:
        """p(z|c) for each code: batch shape ``batch``."""


class Prior(DataPart):
    """p(z), or p(z|given).

    ``conditional`` says whether it depends on what is given, ``discrete`` whether z is made of codes, ``factorised``
    whether log p(z) is a sum over the posterior's groups, ``of_posterior`` whether it is made of q(z|x) for inputs of
    its own, which come without conditions. Where it does not factorise, the rate can't be split among them: it has
    one group, "z".

    Example:
        >>> from buttress.core import Space
        >>> from buttress.priors.standard_normal import StandardNormal
        >>> StandardNormal().build(Space((16,)))().event_shape
        torch.Size([16])
    """

    discrete: ClassVar[bool] = False
    factorised: ClassVar[bool] = True
    conditional: ClassVar[bool] = False
    of_posterior: ClassVar[bool] = False

    @abstractmethod
    def build(self, space: Space) -> PriorModule:
        """The module, for latents of this space."""
