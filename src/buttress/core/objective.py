"""Terms -> scalar."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from buttress.core.part import Part
from buttress.core.records import Terms
from buttress.core.schedule import Schedule

__all__ = ["Objective"]


class Objective(Part):
    """Terms -> a scalar to minimise, in nats per example. ``samples`` is the S it wants.

    Example:
        >>> import torch
        >>> from buttress.objectives.elbo import ELBO
        >>> from buttress.core.records import Latent, Terms
        >>> latent = Latent(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), kl=torch.tensor([[2.0]]))
        >>> terms = Terms(torch.tensor([[10.0]]), latent)
        >>> ELBO()(terms, step=0)
        tensor(12.)
    """

    samples: int

    @abstractmethod
    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """The loss at a step; mean over the batch, sum over everything else. Penalties are the algorithm's to add."""

    def weight(self, step: int) -> float | None:
        """The weight of the rate at a step; None where the loss has no such weight."""
        return None

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules inside."""
        return tuple(value for value in vars(self).values() if isinstance(value, Schedule))

    def settled(self, step: int) -> bool:
        """Whether it is at ``step`` what it will be at every later one."""
        return all(schedule.settled(step) for schedule in self.schedules)

    def check(self, total: int) -> None:
        """Raise ValueError if a schedule inside cannot finish within ``total`` steps."""
        for schedule in self.schedules:
            schedule.check(total)
