r"""p(z) = prod_i p(z_i | z_j for j before i and near i) over the places of a map of codes, by gated convolutions.

The decoder of the same name, given a constant z: see :mod:`buttress.decoders.pixelcnn` for its mathematics. A place is
one factor, in which the codes of several slots are independent given the places before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from buttress.core import Prior, Space
from buttress.decoders.pixelcnn import PixelCNN
from buttress.priors._codes import MapCodesModule, check_given

__all__ = ["PixelCNNPrior"]


@dataclass(frozen=True)
class PixelCNNPrior(Prior):
    """A gated PixelCNN over maps of codes: the prior of the second stage.

    Source: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017.

    Args:
        field: Width of the causal window, in places, odd; None sees the whole map.
        layers: Number of layers, the one that reads codes included.
        channels: Channels of the horizontal stack; the vertical one has half as many.
        given: Numbers in the vector c(y) of what the data offer beside x, such as a label, on which p(z|y) then
            depends; 0 for a prior that reads none of it.

    Errors:
        ValueError: An even field or a number that is too small; or, when built, z is no map of codes.

    Example:
        >>> import torch
        >>> p = PixelCNNPrior(channels=4).build(Space((3, 2, 1), classes=8))()
        >>> p.sample((5,)).shape, p.log_prob(torch.zeros(5, 3, 2, 1, dtype=torch.long)).shape
        (torch.Size([5, 3, 2, 1]), torch.Size([5]))
    """

    discrete: ClassVar[bool] = True

    field: int | None = None
    layers: int = 4
    channels: int = 32
    given: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        self.decoder  # noqa: B018 - which refuses them
        check_given(self)

    @property
    def decoder(self) -> PixelCNN:
        """The decoder that does the work; its maps say where a place is."""
        return PixelCNN(field=self.field, layers=self.layers, channels=self.channels)

    @classmethod
    def tiny(cls) -> tuple[PixelCNNPrior, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(layers=2, channels=4), cls(field=3, layers=2, channels=4))

    def build(self, space: Space) -> MapCodesModule:
        """See :class:`buttress.core.Prior`."""
        return MapCodesModule(self.decoder, space, self.name(), self.given)
