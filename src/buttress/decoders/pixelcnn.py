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
from typing import ClassVar

from buttress.core import DataSpec, Decoder, Layout, LikelihoodModule
from buttress.decoders._pixels import PixelsModule, Stack, check_sizes

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
        spatial: Whether z may say something else at every place; one that is a map (H', W', C) always does.
        hidden: Width of the perceptron, or of the convolutions of a map, by which it does.
        gain: What z says is multiplied by this: below 1 the decoder learns from z later than from x, and may never.
        dropout: Probability that a number that a gated layer adds to h is zeroed, in training only.

    Errors:
        ValueError: An even field, or a number below 1 (below 2 for ``channels``), a gain that is not above 0, or a
            probability outside [0, 1).

    Example:
        >>> import torch
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> spec = DataSpec(Layout.image(1, 7, 5))
        >>> p = PixelCNN(field=3).build(spec, (3,), Bernoulli().build(spec))(torch.zeros(2, 3))
        >>> p.batch_shape, p.sample().shape, p.log_prob(torch.zeros(2, 1, 7, 5)).shape
        (torch.Size([2]), torch.Size([2, 1, 7, 5]), torch.Size([2]))
    """

    autoregressive: ClassVar[bool] = True

    field: int | None = 13
    layers: int = 4
    channels: int = 16
    maps: int = 16
    spatial: bool = False
    hidden: int = 64
    gain: float = 1.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        check_sizes(self, {"layers": 1, "channels": 2, "maps": 1, "hidden": 1})

    @classmethod
    def tiny(cls) -> tuple[PixelCNN, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(layers=2, channels=4, maps=2, hidden=3)
        return (*(small.replace(field=field) for field in (1, 3, None)), small.replace(spatial=True))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes == 2 else "it needs two place axes, as images have"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> PixelsModule:
        """See :class:`buttress.core.Decoder`."""
        sizes = (self.field, self.layers, self.channels, self.maps, self.spatial, self.hidden, self.gain)
        return PixelsModule(Stack(*sizes, dropout=self.dropout), spec, z_shape, likelihood)
