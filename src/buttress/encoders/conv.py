r"""h = the last map of a stack of stages, each halving (H, W) to (ceil(H/2), ceil(W/2)), laid in a row or left
as it is.

A stage is a 3x3 convolution of stride 2 and then residual blocks. There is no batch normalisation, through which
examples would see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from buttress.core import EMPTY, DataSpec, Encoder, EncoderModule, Given, Layout
from buttress.nn.layers import Activation, Residual, activation, check_widths
from buttress.nn.maps import halved

__all__ = ["ConvEncoder"]


@dataclass(frozen=True)
class ConvEncoder(Encoder):
    """A convolutional network, for images of any size.

    Source: residual blocks: He, Zhang, Ren and Sun, Identity Mappings in Deep Residual Networks, 2016.

    Args:
        widths: Channels of each stage; every stage halves height and width.
        blocks: Residual blocks in each stage.
        activation: Nonlinearity.
        spatial: Give the last map as it is, features at each of its places, instead of laying it in a row.
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Errors:
        ValueError: No stage, a width below 1, or a negative number of blocks.

    Example:
        >>> import torch
        >>> ConvEncoder(widths=(4, 6)).build(DataSpec(Layout.image(3, 5, 7)))(torch.zeros(2, 3, 5, 7)).shape
        torch.Size([2, 24])
    """

    widths: tuple[int, ...] = (32, 64)
    blocks: int = 1
    activation: Activation = "silu"
    spatial: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        check_widths("conv encoder: widths", self.widths, least=1)
        if self.blocks < 0:
            raise ValueError(f"conv encoder: blocks is {self.blocks}, wanted 0 or more")

    @classmethod
    def tiny(cls) -> tuple[ConvEncoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(widths=(3, 4)), cls(widths=(4,), blocks=0, activation="tanh"), cls(widths=(2,), spatial=True))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes == 2 else "it needs two place axes, as images have"

    def build(self, spec: DataSpec) -> ConvEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return ConvEncoderModule(self, spec)


class ConvEncoderModule(EncoderModule):
    """The module of :class:`ConvEncoder`."""

    def __init__(self, part: ConvEncoder, spec: DataSpec) -> None:
        super().__init__()
        channels, *size = spec.shape
        height, width = halved(size, len(part.widths))[-1]
        self.places = (height, width) if part.spatial else ()
        self.features = part.widths[-1] * (1 if part.spatial else height * width)
        stages = []
        for before, after in pairwise((channels, *part.widths)):
            blocks = (Residual(after, part.activation) for _ in range(part.blocks))
            stages += [nn.Conv2d(before, after, 3, stride=2, padding=1), *blocks, activation(part.activation)]
        self.net = nn.Sequential(*stages)

    def forward(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B *places F"]:
        """See :class:`buttress.core.EncoderModule`."""
        maps = self.net(x)
        return maps.movedim(1, -1) if self.places else maps.flatten(1)
