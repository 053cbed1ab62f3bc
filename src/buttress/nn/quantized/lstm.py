r"""An LSTM whose products are of rounded numbers.

$$ [i, f, g, o] = Q(W) Q(x_t) + Q(U) Q(h_{t-1}) + b, \qquad c_t = \sigma(f) c_{t-1} + \sigma(i) \tanh g, \qquad
   h_t = \sigma(o) \tanh c_t $$

The fused LSTM of torch does not let anyone in between its steps, so the loop over them is written out once numbers are
rounded. Before that it is the fused one where there is one layer, whose outputs are all of h.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from buttress.nn.quantized.layers import Rounded
from buttress.nn.quantized.ranges import Ranges

__all__ = ["QuantizedLstm", "plain_lstm"]


def plain_lstm(module: nn.Module) -> bool:
    """Whether it is an LSTM of the kind written out here: batch first, no projections, no dropout between layers.

    Example:
        >>> plain_lstm(nn.LSTM(2, 3, batch_first=True)), plain_lstm(nn.LSTM(2, 3)), plain_lstm(nn.GRU(2, 3))
        (True, False, False)
    """
    return type(module) is nn.LSTM and module.batch_first and not (module.proj_size or module.dropout)


class QuantizedLstm(Rounded):
    """An LSTM of rounded numbers, over a tensor (B, T, F) or a PackedSequence."""

    def prepare(self, ranges: Ranges) -> None:
        """See :class:`buttress.nn.quantized.layers.Rounded`."""
        super().prepare(ranges)
        own: Any = self
        count = own.num_layers * (2 if own.bidirectional else 1)
        self.sites = [(ranges.site(), ranges.site()) for _ in range(count)]

    def forward(self, inputs: Any, state: tuple[Tensor, Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        """See :class:`torch.nn.LSTM`."""
        watched = self.training or self.ranges[0].calibrating
        if not self.ready and (self.num_layers == 1 or not watched):
            outputs, last = super().forward(inputs, state)  # type: ignore[misc]
            if watched:
                self._watch(inputs, outputs, state)
            return outputs, last
        if not isinstance(inputs, PackedSequence):
            return self._layers(inputs, None, state)
        padded, lengths = pad_packed_sequence(inputs, batch_first=True)
        inside = torch.arange(padded.shape[1]) < lengths[:, None]
        outputs, last = self._layers(padded, inside.to(padded.device), state)
        return pack_padded_sequence(outputs, lengths, batch_first=True, enforce_sorted=False), last

    def _watch(self, inputs: Any, outputs: Any, state: Any) -> None:
        """Follow the ranges of the fused LSTM's numbers."""
        x, h = (t.data if isinstance(t, PackedSequence) else t for t in (inputs, outputs))
        for of_x, of_h in self.sites:
            of_x.watch(x)
            of_h.watch(h)
            if state is not None:
                of_h.watch(state[0])

    def _layers(self, x: Float[Tensor, "B T F"], inside: Bool[Tensor, "B T"] | None, state: Any) -> Any:
        """All layers, one after the other, each in one direction or both."""
        own: Any = self
        ways = 2 if own.bidirectional else 1
        zero = x.new_zeros(own.num_layers * ways, len(x), own.hidden_size)
        h0, c0 = (zero, zero) if state is None else state
        ends: list[tuple[Tensor, Tensor]] = []
        for layer in range(own.num_layers):
            both = []
            for way in range(ways):
                number = layer * ways + way
                outputs, end = self._run(number, x, inside, h0[number], c0[number])
                both.append(outputs)
                ends.append(end)
            x = torch.cat(both, -1)
        return x, (torch.stack([h for h, _ in ends]), torch.stack([c for _, c in ends]))

    def _run(self, number: int, x: Tensor, inside: Tensor | None, h: Tensor, c: Tensor) -> Any:
        """One layer in one direction. Beyond the end of a sequence its state stays as it is, and its output is zero."""
        own: Any = self
        layer, back = divmod(number, 2 if own.bidirectional else 1)
        name = f"l{layer}{'_reverse' if back else ''}"
        of_x, of_h = self.sites[number]
        w, u = self.rounded(f"weight_ih_{name}"), self.rounded(f"weight_hh_{name}").mT
        bias = (getattr(own, f"bias_ih_{name}") + getattr(own, f"bias_hh_{name}")) if own.bias else None
        entering = torch.nn.functional.linear(of_x(x, self.training), w, bias).unbind(1)
        outputs: list[Tensor] = [h] * len(entering)
        for t in reversed(range(len(entering))) if back else range(len(entering)):
            new_h, new_c = _cell(torch.addmm(entering[t], of_h(h, self.training), u), c)
            if inside is None:
                h, c, outputs[t] = new_h, new_c, new_h
            else:
                here = inside[:, t, None]
                h, c, outputs[t] = torch.where(here, new_h, h), torch.where(here, new_c, c), new_h * here
        return torch.stack(outputs, 1), (h, c)

    training: bool
    num_layers: int


def _cell(gates: Float[Tensor, "B H4"], c: Float[Tensor, "B H"]) -> tuple[Tensor, Tensor]:
    """h and c after one step."""
    i, f, g, o = gates.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
