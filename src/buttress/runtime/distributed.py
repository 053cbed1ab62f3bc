"""What all processes of a run hold together. One process alone gets back what it has."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

__all__ = ["mean", "number", "total"]


def number() -> int:
    """How many processes train together.

    Example:
        >>> number()
        1
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total(value: Tensor) -> Tensor:
    """The sum over all processes, put into ``value`` itself; no gradient goes through it.

    Args:
        value: A tensor of the same shape in all of them.

    Example:
        >>> import torch
        >>> total(torch.tensor([3.0]))  # one process: what it has
        tensor([3.])
    """
    if number() > 1:
        dist.all_reduce(value)
    return value


def mean(value: Tensor) -> Tensor:
    """The mean over all processes, put into ``value`` itself; no gradient goes through it.

    Args:
        value: A tensor of floats, of the same shape in all of them.

    Example:
        >>> import torch
        >>> mean(torch.tensor([3.0]))
        tensor([3.])
    """
    return total(value).div_(number())
