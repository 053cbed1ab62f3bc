r"""InfoVAE: a cheaper rate, and a penalty on the distance of all q together from the prior.

$$ L = -\mathbb{E}_q \log p(x|z) + (1 - \alpha)\, \mathrm{KL}(q(z|x) \| p(z))
       + (\alpha + \lambda - 1)\, \mathrm{MMD}(q(z), p(z)) $$

The maximum mean discrepancy is measured between the z of the batch of all processes and as many samples of the prior,

$$ \mathrm{MMD} = \mathbb{E}\, k(z, z') + \mathbb{E}\, k(p, p') - 2\, \mathbb{E}\, k(z, p), \qquad
   k(a, b) = \frac{C}{C + \lVert a - b \rVert^2}, \quad C = 2 D $$

without the pairs of an example with itself, so that it is 0 in expectation where both are the same (Gretton et al.
2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.algorithms.descent import Descent, make_optimizer
from buttress.core import Algorithm, AlgorithmModule, Objective, Step, Training
from buttress.runtime import distributed
from buttress.runtime.randomness import seed_step

__all__ = ["InfoVAE", "discrepancy"]


PRIOR = 2**20 + 1
"""The number of the "inner batch" whose noise draws from the prior; an inner loop never gets so far."""


@dataclass(frozen=True)
class InfoVAE(Algorithm):
    """Joint training with the weight of the rate lowered by alpha and the MMD of q(z) from the prior beside it.

    With alpha = 1 the rate costs nothing, and lambda is the weight of the MMD: the MMD-VAE. The MMD has no unit of its
    own (it is at most 2), which is why lambda is large.

    Source: Zhao, Song and Ermon, InfoVAE, 2019. Deviation: an inverse multiquadratic kernel (Tolstikhin et al. 2018) in
    place of a Gaussian one, which sees little of points far from the prior.

    Args:
        alpha: Share of the rate's weight that is taken away.
        scale: lambda; the paper has 1 to 1000.

    Errors:
        ValueError: alpha above 1, or a scale for which the MMD has no positive weight; on building, a z of codes.

    Example:
        >>> InfoVAE(alpha=0.5)
        InfoVAE(alpha=0.5, scale=100.0)
    """

    alpha: float = 1.0
    scale: float = 100.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not (self.alpha <= 1 and 0 < self.alpha + self.scale - 1 < math.inf):
            raise ValueError(
                f"info_vae algorithm: alpha is {self.alpha} and scale {self.scale}, wanted alpha of at most 1 and "
                "alpha + scale above 1"
            )

    @classmethod
    def tiny(cls) -> tuple[InfoVAE, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(alpha=0.5, scale=1.0),)

    def build(self, model: nn.Module, objective: Objective, training: Training) -> InfoVAEModule:
        """See :class:`buttress.core.Algorithm`."""
        return InfoVAEModule(self, model, objective, training)


class InfoVAEModule(AlgorithmModule):
    """The module of :class:`InfoVAE`. Logs ``discrepancy``, the MMD of the batch."""

    def __init__(self, part: InfoVAE, model: Any, objective: Objective, training: Training) -> None:
        super().__init__(model)
        if model.inference.space.classes is not None:
            raise ValueError(
                "info_vae algorithm: z is made of codes, whose distance from the prior has no gradient; try the "
                "gaussian posterior, or the joint algorithm"
            )
        self.part, self.seed = part, training.seed
        self.descend = Descent(model, objective, training)
        self.optimizers = (make_optimizer(model.parameters(), training),)

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        terms = self.descend.terms(step.batch)
        z = terms.latent.z.flatten(2).flatten(0, 1)
        found = self._discrepancy(z, step)
        cheaper = (
            self.part.alpha * (self.descend.objective.weight(step.number) or 0.0) * terms.latent.rate.sum(1).mean()
        )
        loss = self.descend.loss(terms, step.number) - cheaper + (self.part.alpha + self.part.scale - 1) * found
        return {**self.descend.follow(step, terms, loss, *self.optimizers), "discrepancy": found.detach()}

    def _discrepancy(self, z: Float[Tensor, "N D"], step: Step) -> Float[Tensor, ""]:
        """That of all processes; the mean of their gradients is its gradient."""
        everywhere = distributed.gather(z.detach())
        first = distributed.rank() * len(z)
        joined = torch.cat([everywhere[:first], z, everywhere[first + len(z) :]])
        given = {name: distributed.gather(value) for name, value in step.batch.given.items()}
        seed_step(self.seed, step.number, PRIOR)
        p = self.model.prior(given)
        drawn = p.sample((len(joined),)) if not p.batch_shape else p.sample((len(joined) // p.batch_shape[0],))
        found = discrepancy(joined, drawn.reshape(joined.shape).to(joined))
        return found + (distributed.number() - 1) * (found - found.detach())


def discrepancy(z: Float[Tensor, "N D"], p: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
    """The squared maximum mean discrepancy of two samples, unbiased.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> same, far = torch.randn(2000, 2), torch.randn(2000, 2) + 3
        >>> abs(discrepancy(same, torch.randn(2000, 2))) < 0.01, discrepancy(far, torch.randn(2000, 2)) > 0.5
        (tensor(True), tensor(True))
    """
    size = 2.0 * z.shape[1]

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        distance = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
        return size / (size + distance.clamp_min(0))

    pairs = max(1, len(z) * (len(z) - 1))
    own = sum((kernel(rows, rows).sum() - len(rows)) / pairs for rows in (z, p))
    return own - 2 * kernel(z, p).mean()
