r"""Two stages: first the autoencoder with codes that cost the same, then a prior over the codes it settled on.

With codes c(x) in 0 .. K - 1, G of them, and T = ``training.steps`` in all:

$$ t < \lfloor f T \rceil: \quad L = \text{objective}(-\log p(x|c),\ G \log K) + \text{penalties}
   \quad \text{moves all but the prior} \qquad
   \text{after that:} \quad L = -\log p(c(x)) \quad \text{moves the prior alone} $$

Under the uniform prior of the first stage the rate has no gradient: nothing can be gained by ignoring z.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Int
from torch import Tensor, nn

from buttress.algorithms.descent import Descent, make_optimizer
from buttress.core import Algorithm, AlgorithmModule, Batch, Objective, Step, Training
from buttress.distributions.code_counts import CodeCounts
from buttress.distributions.gumbel import gumbel_sample
from buttress.distributions.inspect import categorical
from buttress.priors.uniform import Uniform
from buttress.runtime import distributed

__all__ = ["DegenerateCodes", "TwoStage"]

COUNTED = 1000
"""Training examples, at least, whose codes are counted before a prior is fitted to them."""
DECODE_EVERY = 25
"""Steps of the second stage between two looks at the distortion, which no longer changes but by the batch."""


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
        buttress.algorithms.two_stage.DegenerateCodes: after the first stage (step 2) 1 codes of 4 are in use, ...
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


class TwoStageModule(AlgorithmModule):
    """The module of :class:`TwoStage`. ``made`` steps of which ``border`` are the first stage's."""

    remembered = ("made", "best", "kept", "seen")

    def __init__(self, part: TwoStage, model: Any, objective: Objective, training: Training) -> None:
        super().__init__(model)
        self.part, self.batch_size = part, training.batch_size
        space, learned = model.inference.space, list(model.prior.parameters())
        self.border = round(part.first * training.steps)
        _refuse(space.classes, learned, self.border, part.first, training.steps)
        self.classes: int = space.classes
        own = {id(p) for p in learned}
        others = [p for p in model.parameters() if id(p) not in own]
        self.uniform = Uniform().build(space)
        self.descend = Descent(model, objective, training, self.uniform)
        self.autoencoder, self.prior = make_optimizer(others, training), make_optimizer(learned, training)
        self.optimizers = (self.autoencoder, self.prior)
        self.made, self.best = 0, math.inf
        self.kept: dict[str, Tensor] | None = None
        self.seen: dict[str, Tensor] = {}

    @property
    def in_final_phase(self) -> bool:
        """See :class:`buttress.core.AlgorithmModule`."""
        return self.made > self.border

    @property
    def model_complete(self) -> bool:
        """See :class:`buttress.core.AlgorithmModule`. Before the second stage the prior has learned nothing."""
        return self.in_final_phase

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        self.made = step.number + 1
        if step.number < self.border:
            return self.descend(step, step.batch, self.autoencoder)
        for part in (self.model.encoder, self.model.inference, self.model.decoder):
            part.eval()
        if step.number == self.border:
            self._refuse_degenerate(step)
        if (step.number - self.border) % DECODE_EVERY == 0:
            self.seen = self._look(step.batch)
        return self._fit(step)

    def _fit(self, step: Step) -> dict[str, float | Tensor]:
        """Move the prior towards the codes of the step's batch."""
        prior = self.model.prior(step.batch.given)
        nats = -prior.log_prob_by_group(self._codes(step.batch)).flatten(1)
        loss = nats.sum(1).mean()
        self.descend.move(step.number, loss, self.prior)
        return {"loss": loss.detach(), "rate": nats.detach().mean(0), **self.seen}

    @torch.no_grad()
    def _codes(self, batch: Batch) -> Int[Tensor, "B *shape"]:
        q = self.model.posterior(batch.x, batch.given)
        base = categorical(q)
        return q.sample() if base is None else gumbel_sample(base.logits)

    @torch.no_grad()
    def _look(self, batch: Batch) -> dict[str, Tensor]:
        """Distortion and penalties of a batch, means over all processes."""
        terms = self.descend.terms(batch)
        seen = {"distortion": terms.distortion, **terms.latent.penalty}
        return {name: distributed.mean(value.mean().float()) for name, value in seen.items()}

    def _refuse_degenerate(self, step: Step) -> None:
        counts = CodeCounts(self.classes).add(self._codes(step.batch).flatten(1))
        for _ in range(1, math.ceil(COUNTED / self.batch_size)):
            counts.add(self._codes(step.next_batch()).flatten(1))
        counts = counts.of_all_processes(step.batch.x.device)
        one = counts.perplexities.max().item()
        if one < self.part.least:
            raise DegenerateCodes(
                f"after the first stage (step {step.number}) {counts.used} codes of {self.classes} are in use, and "
                f"even the one that varies most over {counts.n} examples has a perplexity of {one:.3f}, wanted at "
                f"least {self.part.least}: z says nothing of x, and there is nothing to fit a prior to. Try more steps "
                "or a larger share of them in the first stage (first), a lower learning_rate, another commitment, more "
                "slots, fewer codes, or a weaker decoder; the checkpoint made before this step, if any, is kept"
            )

    def after_validation(self, seen: Mapping[str, float], last: bool) -> bool:
        """See :class:`buttress.core.AlgorithmModule`. Keeps the best prior, and at the end goes back to it."""
        if not self.in_final_phase:
            return False
        if seen["rate"] < self.best:
            self.best = seen["rate"]
            self.kept = {name: value.clone() for name, value in self.model.prior.state_dict().items()}
        if not last or self.kept is None or seen["rate"] <= self.best:
            return False
        self.model.prior.load_state_dict(self.kept)
        return True


def _refuse(classes: int | None, learned: list[nn.Parameter], border: int, first: float, steps: int) -> None:
    if classes is None:
        raise ValueError(
            "two_stage algorithm: z is made of real numbers, and a prior is fitted to codes; try the vector_quantized "
            "posterior, or the joint algorithm"
        )
    if not learned:
        raise ValueError(
            "two_stage algorithm: this prior has nothing to learn; try the pixelcnn or recurrent prior, or the joint "
            "algorithm"
        )
    if not 0 < border < steps:
        raise ValueError(
            f"two_stage algorithm: training.steps is {steps} and first is {first}, and each stage needs at least one "
            "step; try more steps"
        )
