"""What to say where a model of the user's raises: its error in a line, and where it is at odds with the data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from buttress.diagnostics.modules import modules_of

__all__ = ["at_odds", "first_line"]


def first_line(error: BaseException) -> str:
    r"""The first line of an error; with its class where the line says little without.

    Example:
        >>> first_line(KeyError("label")), first_line(RuntimeError("too large:\n  tensor"))
        ("KeyError: 'label'", 'too large')
    """
    said = next(iter(str(error).strip().splitlines()), "").rstrip(" .:")
    plain = isinstance(error, RuntimeError | ValueError | TypeError) and said
    return said if plain else f"{type(error).__name__}: {said}".removesuffix(": ")


def at_odds(model: Any, x: Tensor) -> str:
    """Where a model is on another device than the data, or in another type; empty where neither is so.

    Args:
        model: A module, or what holds or refers to some.
        x: What it was called with.

    Example:
        >>> x, net = torch.zeros(1, 2), nn.Linear(2, 2)
        >>> at_odds(net, x), at_odds(net.double(), x)
        ('', "; the model's weights are float64 and x float32: try x.to(torch.float64), or model.to(torch.float32)")
        >>> at_odds(nn.Linear(2, 2, device="meta"), x)
        '; the model is on meta and x on cpu: move it with model.to("cpu"), or the batches to it'
    """
    weights = [p for module in modules_of(model) for p in module.parameters()]
    places = sorted({str(p.device) for p in weights})
    if len(places) > 1:
        return f'; parts of the model are on {" and ".join(places)}: move all of it with model.to("{x.device}")'
    if places and places[0] != str(x.device):
        move = f'move it with model.to("{x.device}"), or the batches to it'
        return f"; the model is on {places[0]} and x on {x.device}: {move}"
    kinds = {p.dtype for p in weights if p.is_floating_point()}
    if not kinds or x.dtype in kinds or _embeds(model, x):
        return ""
    if not x.is_floating_point():
        return "; a model of real numbers wants x.float(), scaled as in training"
    own = _short(next(iter(kinds)))
    return f"; the model's weights are {own} and x {_short(x.dtype)}: try x.to(torch.{own}), or model.to({x.dtype})"


def _embeds(model: Any, x: Tensor) -> bool:
    """Whether whole numbers came and are what a model takes."""
    parts = (part for module in modules_of(model) for part in module.modules())
    return not x.is_floating_point() and any(isinstance(part, nn.Embedding) for part in parts)


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
