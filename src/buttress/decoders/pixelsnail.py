r"""p(x|z) = prod_i p(x_i | x_j for all j before i, z), pixels in reading order, by gated convolutions and attention.

A block is some gated layers, which see a small window (see :mod:`buttress.decoders.pixelcnn`), and one attention over
all places before (:mod:`buttress.nn.attention`). So every place sees its whole past from the first block on, at
any distance in one step, where convolutions would need many layers.

z reaches every layer and every attention through maps m(i, j), as in the PixelCNN. Keys and values depend on z through
h, so they are made for every sample of it, in memory proportional to the number of places and not to its square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from buttress.core import DataSpec, Decoder, Layout, LikelihoodModule
from buttress.decoders._pixels import PixelsModule, Stack, check_sizes

__all__ = ["PixelSNAIL"]


@dataclass(frozen=True)
class PixelSNAIL(Decoder):
    """Causal convolutions and causal self-attention given z: every pixel sees all pixels before it.

    Source: Chen, Mishra, Rohaninejad and Abbeel, PixelSNAIL: An Improved Autoregressive Generative Model, 2018. Ours is
    smaller: the gated layers of the PixelCNN here in place of residual blocks of four convolutions.

    Args:
        blocks: Number of blocks; each ends with an attention.
        layers: Gated layers in a block.
        channels: Channels of what is seen at a place, and of queries, keys and values; the vertical stack has half.
        heads: Heads of each attention; they share the channels.
        field: Width of the causal window of all convolutions together, in pixels, odd; 1 leaves all to the attention,
            None sees the whole image.
        maps: Number of maps through which z and the place reach each layer; below the dimension of z they narrow it.
        spatial: Whether z may say something else at every place; one that is a map (H', W', C) always does.
        hidden: Width of the perceptron, or of the convolutions of a map, by which it does.
        gain: What z says is multiplied by this: below 1 the decoder learns from z later than from x, and may never.
        dropout: Probability that a number that a gated layer adds to h is zeroed, in training only.

    Errors:
        ValueError: An even field; a number below 1 (below 2 for ``channels``); heads that do not divide the channels; a
            gain that is not above 0; a probability outside [0, 1).

    Example:
        >>> import torch
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> spec = DataSpec(Layout.image(1, 7, 5))
        >>> p = PixelSNAIL(channels=8).build(spec, (3,), Bernoulli().build(spec))(torch.zeros(2, 3))
        >>> p.batch_shape, p.sample().shape, p.log_prob(torch.zeros(2, 1, 7, 5)).shape
        (torch.Size([2]), torch.Size([2, 1, 7, 5]), torch.Size([2]))
    """

    autoregressive: ClassVar[bool] = True

    blocks: int = 2
    layers: int = 2
    channels: int = 32
    heads: int = 2
    field: int | None = 7
    maps: int = 16
    spatial: bool = False
    hidden: int = 64
    gain: float = 1.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        check_sizes(self, {"blocks": 1, "layers": 1, "channels": 2, "heads": 1, "maps": 1, "hidden": 1})
        if self.channels % self.heads:
            raise ValueError(
                f"pixelsnail decoder: {self.heads} heads do not divide {self.channels} channels; "
                f"try channels: {self.heads * -(-self.channels // self.heads)}"
            )

    @classmethod
    def tiny(cls) -> tuple[PixelSNAIL, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(layers=2, channels=4, field=3, maps=2, hidden=3)
        return (small, small.replace(blocks=1, layers=1, heads=1, field=1, spatial=True))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes == 2 else "it needs two place axes, as images have"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> PixelsModule:
        """See :class:`buttress.core.Decoder`."""
        layers = self.blocks * self.layers
        sizes = (self.field, layers, self.channels, self.maps, self.spatial, self.hidden, self.gain)
        stack = Stack(*sizes, every=self.layers, heads=self.heads, dropout=self.dropout)
        return PixelsModule(stack, spec, z_shape, likelihood)
