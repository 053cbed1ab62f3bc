r"""An autoencoder first: the encoder learns without any rate, then a new decoder is trained on the objective.

$$ t < \lfloor f T \rceil: \quad L = -\mathbb{E}_q \log p(x|z) + \text{penalties}; \qquad
   \text{after that:} \quad L = \text{objective}(t) + \text{penalties} $$

At the border the decoder gets back the weights that it started the run with, so that it meets a z that already
says something, and has not learned to read a z without noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from buttress.algorithms.descent import Descent, make_optimizer
from buttress.core import Algorithm, AlgorithmModule, Objective, Step, Training

__all__ = ["Pretrained"]


@dataclass(frozen=True)
class Pretrained(Algorithm):
    """Two phases: an autoencoder, then the objective with the trained encoder and a new decoder.

    Source: Li, He, Neubig, Berg-Kirkpatrick and Yang, A Surprisingly Effective Fix for Deep Latent Variable Modeling of
    Text, 2019.

    Args:
        first: Share f of the steps that train the autoencoder.
        reset: Whether the decoder starts anew at the border.

    Errors:
        ValueError: A share outside (0, 1); on building, a phase without a step.

    Example:
        >>> Pretrained(first=0.25)
        Pretrained(first=0.25, reset=True)
    """

    divides_steps: ClassVar[bool] = True

    first: float = 0.3
    reset: bool = True

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not 0 < self.first < 1:
            raise ValueError(f"pretrained algorithm: first is {self.first}, wanted a share between 0 and 1")

    @classmethod
    def tiny(cls) -> tuple[Pretrained, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(first=0.5),)

    def build(self, model: nn.Module, objective: Objective, training: Training) -> PretrainedModule:
        """See :class:`buttress.core.Algorithm`."""
        return PretrainedModule(self, model, objective, training)


class PretrainedModule(AlgorithmModule):
    """The module of :class:`Pretrained`. ``border`` is the first step of the second phase."""

    remembered = ("made", "start")

    def __init__(self, part: Pretrained, model: Any, objective: Objective, training: Training) -> None:
        super().__init__(model)
        self.part, self.made, self.border = part, 0, round(part.first * training.steps)
        if not 0 < self.border < training.steps:
            raise ValueError(
                f"pretrained algorithm: training.steps is {training.steps} and first is {part.first}, and each phase "
                "needs at least one step; try more steps"
            )
        self.start = {name: value.clone() for name, value in model.decoder.state_dict().items() if _is_tensor(value)}
        self.descend = Descent(model, objective, training)
        self.optimizers = tuple(make_optimizer(model.parameters(), training) for _ in range(2))

    @property
    def in_final_phase(self) -> bool:
        """See :class:`buttress.core.AlgorithmModule`."""
        return self.made > self.border

    @property
    def model_complete(self) -> bool:
        """See :class:`buttress.core.AlgorithmModule`."""
        return self.in_final_phase

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        self.made = step.number + 1
        if step.number >= self.border:
            if step.number == self.border and self.part.reset:
                self.model.decoder.load_state_dict(self.start)
            return self.descend(step, step.batch, self.optimizers[1])
        terms = self.descend.terms(step.batch)
        penalties = sum((value.mean() for value in terms.latent.penalty.values()), start=terms.distortion.mean())
        return self.descend.follow(step, terms, penalties, self.optimizers[0])


def _is_tensor(value: object) -> bool:
    """Whether an entry of a state is one, and not some module's extra state."""
    return isinstance(value, Tensor)
