r"""p(x|z) = prod_i p(x_i | x_j for j before i and near i, z) over pixels in reading order, by gated convolutions.

With k the ``field``, pixel (i, j) sees the causal half of a k x k window around it: the (k - 1) / 2 rows above, as far
to either side, and as many pixels to its left. k = 1 sees no pixel at all, which leaves a factorised decoder. The pixel
is the unit: its C values are together one factor, in which the likelihood may couple them (the mixture of logistics
does) or not; a true mass or density either way.

z reaches every layer through maps m(i, j) = w(i, j) + A z, w learned, so that also a decoder that sees no pixel knows
where it is. A z is the same at every place (van den Oord), and a decoder that sees enough of x learns faster to do
without it. ``spatial`` makes it f(z)(i, j) by a perceptron (Chen): far more useful, and far less ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.decoders._autoregressive import AutoregressiveModule
from buttress.decoders._gated import Horizontal, Vertical, gate, reaches
from buttress.decoders._pixel_loop import PixelLoop
from buttress.parts import DataSpec, Decoder, Kind, LikelihoodModule

__all__ = ["PixelCNN"]


@dataclass(frozen=True)
class PixelCNN(Decoder):
    """A gated PixelCNN given z, with the receptive field one sets.

    Source: van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016; z as maps beside the image,
    and a field that is limited on purpose: Chen et al., Variational Lossy Autoencoder, 2017.

    Args:
        field: Width k of the causal window, in pixels, odd; 1 sees no pixel; None sees the whole image, whatever its
            size (then the layers look further and are slower).
        layers: Number of layers, the one that reads x included. The field does not depend on it.
        channels: Channels of the horizontal stack; the vertical one has half as many.
        maps: Number of maps through which z and the place reach each layer; below the dimension of z they narrow it.
        spatial: Whether z may say something else at every place.
        hidden: Width of the perceptron by which it does.

    Errors:
        ValueError: An even field, or a number below 1 (below 2 for ``channels``).

    Example:
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> spec = DataSpec("image", (1, 7, 5))
        >>> p = PixelCNN(field=3).build(spec, (3,), Bernoulli().build(spec))(torch.zeros(2, 3))
        >>> p.batch_shape, p.sample().shape, p.log_prob(torch.zeros(2, 1, 7, 5)).shape
        (torch.Size([2]), torch.Size([2, 1, 7, 5]), torch.Size([2]))
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)
    autoregressive: ClassVar[bool] = True

    field: int | None = 13
    layers: int = 4
    channels: int = 16
    maps: int = 16
    spatial: bool = False
    hidden: int = 64

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.field is not None and (self.field < 1 or self.field % 2 == 0):
            raise ValueError(f"pixelcnn decoder: field is {self.field}, wanted an odd number from 1, or None for all")
        for name, least in {"layers": 1, "channels": 2, "maps": 1, "hidden": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"pixelcnn decoder: {name} is {getattr(self, name)}, wanted at least {least}")

    @classmethod
    def tiny(cls) -> tuple[PixelCNN, ...]:
        """See :class:`buttress.parts.Part`."""
        small = cls(layers=2, channels=4, maps=2, hidden=3)
        return (*(small.replace(field=field) for field in (1, 3, None)), small.replace(spatial=True))

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> PixelCNNModule:
        """See :class:`buttress.parts.Decoder`."""
        return PixelCNNModule(self, spec, z_shape, likelihood)


class PixelCNNModule(AutoregressiveModule):
    """The module of :class:`PixelCNN`."""

    def __init__(self, part: PixelCNN, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.z_dims, self.event, self.places = len(z_shape), spec.shape, spec.shape[1:]
        radius = max(self.places) - 1 if part.field is None else (part.field - 1) // 2
        far = reaches(radius, part.layers)
        above = part.channels // 2 if radius else 0
        self.where = nn.Parameter(0.1 * torch.randn(*self.places, part.maps))
        self.lift = _lift(part, torch.Size(z_shape).numel(), self.places)
        self.read, inputs = _reader(likelihood, part.channels) if radius else (nn.Identity(), spec.shape[0])
        self.vertical, self.horizontal = nn.ModuleList(), nn.ModuleList()
        for i, reach in enumerate(far):
            v, h = (above, part.channels) if i else (inputs, inputs)
            self.horizontal.append(Horizontal(h, above + part.maps, part.channels, reach, not i))
            if radius:
                self.vertical.append(Vertical(v, above, reach, not i))
        self.out = nn.Conv2d(part.channels, likelihood.channels, 1, bias=False)
        start = likelihood.start()
        self.bias = nn.Parameter(torch.zeros(*self.places, likelihood.channels) if start is None else start.clone())
        with torch.no_grad():
            self.out.weight.mul_(0.1)  # start near the data's mean

    def log_prob(self, z: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """See :class:`AutoregressiveModule`."""
        return self.likelihood(self.parameters_of(z, x)).log_prob(x)

    def parameters_of(self, z: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*rest2"]:
        """See :class:`AutoregressiveModule`. What does not depend on z is computed once for all samples of it."""
        lead = torch.broadcast_shapes(z.shape[:-1], x.shape[:-3])
        maps = self.maps_of(z.expand(*lead, z.shape[-1]).reshape(-1, z.shape[-1]))
        seen = _channels_last(self.read(self.likelihood.features(x).to(z.dtype).flatten(0, -4)))
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
            h = h + gate(t) if i else gate(t)
        parameters = self.out(F.elu(h)).movedim(1, -1) + self.bias
        return parameters.reshape(*lead, *self.bias.shape)

    def maps_of(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N M H W"]:
        """m: where a place is and what z says there."""
        return (self.lift(z) + self.where).movedim(-1, 1)

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
                loop.put(j, self.read(self.likelihood.features(values[..., None, None]).to(z.dtype)))
        return x


def _lift(part: PixelCNN, size: int, places: tuple[int, ...]) -> nn.Sequential:
    """z (N, D) -> what it says, (N, 1, 1, M) or (N, H, W, M)."""
    if not part.spatial:
        return nn.Sequential(nn.Linear(size, part.maps, bias=False), nn.Unflatten(1, (1, 1, -1)))
    last = nn.Linear(part.hidden, torch.Size(places).numel() * part.maps, bias=False)
    return nn.Sequential(nn.Linear(size, part.hidden), nn.ELU(), last, nn.Unflatten(1, (*places, -1)))


def _reader(likelihood: LikelihoodModule, channels: int) -> tuple[nn.Module, int]:
    """What the first layer reads, and its number of channels: features as they are, one-hot symbols embedded first."""
    if likelihood.feature_channels == likelihood.values:
        return nn.Identity(), likelihood.values
    embed = nn.Conv2d(likelihood.feature_channels, channels, 1, bias=False)
    nn.init.normal_(embed.weight)  # as an embedding: the scale of a convolution would vanish with the number of symbols
    return embed, channels


def _channels_last(maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
    """The same numbers, channels last in memory, also where there is one channel: the fast layout of convolutions."""
    return maps.movedim(1, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 1)


def _repeat(maps: Float[Tensor, "X C H W"], have: torch.Size, want: torch.Size) -> Float[Tensor, "N C H W"]:
    """Maps of x with batch shape ``have``, once for each member of ``want``; memory stays channels last."""
    if have.numel() == want.numel():
        return maps
    last = maps.movedim(1, -1)
    spread = last.view(*have, *last.shape[1:]).expand(*want, *last.shape[1:])
    return spread.reshape(-1, *last.shape[1:]).movedim(-1, 1)
