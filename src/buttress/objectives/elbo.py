r"""$$ L = \mathbb{E}_x\left[ -\log p(x|z) + \beta(t) \sum_g \mathrm{KL}_g \right] $$."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from buttress.core import Objective, Schedule
from buttress.core.records import Terms
from buttress.schedules.constant import Constant

__all__ = ["ELBO"]


@dataclass(frozen=True)
class ELBO(Objective):
    """The negative evidence lower bound, its rate weighted by a schedule.

    Source: Kingma and Welling, 2014; weight beta: Higgins et al., 2017; annealed: Bowman et al., 2016.

    Args:
        beta: Weight of the rate at each step. Only beta = 1 is a bound on log p(x).
        samples: Samples of z per example.

    Example:
        >>> from buttress.schedules.linear import Linear
        >>> ELBO(beta=Linear(steps=100)).check(total=50)
        Traceback (most recent call last):
        ValueError: linear schedule: it reaches its final value after 100 steps, but the run has 50, ...
    """

    beta: Schedule = Constant(1.0)  # noqa: RUF009 - frozen
    samples: int = 1

    def weight(self, step: int) -> float:
        """See :class:`buttress.core.Objective`."""
        return self.beta(step)

    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """See :class:`buttress.core.Objective`."""
        return (terms.distortion.mean(0) + self.weight(step) * terms.latent.rate.sum(-1)).mean()
