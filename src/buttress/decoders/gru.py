r"""p(x|z) = prod_t p(x_t | x_<t, z) over samples of sound or frames, by a GRU that reads what a second one says of z.

$$ y = \mathrm{BiGRU}(z), \qquad h_t = \mathrm{GRU}([e(x_{t-1}), y_t], h_{t-1}), \qquad
   p(x_t | \cdot) = P(U_2\, a(U_1 h_t + b_1) + b_2) $$

y is at the places of z and knows all of them; each is repeated over the places of x it stands for. Where z is one
vector y is a linear map of it. What the model is given beside x, such as a speaker, stands in every place of z. a is
the ReLU. A level of a sample is read as a vector of its own and as a number.

Source: van Niekerk, Nortje and Kamper, Vector-Quantized Neural Networks for Acoustic Unit Discovery, 2020, after
Lorenzo-Trueba et al., Towards Achieving Robust Universal Neural Vocoding, 2019. Ours: z is not repeated before the
BiGRU, which so runs at the rate of codes; a sample is read as a number also.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.core import DataSpec, Decoder, Layout, LikelihoodModule
from buttress.decoders._sequence import SequenceModule
from buttress.nn.layers import run_gru

__all__ = ["GruDecoder"]


@dataclass(frozen=True)
class GruDecoder(Decoder):
    """A recurrent decoder of sound: all that was before is in its state.

    Args:
        hidden: Numbers in the state.
        embedding: Numbers that a place of x is read as.
        context: Numbers in each direction of the network over z.
        depth: Layers of that network.
        width: Numbers in the layer between the state and the likelihood.

    Errors:
        ValueError: A size below 1.

    Example:
        >>> from buttress.likelihoods.categorical import Categorical
        >>> spec = DataSpec(Layout.wave(8, levels=16))
        >>> p = GruDecoder(hidden=4).build(spec, (2, 3), Categorical().build(spec))(torch.zeros(5, 2, 3))
        >>> p.sample().shape, p.log_prob(torch.zeros(5, 8, dtype=torch.long)).shape
        (torch.Size([5, 8]), torch.Size([5]))
    """

    autoregressive: ClassVar[bool] = True

    hidden: int = 256
    embedding: int = 64
    context: int = 64
    depth: int = 2
    width: int = 128

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        sizes = {name: getattr(self, name) for name in ("hidden", "embedding", "context", "depth", "width")}
        if min(sizes.values()) < 1:
            said = ", ".join(f"{name} {value}" for name, value in sizes.items())
            raise ValueError(f"gru decoder: sizes are {said}; wanted at least 1 each")

    @classmethod
    def tiny(cls) -> tuple[GruDecoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(hidden=4, embedding=3, context=2, depth=2, width=5),)

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        fits = layout.axes == 1 and not layout.tokens
        return "" if fits else "it needs one place axis of numbers or levels, as sound has"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> GruDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return GruDecoderModule(self, spec, z_shape, likelihood)


class GruDecoderModule(SequenceModule):
    """The module of :class:`GruDecoder`."""

    radius = None

    def __init__(
        self, part: GruDecoder, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__(spec, z_shape, likelihood, part.embedding)
        self.read = nn.Linear(likelihood.feature_layout(spec.layout).channels, part.embedding)
        self.level = nn.Embedding(spec.layout.symbols, part.embedding) if spec.layout.symbols else None
        self.around: nn.Module = nn.Linear(self.size, 2 * part.context)
        if self.z_dims == 2:
            self.around = nn.GRU(self.size, part.context, part.depth, batch_first=True, bidirectional=True)
        self.state = nn.GRU(part.embedding + 2 * part.context, part.hidden, batch_first=True)
        self.mid, self.out = nn.Linear(part.hidden, part.width), self.output(part.width)

    def reading(self, x: Tensor) -> Float[Tensor, "*rest"]:
        """See :class:`SequenceModule`."""
        h = self.read(self.likelihood.features(x).to(self.read.weight.dtype))
        return h if self.level is None else h + self.level(x)

    def beside(self, z: Float[Tensor, "N S E"]) -> Float[Tensor, "N S C"]:
        """y at the places of z."""
        y: Tensor = run_gru(self.around, z) if isinstance(self.around, nn.GRU) else self.around(z)
        return y

    def head(self, h: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """The likelihood's parameters from the state."""
        return self.out(self.mid(h).relu())

    def from_reading(
        self, z: Float[Tensor, "N S E"], before: Float[Tensor, "N T C"], lead: Sequence[Any]
    ) -> Float[Tensor, "N T P"]:
        """See :class:`SequenceModule`."""
        y = self.beside(z)[:, self.at(before.shape[1])]
        return self.head(run_gru(self.state, torch.cat([before, y.to(before)], -1)))

    def stepper(self, z: Float[Tensor, "N S E"]) -> Callable[[int, Tensor], Tensor]:
        """See :class:`SequenceModule`. What depends on z alone is computed once for each of its places.

        The equations are those of :class:`torch.nn.GRU`, with gates r and u and the candidate n:
        h <- (1 - u) n + u h, n = tanh(W_n [e, y] + b_n + r (V_n h + c_n)).
        """
        gru: Any = self.state
        width = self.width
        own, other = gru.weight_ih_l0[:, :width].mT, gru.weight_ih_l0[:, width:]
        sides = nn.functional.linear(self.beside(z), other, gru.bias_ih_l0).unbind(1)
        again, more = gru.weight_hh_l0.mT, gru.bias_hh_l0
        h = z.new_zeros(len(z), gru.hidden_size)
        at = self.at(self.longest).tolist()

        def step(t: int, before: Tensor) -> Tensor:
            nonlocal h
            new = torch.addmm(sides[at[t]], before, own).chunk(3, -1)
            old = torch.addmm(more, h, again).chunk(3, -1)
            r, u = (new[0] + old[0]).sigmoid(), (new[1] + old[1]).sigmoid()
            h = torch.lerp(torch.addcmul(new[2], r, old[2]).tanh(), h, u)
            return self.head(h)

        return step
