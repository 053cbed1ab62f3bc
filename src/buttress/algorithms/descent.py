r"""One descent: objective and penalties -> gradients -> clipped and found finite -> the optimisers that may move.

$$ L = \text{objective}(\text{terms}, t) + \sum_k \mathbb{E}_{S,B}\, \text{penalty}_k, \qquad
   g \leftarrow \bar g \min(1, c / \lVert \bar g \rVert) $$

with $\bar g$ the mean gradient of all processes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW, Optimizer

from buttress.core import Batch, Objective, PriorModule, Step, Training
from buttress.core.records import Terms
from buttress.runtime import distributed

__all__ = ["Descent", "GradientStep", "NonFinite", "first_non_finite", "first_non_finite_output", "make_optimizer"]

CHECK_EVERY = 25
"""Steps between checks of the gradient's norm where reading it makes the processor wait (not on a CPU)."""
NEGLIGIBLE, FORGET_EVERY = 1e-30, 100
"""Below this an optimiser's mean is set to zero: far under every epsilon, and so many steps above the subnormals."""


class NonFinite(ValueError):
    """Something in training became NaN or infinite; the message names the first tensor that did."""


class GradientStep:
    """One step along the gradient of a loss: shared between processes, clipped, checked, followed by optimisers.

    Args:
        parameters: The parameters to differentiate by, with the names that errors call them by. Whatever else the loss
            depends on gets no gradient.
        clip: Largest Euclidean norm of their gradients together; None for no clipping.

    Example:
        >>> weight = nn.Parameter(torch.tensor([3.0]))
        >>> move = GradientStep({"weight": weight}, clip=1.0)
        >>> move(0, 10 * weight.sum(), torch.optim.SGD([weight], lr=0.5))  # slope 10, clipped to 1
        >>> weight.item()
        2.5
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], clip: float | None) -> None:
        self.parameters, self.clip = dict(parameters), clip

    def __call__(
        self,
        number: int,
        loss: Float[Tensor, ""],
        *optimizers: Optimizer,
        terms: Terms | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        """Move some of the optimisers along the gradient of a loss, and of nothing else.

        Args:
            number: The training step, counted from 0.
            loss: The mean over this process's rows.
            optimizers: Those that move; gradients are clipped over all parameters either way.
            terms: What the loss was computed from, for errors.
            groups: The names of its groups, for errors.

        Errors:
            NonFinite: The loss or a gradient is not finite; nothing was moved.
        """
        moving = [p for p in self.parameters.values() if p.requires_grad]
        for parameter in self.parameters.values():
            parameter.grad = None
        if not loss.requires_grad:  # all that the loss depends on is frozen
            return
        loss.backward(inputs=moving)
        everywhere = distributed.average_gradients(moving, loss.detach())
        gradients = [p.grad for p in moving if p.grad is not None]
        norm = _norm(gradients)
        on_cpu = norm.device.type == "cpu"
        if (on_cpu or number % CHECK_EVERY == 0) and not math.isfinite(norm.item() + everywhere.item()):
            found = _first_of_all(first_non_finite(self.parameters, terms, loss, groups))
            raise NonFinite(f"{found} became NaN or infinite")
        if self.clip is not None and not (on_cpu and norm.item() <= self.clip):
            torch.nn.utils.clip_grads_with_norm_(moving, self.clip, norm)
        for optimizer in optimizers:
            optimizer.step()
            if number % FORGET_EVERY == 0:
                forget(optimizer)
        torch.clear_autocast_cache()  # under bf16 it holds weights as they were before the move


class Descent:
    """What every gradient algorithm does with one batch.

    Args:
        model: A LatentVariableModel.
        objective: Terms -> scalar.
        training: Learning rate, clipping and optimiser.
        prior: To use instead of the model's own; None for that.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, training: Training, prior: PriorModule | None = None
    ) -> None:
        self.model, self.objective, self.prior = model, objective, prior
        self.move = GradientStep(dict(model.named_parameters()), training.clip)

    def __call__(self, step: Step, batch: Batch, *optimizers: Optimizer) -> dict[str, float | Tensor]:
        """Descend on a batch with some of the optimisers; gradients are clipped over all parameters of the model.

        Errors:
            NonFinite: The loss or a gradient is not finite; nothing was moved.
        """
        terms = self.terms(batch)
        return self.follow(step, terms, self.loss(terms, step.number), *optimizers)

    def terms(self, batch: Batch) -> Terms:
        """The record of a batch.

        Errors:
            NonFinite: A parameter, or the output of a module, is not finite.
        """
        prior = None if self.prior is None else self.prior(batch.given)
        try:
            return self.model(batch.x, self.objective.samples, prior, batch.given)
        except ValueError as error:  # torch's distributions refuse NaN, but know no names
            if name := first_non_finite_output(self.model, batch):
                raise NonFinite(f"{name} became NaN or infinite") from error
            raise

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
        self.move(step.number, loss, *optimizers, terms=terms, groups=getattr(self.model, "groups", ()))
        return {
            "loss": loss.detach(),
            "distortion": terms.distortion.detach().mean(),
            "rate": terms.latent.rate.detach().mean(0),
            **{name: value.detach().mean() for name, value in terms.latent.penalty.items()},
        }


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
    """Set to zero what is negligible in an optimiser's means.

    The means of weights that get no gradient any more, as those of an encoder that is ignored, decay into the subnormal
    numbers, with which a CPU counts dozens of times more slowly.
    """
    for state in optimizer.state.values():
        for mean in state.values():
            if isinstance(mean, Tensor) and mean.dim() and mean.device.type == "cpu":
                mean.masked_fill_(mean.abs() < NEGLIGIBLE, 0.0)


def first_non_finite_output(model: nn.Module, batch: Batch) -> str | None:
    """The name of the first parameter, or else of the first module's output, that is not finite; None for none.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 1), nn.ReLU())
        >>> _ = net[0].weight.data.fill_(torch.nan)
        >>> first_non_finite_output(net, Batch(torch.ones(1, 2)))
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
            model(batch.x, **({"given": batch.given} if batch.given else {}))
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


def first_non_finite(
    parameters: Mapping[str, nn.Parameter], terms: Terms | None, loss: Tensor, groups: Sequence[str] = ()
) -> tuple[int, str]:
    """The first tensor that is not finite in the order in which a step computes them: its place and its name.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> net(torch.full((1, 2), torch.inf)).sum().backward()
        >>> first_non_finite(dict(net.named_parameters()), None, torch.tensor(torch.nan))[1]
        'the loss'
    """
    gradients = {f"the gradient of {n}": p.grad for n, p in parameters.items() if p.grad is not None}
    computed: dict[str, Tensor] = {
        **{f"the parameter {name}": p for name, p in parameters.items()},
        **({} if terms is None else _named(terms, groups)),
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
