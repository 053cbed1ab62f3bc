"""c_t = g(z_1, ..., z_t): causal networks over a sequence, a vector at every position that later ones can't change."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.nn.gated import gate
from buttress.nn.layers import run_lstm

__all__ = ["Context", "ConvContext", "LstmContext", "make_context"]

Context = Literal["lstm", "conv"]
"""Names of the networks one can choose."""


def make_context(name: Context, inputs: int, hidden: int, layers: int) -> nn.Module:
    """The network of that name: (N, T, inputs) -> (N, T, hidden).

    Example:
        >>> [make_context(name, 3, 5, layers=2)(torch.zeros(2, 7, 3)).shape for name in ("lstm", "conv")]
        [torch.Size([2, 7, 5]), torch.Size([2, 7, 5])]
    """
    return {"lstm": LstmContext, "conv": ConvContext}[name](inputs, hidden, layers)


class LstmContext(nn.Module):
    """An LSTM, which may remember all positions before."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, layers, batch_first=True)

    def forward(self, z: Float[Tensor, "N T D"]) -> Float[Tensor, "N T H"]:
        """The states at all positions."""
        states: Tensor = run_lstm(self.lstm, z)[0]
        return states


class ConvContext(nn.Module):
    """Gated convolutions that read t and t - d with d = 1, 2, 4, ...: c_t knows the 2^layers - 1 positions before t."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.read = nn.Linear(inputs, hidden)
        self.layers = nn.ModuleList(nn.Linear(2 * hidden, 2 * hidden) for _ in range(layers))

    def forward(self, z: Float[Tensor, "N T D"]) -> Float[Tensor, "N T H"]:
        """The features at all positions."""
        h = self.read(z)
        for i, layer in enumerate(self.layers):
            far = F.pad(h, (0, 0, 2**i, 0))[:, : h.shape[1]]
            h = h + gate(layer(torch.cat([far, h], -1)), dim=-1)
        return h
