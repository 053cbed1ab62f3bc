r"""Aggressive training of the inference network.

While the phase lasts, each step first moves the encoder's $\phi$ alone, on this batch and then on further random ones,
until the mean loss over windows of w moves stops falling; then it moves the decoder's $\theta$ on the step's own batch:

$$ \phi \leftarrow \phi - \eta \nabla_\phi L(X_e) \quad \text{until} \quad \bar L_{k} > \bar L_{k-1}, \qquad
   \theta \leftarrow \theta - \eta \nabla_\theta L(X) $$

The phase ends when $I_q(x; z)$ on held-out data has failed to pass its best value ``patience`` times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from buttress.algorithms.descent import Descent, make_optimizer
from buttress.core import Algorithm, AlgorithmModule, Batch, Objective, Step, Training
from buttress.runtime import distributed

__all__ = ["Aggressive"]


@dataclass(frozen=True)
class Aggressive(Algorithm):
    """The encoder is brought up to date before every step of the decoder, until mutual information stops rising.

    Source: He et al., Lagging Inference Networks and Posterior Collapse in Variational Autoencoders, 2019, with its
    code. Deviations: the code stops one short of ``max_inner``; it compares the first mutual information with 0 or -1,
    here the first one always counts as a gain. An "epoch" is ``training.validate_every`` steps.

    Args:
        max_inner: Most encoder steps before one decoder step.
        window: Encoder steps whose mean loss is compared with that of the window before (15 for text, 10 for images).
        patience: Validations in a row without a new best mutual information that end the phase (1 for text, 5 for
            images; one version of the authors' code for images counts five in all).

    Example:
        >>> Aggressive(window=10, patience=5)
        Aggressive(max_inner=100, window=10, patience=5)
    """

    max_inner: int = 100
    window: int = 15
    patience: int = 1

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for name in ("max_inner", "window", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"aggressive algorithm: {name} is {getattr(self, name)}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[Aggressive, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(max_inner=6, window=2),)

    def build(self, model: nn.Module, objective: Objective, training: Training) -> AggressiveModule:
        """See :class:`buttress.core.Algorithm`."""
        return AggressiveModule(self, model, objective, training)


class AggressiveModule(AlgorithmModule):
    """The module of :class:`Aggressive`."""

    remembered = ("active", "best", "failures")

    def __init__(self, part: Aggressive, model: Any, objective: Objective, training: Training) -> None:
        super().__init__(model)
        self.part = part
        self.descend = Descent(model, objective, training)
        encoder = [*model.encoder.parameters(), *model.inference.parameters()]
        own = {id(p) for p in encoder}
        decoder = [p for p in model.parameters() if id(p) not in own]
        # Two optimisers, not one with gradients set to zero: its momentum would go on moving the half that rests.
        self.encoder, self.decoder = make_optimizer(encoder, training), make_optimizer(decoder, training)
        self.optimizers = (self.encoder, self.decoder)
        self.active, self.best, self.failures = True, -math.inf, 0

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`. Adds ``inner_steps``."""
        inner = self._catch_up(step) if self.active else 0
        moving = (self.decoder,) if self.active else self.optimizers
        return {**self.descend(step, step.batch, *moving), "inner_steps": float(inner)}

    def _catch_up(self, step: Step) -> int:
        """Move the encoder until its loss stops falling; the number of moves."""
        batch, before, window = step.batch, math.inf, _Window()
        for count in range(1, self.part.max_inner + 1):
            loss = self.descend(step, batch, self.encoder)["loss"]
            window.add(loss * len(batch), _units(batch))
            if count % self.part.window == 0:
                if (now := window.mean()) > before:
                    return count
                before, window = now, _Window()
            if count < self.part.max_inner:
                batch = step.next_batch()
        return self.part.max_inner

    def after_validation(self, seen: Mapping[str, float], last: bool) -> bool:
        """See :class:`buttress.core.AlgorithmModule`."""
        if (information := seen["mutual_information"]) > self.best:
            self.best, self.failures = information, 0
        else:
            self.failures += 1
        self.active = self.active and self.failures < self.part.patience
        return False


def _units(batch: Batch) -> Tensor | int:
    """What a batch's loss is divided by: words, since batches of sentences differ in length; else examples."""
    return len(batch) if batch.lengths is None else batch.lengths.sum()


class _Window:
    """Loss per unit over some encoder steps; the mean is that of all processes, so that all stop together."""

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.units: Tensor | int = 0

    def add(self, total: Tensor | float, units: Tensor | int) -> None:
        self.total, self.units = self.total + total, self.units + units

    def mean(self) -> float:
        both = torch.stack([torch.as_tensor(v).float() for v in (self.total, self.units)])
        both = distributed.total(both)
        return float(both[0] / both[1])
