r"""One descent: objective and penalties -> gradients -> clipped and found finite -> the optimisers that may move.

$$ L = \text{objective}(\text{terms}, t) + \sum_k \mathbb{E}_{S,B}\, \text{penalty}_k, \qquad
   g \leftarrow g \min(1, c / \lVert g \rVert) $$
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW, Optimizer

from buttress.core import Objective, PriorModule, Step, Training
from buttress.core.records import Terms

__all__ = ["Descent", "NonFinite", "first_non_finite", "first_non_finite_output", "make_optimizer"]

LOOK_EVERY = 25
"""Steps between looks at the gradient's norm where looking makes the processor wait (not on a CPU)."""
NOTHING, FORGET_EVERY = 1e-30, 100
"""Below this an optimiser's mean is nothing: far under every epsilon, and so many steps above the subnormals."""


class NonFinite(ValueError):
    """Something in training became NaN or infinite; the message names the first tensor that did."""


class Descent:
    """What every gradient algorithm does with one batch.

    Args:
        model: A LatentVariableModel.
        objective: Terms -> scalar.
        training: Learning rate, clipping and optimiser.
        prior: To take instead of the model's own; None for that.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, training: Training, prior: PriorModule | None = None
    ) -> None:
        self.model, self.objective, self.clip, self.prior = model, objective, training.clip, prior
        self.parameters = list(model.parameters())

    def __call__(self, step: Step, x: Tensor, *optimizers: Optimizer) -> dict[str, float | Tensor]:
        """Descend on the batch ``x`` with some of the optimisers; gradients are clipped over all parameters.

        Errors:
            NonFinite: The loss or a gradient is not finite; nothing was moved.
        """
        terms = self._terms(x)
        return self.follow(step, terms, self.loss(terms, step.number), *optimizers)

    def loss(self, terms: Terms, number: int) -> Float[Tensor, ""]:
        """L at a step."""
        return sum((value.mean() for value in terms.latent.penalty.values()), start=self.objective(terms, number))

    def follow(
        self, step: Step, terms: Terms, loss: Float[Tensor, ""], *optimizers: Optimizer
    ) -> dict[str, float | Tensor]:
        """Descend along the gradient of ``loss``, which was computed from ``terms``; what a call does once it has both.

        Errors:
            NonFinite: The loss or a gradient is not finite; nothing was moved.
        """
        self.along(step, loss, terms, *optimizers)
        return {
            "loss": loss.detach(),
            "distortion": terms.distortion.detach().mean(),
            "rate": terms.latent.rate.detach().mean(0),
            **{name: value.detach().mean() for name, value in terms.latent.penalty.items()},
        }

    def along(self, step: Step, loss: Float[Tensor, ""], terms: Terms | None, *optimizers: Optimizer) -> None:
        """Move some of the optimisers along the gradient of a loss, and of nothing else.

        Errors:
            NonFinite: The loss or a gradient is not finite; nothing was moved.
        """
        for parameter in self.parameters:
            parameter.grad = None
        step.backward(loss)
        self._tame(step.number, terms, loss)
        for optimizer in optimizers:
            optimizer.step()
            if step.number % FORGET_EVERY == 0:
                forget(optimizer)
        torch.clear_autocast_cache()  # under bf16 it holds weights as they were before the move

    def _terms(self, x: Tensor) -> Terms:
        prior = () if self.prior is None else (self.prior.to(x.device)(),)
        try:
            return self.model(x, self.objective.samples, *prior)
        except ValueError as error:  # torch's distributions refuse NaN, but know no names
            if name := first_non_finite_output(self.model, x):
                raise NonFinite(f"{name} became NaN or infinite") from error
            raise

    def _tame(self, number: int, terms: Terms | None, loss: Float[Tensor, ""]) -> None:
        """Clip, and look whether all is finite: one norm serves both."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = _norm(gradients)
        if norm.device.type == "cpu" or number % LOOK_EVERY == 0:
            if not math.isfinite(norm.item() + loss.item()):
                raise NonFinite(f"{_first_of_all(first_non_finite(self.model, terms, loss))} became NaN or infinite")
            if self.clip is None or norm.item() <= self.clip:
                return
        if self.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)


