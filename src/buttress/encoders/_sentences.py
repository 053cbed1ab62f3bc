r"""What encoders of sentences share: h = pool(s_1, ..., s_T) over the T true tokens; padding never changes h.

$$ \text{last: } s_T \qquad \text{mean: } \tfrac1T \sum_t s_t \qquad \text{max: } \max_t s_t \text{ in every feature}
   \qquad \text{abs: the } s_t \text{ with } \max_t |s_t| $$
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from buttress.core import EMPTY, PAD, DataSpec, EncoderModule, Given
from buttress.core.batch import known

__all__ = ["Pooling", "SentenceEncoderModule"]

Pooling = Literal["last", "mean", "max", "abs"]


class SentenceEncoderModule(EncoderModule):
    """All but how the states follow from the tokens.

    Args:
        spec: Of the data.
        features: Size of a state.
        pooling: How the states become features.
        positions: Whether there are features at every token in place of one vector.
        backward: Whether a state knows its token and those after it alone.
        source: The condition that is read in place of x; None for x.
    """

    def __init__(
        self,
        spec: DataSpec,
        features: int,
        pooling: Pooling,
        positions: bool,
        backward: bool,
        source: str | None = None,
    ) -> None:
        super().__init__()
        self.pooling, self.backward, self.features, self.source = pooling, backward, features, source
        self.names = () if source is None else (source,)
        self.places = spec.layout.places if positions else ()

    @abstractmethod
    def states(self, x: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T F"]:
        """The states at all tokens; what stands at padding means nothing."""

    def forward(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B *places F"]:
        """See :class:`buttress.core.EncoderModule`."""
        x = self.read(x, given)
        true = x != PAD
        lengths = true.sum(1).clamp(min=1)
        states = self.states(x, lengths)
        if self.places:
            return F.pad(states * true[..., None], (0, 0, 0, self.places[0] - x.shape[1]))
        if self.pooling == "last":
            return self.last(states, lengths)
        if self.pooling == "mean":
            return (states * true[..., None]).sum(1) / lengths[:, None]
        if self.pooling == "abs":
            largest = states.abs().masked_fill(~true[..., None], -1.0).argmax(1, keepdim=True)
            return states.gather(1, largest).squeeze(1)
        return states.masked_fill(~true[..., None], -torch.inf).amax(1)

    def valid(self, x: Tensor, given: Given = EMPTY) -> Bool[Tensor, "B *places"] | None:
        """See :class:`buttress.core.EncoderModule`. Sentences mark their own length."""
        x = self.read(x, given)
        return F.pad(x != PAD, (0, self.places[0] - x.shape[1])) if self.places else None

    def read(self, x: Int[Tensor, "B T"], given: Given) -> Int[Tensor, "B S"]:
        """The sentence that is read."""
        return x if self.source is None else known(given, self.source, "encoder")

    def last(self, states: Float[Tensor, "B T F"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B F"]:
        """The state at the last true token, or at the first where the sentence is read backwards."""
        if self.backward:
            return states[:, 0]
        return states.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)
