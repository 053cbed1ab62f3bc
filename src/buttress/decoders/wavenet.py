r"""p(x|z) = prod_t p(x_t | x_{t-R} .. x_{t-1}, z) over samples of sound: WaveNet, with z beside every place.

$$ h_0 = e(x_{t-1}), \qquad g_l = g(K_l * h_{l-1} + V_l y_t), \qquad h_l = h_{l-1} + R_l g_l $$
$$ s = \textstyle\sum_l S_l g_l, \qquad p(x_t|\cdot) = P(U_2\, a(U_1\, a(s + b_0) + b_1) + b_2), \qquad y = Y * z $$

K_l reads places t and t - d_l with d_l = 1, 2, 4, ..., so that a place sees R = 1 + sum_l d_l places before it; g is
the gate of :mod:`buttress.nn.gated`, a the ReLU. y is made of z and what lies on both sides of it, at the places of z;
each is repeated over the places of x it stands for. What the model is given beside x, such as a speaker, stands in
every place of z. A level of a sample is read as a vector of its own and as a number.

Source: van den Oord et al., WaveNet, 2016, conditioned as in van den Oord, Vinyals and Kavukcuoglu, Neural Discrete
Representation Learning, 2017. Ours: one convolution over z for all layers; a sample is read as a number also.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import DataSpec, Decoder, Layout, LikelihoodModule
from buttress.decoders._sequence import SequenceModule
from buttress.nn.gated import gate

__all__ = ["WaveNet"]


@dataclass(frozen=True)
class WaveNet(Decoder):
    """Dilated causal convolutions with gated units and skips over samples, or over frames.

    Args:
        channels: Channels of h and of each gate.
        skips: Channels of the sum of skips, and of the layer behind it.
        layers: Number of layers.
        cycle: After so many layers the dilation begins again at 1.
        context: Places of z that y sees, odd: 1 is the place itself.

    Errors:
        ValueError: A size below 1, or an even context.

    Example:
        >>> from buttress.likelihoods.categorical import Categorical
        >>> spec = DataSpec(Layout.wave(8, levels=16))
        >>> p = WaveNet(channels=4, skips=4).build(spec, (2, 3), Categorical().build(spec))(torch.zeros(5, 2, 3))
        >>> p.sample().shape, p.log_prob(torch.zeros(5, 8, dtype=torch.long)).shape
        (torch.Size([5, 8]), torch.Size([5]))
    """

    autoregressive: ClassVar[bool] = True

    channels: int = 48
    skips: int = 96
    layers: int = 18
    cycle: int = 9
    context: int = 3

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        sizes = {name: getattr(self, name) for name in ("channels", "skips", "layers", "cycle", "context")}
        if min(sizes.values()) < 1 or self.context % 2 == 0:
            said = ", ".join(f"{name} {value}" for name, value in sizes.items())
            raise ValueError(f"wavenet decoder: sizes are {said}; wanted at least 1 each, and an odd context")

    @classmethod
    def tiny(cls) -> tuple[WaveNet, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(channels=4, skips=5, layers=2), cls(channels=3, skips=8, layers=3, cycle=2, context=1))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        fits = layout.axes == 1 and not layout.tokens
        return "" if fits else "it needs one place axis of numbers or levels, as sound has"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> WaveNetModule:
        """See :class:`buttress.core.Decoder`."""
        return WaveNetModule(self, spec, z_shape, likelihood)


class WaveNetModule(SequenceModule):
    """The module of :class:`WaveNet`."""

    rereads = True

    def __init__(self, part: WaveNet, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> None:
        super().__init__(spec, z_shape, likelihood, part.channels)
        c, s = part.channels, part.skips
        self.dilations = [2 ** (i % part.cycle) for i in range(part.layers)]
        self.radius = 1 + sum(self.dilations)
        self.read = nn.Linear(likelihood.feature_layout(spec.layout).channels, c)
        self.level = nn.Embedding(spec.layout.symbols, c) if spec.layout.symbols else None
        self.beside = nn.Conv1d(self.size, c, part.context, padding=part.context // 2)
        self.gates = nn.ModuleList(nn.Linear(2 * c, 2 * c) for _ in self.dilations)
        self.sides = nn.ModuleList(nn.Linear(c, 2 * c, bias=False) for _ in self.dilations)
        self.ons = nn.ModuleList(nn.Linear(c, c) for _ in self.dilations[1:])  # h behind the last gate is not read
        self.skips = nn.ModuleList(nn.Linear(c, s, bias=False) for _ in self.dilations)
        self.first, self.mid, self.out = nn.Parameter(torch.zeros(s)), nn.Linear(s, s), self.output(s)

    def reading(self, x: Tensor) -> Float[Tensor, "*rest"]:
        """See :class:`SequenceModule`."""
        h = self.read(self.likelihood.features(x).to(self.read.weight.dtype))
        return h if self.level is None else h + self.level(x)

    def context(self, z: Float[Tensor, "N S E"]) -> Float[Tensor, "N S C"]:
        """y at the places of z."""
        return self.beside(z.mT).mT

    def head(self, s: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """The likelihood's parameters from the sum of skips."""
        return self.out(self.mid((s + self.first).relu()).relu())

    def from_reading(
        self, z: Float[Tensor, "N S E"], before: Float[Tensor, "N T C"], lead: Sequence[Any]
    ) -> Float[Tensor, "N T P"]:
        """See :class:`SequenceModule`."""
        h, y, at, s = before, self.context(z), self.at(before.shape[1]), before.new_zeros(())
        for i, (layer, side, skip, d) in enumerate(
            zip(self.gates, self.sides, self.skips, self.dilations, strict=True)
        ):
            far = F.pad(h, (0, 0, d, 0))[:, : h.shape[1]]
            g = gate(layer(torch.cat([far, h], -1)) + side(y)[:, at], dim=-1)
            s = s + skip(g)
            h = h + self.ons[i](g) if i < len(self.ons) else h
        return self.head(s)

    def stepper(self, z: Float[Tensor, "N S E"]) -> Callable[[int, Tensor], Tensor]:
        """See :class:`SequenceModule`. A layer keeps its last d inputs, in a ring, and computes each place once.

        R_l and S_l are one matrix, and what depends on z alone is computed once for each of its places.
        """
        y = self.context(z)
        rings = [z.new_zeros(d, len(z), self.width) for d in self.dilations]
        sides = [side(y) + layer.bias for side, layer in zip(self.sides, self.gates, strict=True)]
        beside = [[side[:, i] for side in sides] for i in range(self.steps)]
        weights: list[Any] = [layer.weight.mT for layer in self.gates]
        nothing = z.new_zeros(self.width, self.width), z.new_zeros(self.width)  # of the last gate h is not read
        ons: list[Any] = [*((on.weight, on.bias) for on in self.ons), nothing]
        outs: list[Any] = [
            torch.cat([weight, *skip.parameters()]).mT for (weight, _), skip in zip(ons, self.skips, strict=True)
        ]
        added = [F.pad(bias, (0, len(self.first))) for _, bias in ons]
        at = self.at(self.longest).tolist()

        def step(t: int, h: Tensor) -> Tensor:
            both = F.pad(h, (0, len(self.first)))
            for weight, side, out, more, ring in zip(weights, beside[at[t]], outs, added, rings, strict=True):
                h, past = both[:, : self.width], ring[t % len(ring)]
                g = gate(torch.addmm(side, torch.cat([past, h], -1), weight), dim=-1)
                past.copy_(h)
                both = torch.addmm(both + more, g, out)
            return self.head(both[:, self.width :])

        return step
