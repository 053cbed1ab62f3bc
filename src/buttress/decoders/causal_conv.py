r"""p(x|z) = prod_t p(x_t | x_{t-R} .. x_{t-1}, z) over a sequence, by gated causal convolutions with growing dilation.

$$ h_0 = A\, e(x_{t-1}), \qquad h_l = h_{l-1} + g(K_l * h_{l-1} + V_l z_t), \qquad p(x_t|\cdot) = P(U h_L + b) $$

K_l reads places t and t - d_l with d_l = 1, 2, 4, ..., so that a place sees R = 1 + sum_l d_l places before it; g is
the gate of :mod:`buttress.nn.gated`. z is one vector, or a sequence whose places are repeated to the length of x.

Source: van den Oord et al., WaveNet, 2016. Ours: no skip connections, no second nonlinearity before the output.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import DataSpec, Decoder, Layout, LikelihoodModule
from buttress.core.autoregressive import AutoregressiveModule
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


class CausalConvModule(AutoregressiveModule):
    """The module of :class:`CausalConv`."""

    rereads = True

    def __init__(
        self, part: CausalConv, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__()
        self.likelihood, self.z_dims, self.event, self.places = likelihood, len(z_shape), spec.shape, spec.layout.places
        self.longest = self.places[0]
        self.steps, self.size = (z_shape[0], z_shape[1]) if len(z_shape) == 2 else (1, torch.Size(z_shape).numel())
        self.dilations = [2 ** (i % part.cycle) for i in range(part.layers)]
        self.radius = 1 + sum(self.dilations)
        features = likelihood.feature_layout(spec.layout).channels
        self.drop = Dropout(part.dropout)
        self.read = nn.Linear(features, part.channels)
        self.layers = nn.ModuleList(nn.Linear(2 * part.channels, 2 * part.channels) for _ in self.dilations)
        self.sides = nn.ModuleList(nn.Linear(self.size, 2 * part.channels, bias=False) for _ in self.dilations)
        self.out = nn.Linear(part.channels, likelihood.channels)
        start = likelihood.start()
        with torch.no_grad():
            self.out.weight.mul_(0.1)  # start near the data's mean
            if start is not None:
                self.out.bias.copy_(start.expand(*self.places, -1)[0])

    def parameters_of(self, z: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*rest2"]:
        """See :class:`AutoregressiveModule`."""
        lead = torch.broadcast_shapes(z.shape[:-1], x.shape[: x.dim() - len(self.event)])
        flat = self.spread(z.expand(*lead, z.shape[-1]).reshape(-1, z.shape[-1]))
        before = self.read(self.likelihood.features(x).to(flat.dtype))
        h = F.pad(before[..., :-1, :], (0, 0, 1, 0))
        h = h.expand(*lead, *h.shape[-2:]).reshape(-1, *h.shape[-2:])
        for layer, side, d in zip(self.layers, self.sides, self.dilations, strict=True):
            far = F.pad(h, (0, 0, d, 0))[:, : h.shape[1]]
            h = h + self.drop(gate(layer(torch.cat([far, h], -1)) + side(flat)[:, : h.shape[1]], dim=-1), lead)
        return self.out(h).view(*lead, *h.shape[1:2], -1)

    def spread(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N T E"]:
        """z at every place: the same everywhere, or each of its places repeated."""
        at = torch.arange(self.places[0], device=z.device) * self.steps // self.longest
        return z.unflatten(-1, (self.steps, self.size))[:, at]

    @contextmanager
    def shortened(self, places: int) -> Iterator[None]:
        """While this lasts, x is drawn up to so many places; what it would be there does not change."""
        whole = self.places, self.event
        self.places = (min(places, self.longest),)
        self.event = (*self.places, *self.event[1:])
        try:
            yield
        finally:
            self.places, self.event = whole

    def blank(self, count: int) -> Tensor:
        """See :class:`AutoregressiveModule`."""
        numbers = self.out.bias.new_zeros(1, self.likelihood.channels + self.likelihood.draws)
        one = self.likelihood.pick(*numbers.split([self.likelihood.channels, self.likelihood.draws], 1))
        return one.new_zeros(count, *self.event)

    def generate(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N T K"]) -> Tensor:
        """See :class:`AutoregressiveModule`. A layer keeps its last d inputs, in a ring, and computes each place once.

        K_l and V_l are split beforehand: what depends on z alone is computed once for each of its places.
        """
        x, beside = self.blank(len(z)), z.unflatten(-1, (self.steps, self.size))
        h = self.read.weight.new_zeros(len(z), self.read.out_features)
        rings = [h.new_zeros(d, *h.shape) for d in self.dilations]
        sides = [side(beside) + layer.bias for side, layer in zip(self.sides, self.layers, strict=True)]
        weights: list[Any] = [layer.weight.mT for layer in self.layers]
        steps = [[side[:, i] for side in sides] for i in range(self.steps)]
        for t in range(self.places[0]):
            here = steps[t * self.steps // self.longest]
            for weight, side, ring in zip(weights, here, rings, strict=True):
                past = ring[t % len(ring)]
                both = torch.cat([past, h], -1)
                past.copy_(h)
                h = h + gate(torch.addmm(side, both, weight), dim=-1)
            values = self.likelihood.pick(self.out(h), uniforms[:, t])
            x[:, t] = values if x.dim() == 3 else values.squeeze(-1)
            h = self.read(self.likelihood.features(x[:, t : t + 1]).to(h.dtype))[:, 0]
        return x
