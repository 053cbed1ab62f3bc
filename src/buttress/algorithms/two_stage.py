r"""Two stages: first the autoencoder with codes that cost the same, then a prior over the codes it settled on.

With codes c(x) in 0 .. K - 1, G of them, and T = ``training.steps`` in all:

$$ t < \lfloor f T \rceil: \quad L = \text{objective}(-\log p(x|c),\ G \log K) + \text{penalties}
   \quad \text{moves all but the prior} \qquad
   \text{after that:} \quad L = -\log p(c(x)) \quad \text{moves the prior alone} $$

Under the uniform prior of the first stage the rate has no gradient: nothing can be gained by ignoring z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from buttress.algorithms._stages import Stages
from buttress.core import Algorithm, Batch, Objective, PriorModule, Space, Step, Training
from buttress.distributions.code_counts import UNCOUNTED, CodeCounts
from buttress.distributions.gumbel import gumbel_sample
from buttress.distributions.inspect import categorical
from buttress.priors.uniform import Uniform

__all__ = ["DegenerateCodes", "TwoStage"]

COUNTED = 1000
"""Training examples, at least, whose codes are counted before a prior is fitted to them."""


class DegenerateCodes(ValueError):
    """The codes say (almost) nothing of x, so that there is nothing to fit a prior to.

    Example:
        >>> from buttress.baseline import baseline
        >>> from dataclasses import replace
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.posteriors.vector_quantized import VectorQuantized
        >>> from buttress.priors.recurrent import RecurrentPrior
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> recipe = replace(recipe, posterior=VectorQuantized(codes=4, dim=2), prior=RecurrentPrior(hidden=4))
        >>> model, training = recipe.model(data.open().spec), Training(steps=4, batch_size=1000)
        >>> module, batch = TwoStage(first=0.5).build(model, recipe.objective, training), Batch(torch.zeros(5, 4))
        >>> module.step(Step(2, batch, lambda: batch))  # five times one x: one code
        Traceback (most recent call last):
        buttress.algorithms.two_stage.DegenerateCodes: after the first stage (step 2) 1 of 4 codes is in use, ...
    """


@dataclass(frozen=True)
class TwoStage(Algorithm):
    """The autoencoder first, its prior after it: how a VQ-VAE is trained.

    ``training.steps`` counts the steps of both stages, so that at an equal budget the decoder is moved less often than
    by other algorithms. Of the second stage the weights with the best held-out rate stay, for a prior over few codes
    overfits soon; chosen so, that rate is a little better than on data never looked at. ``training.patience`` counts in
    that stage alone, and no model of the first is kept as the best: its prior has learned nothing. While the second
    stage lasts, ``loss`` is the rate, and ``distortion`` (and penalties) are measured now and then, in eval mode, and
    repeated.

    Source: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017.

    Args:
        first: Share f of the steps that train the autoencoder.
        least: The perplexity over the data that at least one of the codes must have when the first stage ends; below
            it the codes are the same for every x.

    Errors:
        ValueError: A share outside (0, 1), or a perplexity below 1; when built, z is not discrete, the prior has
            nothing to learn, or a stage has no step.
        DegenerateCodes: After the first stage the codes say nothing.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> TwoStage().build(recipe.model(data.open().spec), recipe.objective, recipe.training)
        Traceback (most recent call last):
        ValueError: two_stage algorithm: z is made of real numbers, and a prior is fitted to codes; try ...
    """

    divides_steps: ClassVar[bool] = True

    first: float = 0.75
    least: float = 1.1

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not 0 < self.first < 1:
            raise ValueError(f"two_stage algorithm: first is {self.first}, wanted a share between 0 and 1")
        if not self.least >= 1:
            raise ValueError(f"two_stage algorithm: least is {self.least}, wanted a perplexity of 1 or more")

    def build(self, model: nn.Module, objective: Objective, training: Training) -> TwoStageModule:
        """See :class:`buttress.core.Algorithm`."""
        return TwoStageModule(self, model, objective, training)


def _uniform(model: Any, space: Space) -> PriorModule:
    prior = Uniform().build(space)
    prior.within(model.codes_inside)
    return prior


class TwoStageModule(Stages):
    """The module of :class:`TwoStage`."""

    def __init__(self, part: TwoStage, model: Any, objective: Objective, training: Training) -> None:
        space: Space = model.inference.space
        if space.classes is None:
            raise ValueError(
                "two_stage algorithm: z is made of real numbers, and a prior is fitted to codes; try the "
                "vector_quantized posterior, the auxiliary_prior algorithm, or the joint algorithm"
            )
        super().__init__(part.name(), part.first, model, objective, training, _uniform(model, space))
        self.part, self.batch_size, self.classes = part, training.batch_size, space.classes

    def nats(self, batch: Batch) -> Float[Tensor, "B G"]:
        """See :class:`Stages`."""
        prior = self.model.prior(batch.given)
        found: Tensor = -prior.log_prob_by_group(self._codes(batch)).flatten(1)
        return found

    @torch.no_grad()
    def _codes(self, batch: Batch) -> Int[Tensor, "B *shape"]:
        q = self.model.posterior(batch.x, batch.given)
        base = categorical(q)
        return q.sample() if base is None else gumbel_sample(base.logits)

    def _counted(self, batch: Batch) -> Int[Tensor, "B J"]:
        """The codes of a batch in a row, those behind the true ends left out."""
        codes, inside = self._codes(batch).flatten(1), self.model.codes_inside(batch.given)
        return codes if inside is None else torch.where(inside.flatten(1), codes, UNCOUNTED)

    def begin_second(self, step: Step) -> None:
        """See :class:`Stages`. Refuses codes that are the same for every x."""
        counts = CodeCounts(self.classes).add(self._counted(step.batch))
        for _ in range(1, math.ceil(COUNTED / self.batch_size)):
            counts.add(self._counted(step.next_batch()))
        counts = counts.of_all_processes(step.batch.x.device)
        one = counts.perplexities.max().item()
        if one < self.part.least:
            raise DegenerateCodes(
                f"after the first stage (step {step.number}) {counts.used} of {self.classes} codes "
                f"{'is' if counts.used == 1 else 'are'} in use, and even the place that varies most has a perplexity "
                f"of {one:.3f}, wanted at least {self.part.least}: z says nothing of x, and there is nothing to fit a "
                "prior to. Try more steps or a larger share of them in the first stage (first), a smaller revive, a "
                "lower learning_rate, another commitment, more slots, fewer codes, or a weaker decoder; the "
                "checkpoint made before this step, if any, is kept"
            )
