"""What image decoders made of gated layers share: z as maps, stacks in reading order, attention where it is wanted.

The letters are those of :mod:`buttress.nn.gated` and :mod:`buttress.nn.attention`. The vertical stack
sees neither z nor the attention, so it is computed once for all samples of z.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import DataSpec, LikelihoodModule
from buttress.core.autoregressive import AutoregressiveModule
from buttress.decoders._pixel_loop import PixelLoop
from buttress.nn.attention import Attention
from buttress.nn.dropout import Dropout, check_dropout
from buttress.nn.gated import Horizontal, Vertical, gate, reaches
from buttress.nn.layers import channels_last, lowered
from buttress.nn.maps import Upsample, is_map

__all__ = ["PixelsModule", "Stack", "check_sizes"]


@dataclass(frozen=True)
class Stack:
    """The sizes of a :class:`PixelsModule`.

    Args:
        field: Width of the window of all convolutions together, odd; None for the whole image.
        layers: Number of gated layers, the one that reads x included.
        channels: Channels of h; v has half as many.
        maps: Number of maps m.
        spatial: Whether z may say something else at every place; one that is a map (H', W', C) always does.
        hidden: Width of the perceptron, or of the convolutions of a map, by which it does.
        gain: What z says is multiplied by this, after it was made into maps.
        every: After how many layers comes an attention; 0 for none.
        heads: Number of heads of each.
        dropout: Probability that a number that a layer adds to h is zeroed, in training only.
    """

    field: int | None
    layers: int
    channels: int
    maps: int
    spatial: bool
    hidden: int
    gain: float
    every: int = 0
    heads: int = 1
    dropout: float = 0.0


DEEPEST = 1000
"""Most layers, and most blocks: far more than any that was ever trained."""


def check_sizes(part: Any, least: Mapping[str, int]) -> None:
    """Raise a ValueError for an even field, a gain that is not above 0, or a size that is too small or too large."""
    decoder = f"{part.name()} decoder"
    if part.field is not None and (part.field < 1 or part.field % 2 == 0):
        raise ValueError(f"{decoder}: field is {part.field}, wanted an odd number from 1, or None for all")
    if not (math.isfinite(part.gain) and part.gain > 0):
        raise ValueError(f"{decoder}: gain is {part.gain}, wanted a number above 0")
    check_dropout(decoder, part.dropout)
    for name, smallest in least.items():
        if getattr(part, name) < smallest:
            raise ValueError(f"{decoder}: {name} is {getattr(part, name)}, wanted at least {smallest}")
    for name in ("layers", "blocks"):
        if (depth := getattr(part, name, 1)) > DEEPEST:
            raise ValueError(f"{decoder}: {name} is {depth}, wanted at most {DEEPEST:,}")


class PixelsModule(AutoregressiveModule):
    """Gated layers and attention from z and x to the likelihood's parameters, place after place.

    Args:
        stack: The sizes.
        spec: Shape of the image.
        z_shape: Shape of one z.
        likelihood: What the outputs mean.
    """

    rereads = True

    def __init__(self, stack: Stack, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.z_dims, self.event, self.places = len(z_shape), spec.shape, spec.shape[1:]
        self.gain = stack.gain
        self.radius = None if stack.field is None or stack.every else (stack.field - 1) // 2
        radius = max(self.places) - 1 if stack.field is None else (stack.field - 1) // 2
        above = stack.channels // 2 if radius else 0
        self.where = nn.Parameter(0.1 * torch.randn(*self.places, stack.maps))
        self.lift = _lift(stack, z_shape, self.places)
        self.read, inputs = _reader(likelihood, stack.channels, bool(radius or stack.every))
        self.vertical, self.horizontal, self.attention = nn.ModuleList(), nn.ModuleList(), nn.ModuleDict()
        for i, reach in enumerate(reaches(radius, stack.layers)):
            v, h = (above, stack.channels) if i else (inputs, inputs)
            self.horizontal.append(Horizontal(h, above + stack.maps, stack.channels, reach, not i))
            if radius:
                self.vertical.append(Vertical(v, above, reach, not i))
            if stack.every and (i + 1) % stack.every == 0:
                self.attention[str(i)] = Attention(stack.channels, inputs, stack.maps, stack.heads)
        self.drop = Dropout(stack.dropout)
        self.out = nn.Conv2d(stack.channels, likelihood.channels, 1, bias=False)
        start = likelihood.start()
        self.bias = nn.Parameter(torch.zeros(*self.places, likelihood.channels) if start is None else start.clone())
        with torch.no_grad():
            self.out.weight.mul_(0.1)  # start near the data's mean

    def parameters_of(self, z: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*rest2"]:
        """See :class:`AutoregressiveModule`. What does not depend on z is computed once for all samples of it."""
        lead = torch.broadcast_shapes(z.shape[:-1], x.shape[:-3])
        maps = lowered(self.maps_of(z.expand(*lead, z.shape[-1]).reshape(-1, z.shape[-1])))  # once for all layers
        seen = channels_last(self.read(self.likelihood.features(x).to(z.dtype).flatten(0, -4)))
        above, h = seen, seen
        layers: list[Any] = list(self.horizontal)
        for i, layer in enumerate(layers):
            beside = maps
            if self.vertical:
                above = self.vertical[i](above)
                beside = torch.cat([_repeat(above, x.shape[:-3], lead), maps], 1)
            t, row = layer.side(beside), layer.row(h)
            if row is not None:
                t = t + (row if i else _repeat(row, x.shape[:-3], lead))
            change = self.drop(gate(t), lead)
            h = h + change if i else change
            if str(i) in self.attention:
                attention: Any = self.attention[str(i)]
                h = attention(h, maps, _repeat(attention.seen(seen), x.shape[:-3], lead))
        parameters = self.out(F.elu(h)).movedim(1, -1) + self.bias
        return parameters.reshape(*lead, *self.bias.shape)

    def maps_of(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N M H W"]:
        """m: where a place is and what z says there."""
        return (self.gain * self.lift(z) + self.where).movedim(-1, 1)

    def blank(self, count: int) -> Tensor:
        """See :class:`AutoregressiveModule`."""
        numbers = self.bias.new_zeros(1, self.likelihood.channels + self.likelihood.draws)
        one = self.likelihood.pick(*numbers.split([self.likelihood.channels, self.likelihood.draws], 1))
        return one.new_zeros(count, *self.event)

    def generate(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N H W K"]) -> Tensor:
        """See :class:`AutoregressiveModule`."""
        x, loop = self.blank(len(z)), PixelLoop(self, self.maps_of(z))
        for i in range(self.places[0]):
            loop.start_row(i)
            for j in range(self.places[1]):
                values = self.likelihood.pick(loop.parameters(j), uniforms[:, i, j])
                x[:, :, i, j] = values
                loop.put(j, self.likelihood.features(values[..., None, None]).to(z.dtype))
        return x


def _lift(stack: Stack, z_shape: tuple[int, ...], places: tuple[int, ...]) -> nn.Module:
    """z (N, D) -> what it says, (N, 1, 1, M), (N, H, 1, M) or (N, H, W, M).

    A z that is a map speaks of its own places, and one with a value for every row of its own row alone.
    """
    if len(z_shape) == 2 and z_shape[0] == places[0]:
        return nn.Sequential(
            nn.Unflatten(1, (*z_shape[:1], 1, z_shape[1])), nn.Linear(z_shape[1], stack.maps, bias=False)
        )
    if is_map(z_shape):
        return Upsample(z_shape, stack.hidden, stack.maps, (places[0], places[1]))
    size = torch.Size(z_shape).numel()
    if not stack.spatial:
        return nn.Sequential(nn.Linear(size, stack.maps, bias=False), nn.Unflatten(1, (1, 1, -1)))
    last = nn.Linear(stack.hidden, torch.Size(places).numel() * stack.maps, bias=False)
    return nn.Sequential(nn.Linear(size, stack.hidden), nn.ELU(), last, nn.Unflatten(1, (*places, -1)))


def _reader(likelihood: LikelihoodModule, channels: int, used: bool) -> tuple[nn.Module, int]:
    """What the layers read, and its number of channels: features as they are, one-hot symbols embedded first."""
    if not used or likelihood.feature_channels == likelihood.values:
        return nn.Identity(), likelihood.feature_channels
    embed = nn.Conv2d(likelihood.feature_channels, channels, 1, bias=False)
    nn.init.normal_(embed.weight)  # as an embedding: the scale of a convolution would vanish with the number of symbols
    return embed, channels


def _repeat(maps: Float[Tensor, "X C H W"], have: torch.Size, want: torch.Size) -> Float[Tensor, "N C H W"]:
    """Maps of x with batch shape ``have``, once for each member of ``want``; memory stays channels last."""
    if have.numel() == want.numel():
        return maps
    last = maps.movedim(1, -1)
    spread = last.view(*have, *last.shape[1:]).expand(*want, *last.shape[1:])
    return spread.reshape(-1, *last.shape[1:]).movedim(-1, 1)
