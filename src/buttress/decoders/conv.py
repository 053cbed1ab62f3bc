r"""p(x|z) with parameters from a stack of stages that double a small map up to (H, W); sites independent given z.

z is mapped linearly to the smallest map, or by convolutions where z is a map itself; a stage is residual blocks and
then a transposed 4x4 convolution of stride 2, cropped where the size wanted is odd. 4 being a multiple of 2, every
output pixel hears from as many inputs: no checkerboard. With ``skip`` every stage but the first, and the output, read
their maps plus U z, at each place alike unless z is a map itself. A bias for every place starts at the parameters that
match the data's mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core import EMPTY, DataSpec, Decoder, DecoderModule, Given, Layout, LikelihoodModule
from buttress.nn.dropout import Dropout, check_dropout
from buttress.nn.layers import Activation, Residual, activation, channels_last, check_widths
from buttress.nn.maps import Broadcast, Upsample, halved, is_map

__all__ = ["ConvDecoder"]


@dataclass(frozen=True)
class ConvDecoder(Decoder):
    """A convolutional network that mirrors the conv encoder, for images of any size.

    Source: transposed convolutions whose kernel is a multiple of the stride: Odena, Dumoulin and Olah, Deconvolution
    and Checkerboard Artifacts, 2016; ``skip``: Dieng, Kim, Rush and Blei, Avoiding Latent Variable Collapse with
    Generative Skip Models, 2019.

    Args:
        widths: Channels of each stage from the smallest map on; every stage doubles height and width.
        blocks: Residual blocks in each stage.
        activation: Nonlinearity.
        skip: Whether every stage and the output read z, and not the smallest map alone.
        dropout: Probability that a number of a stage's output is zeroed, in training only.

    Errors:
        ValueError: No stage, a width below 1, a negative number of blocks, or a probability outside [0, 1).

    Example:
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> spec = DataSpec(Layout.image(1, 7, 5))
        >>> p = ConvDecoder(widths=(6, 4)).build(spec, (3,), Bernoulli().build(spec))(torch.zeros(2, 3))
        >>> p.batch_shape, p.event_shape
        (torch.Size([2]), torch.Size([1, 7, 5]))
    """

    widths: tuple[int, ...] = (64, 32)
    blocks: int = 1
    activation: Activation = "silu"
    skip: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        check_widths("conv decoder: widths", self.widths, least=1)
        check_dropout("conv decoder", self.dropout)
        if self.blocks < 0:
            raise ValueError(f"conv decoder: blocks is {self.blocks}, wanted 0 or more")

    @classmethod
    def tiny(cls) -> tuple[ConvDecoder, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(widths=(4, 3))
        return (small, cls(widths=(4,), blocks=0, activation="tanh"), small.replace(blocks=0, skip=True))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes == 2 else "it needs two place axes, as images have"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> ConvDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return ConvDecoderModule(self, spec, z_shape, likelihood)


class ConvDecoderModule(DecoderModule):
    """The module of :class:`ConvDecoder`."""

    def __init__(
        self, part: ConvDecoder, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.z_dims = len(z_shape)
        size = list(spec.shape[1:])
        *self.sizes, smallest = halved(size, len(part.widths))  # what each stage makes, the largest first
        self.smallest = (part.widths[0], *smallest)
        self.lift: nn.Module = nn.Linear(torch.Size(z_shape).numel(), torch.Size(self.smallest).numel())
        if is_map(z_shape):
            self.lift = Upsample(z_shape, part.widths[0], part.widths[0], smallest, bias=True)
        self.stages = nn.ModuleList(_stage(part, a, b) for a, b in pairwise((*part.widths, part.widths[-1])))
        read = (*part.widths[1:], part.widths[-1]) if part.skip else ()
        self.skips = nn.ModuleList(Broadcast(z_shape, width) for width in read)  # U
        self.drop = Dropout(part.dropout)
        self.out = nn.Conv2d(part.widths[-1], likelihood.channels, 3, padding=1, bias=False)
        start = likelihood.start()
        self.bias = nn.Parameter(torch.zeros(*size, likelihood.channels) if start is None else start.clone())

    def forward(self, z: Float[Tensor, "*rest"], given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.DecoderModule`."""
        flat = z.flatten(-self.z_dims)
        rows = flat.reshape(-1, flat.shape[-1])
        lifted = self.lift(rows)
        maps = lifted.movedim(-1, 1) if lifted.dim() == 4 else channels_last(lifted.view(-1, *self.smallest))
        for i, (height, width) in enumerate(reversed(self.sizes)):
            maps = self.drop(self.stages[i](maps)[..., :height, :width], flat.shape[:-1])
            maps = maps + self.skips[i](rows, (height, width)) if len(self.skips) else maps
        parameters = self.out(maps).movedim(1, -1) + self.bias
        return self.likelihood(parameters.reshape(*flat.shape[:-1], *parameters.shape[1:]), given)


def _stage(part: ConvDecoder, before: int, after: int) -> nn.Sequential:
    """Residual blocks, then twice the height and width."""
    blocks = (Residual(before, part.activation) for _ in range(part.blocks))
    double = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
    return nn.Sequential(*blocks, activation(part.activation), double, activation(part.activation))
