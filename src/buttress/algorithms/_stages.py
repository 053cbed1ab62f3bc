r"""Two stages: first all but the prior, under another prior; then the model's own prior alone, with all else frozen.

With T = ``training.steps`` in all, f the first stage's share of them and $p_0$ the prior of the first stage:

$$ t < \lfloor f T \rceil: \quad L = \text{objective}(-\log p(x|z),\ \mathrm{KL}(q \| p_0)) + \text{penalties}; \qquad
   \text{after that:} \quad L = \mathrm{KL}(q \| p) $$
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.algorithms.descent import Descent, make_optimizer
from buttress.core import AlgorithmModule, Batch, Objective, PriorModule, Step, Training
from buttress.runtime import distributed

__all__ = ["DECODE_EVERY", "Stages"]

DECODE_EVERY = 25
"""Steps of the second stage between two looks at the distortion, which no longer changes but by the batch."""


class Stages(AlgorithmModule):
    """What algorithms with these two stages share. ``made`` steps of which ``border`` are the first stage's.

    Of the second stage the weights with the best held-out rate stay, for a prior overfits soon.

    Args:
        name: The algorithm's, for errors.
        share: f, the first stage's part of the steps.
        model: A LatentVariableModel.
        objective: Of the first stage.
        training: Steps of both stages.
        prior: p_0, with nothing to learn.

    Errors:
        ValueError: The model's prior has nothing to learn, or a stage has no step.
    """

    remembered = ("made", "best", "kept", "seen")

    def __init__(
        self, name: str, share: float, model: Any, objective: Objective, training: Training, prior: PriorModule
    ) -> None:
        super().__init__(model)
        learned, self.border = list(model.prior.parameters()), round(share * training.steps)
        if not learned:
            raise ValueError(
                f"{name} algorithm: this prior has nothing to learn; try the pixelcnn or recurrent prior over codes, "
                "the recurrent_normal prior over real numbers, or the joint algorithm"
            )
        if not 0 < self.border < training.steps:
            raise ValueError(
                f"{name} algorithm: training.steps is {training.steps} and first is {share}, and each stage needs at "
                "least one step; try more steps"
            )
        own = {id(p) for p in learned}
        others = [p for p in model.parameters() if id(p) not in own]
        self.first_prior = prior
        self.descend = Descent(model, objective, training, prior)
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

    @abstractmethod
    def nats(self, batch: Batch) -> Float[Tensor, "B G"]:
        """What z of a batch costs under the model's prior, with a gradient for the prior alone."""

    def begin_second(self, step: Step) -> None:
        """Called before the first step of the second stage."""

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        self.made = step.number + 1
        if step.number < self.border:
            return self.descend(step, step.batch, self.autoencoder)
        for part in (self.model.encoder, self.model.inference, self.model.decoder):
            part.eval()
        if step.number == self.border:
            self.begin_second(step)
        if (step.number - self.border) % DECODE_EVERY == 0:
            self.seen = self._look(step.batch)
        return self._fit(step)

    def _fit(self, step: Step) -> dict[str, float | Tensor]:
        """Move the prior towards the z of the step's batch."""
        nats = self.nats(step.batch)
        loss = nats.sum(1).mean()
        self.descend.move(step.number, loss, self.prior)
        return {"loss": loss.detach(), "rate": nats.detach().mean(0), **self.seen}

    @torch.no_grad()
    def _look(self, batch: Batch) -> dict[str, Tensor]:
        """Distortion and penalties of a batch, means over all processes."""
        terms = self.descend.terms(batch)
        seen = {"distortion": terms.distortion, **terms.latent.penalty}
        return {name: distributed.mean(value.mean().float()) for name, value in seen.items()}

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
