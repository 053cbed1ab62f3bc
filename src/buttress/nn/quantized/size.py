"""What a model takes on a disk, with its weights as whole numbers of b bits or all in full precision."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from buttress.nn.quantized.layers import Rounded

__all__ = ["stored_bytes"]

FLOAT = 4
"""Bytes of a number in full precision."""
OF_A_ROW = 5
"""Bytes of what a rounded row needs beside its whole numbers: its step, and which of them stands for zero."""


def stored_bytes(model: nn.Module, bits: int = 0) -> int:
    """Bytes of all parameters.

    Args:
        model: Quantised, unless ``bits`` is 0.
        bits: Of a weight of a quantised layer; 0 to count every parameter as a float.

    Example:
        >>> from buttress.nn.quantized.apply import quantize
        >>> net = nn.Sequential(nn.Linear(100, 10))
        >>> ranges = quantize(net, bits=8)
        >>> stored_bytes(net), stored_bytes(net, bits=8)  # of 1000 weights and 10 biases
        (4040, 1090)
    """
    rounded = {id(p): rows for p, rows in _rounded(model)} if bits else {}
    return sum(
        -(-p.numel() * bits // 8) + OF_A_ROW * rounded[id(p)] if id(p) in rounded else FLOAT * p.numel()
        for p in model.parameters()
    )


def _rounded(model: nn.Module) -> Iterator[tuple[nn.Parameter, int]]:
    """Every rounded parameter with its number of rows."""
    for module in model.modules():
        if isinstance(module, Rounded):
            for name, parameter in module.named_parameters(recurse=False):
                if name.startswith("weight"):
                    yield parameter, 1 if parameter.dim() == 1 else parameter.shape[module.output_dim]
