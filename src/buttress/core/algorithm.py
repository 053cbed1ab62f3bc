"""How parameters move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from buttress.core.objective import Objective
from buttress.core.part import Part
from buttress.core.training import Training

__all__ = ["Algorithm", "AlgorithmModule", "Step"]


@dataclass(frozen=True)
class Step:
    """What an algorithm may use in one training step.

    Args:
        number: Counted from 0.
        x: The step's observed batch, this process's rows.
        more: Draws another observed training batch (for inner loops), the same at every resume.
        backward: Use instead of ``loss.backward()``, so that processes share gradients and precision is handled.

    Example:
        >>> import torch
        >>> weight, x = torch.tensor(3.0, requires_grad=True), torch.tensor([2.0])
        >>> step = Step(0, x, more=lambda: torch.tensor([5.0]), backward=torch.Tensor.backward)
        >>> step.backward((weight * step.x).sum())  # its slope is x
        >>> weight.grad, step.more()
        (tensor(2.), tensor([5.]))
    """

    number: int
    x: Tensor
    more: Callable[[], Tensor]
    backward: Callable[[Tensor], None]


class AlgorithmModule(ABC):
    """A learning algorithm at work on one model. Holds the optimisers and any phase it is in.

    Example:
        >>> import torch
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> module = recipe.algorithm.build(recipe.model(data.open().spec), recipe.objective, recipe.training)
        >>> x = torch.zeros(5, 4)
        >>> logs = module.step(Step(0, x, lambda: x, torch.Tensor.backward))
        >>> torch.allclose(logs["loss"], logs["distortion"] + logs["rate"].sum())  # what joint training minimises
        True
    """

    optimizers: tuple[Optimizer, ...]

    @abstractmethod
    def step(self, step: Step) -> dict[str, float | Tensor]:
        """Move the parameters once; return what to log, in nats.

        At least ``loss`` and ``distortion`` of shape () and ``rate`` of shape (G,), means over this process's rows; the
        same names at every step.
        """

    @property
    def settled(self) -> bool:
        """Whether it is already in the phase that the run ends with; before, nobody loses patience."""
        return True

    @property
    def whole(self) -> bool:
        """Whether the model, as it stands, is one that the run may end with; before, none is kept as the best."""
        return True

    def after_validation(self, seen: Mapping[str, float], last: bool) -> bool:
        """Hear what was seen on held-out data, every ``Training.validate_every`` steps and at the end.

        Args:
            seen: ``elbo``, ``distortion``, ``rate``, ``mutual_information`` and more, in nats per example.
            last: Whether the run ends here.

        Returns:
            Whether parameters were moved, so that one has to look again.
        """
        return False

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs, as nested dicts and lists of tensors and scalars."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""


class Algorithm(Part):
    """How parameters move.

    Example:
        >>> from buttress.algorithms.joint import Joint
        >>> from buttress.algorithms.semi_amortized import SemiAmortized
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> from buttress.objectives.elbo import ELBO
        >>> model = LinearGaussian.random(dims=4, latents=1)
        >>> Joint().asked(model, ELBO(), step=0, seed=0) is model  # its q is the encoder's
        True
        >>> SemiAmortized(refine_steps=20).asked(model, ELBO(), step=0, seed=0).inference_in_words
        "refined for each example: 20 gradient steps of ..."
    """

    @abstractmethod
    def build(self, model: nn.Module, objective: Objective, training: Training) -> AlgorithmModule:
        """The algorithm at work on ``model`` (a LatentVariableModel) with these settings."""

    def asked(self, model: Any, objective: Objective, step: int, seed: int) -> Any:
        """The model with the q(z|x) that this algorithm trains it for, which is what evidence should measure.

        Args:
            model: A LatentVariableModel whose weights stand still while it is asked.
            objective: What was minimised, up to and including step ``step``.
            step: Counted from 0.
            seed: Of any noise in finding q.

        Returns:
            A model that keeps the protocol of the diagnostics. Where it is not ``model`` itself, ``inference_in_words``
            says how q is found, and ``amortised`` is the model whose own q is worth measuring beside it, or None.
        """
        return model
