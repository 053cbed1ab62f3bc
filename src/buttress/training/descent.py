r"""One descent: objective and penalties -> gradients -> clipped and found finite -> the optimisers that may move.

$$ L = \text{objective}(\text{terms}, t) + \sum_k \mathbb{E}_{S,B}\, \text{penalty}_k, \qquad
   g \leftarrow g \min(1, c / \lVert g \rVert) $$
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW, Optimizer

from buttress.parts import Objective, Step
from buttress.recipe import Training
from buttress.records import Terms

__all__ = ["Descent", "NonFinite", "make_optimizer"]

LOOK_EVERY = 25
"""Steps between looks at the gradient's norm where looking makes the processor wait (not on a CPU)."""


class NonFinite(ValueError):
    """Something in training became NaN or infinite; the message names the first tensor that did."""


class Descent:
    """What every gradient algorithm does with one batch.

    Args:
        model: A LatentVariableModel.
        objective: Terms -> scalar.
        training: Learning rate, clipping and optimiser.
    """

    def __init__(self, model: nn.Module, objective: Objective, training: Training) -> None:
        self.model, self.objective, self.clip = model, objective, training.clip
        self.parameters = list(model.parameters())

    def __call__(self, step: Step, x: Tensor, *optimizers: Optimizer) -> dict[str, float | Tensor]:
        """Descend on the batch ``x`` with some of the optimisers; gradients are clipped over all parameters.

        Errors:
            NonFinite: The loss or a gradient is not finite; nothing was moved.
        """
        for parameter in self.parameters:
            parameter.grad = None
        terms = self.model(x, self.objective.samples)
        penalties = {name: value.mean() for name, value in terms.latent.penalty.items()}
        loss = self.objective(terms, step.number) + sum(penalties.values())
        step.backward(loss)
        self._tame(step.number, terms, loss)
        for optimizer in optimizers:
            optimizer.step()
        torch.clear_autocast_cache()  # under bf16 it holds weights as they were before the move
        return {
            "loss": loss.detach(),
            "distortion": terms.distortion.detach().mean(),
            "rate": terms.latent.rate.detach().mean(0),
            **{name: value.detach() for name, value in penalties.items()},
        }

    def _tame(self, number: int, terms: Terms, loss: Float[Tensor, ""]) -> None:
        """Clip, and look whether all is finite: one norm serves both."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if norm.device.type == "cpu" or number % LOOK_EVERY == 0:
            if not math.isfinite(norm.item() + loss.item()):
                raise NonFinite(f"{first_non_finite(self.model, terms, loss)} became NaN or infinite")
            if self.clip is None or norm.item() <= self.clip:
                return
        if self.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)


def make_optimizer(parameters: Iterable[nn.Parameter], training: Training) -> Optimizer:
    """The optimiser that the settings name, in its fused form where there is one."""
    kinds: dict[str, tuple[Any, dict[str, bool]]] = {
        "adam": (Adam, {"fused": True}),
        "adamw": (AdamW, {"fused": True}),
        "sgd": (SGD, {"fused": True}),
        "adamax": (Adamax, {"foreach": True}),
    }
    kind, fast = kinds[training.optimizer]
    return kind(list(parameters), lr=training.learning_rate, **fast)


def first_non_finite(model: nn.Module, terms: Terms, loss: Tensor) -> str:
    """The name of the first tensor that is not finite, in the order in which a step computes them."""
    latent, groups = terms.latent, getattr(model, "groups", ())
    rate = {f"the rate of group {name}": latent.rate[:, g] for g, name in enumerate(groups)}
    penalty = {f"the penalty {name}": value for name, value in latent.penalty.items()}
    gradients = {f"the gradient of {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    computed: dict[str, Tensor] = {
        **{f"the parameter {name}": p for name, p in model.named_parameters()},
        "the latent z": latent.z,
        **rate,
        **penalty,
        "the distortion": terms.distortion,
        "the loss": loss,
        **gradients,
    }
    return next((name for name, value in computed.items() if not torch.isfinite(value).all()), "the gradient's norm")
