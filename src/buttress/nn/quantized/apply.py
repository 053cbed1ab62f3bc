"""The layers of a built model become layers of quantised numbers, in place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import nn

from buttress.nn.attention import Attend
from buttress.nn.layers import Product
from buttress.nn.quantized.layers import QuantizedEmbedding, QuantizedNorm, QuantizedProduct, Rounded
from buttress.nn.quantized.lstm import QuantizedLstm, plain_lstm
from buttress.nn.quantized.products import QuantizedAttention, QuantizedMatrixProduct
from buttress.nn.quantized.ranges import Ranges

__all__ = ["left_whole", "quantize"]

OTHERS: dict[type[nn.Module], type[Any]] = {
    nn.Embedding: QuantizedEmbedding,
    nn.LayerNorm: QuantizedNorm,
    Product: QuantizedMatrixProduct,
    Attend: QuantizedAttention,
}
PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def quantize(model: nn.Module, bits: int, after: int = 0, parts: Sequence[str] = ()) -> Ranges:
    """Round the numbers of every layer of a model that is known here; return the ranges, which the model must own.

    Parameters keep their names and values, so that weights of the model in full precision fit.

    Args:
        model: What to change; it is changed in place.
        bits: b, for 2^b levels.
        after: Training steps in full precision before numbers are rounded.
        parts: Names of the model's own modules to change; () for all.

    Errors:
        ValueError: The model has no such part, or nothing in it can be quantised.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 2, bias=False))
        >>> _ = net[0].weight.data.copy_(torch.tensor([[0.4, 3.0], [3.0, 1.6]]))
        >>> ranges = quantize(net, bits=2)
        >>> _ = net(torch.tensor([[0.0, 3.0], [1.1, 1.0]])), ranges.after_step()
        >>> net(torch.tensor([[2.2, 1.0]])).detach()  # (2, 1) times (0, 3) and (3, 2)
        tensor([[3., 8.]])
    """
    known = [name for name, _ in model.named_children()]
    if strange := [part for part in parts if part not in known]:
        raise ValueError(f"there is no part {strange[0]!r} to quantise, wanted some of {', '.join(known)}")
    ranges = Ranges(bits, after)
    chosen = [m for name, m in model.named_children() if not parts or name in parts]
    found = [(m, kind) for child in chosen for m in child.modules() if (kind := _kind(m)) is not None]
    for module, kind in found:
        if not isinstance(module, Rounded):  # a layer may be part of two modules
            own: Any = type(module)
            module.__class__ = _mixed(kind, own)
            module.prepare(ranges)  # type: ignore[operator]
    if not found:
        raise ValueError("nothing in this model can be quantised: it has no linear layer, convolution or LSTM")
    return ranges


def left_whole(model: nn.Module) -> list[str]:
    """The names of torch's own layers with matrices that :func:`quantize` does not know, and so left as they were.

    Example:
        >>> left_whole(nn.ModuleDict({"a": nn.GRU(2, 2), "b": nn.Linear(2, 2)}))
        ['a']
    """
    named = [(name, m) for name, m in model.named_modules() if type(m).__module__.startswith("torch.nn")]
    return [name for name, m in named if _kind(m) is None and any(p.dim() > 1 for p in m.parameters(recurse=False))]


def _kind(module: nn.Module) -> Any:
    """What it becomes; None for what is not known here."""
    if isinstance(module, PRODUCTS):
        return QuantizedProduct
    if plain_lstm(module):
        return QuantizedLstm
    return OTHERS.get(type(module))


@cache
def _mixed(kind: Any, own: Any) -> Any:
    """The class of a layer with rounded numbers."""
    return type(f"{kind.__name__}Of{own.__name__}", (kind, own), {})
