r"""An auxiliary prior: the model is trained under one prior, and another is fitted afterwards to the z it settled on.

With T = ``training.steps`` in all, $p_0$ the prior of the first stage and $p$ the model's own:

$$ t < \lfloor f T \rceil: \quad L = \text{objective}(-\log p(x|z),\ \mathrm{KL}(q \| p_0)) + \text{penalties}
   \quad \text{moves all but } p \qquad
   \text{after that:} \quad L = E_q [\log q(z|x) - \log p(z)] \quad \text{moves } p \text{ alone} $$

The prior of a delta-VAE keeps q at a distance, so that z stays in use, and just so it is a poor description of the z of
all x together. What the first stage pays for that distance need not be paid for good: at the best p the rate is
$I_q(x; z)$.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.algorithms._stages import Stages
from buttress.core import Algorithm, Batch, Objective, Prior, PriorModule, Training
from buttress.distributions.inspect import normal
from buttress.priors.ar1 import AR1Prior
from buttress.runtime.randomness import draw

__all__ = ["AuxiliaryPrior"]


@dataclass(frozen=True)
class AuxiliaryPrior(Algorithm):
    """Everything under a prior that stays as it is, then the model's prior on the z of the trained model.

    ``training.steps`` counts the steps of both stages. After them the model's prior, the auxiliary one, is what samples
    and evidence use; the evidence gives the rate under the first stage's prior beside it (``rate_first_stage``). q was
    not trained for the auxiliary prior, so that its amortisation gap also holds what another q would gain under it.
    Until the second stage, held-out numbers are those of a prior that has learned nothing. Of the second stage the
    weights with the best held-out rate stay, and ``training.patience`` counts in that stage alone. While it lasts,
    ``loss`` is the rate, and ``distortion`` (and penalties) are measured now and then, in eval mode, and repeated.

    Source: Razavi, van den Oord, Poole and Vinyals, Preventing Posterior Collapse with delta-VAEs, 2019.

    Args:
        first: Share f of the steps that train the autoencoder.
        prior: The first stage's prior p_0, with nothing to learn.

    Errors:
        ValueError: A share outside (0, 1); when built, q(z|x) is not normal, p_0 has something to learn or the model's
            prior nothing, or a stage has no step.

    Example:
        >>> from dataclasses import replace
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.priors.recurrent_normal import RecurrentNormal
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = replace(baseline(data, data.open().spec), prior=RecurrentNormal(hidden=4))
        >>> algorithm = AuxiliaryPrior(first=0.5, prior=AR1Prior(delta=1.0))
        >>> module = algorithm.build(recipe.model(data.open().spec), recipe.objective, Training(steps=10))
        >>> module.border, module.first_prior().event_shape
        (5, torch.Size([3]))
    """

    divides_steps: ClassVar[bool] = True

    first: float = 0.75
    prior: Prior = field(default_factory=AR1Prior)

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not 0 < self.first < 1:
            raise ValueError(f"auxiliary_prior algorithm: first is {self.first}, wanted a share between 0 and 1")

    @classmethod
    def tiny(cls) -> tuple[AuxiliaryPrior, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(first=0.5, prior=AR1Prior(delta=0.5)),)

    def build(self, model: nn.Module, objective: Objective, training: Training) -> AuxiliaryPriorModule:
        """See :class:`buttress.core.Algorithm`."""
        return AuxiliaryPriorModule(self, model, objective, training)

    def first_prior(self, model: Any) -> PriorModule:
        """See :class:`buttress.core.Algorithm`."""
        if model.space.classes is not None:
            raise ValueError(
                "auxiliary_prior algorithm: z is made of codes, and this prior is fitted to real numbers; try the "
                "two_stage algorithm"
            )
        prior = self.prior.build(model.space)
        prior.bind(model.posterior_of_features, model.likelihood, model.spec)
        if next(prior.parameters(), None) is not None:
            raise ValueError(
                f"auxiliary_prior algorithm: the first stage's prior is {self.prior.name()}, which learns, and only "
                "the model's own is trained; try ar1 or standard_normal"
            )
        return prior


class AuxiliaryPriorModule(Stages):
    """The module of :class:`AuxiliaryPrior`."""

    def __init__(self, part: AuxiliaryPrior, model: Any, objective: Objective, training: Training) -> None:
        super().__init__(part.name(), part.first, model, objective, training, part.first_prior(model))

    def nats(self, batch: Batch) -> Float[Tensor, "B G"]:
        """See :class:`Stages`. One z of q for each example."""
        with torch.no_grad():
            q = self.model.posterior(batch.x, batch.given)
            base = normal(q)
            if base is None:
                raise ValueError(
                    f"auxiliary_prior algorithm: q(z|x) is {type(q).__name__}, wanted independent normals; try the "
                    "gaussian posterior"
                )
            z = base.loc + base.scale * draw(torch.randn, base.loc.shape).to(base.loc)
            known = q.log_prob(z)
        found: Tensor = (known - self.model.prior(batch.given).log_prob(z))[:, None]
        return found
