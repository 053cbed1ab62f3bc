"""The modules behind a model, wherever it keeps them, and whether they are in training mode."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

__all__ = ["modules_of", "training_parts"]

DEPTH = 5
"""Steps from the model to a module: a function that another one calls, what it was defined among, its attributes."""
MOST = 1000
"""Entries of a list or dict that are looked at."""
DEPEND_ON_MODE = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


def modules_of(model: Any) -> list[nn.Module]:
    """The modules that a model is, holds, has bound methods of, or whose functions refer to.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> modules_of(lambda x: net(x)) == [net]
        True
    """
    found: dict[int, nn.Module] = {}
    seen: dict[int, Any] = {}  # with the values, so that no number is given to another one
    layer = [model]
    for _ in range(DEPTH):
        layer = [value for value in layer if id(value) not in seen]
        seen |= {id(value): value for value in layer}
        found |= {id(value): value for value in layer if isinstance(value, nn.Module)}
        layer = [part for value in layer if not isinstance(value, nn.Module) for part in _parts(value)]
    return list(found.values())


def _parts(value: Any) -> Iterator[Any]:
    """What a value is made of, as far as a module may be found there."""
    if isinstance(value, types.MethodType):
        yield value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, list | tuple | dict):
        yield from islice(value.values() if isinstance(value, dict) else value, MOST)
    elif not isinstance(value, type | types.ModuleType | Distribution | Tensor):
        yield from getattr(value, "__dict__", {}).values()


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    """What a function refers to: variables around it, defaults, globals that it names."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from function.__defaults__ or ()
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, nn.Module | types.FunctionType | types.MethodType | partial | list | dict | tuple):
            yield value


def training_parts(model: Any) -> list[str]:
    """Kinds of submodule that behave otherwise in training and are in training mode.

    Example:
        >>> training_parts(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))), training_parts(nn.Dropout().eval())
        (['Dropout'], [])
    """
    parts = [part for root in modules_of(model) for part in root.modules()]
    return sorted({type(part).__name__ for part in parts if part.training and _depends_on_mode(part)})


def _depends_on_mode(part: nn.Module) -> bool:
    return isinstance(part, DEPEND_ON_MODE) or (isinstance(part, nn.RNNBase) and part.dropout > 0)
