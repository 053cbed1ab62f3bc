r"""h = features of a sequence by strided one-dimensional convolutions: at every place, or their mean over true places.

$$ u_0 = x, \qquad u_l = a(K_l * u_{l-1}) \text{ with stride 2}, \qquad h_t = u_{L,t}
   \quad\text{or}\quad h = \frac{1}{T'} \sum_{t \le T'} u_{L,t} $$

with T' = ceil(T / 2^L) for an example of true length T. Padding is zero at every layer, so it changes nothing. With
``deeper`` layers u <- a(W n(u) + b) follow at each place by itself, n being layer normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from buttress.core import EMPTY, PAD, DataSpec, Encoder, EncoderModule, Given, Layout
from buttress.nn.layers import Activation, activation, check_widths

__all__ = ["Conv1dEncoder"]


@dataclass(frozen=True)
class Conv1dEncoder(Encoder):
    """Strided convolutions over sound, frames or words.

    Args:
        widths: Channels of each layer; every layer halves the number of places.
        kernel: Places that a layer reads, odd.
        activation: Nonlinearity.
        positions: Features at every place of the last layer, in place of their mean.
        deeper: Further layers at each of its places by itself, which see no more of x.
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Errors:
        ValueError: No layer, a width below 1, an even kernel, or a negative number of further layers.

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

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        check_widths("conv1d encoder: widths", self.widths, least=1)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"conv1d encoder: kernel is {self.kernel}, wanted an odd number from 1")
        if self.deeper < 0:
            raise ValueError(f"conv1d encoder: deeper is {self.deeper}, wanted 0 or more layers")

    @classmethod
    def tiny(cls) -> tuple[Conv1dEncoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(widths=(3, 4), kernel=3, activation="tanh"), cls(widths=(4,), kernel=3, positions=True, deeper=1))

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
        self.stride = 2 ** len(part.widths)
        self.places = (-(-self.longest // self.stride),) if part.positions else ()
        self.features = part.widths[-1]
        inputs = part.widths[0] if self.tokens else spec.layout.channels
        self.embed = nn.Embedding(spec.vocabulary, inputs) if self.tokens else None
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, part.kernel, stride=2, padding=part.kernel // 2)
            for a, b in pairwise((inputs, *part.widths))
        )
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
        for layer in self.layers:
            lengths = (lengths + 1) // 2
            u = self.activation(layer(u))
            u = u * _inside(lengths, u.shape[-1])[:, None]
        for layer in self.deeper:
            u = self.activation(layer(u.mT)).mT * _inside(lengths, u.shape[-1])[:, None]
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


def _inside(lengths: Tensor, places: int) -> Bool[Tensor, "B T"]:
    return torch.arange(places, device=lengths.device) < lengths[:, None]
