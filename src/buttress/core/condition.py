"""What is given beside x -> numbers that posterior and decoder read."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from buttress.core.batch import EMPTY, Given
from buttress.core.part import Part
from buttress.core.spec import DataSpec

__all__ = ["Condition", "ConditionModule"]


class ConditionModule(nn.Module):
    """given -> c. ``features`` is the size E of c, 0 where nothing is read; ``names`` are the conditions it reads.

    c is appended to the encoder's features before the posterior, unless ``inference`` is false, and to z before the
    decoder, so that every encoder and decoder can be conditional.

    Example:
        >>> ConditionModule()(EMPTY) is None  # an unconditional model
        True
    """

    features: int = 0
    names: tuple[str, ...] = ()
    inference: bool = True

    def forward(self, given: Given = EMPTY) -> Float[Tensor, "B E"] | None:
        """c of every example; None where ``features`` is 0."""
        return None


class Condition(Part):
    """What the model is conditioned on, and how.

    Example:
        >>> from buttress.conditions.none import Unconditional
        >>> from buttress.core import DataSpec, Layout
        >>> Unconditional().build(DataSpec(Layout.table(3))).features
        0
    """

    @abstractmethod
    def build(self, spec: DataSpec) -> ConditionModule:
        """The module, for data that offer these conditions."""
