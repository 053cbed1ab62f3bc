"""Layers that encoders and decoders share. None mixes examples of a batch: an example's output is its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

__all__ = [
    "Activation",
    "Product",
    "Residual",
    "activation",
    "bounded",
    "channels_last",
    "check_widths",
    "full",
    "lowered",
    "perceptron",
    "run_gru",
    "run_lstm",
    "unbounded",
]

Activation = Literal["relu", "tanh", "gelu", "silu", "elu"]
"""Names of the nonlinearities one can choose."""


def activation(name: Activation) -> nn.Module:
    """The nonlinearity of that name.

    Example:
        >>> activation("relu")(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "elu": nn.ELU}[name]()


def perceptron(sizes: Sequence[int], name: Activation) -> nn.Sequential:
    """Linear layers from size to size, each followed by a nonlinearity.

    Example:
        >>> [type(layer).__name__ for layer in perceptron((4, 3), "tanh")]
        ['Linear', 'Tanh']
    """
    return nn.Sequential(*(m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), activation(name))))


def full(parameters: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """In float32 at least, whatever the precision around it.

    Example:
        >>> full(torch.ones(1, dtype=torch.bfloat16)).dtype, full(torch.ones(1, dtype=torch.float64)).dtype
        (torch.float32, torch.float64)
    """
    return parameters.float() if parameters.dtype in (torch.bfloat16, torch.float16) else parameters


def lowered(numbers: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """In the type to which autocast turns what convolutions read, where it is on: then they need not turn it again.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     lowered(torch.ones(1)).dtype
        torch.bfloat16
        >>> lowered(torch.ones(1)).dtype
        torch.float32
    """
    kind = numbers.device.type
    return numbers.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else numbers


def bounded(raw: Tensor, low: float, high: float) -> Tensor:
    """A smooth map of the line into (low, high) with value 0 and slope 1 at 0.

    Example:
        >>> bounded(torch.tensor([-1e9, 0.0, 1e9]), -12.0, 8.0).tolist()
        [-12.0, 0.0, 8.0]
    """
    limit = torch.where(raw < 0, -low, raw.new_full((), high))
    return limit * torch.tanh(raw / limit)


def unbounded(value: float, low: float, high: float) -> float:
    """The inverse of :func:`bounded` at one number.

    Example:
        >>> round(bounded(torch.tensor(unbounded(-2.0, -12.0, 8.0)), -12.0, 8.0).item(), 4)
        -2.0
    """
    bound = -low if value < 0 else high
    return bound * math.atanh(value / bound)


def channels_last(maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
    """The same numbers with channels last in memory, also for one channel: the fast layout of convolutions on a CPU.

    Example:
        >>> channels_last(torch.zeros(2, 3, 5, 7)).stride(), channels_last(torch.zeros(2, 1, 5, 7)).stride()
        ((105, 1, 21, 3), (35, 1, 7, 1))
    """
    return maps.movedim(1, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 1)


class Product(nn.Module):
    """a @ b of two activations as a layer, so that it can be quantised.

    Example:
        >>> Product()(torch.ones(2, 3), torch.ones(3, 1)).flatten()
        tensor([3., 3.])
    """

    def forward(self, a: Float[Tensor, "*rest"], b: Float[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
        """The product."""
        return a @ b


class Residual(nn.Module):
    """y = x + f(x): two 3x3 convolutions behind nonlinearities, on maps (N, ``width``, H, W).

    Example:
        >>> Residual(width=4, name="elu")(torch.zeros(2, 4, 7, 7)).shape
        torch.Size([2, 4, 7, 7])
    """

    def __init__(self, width: int, name: Activation) -> None:
        super().__init__()
        self.block = nn.Sequential(
            activation(name),
            nn.Conv2d(width, width, 3, padding=1),
            activation(name),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """The map, changed a little."""
        return x + self.block(x)


def run_lstm(lstm: nn.LSTM, inputs: Any, state: tuple[Tensor, Tensor] | None = None) -> tuple[Any, Any]:
    """Run an LSTM over a tensor or a PackedSequence; in float32 on a CPU, even where autocast asks for bfloat16.

    torch 2.13 has no bfloat16 LSTM for most CPUs and raises "could not create a primitive descriptor".

    Example:
        >>> lstm = nn.LSTM(3, 5, batch_first=True)
        >>> outputs, (h, c) = run_lstm(lstm, torch.zeros(2, 7, 3))
        >>> outputs.shape, h.shape
        (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]))
    """
    device = (inputs.data if isinstance(inputs, PackedSequence) else inputs).device.type
    if device != "cpu" or not torch.is_autocast_enabled("cpu"):
        return lstm(inputs, state)
    with torch.autocast("cpu", enabled=False):
        return lstm(inputs.float(), None if state is None else (state[0].float(), state[1].float()))


def run_gru(gru: nn.GRU, inputs: Float[Tensor, "N T F"]) -> Float[Tensor, "N T H"]:
    """The states of a GRU at all places; in float32 on a CPU, even where autocast asks for bfloat16.

    Example:
        >>> run_gru(nn.GRU(3, 5, batch_first=True), torch.zeros(2, 7, 3)).shape
        torch.Size([2, 7, 5])
    """
    if inputs.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        states: Tensor = gru(inputs)[0]
        return states
    with torch.autocast("cpu", enabled=False):
        return run_gru(gru, inputs.float())


def check_widths(where: str, widths: Sequence[int], least: int = 0) -> None:
    """Raise a ValueError unless there are at least ``least`` widths, all positive.

    Example:
        >>> check_widths("encoder: hidden", (64, 0))
        Traceback (most recent call last):
        ValueError: encoder: hidden is (64, 0), wanted at least 0 sizes, each 1 or more
    """
    if len(widths) < least or any(width < 1 for width in widths):
        raise ValueError(f"{where} is {tuple(widths)}, wanted at least {least} sizes, each 1 or more")
