"""Numbers below 1.2e-38 count as zero while a model trains.

A CPU counts with such subnormal numbers dozens of times more slowly, and training makes them: the gradient of a
saturated gate, of a pixel that is never set, of an encoder that is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["flushed"]


@contextmanager
def flushed() -> Iterator[None]:
    """Count subnormal numbers as zero in this thread while the context lasts, and in threads that start within it.

    The threads with which torch shares out an operation start with the first large one and keep what they began with.

    Example:
        >>> small = torch.full((), 1e-40)
        >>> with flushed():
        ...     within = (small * 1).item()
        >>> within, (small * 1).item() > 0
        (0.0, True)
    """
    before = (torch.full((), 1e-40) * 1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
