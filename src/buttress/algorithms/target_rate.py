r"""Training under a constraint: at least so much rate, or at most so much distortion, by a multiplier that follows it.

$$ \text{rate:}\quad L = \text{objective} + \lambda (R^* - R), \qquad
   \lambda \leftarrow \max\Bigl(0,\ \lambda + \eta \frac{R^* - \bar R}{R^*}\Bigr) $$
$$ \text{distortion:}\quad L = R + \lambda (D - D^*), \qquad
   \lambda \leftarrow \lambda \exp\Bigl(\eta \min\Bigl(1, \frac{\bar D - D^*}{|D^*|}\Bigr)\Bigr) $$

The bars are moving averages over steps, of the batch of all processes. At a solution with $R = R^*$ the rate has the
weight $1 - \lambda$; where the target is met by itself, $\lambda = 0$ and this is the objective alone. Reports of the
ELBO always have both terms at a weight of 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.algorithms.descent import Descent, make_optimizer
from buttress.core import Algorithm, AlgorithmModule, Objective, Step, Training
from buttress.core.records import Terms
from buttress.runtime import distributed

__all__ = ["TargetRate"]

SMOOTHING = 0.9
"""Share of the past in the moving average."""
MISSED = 0.1
"""Share of the target by which the average may miss it in a model that is kept as the best."""
LARGEST = 1e6
"""Most that the multiplier of the distortion becomes, or one over it the least."""


@dataclass(frozen=True)
class TargetRate(Algorithm):
    """Joint training that holds the rate above a target, or the distortion below one.

    Source: of the rate, Pelsmaeker and Aziz, Effective Estimation of Deep Generative Language Models, 2020 (MDR); of
    the distortion, Rezende and Viola, Taming VAEs, 2018 (GECO).

    Args:
        target: R* or D*, in nats per example.
        of: What the target is for: "rate", at least so much; or "distortion", at most so much.
        eta: Step size of the multiplier.

    Errors:
        ValueError: A target that is not positive for the rate, or 0 for the distortion; on building, a z of codes.

    Example:
        >>> TargetRate(target=8.0)
        TargetRate(target=8.0, of='rate', eta=0.01)
    """

    target: float = 5.0
    of: Literal["rate", "distortion"] = "rate"
    eta: float = 0.01

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        positive = self.target > 0 or (self.of == "distortion" and self.target < 0)
        if not (positive and math.isfinite(self.target) and 0 < self.eta < math.inf):
            raise ValueError(
                f"target_rate algorithm: target is {self.target} nats of {self.of} and eta {self.eta}, wanted a finite "
                "target (above 0 for the rate, not 0 for the distortion) and a positive eta"
            )

    @classmethod
    def tiny(cls) -> tuple[TargetRate, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(target=2.0, eta=0.1), cls(target=3.0, of="distortion", eta=0.1))

    def build(self, model: nn.Module, objective: Objective, training: Training) -> TargetRateModule:
        """See :class:`buttress.core.Algorithm`."""
        return TargetRateModule(self, model, objective, training)


class TargetRateModule(AlgorithmModule):
    """The module of :class:`TargetRate`. Logs ``multiplier``, lambda."""

    multiplier: Tensor
    average: Tensor

    def __init__(self, part: TargetRate, model: Any, objective: Objective, training: Training) -> None:
        super().__init__(model)
        if model.inference.space.classes is not None and part.of == "rate":
            raise ValueError(
                "target_rate algorithm: z is made of codes, whose rate is no force to be traded; try the gaussian "
                "posterior, or the joint algorithm"
            )
        self.part = part
        self.descend = Descent(model, objective, training)
        self.optimizers = (make_optimizer(model.parameters(), training),)
        self.register_buffer("multiplier", torch.tensor(0.0 if part.of == "rate" else 1.0))
        self.register_buffer("average", torch.tensor(math.nan))

    @property
    def model_complete(self) -> bool:
        """Whether the target is met: a model that misses it may have a better ELBO, and is not what was asked for."""
        part = self.part
        least, most = (part.target, math.inf) if part.of == "rate" else (-math.inf, part.target)
        slack = MISSED * abs(part.target)
        return bool(least - slack <= self.average.item() <= most + slack)

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        terms = self.descend.terms(step.batch)
        value, loss = self._loss(terms, step.number)
        logs = self.descend.follow(step, terms, loss, *self.optimizers)
        self._follow(distributed.mean(value.detach().float().clone()))
        return {**logs, "multiplier": self.multiplier.clone()}

    def _loss(self, terms: Terms, number: int) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """What is constrained, and the loss."""
        loss, part = self.descend.loss(terms, number), self.part
        if part.of == "rate":
            rate = terms.latent.rate.sum(1).mean()
            return rate, loss + self.multiplier * (part.target - rate)
        distortion = terms.distortion.mean()
        return distortion, loss - distortion + self.multiplier * (distortion - part.target)

    @torch.no_grad()
    def _follow(self, value: Float[Tensor, ""]) -> None:
        """Move the moving average and the multiplier."""
        self.average.copy_(torch.where(self.average.isnan(), value, self.average.lerp(value, 1 - SMOOTHING)))
        part = self.part
        if part.of == "rate":
            self.multiplier.add_(part.eta * (part.target - self.average) / part.target).clamp_(min=0)
        else:
            violation = (self.average - part.target) / abs(part.target)
            self.multiplier.mul_((part.eta * violation.clamp(-1, 1)).exp()).clamp_(1 / LARGEST, LARGEST)
