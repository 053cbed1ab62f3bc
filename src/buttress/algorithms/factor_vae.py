r"""A penalty on the total correlation of z, estimated by a discriminator.

With q(z) the mixture of all q(z|x) and $\bar q(z) = \prod_j q(z_j)$ the product of its margins,

$$ \mathrm{TC} = \mathrm{KL}(q(z) \,\|\, \bar q(z)) = \mathbb{E}_{q(z)} \log \frac{q(z)}{\bar q(z)}
   \approx \mathbb{E}_{q(z)}\, d(z), \qquad L = \text{objective} + \gamma \, \mathbb{E}_{q(z)}\, d(z) $$

since the logit d of the best discriminator between the two is the logarithm of the density ratio. The discriminator
minimises $\tfrac12 \mathbb{E}_{q} \log(1 + e^{-d}) + \tfrac12 \mathbb{E}_{\bar q} \log(1 + e^{d})$; samples of
$\bar q$ are those of q with each coordinate permuted over the batch by itself.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Adam

from buttress.algorithms.descent import Descent, GradientStep, make_optimizer
from buttress.core import Algorithm, AlgorithmModule, Objective, Step, Training
from buttress.nn.layers import full
from buttress.runtime import distributed
from buttress.runtime.randomness import seed_step

__all__ = ["FactorVAE", "permuted"]

PERMUTATION = 2**20
"""The number of the "inner batch" whose noise permutes z; an inner loop never gets so far."""


@dataclass(frozen=True)
class FactorVAE(Algorithm):
    """Joint training with a penalty on the dependence between the coordinates of z.

    Source: Kim and Mnih, Disentangling by Factorising, 2018. Deviations: z is permuted within the step's own batch
    (the whole batch of all processes), as in disentanglement_lib, where the paper draws a second one; one logit in
    place of two; the paper's discriminator is 1000 wide.

    The estimate is added to what the objective already asks for, so that with the ELBO the total correlation is
    weighted by 1 + gamma altogether.

    Args:
        gamma: Weight of the total correlation; the paper tries 10 to 100.
        discriminator_rate: Learning rate of the discriminator's Adam, whose betas are 0.5 and 0.9.
        width: Units in each hidden layer of the discriminator.
        layers: Hidden layers of the discriminator.

    Errors:
        ValueError: A setting out of range; on building, a z of codes or of a single number.

    Example:
        >>> FactorVAE(gamma=30.0)
        FactorVAE(gamma=30.0, discriminator_rate=0.0001, width=256, layers=5)
    """

    gamma: float = 10.0
    discriminator_rate: float = 1e-4
    width: int = 256
    layers: int = 5

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not (self.gamma >= 0 and math.isfinite(self.gamma)):
            raise ValueError(f"factor_vae algorithm: gamma is {self.gamma}, wanted a finite number of 0 or more")
        for name in ("discriminator_rate", "width", "layers"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"factor_vae algorithm: {name} is {getattr(self, name)}, wanted more than 0")

    @classmethod
    def tiny(cls) -> tuple[FactorVAE, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(width=4, layers=1, discriminator_rate=0.02),)

    def build(self, model: nn.Module, objective: Objective, training: Training) -> FactorVAEModule:
        """See :class:`buttress.core.Algorithm`."""
        return FactorVAEModule(self, model, objective, training)


class FactorVAEModule(AlgorithmModule):
    """The module of :class:`FactorVAE`; the ``discriminator`` is its own network.

    Logs ``total_correlation`` (the estimate, nats), ``discriminator_loss`` (nats; ln 2 where nothing can be told apart)
    and ``discriminator_accuracy``.
    """

    def __init__(self, part: FactorVAE, model: Any, objective: Objective, training: Training) -> None:
        super().__init__(model)
        _check_space(model.inference.space)
        self.gamma, self.seed = part.gamma, training.seed
        sizes = (math.prod(model.inference.space.shape), *[part.width] * part.layers, 1)
        self.discriminator = _discriminator(sizes)
        self.descend = Descent(model, objective, training)
        named = {f"discriminator.{name}": p for name, p in self.discriminator.named_parameters()}
        self.move = GradientStep(named, training.clip)
        self.vae = make_optimizer(model.parameters(), training)
        self.adversary = Adam(self.discriminator.parameters(), part.discriminator_rate, betas=(0.5, 0.9), fused=True)
        self.optimizers = (self.vae, self.adversary)

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        terms = self.descend.terms(step.batch)
        z = terms.latent.z.flatten(2)
        correlation = self._logits(z).mean()
        loss = self.descend.loss(terms, step.number) + self.gamma * correlation
        logs = self.descend.follow(step, terms, loss, self.vae)
        return {**logs, "total_correlation": correlation.detach(), **self._discriminate(z.detach(), step.number)}

    def _discriminate(self, z: Float[Tensor, "S B D"], number: int) -> dict[str, Tensor]:
        """Move the discriminator towards telling q(z) from the product of its margins."""
        seed_step(self.seed, number, PERMUTATION)
        joint, apart = self._logits(z), self._logits(permuted(z))
        loss = (softplus(-joint).mean() + softplus(apart).mean()) / 2
        self.move(number, loss, self.adversary)
        right = torch.cat([joint > 0, apart < 0]).float().mean()
        return {"discriminator_loss": loss.detach(), "discriminator_accuracy": right}

    def _logits(self, z: Float[Tensor, "S B D"]) -> Float[Tensor, "S B"]:
        return full(self.discriminator(z)).squeeze(-1)


def permuted(z: Float[Tensor, "S B D"]) -> Float[Tensor, "S B D"]:
    """This process's rows of z with each coordinate of each sample permuted over the batch of all processes.

    The permutation follows from the state of torch's generator, which is the same in all processes.

    Example:
        >>> z = torch.arange(6.0).view(1, 3, 2)
        >>> torch.equal(permuted(z).sort(1).values, z)  # each column holds the same numbers
        True
    """
    everywhere = distributed.gather(z, 1)
    order = torch.rand(everywhere.shape).argsort(1).to(z.device)
    rank, rows = distributed.rank(), z.shape[1]
    return everywhere.gather(1, order).narrow(1, rank * rows, rows)


def _discriminator(sizes: tuple[int, ...]) -> nn.Sequential:
    layers = [(nn.Linear(a, b), nn.LeakyReLU(0.2)) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*[module for pair in layers for module in pair][:-1])


def _check_space(space: Any) -> None:
    if space.classes is not None:
        raise ValueError(
            "factor_vae algorithm: z is made of codes, and a gradient can't lower their total correlation; try the "
            "gaussian posterior, or the joint algorithm"
        )
    if math.prod(space.shape) < 2:
        raise ValueError(
            "factor_vae algorithm: z has a single coordinate, whose total correlation is 0; try a posterior of more "
            "dimensions, or the joint algorithm"
        )
