"""The modules and tensors behind a model, wherever it keeps them: their mode, and how to leave them as they were.

Modules are looked for where people keep them, and those that stay hidden are seen when they are called.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.modules.module import register_module_forward_pre_hook

__all__ = ["Kept", "modules_of", "noticing", "training_parts"]

DEPTH = 5
"""Steps from the model to a module: a function that another one calls, what it was defined among, its attributes."""
MOST = 1000
"""Entries of a list or dict that are looked at."""
SMALL = 2**20
"""Numbers in the largest tensor that is kept."""
DEPEND_ON_MODE = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


def modules_of(model: Any) -> list[nn.Module]:
    """The modules that a model is, holds, has bound methods of, or whose functions refer to.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> modules_of(lambda x: net(x)) == [net]
        True
    """
    return [value for value in _reached(model) if isinstance(value, nn.Module)]


def _reached(model: Any) -> list[Any]:
    """Everything that can be reached from a model in a few steps, each once; what is inside modules is left out."""
    seen: dict[int, Any] = {}  # with the values, so that no number is given to another one
    layer = [model]
    for _ in range(DEPTH):
        layer = list({id(value): value for value in layer if id(value) not in seen}.values())
        seen |= {id(value): value for value in layer}
        layer = [part for value in layer if not isinstance(value, nn.Module) for part in _parts(value)]
    return list(seen.values())


@contextmanager
def noticing(found: list[nn.Module]) -> Iterator[None]:
    """Put every module that is called meanwhile in this thread into eval mode before it runs, and list it in ``found``.

    All modes are as they were when the context ends.

    Example:
        >>> hidden, found = iter([nn.Dropout(0.5)]), []
        >>> with noticing(found):
        ...     next(hidden)(torch.ones(2))
        tensor([1., 1.])
        >>> found[0].training
        True
    """
    here = threading.get_ident()
    modes: dict[int, tuple[nn.Module, bool]] = {}

    def quiet(module: nn.Module, _: Any) -> None:
        if threading.get_ident() != here or not module.training:
            return
        found.append(module)
        for part in module.modules():
            modes.setdefault(id(part), (part, part.training))
            part.training = False

    handle = register_module_forward_pre_hook(quiet)
    try:
        yield
    finally:
        handle.remove()
        for part, training in modes.values():
            part.training = training


class Kept:
    """Tensors that calling a model might change, such as running statistics, as they were.

    Parameters change in a step only, and large tensors are data: neither is copied.

    Args:
        model: Keeps the protocol.

    Example:
        >>> mean, variance = torch.zeros(2), torch.ones(2)
        >>> model = lambda x: nn.functional.batch_norm(x, mean, variance, training=True)
        >>> kept = Kept(model)
        >>> _ = model(torch.randn(5, 2))
        >>> kept.restore(), mean.tolist()
        (2, [0.0, 0.0])
    """

    def __init__(self, model: Any) -> None:
        reached = _reached(model)
        inside = [value for root in reached if isinstance(root, nn.Module) for value in root.buffers()]
        outside = [value for value in reached if isinstance(value, Tensor) and not value.requires_grad]
        every = {
            id(value): value for value in (*inside, *outside) if value.numel() <= SMALL and not value.is_inference()
        }
        self._as_they_were = [(value, value.detach().clone()) for value in every.values()]

    def restore(self) -> int:
        """Put back what has changed; the number of such tensors."""
        changed = [(value, old) for value, old in self._as_they_were if not _same(value, old)]
        with torch.no_grad():
            for value, old in changed:
                value.copy_(old)
        return len(changed)


def _same(value: Tensor, old: Tensor) -> bool:
    """Whether all numbers are equal, or NaN in both. (The version of a tensor does not tell of running statistics.)"""
    return value.shape == old.shape and bool(((value == old) | (value.isnan() & old.isnan())).all())


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
        if isinstance(
            value, nn.Module | Tensor | types.FunctionType | types.MethodType | partial | list | dict | tuple
        ):
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
