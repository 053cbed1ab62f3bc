"""A model left as it was, whatever its forward, its loss or a whole training step did to it.

Put back are which tensors are its buffers and parameters, their values and gradients, its attributes and modes, and
the states of the generators of torch, Python and NumPy. Attributes are put back as they were bound, lists and dicts
with what was in them; what lies deeper is not looked at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from buttress.diagnostics.modules import modules_of

__all__ = ["as_it_was"]

TABLES = ("_parameters", "_buffers", "_modules")
OWN = frozenset(vars(nn.Module())) - {"training", *TABLES}
"""What a module keeps of hooks and the like."""
MOST = 2**28
"""Numbers in all tensors of a model that are copied; of a larger one values are left alone."""


@contextmanager
def as_it_was(model: Any) -> Iterator[None]:
    """Put a model and the generators of random numbers back as they were when the context ends.

    Args:
        model: A module, or what holds or refers to some.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> net.register_buffer("seen", torch.zeros(()))
        >>> with as_it_was(net):
        ...     net(torch.ones(1, 2)).sum().backward()
        ...     net.seen, net.note = net.seen + 1, "called"
        >>> net.seen.item(), net.weight.grad, hasattr(net, "note")
        (0.0, None, False)
    """
    modules = list({id(m): m for root in modules_of(model) for m in root.modules()}.values())
    bound = [_Bound(m) for m in modules if not isinstance(m, LazyModuleMixin)]
    tensors = {id(t): t for one in bound for t in one.tensors}
    few = sum(t.numel() for t in tensors.values()) <= MOST
    values = [(t, t.detach().clone()) for t in tensors.values() if few and not t.is_inference()]
    learned = [t for t in tensors.values() if isinstance(t, nn.Parameter)]
    gradients = [(p, p.grad) for p in learned if p.grad is not None]
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(_devices()):
        for p, _ in gradients:
            p.grad = None
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            for one in bound:
                one.restore()
            _put_back(values)
            for p in learned:
                p.grad = None
            for p, gradient in gradients:
                p.grad = gradient


def _put_back(values: list[tuple[Tensor, Tensor]]) -> None:
    """The values of tensors, where they have changed: a write for nothing would end a graph of gradients."""
    with torch.no_grad():
        for tensor, value in values:
            if tensor.shape == value.shape and not torch.equal(tensor, value):
                tensor.data.copy_(value)


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() and torch.cuda.is_initialized() else []


class _Bound:
    """What the names of a module stand for."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.tables = {name: dict(vars(module)[name]) for name in TABLES}
        self.rest = {name: value for name, value in vars(module).items() if name not in (*OWN, *TABLES)}
        self.inside = {name: value.copy() for name, value in self.rest.items() if type(value) in (list, dict, set)}

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that the module has by name."""
        every = (*self.tables["_parameters"].values(), *self.tables["_buffers"].values(), *self.rest.values())
        return [t for t in every if isinstance(t, Tensor) and t.device.type != "meta" and not _empty(t)]

    def restore(self) -> None:
        """Put the names back."""
        own = vars(self.module)
        for name, table in self.tables.items():
            if list(map(id, own[name].values())) != list(map(id, table.values())) or list(own[name]) != list(table):
                own[name].clear()
                own[name].update(table)
        for name in [name for name in own if name not in (*OWN, *TABLES) and name not in self.rest]:
            del own[name]
        own.update(self.rest)
        for name, value in self.inside.items():
            _refill(self.rest[name], value)


def _empty(value: Tensor) -> bool:
    return isinstance(value, nn.UninitializedParameter | nn.UninitializedBuffer)


def _refill(there: Any, was: Any) -> None:
    """Put the entries of a list, dict or set back, if others are there."""
    entries = list(there.items()) if isinstance(there, dict) else list(there)
    before = list(was.items()) if isinstance(was, dict) else list(was)
    if len(entries) != len(before) or any(not _one(a, b) for a, b in zip(entries, before, strict=True)):
        there.clear()
        there.extend(was) if isinstance(there, list) else there.update(was)


def _one(a: Any, b: Any) -> bool:
    return (a[0] is b[0] and a[1] is b[1]) if isinstance(a, tuple) and len(a) == 2 == len(b) else a is b
