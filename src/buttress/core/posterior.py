"""h -> q(z|x)."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core.part import Part
from buttress.core.records import Latent
from buttress.core.spec import Space
from buttress.runtime.memory import check_memory

__all__ = ["Posterior", "PosteriorModule", "group_names"]


NAMED = 200
"""Bytes of the name of a group, roughly."""


def group_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    """What the groups at the places of a shape are called.

    Errors:
        NoRoom: The names alone would not fit into memory.

    Example:
        >>> group_names((2, 2))
        ('z0_0', 'z0_1', 'z1_0', 'z1_1')
    """
    check_memory(NAMED * math.prod(shape), f"{math.prod(shape):,} groups of the latent variable", "fewer of them")
    return tuple("z" + "_".join(map(str, at)) for at in itertools.product(*map(range, shape)))


class PosteriorModule(nn.Module, ABC):
    """h -> q(z|x). ``z_shape`` is the shape of what the decoder reads, ``groups`` the names of the G groups.

    Where the latent variable is discrete, it lives in another ``space`` than what the decoder reads; ``embed`` goes
    from one to the other. Where it is real, the two are the same.

    Example:
        >>> import torch
        >>> from buttress.posteriors.vector_quantized import VectorQuantized
        >>> module = VectorQuantized(codes=3, dim=2, slots=1).build(features=4)
        >>> module.space, module.z_shape  # one of three codes, for which the decoder reads two numbers
        (Space(shape=(1,), classes=3, levels=()), (2,))
        >>> torch.equal(module.embed(torch.tensor([[2]]))[0], module.codebook[0, 2])
        True
    """

    z_shape: tuple[int, ...]
    groups: tuple[str, ...]

    @property
    def space(self) -> Space:
        """Where the latent variable lives."""
        return Space(self.z_shape)

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """What the decoder reads, (*batch, *z_shape), for values of the latent variable (*batch, *space.shape)."""
        return value

    @abstractmethod
    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """The distribution of the latent variable of every example: batch shape (B,), event shape ``space.shape``.

        Args:
            h: The encoder's features.
            valid: Which places lie within the true length of their example; None for all. At the others q is the
                standard normal distribution, so that they cost nothing, or code 0 (see :meth:`inside`).
        """

    @abstractmethod
    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """Sample z with gradients and give its cost under ``prior``, of batch shape () or (B,)."""

    def inside(self, valid: Bool[Tensor, "B *places"]) -> Bool[Tensor, "B *event"] | None:
        """Which codes of z stand for places within the true length of their example.

        None where this posterior does not say. One that does gives code 0 at all others, and a prior over codes, which
        knows the lengths, takes nothing for these.

        Args:
            valid: As in :meth:`forward`.
        """
        return None

    def after_step(self) -> None:
        """Update statistics that no gradient reaches. Training calls it once after each step."""


class Posterior(Part):
    """h -> q(z|x). ``discrete`` says whether z is made of integers, or of real numbers.

    Example:
        >>> import torch
        >>> from buttress.posteriors.gaussian import GaussianPosterior
        >>> q = GaussianPosterior(dim=2).build(features=8)(torch.zeros(5, 8))
        >>> q.batch_shape, q.event_shape
        (torch.Size([5]), torch.Size([2]))
    """

    discrete: ClassVar[bool] = False
    reads: ClassVar[bool] = True
    """Whether it reads features of x at all: one that does not goes with the encoder ``none``."""

    @abstractmethod
    def build(self, features: int, places: tuple[int, ...] = ()) -> PosteriorModule:
        """The module, for encoder features of this size at each of these places."""