def _norm(gradients: Sequence[Tensor]) -> Float[Tensor, ""]:
    """The Euclidean norm of all together; on a CPU from dot products, which take half the time."""
    if gradients[0].device.type != "cpu":
        return torch.nn.utils.get_total_norm(gradients)
    return torch.stack([torch.dot(g, g) for g in (g.reshape(-1) for g in gradients)]).sum().sqrt()


def make_optimizer(parameters: Iterable[nn.Parameter], training: Training) -> Optimizer:
    """The optimiser that the settings name, in its fused form where there is one.

    Example:
        >>> optimizer = make_optimizer(nn.Linear(2, 1).parameters(), Training(optimizer="sgd", learning_rate=0.5))
        >>> type(optimizer).__name__, optimizer.defaults["lr"]
        ('SGD', 0.5)
    """
    kinds: dict[str, tuple[Any, dict[str, bool]]] = {
        "adam": (Adam, {"fused": True}),
        "adamw": (AdamW, {"fused": True}),
        "sgd": (SGD, {"fused": True}),
        "adamax": (Adamax, {"foreach": True}),
    }
    kind, fast = kinds[training.optimizer]
    return kind(list(parameters), lr=training.learning_rate, **fast)


def forget(optimizer: Optimizer) -> None:
    """Set to zero what is nothing in an optimiser's means.

    The means of weights that get no gradient any more, as those of an encoder that is ignored, decay into the subnormal
    numbers, with which a CPU counts dozens of times more slowly.
    """
    for state in optimizer.state.values():
        for mean in state.values():
            if isinstance(mean, Tensor) and mean.dim() and mean.device.type == "cpu":
                mean.masked_fill_(mean.abs() < NOTHING, 0.0)


def first_non_finite_output(model: nn.Module, x: Tensor) -> str | None:
    """The name of the first parameter, or else of the first module's output, that is not finite; None for none.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 1), nn.ReLU())
        >>> _ = net[0].weight.data.fill_(torch.nan)
        >>> first_non_finite_output(net, torch.ones(1, 2))
        'the parameter 0.weight'
    """
    names = [f"the parameter {name}" for name, p in model.named_parameters() if not torch.isfinite(p).all()]

    def look(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not torch.isfinite(output).all():
                names.append(f"the output of {name}")

        return hook

    hooks = [module.register_forward_hook(look(name)) for name, module in model.named_modules()]
    try:
        with torch.no_grad(), contextlib.suppress(ValueError):
            model(x)
    finally:
        for handle in hooks:
            handle.remove()
    return names[0] if names else None


def _first_of_all(found: tuple[int, str]) -> str:
    """The earliest name that any process found: only gradients, which they share, are broken in all of them."""
    everywhere = [found]
    if dist.is_available() and dist.is_initialized():
        everywhere = [found] * dist.get_world_size()
        dist.all_gather_object(everywhere, found)
    return min(everywhere)[1]


def first_non_finite(model: nn.Module, terms: Terms | None, loss: Tensor) -> tuple[int, str]:
    """The first tensor that is not finite in the order in which a step computes them: its place and its name.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> net(torch.full((1, 2), torch.inf)).sum().backward()
        >>> first_non_finite(net, None, torch.tensor(torch.nan))[1]
        'the loss'
    """
    gradients = {f"the gradient of {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    computed: dict[str, Tensor] = {
        **{f"the parameter {name}": p for name, p in model.named_parameters()},
        **({} if terms is None else _named(terms, getattr(model, "groups", ()))),
        "the loss": loss,
        **gradients,
    }
    bad = ((place, name) for place, (name, value) in enumerate(computed.items()) if not torch.isfinite(value).all())
    return next(bad, (len(computed), "the gradient's norm"))


def _named(terms: Terms, groups: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a record by name, in the order in which they are computed."""
    latent = terms.latent
    rate = {f"the rate of group {name}": latent.rate[:, g] for g, name in enumerate(groups)}
    penalty = {f"the penalty {name}": value for name, value in latent.penalty.items()}
    return {"the latent z": latent.z, **rate, **penalty, "the distortion": terms.distortion}
