"""Encoder and decoder move together: one optimiser, one step on the objective."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from buttress.algorithms.descent import Descent, make_optimizer
from buttress.core import Algorithm, AlgorithmModule, Objective, Step, Training

__all__ = ["Joint"]


@dataclass(frozen=True)
class Joint(Algorithm):
    """Ordinary training: every parameter moves along the gradient of the objective.

    Source: Kingma and Welling, Auto-Encoding Variational Bayes, 2014.

    Example:
        >>> import torch
        >>> from buttress.baseline import baseline
        >>> from buttress.core import Batch
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> model, batch = recipe.model(data.open().spec), Batch(torch.ones(5, 4))
        >>> before = [p.clone() for p in model.parameters()]
        >>> module = Joint().build(model, recipe.objective, recipe.training)
        >>> _ = module.step(Step(0, batch, lambda: batch))
        >>> all((p != b).any() for p, b in zip(model.parameters(), before, strict=True))  # encoder and decoder together
        True
    """

    def build(self, model: nn.Module, objective: Objective, training: Training) -> JointModule:
        """See :class:`buttress.core.Algorithm`."""
        return JointModule(model, objective, training)


class JointModule(AlgorithmModule):
    """The module of :class:`Joint`."""

    def __init__(self, model: nn.Module, objective: Objective, training: Training) -> None:
        super().__init__(model)
        self.descend = Descent(model, objective, training)
        self.optimizers = (make_optimizer(model.parameters(), training),)

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        return self.descend(step, step.batch, *self.optimizers)
