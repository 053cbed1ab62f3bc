r"""p(z) = prod_i p(z_i | z_j for all j before i) over the places of a map of codes, by convolutions and attention.

The decoder of the same name, given a constant z: see :mod:`buttress.decoders.pixelsnail`. A place is one factor, in
which the codes of several slots are independent given the places before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from buttress.core import Prior, Space
from buttress.decoders.pixelsnail import PixelSNAIL
from buttress.priors._codes import MapCodesModule, check_given

__all__ = ["PixelSNAILPrior"]


@dataclass(frozen=True)
class PixelSNAILPrior(Prior):
    """Causal convolutions and causal self-attention over maps of codes: for large maps with relations far apart.

    Source: Chen, Mishra, Rohaninejad and Abbeel, PixelSNAIL, 2018; as a prior over codes: Razavi, van den Oord and
    Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019.

    Args:
        blocks: Number of blocks; each ends with an attention.
        layers: Gated layers in a block.
        channels: Channels of what is seen at a place, and of queries, keys and values; the vertical stack has half.
        heads: Heads of each attention; they share the channels.
        field: Width of the causal window of all convolutions together, in places, odd; None sees the whole map.
        given: Numbers in the vector c(y) of what the data offer beside x, such as a label, on which p(z|y) then
            depends; 0 for a prior that reads none of it.

    Errors:
        ValueError: An even field, a number that is too small, or heads that do not divide the channels; or, when
            built, z is no map of codes.

    Example:
        >>> import torch
        >>> p = PixelSNAILPrior(channels=4).build(Space((3, 2, 1), classes=8))()
        >>> p.sample((5,)).shape, p.log_prob(torch.zeros(5, 3, 2, 1, dtype=torch.long)).shape
        (torch.Size([5, 3, 2, 1]), torch.Size([5]))
    """

    discrete: ClassVar[bool] = True

    blocks: int = 2
    layers: int = 2
    channels: int = 32
    heads: int = 2
    field: int | None = 7
    given: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        self.decoder  # noqa: B018 - which refuses them
        check_given(self)

    @property
    def decoder(self) -> PixelSNAIL:
        """The decoder that does the work; its maps say where a place is."""
        return PixelSNAIL(self.blocks, self.layers, self.channels, self.heads, self.field)

    @classmethod
    def tiny(cls) -> tuple[PixelSNAILPrior, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(layers=1, channels=4, field=3),)

    def build(self, space: Space) -> MapCodesModule:
        """See :class:`buttress.core.Prior`."""
        return MapCodesModule(self.decoder, space, self.name(), self.given)
