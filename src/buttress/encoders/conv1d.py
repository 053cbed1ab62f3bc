r"""h = features of a sequence by strided one-dimensional convolutions: at every place, or their mean over true places.

$$ u_0 = x, \qquad u_l = a(K_l * u_{l-1}) \text{ with stride 2}, \qquad h_t = u_{L,t}
   \quad\text{or}\quad h = \frac{1}{T'} \sum_{t \le T'} u_{L,t} $$

with T' = ceil(T / 2^L) for an example of true length T. Padding is zero at every layer, so it changes nothing. With
``deeper`` layers u <- a(W n(u) + b) follow at each place by itself, n being layer normalisation. Other ``strides`` are
those of an encoder of raw sound, say 5, 4, 2, 2, 2 for a vector every 160 samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from buttress.core import EMPTY, PAD, DataSpec, Encoder, EncoderModule, Given, Layout
from buttress.nn.layers import Activation, activation, check_widths

__all__ = ["Conv1dEncoder"]

EPSILON = 1e-5


@dataclass(frozen=True)
class Conv1dEncoder(Encoder):
    """Strided convolutions over sound, frames or words.

    Source of ``normalize`` and ``compress``: Schneider, Baevski, Collobert and Auli, wav2vec, 2019. Ours: kernels are
    odd, so that they are centred.

    Args:
        widths: Channels of each layer; every layer halves the number of places.
        kernel: Places that a layer reads, odd.
        activation: Nonlinearity.
        positions: Features at every place of the last layer, in place of their mean.
        deeper: Further layers at each of its places by itself, which see no more of x.
        strides: Places that each layer moves by; one of stride s reads 2 s + 1. () for layers that halve, of
            ``kernel``.
        normalize: Bring the numbers of each example, all channels and true places together, to mean 0 and variance 1
            before each activation (group normalisation with one group).
        compress: Features log(1 + abs(u)), for a loudness that varies much.
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Errors:
        ValueError: No layer, a width or stride below 1, an even kernel, a stride too few or too many, or a negative
            number of further layers.

    Example:
        >>> encoder = Conv1dEncoder(widths=(4, 6)).build(DataSpec(Layout.frames(3, longest=10)))
        >>> encoder(torch.zeros(2, 10, 3), {"lengths": torch.tensor([10, 7])}).shape
        torch.Size([2, 6])
    """

    widths: tuple[int, ...] = (64, 64)
    kernel: int = 5
    activation: Activation = "relu"
    positions: bool = False
    deeper: int = 0
    strides: tuple[int, ...] = ()
    normalize: bool = False
    compress: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        check_widths("conv1d encoder: widths", self.widths, least=1)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"conv1d encoder: kernel is {self.kernel}, wanted an odd number from 1")
        if self.deeper < 0:
            raise ValueError(f"conv1d encoder: deeper is {self.deeper}, wanted 0 or more layers")
        if self.strides and (len(self.strides) != len(self.widths) or min(self.strides) < 1):
            raise ValueError(
                f"conv1d encoder: strides are {self.strides} and widths {self.widths}, wanted a stride of 1 or more "
                "for each layer, or none"
            )

    @classmethod
    def tiny(cls) -> tuple[Conv1dEncoder, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(widths=(4,), kernel=3, positions=True, deeper=1)
        strided = cls(widths=(3, 4), activation="tanh", positions=True, strides=(2, 1), normalize=True, compress=True)
        return (cls(widths=(3, 4), kernel=3, activation="tanh"), small, strided)

    @property
    def steps(self) -> tuple[int, ...]:
        """The stride of each layer."""
        return self.strides or (2,) * len(self.widths)

    @property
    def kernels(self) -> tuple[int, ...]:
        """Places that each layer reads."""
        return tuple(2 * s + 1 for s in self.strides) or (self.kernel,) * len(self.widths)

    @property
    def apart(self) -> int:
        """Places of h by which two must be apart at least to read no x in common.

        Example:
            >>> Conv1dEncoder(widths=(8, 8)).apart, Conv1dEncoder(widths=(8, 8), strides=(5, 2)).apart
            (4, 4)
        """
        reads, stride = 1, 1
        for kernel, step in zip(self.kernels, self.steps, strict=True):
            reads, stride = reads + (kernel - 1) * stride, stride * step
        return -(-reads // stride)

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes == 1 else "it needs one place axis, as sound and sentences have"

    def build(self, spec: DataSpec) -> Conv1dEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return Conv1dEncoderModule(self, spec)


class Conv1dEncoderModule(EncoderModule):
    """The module of :class:`Conv1dEncoder`."""

    def __init__(self, part: Conv1dEncoder, spec: DataSpec) -> None:
        super().__init__()
        self.tokens, self.longest = spec.layout.tokens, spec.layout.places[0]
        self.steps, self.stride = part.steps, math.prod(part.steps)
        self.places = (-(-self.longest // self.stride),) if part.positions else ()
        self.features = part.widths[-1]
        inputs = part.widths[0] if self.tokens else spec.layout.channels
        self.embed = nn.Embedding(spec.vocabulary, inputs) if self.tokens else None
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, kernel, step, padding=kernel // 2)
            for (a, b), kernel, step in zip(pairwise((inputs, *part.widths)), part.kernels, part.steps, strict=True)
        )
        self.norms = nn.ModuleList(_Norm(width) for width in part.widths) if part.normalize else None
        self.compress = part.compress
        self.activation = activation(part.activation)
        self.deeper = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(self.features), nn.Linear(self.features, self.features))
            for _ in range(part.deeper)
        )

    def forward(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B *places F"]:
        """See :class:`buttress.core.EncoderModule`."""
        lengths = self._lengths(x, given)
        u = (x if self.embed is None else self.embed(x)).movedim(-1, 1)
        u = u * _inside(lengths, u.shape[-1])[:, None]
        for i, (layer, step) in enumerate(zip(self.layers, self.steps, strict=True)):
            lengths = (lengths + step - 1) // step
            u = layer(u) if self.norms is None else self.norms[i](layer(u), lengths)
            u = self.activation(u) * _inside(lengths, u.shape[-1])[:, None]
        for layer in self.deeper:
            u = self.activation(layer(u.mT)).mT * _inside(lengths, u.shape[-1])[:, None]
        if self.compress:
            u = u.abs().log1p()
        if self.places:
            return nn.functional.pad(u, (0, self.places[0] - u.shape[-1])).movedim(1, -1)
        return u.sum(-1) / lengths[:, None]

    def valid(self, x: Tensor, given: Given = EMPTY) -> Bool[Tensor, "B *places"] | None:
        """See :class:`buttress.core.EncoderModule`."""
        lengths = self._lengths(x, given)
        return _inside(-(-lengths // self.stride), self.places[0]) if self.places else None

    def _lengths(self, x: Tensor, given: Given) -> Tensor:
        """True lengths: those of the tokens, those given, or all of x."""
        if self.tokens:
            return (x != PAD).sum(1).clamp(min=1)
        return given["lengths"] if "lengths" in given else torch.full((x.shape[0],), x.shape[1], device=x.device)


class _Norm(nn.Module):
    """(u - mean) / std of each example, over all channels and true places, with a scale and a shift of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels, 1)), nn.Parameter(torch.zeros(channels, 1))

    def forward(self, u: Float[Tensor, "B C T"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B C T"]:
        """All of u, brought to the scale of what is within the true length."""
        there = _inside(lengths, u.shape[-1])[:, None]
        count = u.shape[1] * lengths[:, None, None]
        away = (u - (u * there).sum((1, 2), keepdim=True) / count) * there
        variance = away.square().sum((1, 2), keepdim=True) / count
        return self.scale * away * (variance + EPSILON).rsqrt() + self.shift


def _inside(lengths: Tensor, places: int) -> Bool[Tensor, "B T"]:
    return torch.arange(places, device=lengths.device) < lengths[:, None]
