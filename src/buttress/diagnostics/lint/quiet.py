"""A model held still while a rule asks it: draws of one seed, no dropout, and everything put back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

__all__ = ["no_dropout", "seeded"]


@contextmanager
def seeded(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """In training mode, with draws of this seed; mode, buffers and the generator's state are put back after it.

    What was compiled runs as it was written: gradients do not go through a compiled graph from one output to another.
    """
    modes = {module: module.training for module in model.modules()}
    tables = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    buffers = [(value, value.clone()) for value in model.buffers()]
    with torch.random.fork_rng(), _eager():
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
