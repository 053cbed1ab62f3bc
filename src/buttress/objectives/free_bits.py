r"""Free bits: the rate of the batch's mean is not punished below a floor.

$$ L = \mathbb{E}_x[-\log p(x|z)] + \beta(t) \sum_g \max(\lambda, \mathbb{E}_x \mathrm{KL}_g)
   \quad\text{or}\quad \dots + \beta(t) \max(\Lambda, \mathbb{E}_x \textstyle\sum_g \mathrm{KL}_g) $$

The maximum is taken after the mean over the batch (Kingma et al. 2016), or per example where that is asked for. Over
several processes the mean is that of the global batch: the gate is decided on it, and each process passes on its own
share of the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Objective, Schedule
from buttress.core.records import Terms
from buttress.runtime import distributed
from buttress.schedules.constant import Constant

__all__ = ["FreeBits"]


MOST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class FreeBits(Objective):
    """The negative ELBO with a floor under the rate.

    Source: Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016.

    Args:
        per_group: lambda, nats that each group may cost for free, after the mean over the batch. 0 for no such floor.
            Under a prior that does not factorise (flow, mixture) all of z is one group, and this is a floor of it all.
        total: Lambda, nats that all groups together may cost for free, after the mean over the batch. 0 for none.
            Set one of the two.
        per_example: Whether each example's own rate is compared with the floor, before the mean over the batch, as in
            Li et al. 2019; then an example above the floor pays for itself, whatever the others do.
        beta: Weight of the rate at each step.
        samples: Samples of z per example.

    Example:
        >>> FreeBits(per_group=0.1, total=2.0)
        Traceback (most recent call last):
        ValueError: free bits: per_group is 0.1 and total is 2.0; set exactly one of them above 0 (nats)
    """

    per_group: float = 0.0
    total: float = 0.0
    per_example: bool = False
    beta: Schedule = Constant(1.0)  # noqa: RUF009 - frozen
    samples: int = 1

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        sound = all(math.isfinite(floor) and floor >= 0 for floor in (self.per_group, self.total))
        if not sound or (self.per_group > 0) == (self.total > 0):
            raise ValueError(
                f"free bits: per_group is {self.per_group} and total is {self.total}; set exactly one of them "
                "above 0 (nats)"
            )
        if (floor := max(self.per_group, self.total)) > MOST:
            raise ValueError(f"free bits: the floor is {floor:g}, wanted at most {MOST:g} nats, what 32 bits hold")

    @classmethod
    def tiny(cls) -> tuple[FreeBits, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(per_group=0.1), cls(total=0.5), cls(per_group=0.1, per_example=True))

    def weight(self, step: int) -> float:
        """See :class:`buttress.core.Objective`."""
        return self.beta(step)

    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """See :class:`buttress.core.Objective`."""
        rate, floor = terms.latent.rate, self.per_group
        if self.total > 0:
            rate, floor = rate.sum(-1, keepdim=True), self.total
        paid = rate.clamp_min(floor).mean(0) if self.per_example else floored(rate.mean(0), floor)
        return terms.distortion.mean() + self.weight(step) * paid.sum()


def floored(rate: Float[Tensor, " G"], floor: float) -> Float[Tensor, " G"]:
    """max(floor, rate), the comparison made on the mean of all processes."""
    everywhere = distributed.mean(rate.detach().clone())
    return torch.where(everywhere > floor, rate, torch.full_like(rate, floor))
