"""The levels of a latent variable, such as "top" and "bottom": which places of z each one has.

A model names them with ``space.levels``: records with a name, and where they know it a slice (``start``, ``stop``), a
``shape`` and the number of ``classes``; or names alone, which then are the beginnings of the names in ``model.groups``,
as in "top/0".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["LatentLevel", "levels_of"]


@dataclass(frozen=True)
class LatentLevel:
    """One level.

    Args:
        name: Such as "top".
        places: Numbers of its coordinates in the flat z.
        slots: Codebooks of each of its places.
        classes: K where it is codes and K is known.
    """

    name: str
    places: Int[Tensor, " P"]
    slots: int = 1
    classes: int | None = None


def levels_of(model: Any) -> tuple[LatentLevel, ...]:
    """The levels of a model; none where it has fewer than two.

    Example:
        >>> from types import SimpleNamespace
        >>> space = SimpleNamespace(levels=("top", "bottom"), shape=(3,))
        >>> model = SimpleNamespace(space=space, groups=("top/0", "bottom/0", "bottom/1"))
        >>> {level.name: level.places.tolist() for level in levels_of(model)}
        {'top': [0], 'bottom': [1, 2]}
    """
    space: Any = getattr(model, "space", None)
    found = [_level(level, model, math.prod(space.shape)) for level in getattr(space, "levels", ())]
    known = tuple(level for level in found if len(level.places))
    return known if len(known) > 1 else ()


def _level(level: Any, model: Any, size: int) -> LatentLevel:
    if isinstance(level, str):
        return LatentLevel(level, _named(level, tuple(getattr(model, "groups", None) or ()), size))
    shape = tuple(getattr(level, "shape", ()))
    classes = getattr(level, "classes", None)
    return LatentLevel(
        level.name, torch.arange(level.start, level.stop), shape[-1] if shape and classes is not None else 1, classes
    )


def _named(name: str, groups: tuple[str, ...], size: int) -> Int[Tensor, " P"]:
    """Places of the groups whose name begins with that of the level, which share z out equally."""
    if not groups or size % len(groups):
        return torch.arange(0)
    each = size // len(groups)
    own = [i for i, group in enumerate(groups) if group.startswith(f"{name}/") or group == name]
    return torch.cat([torch.arange(i * each, (i + 1) * each) for i in own]) if own else torch.arange(0)
