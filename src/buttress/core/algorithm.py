"""How parameters move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from buttress.core.batch import Batch
from buttress.core.objective import Objective
from buttress.core.part import Part
from buttress.core.prior import PriorModule
from buttress.core.training import Training

__all__ = ["Algorithm", "AlgorithmModule", "Step"]


@dataclass(frozen=True)
class Step:
    """What an algorithm may use in one training step.

    Args:
        number: Counted from 0.
        batch: The step's observed batch, this process's rows.
        next_batch: Draws another observed training batch (for inner loops), the same at every resume.

    Example:
        >>> import torch
        >>> step = Step(0, Batch(torch.tensor([2.0])), next_batch=lambda: Batch(torch.tensor([5.0])))
        >>> step.batch.x, step.next_batch().x
        (tensor([2.]), tensor([5.]))
    """

    number: int
    batch: Batch
    next_batch: Callable[[], Batch]


class AlgorithmModule(nn.Module, ABC):
    """A learning algorithm at work on one model. Holds the optimisers, networks of its own, and any phase it is in.

    The model belongs to the run. It is kept here in a tuple, where ``nn.Module`` does not register it, so that
    ``parameters()`` and ``state_dict()`` are those of the algorithm's own networks (a discriminator, a code store)
    alone. The engine moves these to the device, checks them and writes them into checkpoints beside the model.

    Args:
        model: The model to train, a LatentVariableModel.

    Example:
        >>> import torch
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> model = recipe.model(data.open().spec)
        >>> module = recipe.algorithm.build(model, recipe.objective, recipe.training)
        >>> batch = Batch(torch.zeros(5, 4))
        >>> logs = module.step(Step(0, batch, lambda: batch))
        >>> torch.allclose(logs["loss"], logs["distortion"] + logs["rate"].sum())  # what joint training minimises
        True
        >>> len(list(module.parameters())), len(module.parameters_moved()) == len(list(model.parameters()))
        (0, True)
    """

    optimizers: tuple[Optimizer, ...]
    remembered: ClassVar[tuple[str, ...]] = ()
    """Attributes that a resumed run needs beside networks and optimisers: phases, counters, best values."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = (model,)

    @property
    def model(self) -> Any:
        """The model under training."""
        return self._model[0]

    def begin(self, read: Callable[[], Iterator[Batch]]) -> None:
        """Prepare before the first step of a new run; a resumed one continues from its checkpoint instead.

        Args:
            read: A pass over all training examples in the order of the data, observed, in batches; the same in every
                process. ``given["index"]`` says which examples a batch holds.
        """

    @abstractmethod
    def step(self, step: Step) -> dict[str, float | Tensor]:
        """Move the parameters once; return what to log, in nats.

        At least ``loss`` and ``distortion`` of shape () and ``rate`` of shape (G,), means over this process's rows; the
        same names at every step.
        """

    def parameters_moved(self) -> list[nn.Parameter]:
        """The parameters that any of the optimisers moves."""
        return [p for optimizer in self.optimizers for group in optimizer.param_groups for p in group["params"]]

    @property
    def in_final_phase(self) -> bool:
        """Whether it is in the phase that the run ends with. Early stopping is off before that."""
        return True

    @property
    def model_complete(self) -> bool:
        """Whether every part of the model has been trained, so that it may be saved as the best checkpoint."""
        return True

    def after_validation(self, seen: Mapping[str, float], last: bool) -> bool:
        """React to a validation, every ``Training.validate_every`` steps and at the end.

        Args:
            seen: ``elbo``, ``distortion``, ``rate``, ``mutual_information`` and more, in nats per held-out example.
            last: Whether the run ends here.

        Returns:
            Whether parameters were moved, so that the model must be validated again.
        """
        return False

    def get_extra_state(self) -> dict[str, Any]:
        """What ``state_dict`` holds beside the algorithm's own networks."""
        phase = {name: getattr(self, name) for name in self.remembered}
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers], **phase}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`get_extra_state`."""
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for name in self.remembered:
            setattr(self, name, state[name])


class Algorithm(Part):
    """How parameters move.

    Example:
        >>> from buttress.algorithms.joint import Joint
        >>> from buttress.algorithms.semi_amortized import SemiAmortized
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> from buttress.objectives.elbo import ELBO
        >>> model = LinearGaussian.random(dims=4, latents=1)
        >>> Joint().evaluation_model(model, ELBO(), step=0, seed=0) is model  # its q is the encoder's
        True
        >>> SemiAmortized(refine_steps=20).evaluation_model(model, ELBO(), step=0, seed=0).describe_inference()
        "refined for each example: 20 gradient steps of ..."
    """

    divides_steps: ClassVar[bool] = False
    """Whether its phases are shares of ``training.steps``: such a run can't be trained further with more steps."""

    @abstractmethod
    def build(self, model: nn.Module, objective: Objective, training: Training) -> AlgorithmModule:
        """The algorithm at work on ``model`` (a LatentVariableModel) with these settings."""

    def first_prior(self, model: Any) -> PriorModule | None:
        """The prior that q(z|x) was trained under, where that is not the model's own; evidence gives its rate too.

        Args:
            model: A LatentVariableModel.
        """
        return None

    def evaluation_model(self, model: Any, objective: Objective, step: int, seed: int) -> Any:
        """The model with the q(z|x) that this algorithm trains it for, which is what evidence should measure.

        Args:
            model: A LatentVariableModel whose weights do not change while it is evaluated.
            objective: What was minimised, up to and including step ``step``.
            step: Counted from 0.
            seed: Of any noise in finding q.

        Returns:
            A model that keeps the protocol of the diagnostics. Where it is not ``model`` itself,
            ``describe_inference()`` says how q is found, and ``amortised`` is the model whose own q is measured beside
            it, or None.
        """
        return model
