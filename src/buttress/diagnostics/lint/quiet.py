"""A model held still while a rule asks it: draws of one seed, no dropout, and everything put back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["no_backward", "no_dropout", "numbers_kept", "seeded"]


@contextmanager
def seeded(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """In training mode, with draws of this seed; mode, buffers, counters and the generator are put back after it.

    What was compiled runs as it was written: gradients do not go through a compiled graph from one output to another.
    """
    modes = {module: module.training for module in model.modules()}
    tables = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    buffers = [(value, value.clone()) for value in model.buffers()]
    with torch.random.fork_rng(), _eager(), numbers_kept(*modes):
        torch.manual_seed(seed)
        model.train()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            for table, bound in tables:
                table.update(bound)
            for value, was in buffers:
                value.data.copy_(was)


@contextmanager
def numbers_kept(*things: Any) -> Iterator[None]:
    """Put the plain numbers that things have by name back: a warm-up counts calls, and each must be at the same step.

    Args:
        things: Modules or other objects; those without names of their own are passed over.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> net.step = 5
        >>> with numbers_kept(net):
        ...     net.step += 1
        >>> net.step
        5
    """
    named = [vars(one) for one in things if hasattr(one, "__dict__")]
    kept = [(own, {k: v for k, v in own.items() if isinstance(v, int | float)}) for own in named]
    try:
        yield
    finally:
        for own, numbers in kept:
            for name, value in numbers.items():
                if own.get(name) is not value:
                    own[name] = value


class no_backward(TorchFunctionMode):
    """Let ``backward()`` of a tensor do nothing while the context lasts.

    A loss function may be a whole training step. Its graph would be gone before a rule asks for gradients, and its
    optimizer would move the weights; without gradients it moves none.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> with no_backward():
        ...     net(torch.ones(1, 2)).sum().backward()
        >>> net.weight.grad is None
        True
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call everything else as it is."""
        return None if func is Tensor.backward else func(*args, **(kwargs or {}))


def _eager() -> Any:
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


@contextmanager
def no_dropout(model: nn.Module) -> Iterator[None]:
    """Without dropout while the context lasts."""
    rates = [
        (module, name, getattr(module, name))
        for module in model.modules()
        for name in (("p", "dropout") if "drop" in type(module).__name__.lower() else ("dropout",))
        if isinstance(getattr(module, name, None), float)
        and not isinstance(getattr(type(module), name, None), property)
    ]
    try:
        for module, name, _ in rates:
            setattr(module, name, 0.0)
        yield
    finally:
        for module, name, rate in rates:
            setattr(module, name, rate)
