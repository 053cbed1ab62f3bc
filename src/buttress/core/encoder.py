"""x -> h."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from buttress.core.batch import EMPTY, Given
from buttress.core.part import DataPart
from buttress.core.spec import DataSpec
from buttress.nn.dispersion import likeness

__all__ = ["Encoder", "EncoderModule"]


class EncoderModule(nn.Module, ABC):
    """x -> h. ``features`` is the size F of h, and ``places`` those at which there is one: none for one h of all x.

    Where x has true lengths and h is a sequence, ``stride`` is how many places of x one place of h covers.
    ``cosine`` is the weight of the penalty; the model sets it from the part.

    Example:
        >>> import torch
        >>> from buttress.core import Layout
        >>> from buttress.encoders.mlp import MlpEncoder
        >>> encoder = MlpEncoder(hidden=(2,)).build(DataSpec(Layout.table(4)))
        >>> encoder.cosine = 3.0
        >>> encoder.penalty(torch.tensor([[1.0, 1.0], [2.0, 2.0]]))  # all point the same way
        {'cosine': tensor([3.0000, 3.0000])}
        >>> encoder.penalty(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))  # they cancel out
        {'cosine': tensor([0., 0.])}
    """

    features: int
    places: tuple[int, ...] = ()
    stride: int = 1
    cosine: float = 0.0

    @abstractmethod
    def forward(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B *places F"]:
        """Read ``x`` as ``LikelihoodModule.features`` gives it."""

    def valid(self, x: Tensor, given: Given = EMPTY) -> Bool[Tensor, "B *places"] | None:
        """Which places of h lie within the true length of their example; None where all do."""
        if len(self.places) != 1 or "lengths" not in given:
            return None
        true = (given["lengths"] + self.stride - 1) // self.stride
        return torch.arange(self.places[0], device=true.device) < true[:, None]

    def penalty(self, h: Float[Tensor, "B *features"]) -> dict[str, Float[Tensor, " B"]]:
        """What features like these cost each example beside the objective, by name; the model passes it on."""
        return {"cosine": self.cosine * likeness(h)} if self.cosine else {}


@dataclass(frozen=True, kw_only=True)
class Encoder(DataPart):
    """x -> h, no probability.

    Args:
        cosine: Weight of the mean cosine similarity between the features of a batch, a penalty on their pointing the
            same way; see :mod:`buttress.nn.dispersion`.

    Errors:
        ValueError: The weight is negative or not finite.

    Example:
        >>> import torch
        >>> from buttress.encoders.mlp import MlpEncoder
        >>> from buttress.core import DataSpec, Layout
        >>> MlpEncoder(hidden=(8,)).build(DataSpec(Layout.table(3)))(torch.zeros(5, 3)).shape  # (B, F)
        torch.Size([5, 8])
    """

    cosine: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions; an encoder with more of them calls this one too."""
        if not 0 <= self.cosine < math.inf:
            raise ValueError(f"{self.name()} encoder: cosine is {self.cosine}, wanted a finite weight of 0 or more")

    @abstractmethod
    def build(self, spec: DataSpec) -> EncoderModule:
        """The module, for data of this kind and shape."""
