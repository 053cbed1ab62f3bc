"""Encoder and decoder move together: one optimiser, one step on the objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> model, x = recipe.model(data.open().spec), torch.ones(5, 4)
        >>> before = [p.clone() for p in model.parameters()]
        >>> module = Joint().build(model, recipe.objective, recipe.training)
        >>> _ = module.step(Step(0, x, lambda: x, torch.Tensor.backward))
        >>> all((p != b).any() for p, b in zip(model.parameters(), before, strict=True))  # encoder and decoder together
        True
    """

    def build(self, model: nn.Module, objective: Objective, training: Training) -> JointModule:
        """See :class:`buttress.core.Algorithm`."""
        return JointModule(model, objective, training)


class JointModule(AlgorithmModule):
    """The module of :class:`Joint`."""

    def __init__(self, model: nn.Module, objective: Objective, training: Training) -> None:
        self.descend = Descent(model, objective, training)
        self.optimizers = (make_optimizer(model.parameters(), training),)

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        return self.descend(step, step.x, *self.optimizers)

    def state_dict(self) -> dict[str, Any]:
        """See :class:`buttress.core.AlgorithmModule`."""
        return {"optimizer": self.optimizers[0].state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :class:`buttress.core.AlgorithmModule`."""
        self.optimizers[0].load_state_dict(state["optimizer"])
