r"""p(x|z) = prod_t p(x_t | x_{t-R} .. x_{t-1}, z) over a sequence, by gated causal convolutions with growing dilation.

$$ h_0 = A\, e(x_{t-1}), \qquad h_l = h_{l-1} + g(K_l * h_{l-1} + V_l z_t), \qquad p(x_t|\cdot) = P(U h_L + b) $$

K_l reads places t and t - d_l with d_l = 1, 2, 4, ..., so that a place sees R = 1 + sum_l d_l places before it; g is
the gate of :mod:`buttress.nn.gated`. z is one vector, or a sequence whose places are repeated to the length of x.

Source: van den Oord et al., WaveNet, 2016. Ours: no skip connections, no second nonlinearity before the output.
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
from buttress.nn.dropout import Dropout, check_dropout
from buttress.nn.gated import gate

__all__ = ["CausalConv"]


@dataclass(frozen=True)
class CausalConv(Decoder):
    """A causal convolution over sound or frames.

    Args:
        channels: Channels of h.
        layers: Number of layers.
        cycle: After so many layers the dilation begins again at 1.
        dropout: Probability that a number that a layer adds to h is zeroed, in training only.

    Errors:
        ValueError: A size below 1, or a probability outside [0, 1).

    Example:
        >>> from buttress.likelihoods.gaussian import GaussianLikelihood
        >>> spec = DataSpec(Layout.frames(3, longest=7))
        >>> p = CausalConv(channels=4).build(spec, (2,), GaussianLikelihood().build(spec))(torch.zeros(5, 2))
        >>> p.sample().shape, p.log_prob(torch.zeros(5, 7, 3)).shape
        (torch.Size([5, 7, 3]), torch.Size([5]))
    """

    autoregressive: ClassVar[bool] = True

    channels: int = 64
    layers: int = 8
    cycle: int = 8
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if min(self.channels, self.layers, self.cycle) < 1:
            raise ValueError(
                f"causal_conv decoder: channels is {self.channels}, layers {self.layers} and cycle {self.cycle}; "
                "wanted at least 1 each"
            )
        check_dropout("causal_conv decoder", self.dropout)

    @classmethod
    def tiny(cls) -> tuple[CausalConv, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(channels=4, layers=2), cls(channels=3, layers=1))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        fits = layout.axes == 1 and not layout.tokens
        return "" if fits else "it needs one place axis of numbers or levels, as sound has"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> CausalConvModule:
        """See :class:`buttress.core.Decoder`."""
        return CausalConvModule(self, spec, z_shape, likelihood)


class CausalConvModule(SequenceModule):
    """The module of :class:`CausalConv`."""

    rereads = True

    def __init__(
        self, part: CausalConv, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__(spec, z_shape, likelihood, part.channels)
        self.dilations = [2 ** (i % part.cycle) for i in range(part.layers)]
        self.radius = 1 + sum(self.dilations)
        self.drop = Dropout(part.dropout)
        self.read = nn.Linear(likelihood.feature_layout(spec.layout).channels, part.channels)
        self.layers = nn.ModuleList(nn.Linear(2 * part.channels, 2 * part.channels) for _ in self.dilations)
        self.sides = nn.ModuleList(nn.Linear(self.size, 2 * part.channels, bias=False) for _ in self.dilations)
        self.out = self.output(part.channels)

    def reading(self, x: Tensor) -> Float[Tensor, "*rest"]:
        """See :class:`SequenceModule`."""
        return self.read(self.likelihood.features(x).to(self.read.weight.dtype))

    def from_reading(
        self, z: Float[Tensor, "N S E"], before: Float[Tensor, "N T C"], lead: Sequence[Any]
    ) -> Float[Tensor, "N T P"]:
        """See :class:`SequenceModule`."""
        h, beside = before, z[:, self.at(before.shape[1])]
        for layer, side, d in zip(self.layers, self.sides, self.dilations, strict=True):
            far = F.pad(h, (0, 0, d, 0))[:, : h.shape[1]]
            h = h + self.drop(gate(layer(torch.cat([far, h], -1)) + side(beside), dim=-1), lead)
        return self.out(h)

    def stepper(self, z: Float[Tensor, "N S E"]) -> Callable[[int, Tensor], Tensor]:
        """See :class:`SequenceModule`. A layer keeps its last d inputs, in a ring, and computes each place once.

        K_l and V_l are split beforehand: what depends on z alone is computed once for each of its places.
        """
        rings = [z.new_zeros(d, len(z), self.width) for d in self.dilations]
        sides = [side(z) + layer.bias for side, layer in zip(self.sides, self.layers, strict=True)]
        weights: list[Any] = [layer.weight.mT for layer in self.layers]
        steps = [[side[:, i] for side in sides] for i in range(self.steps)]
        at = self.at(self.longest).tolist()

        def step(t: int, h: Tensor) -> Tensor:
            for weight, side, ring in zip(weights, steps[at[t]], rings, strict=True):
                past = ring[t % len(ring)]
                both = torch.cat([past, h], -1)
                past.copy_(h)
                h = h + gate(torch.addmm(side, both, weight), dim=-1)
            return self.out(h)

        return step
