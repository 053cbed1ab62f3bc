"""What the processes of a run compute together. One process alone gets back what it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = [
    "average_gradients",
    "differentiable_gather",
    "differentiable_total",
    "gather",
    "maximum",
    "mean",
    "number",
    "rank",
    "total",
]


def number() -> int:
    """How many processes train together.

    Example:
        >>> number()
        1
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this process is, counted from 0.

    Example:
        >>> rank()
        0
    """
    return dist.get_rank() if number() > 1 else 0


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


def differentiable_total(value: Tensor) -> Tensor:
    """The sum over all processes, through which the gradient of every process reaches the values of every other.

    Args:
        value: A tensor of the same shape in all of them.

    Example:
        >>> import torch
        >>> differentiable_total(torch.tensor([3.0]))
        tensor([3.])
    """
    return _Total.apply(value) if number() > 1 else value


class _Total(torch.autograd.Function):
    """The gradient of a sum over processes is the sum of the gradients of all of them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Any:
        return total(value.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return total(gradients[0].clone())


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


def maximum(value: Tensor) -> Tensor:
    """The largest over all processes in every place, put into ``value`` itself; no gradient goes through it.

    Args:
        value: A tensor of the same shape in all of them.

    Example:
        >>> import torch
        >>> maximum(torch.tensor([3.0]))
        tensor([3.])
    """
    if number() > 1:
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return value


def gather(value: Tensor, dim: int = 0) -> Tensor:
    """The rows of all processes in the order of their ranks; no gradient goes through it.

    Args:
        value: A tensor of the same shape in all of them.
        dim: The dimension of the rows.

    Example:
        >>> import torch
        >>> gather(torch.tensor([3.0]))
        tensor([3.])
    """
    if number() == 1:
        return value
    rows = [torch.empty_like(value) for _ in range(number())]
    dist.all_gather(rows, value.contiguous())
    return torch.cat(rows, dim)


def differentiable_gather(value: Tensor, dim: int = 0) -> Tensor:
    """The rows of all processes in the order of their ranks, through which the gradient of every process reaches all.

    Args:
        value: A tensor of the same shape in all of them.
        dim: The dimension of the rows.

    Example:
        >>> import torch
        >>> differentiable_gather(torch.tensor([3.0]))
        tensor([3.])
    """
    if number() == 1:
        return value
    nothing = torch.zeros_like(value)
    return differentiable_total(torch.cat([value if i == rank() else nothing for i in range(number())], dim))


def average_gradients(parameters: Sequence[Tensor], loss: Tensor) -> Tensor:
    """Replace the gradient of each parameter by the mean over all processes.

    One exchange carries them all. A parameter that has no gradient in any process keeps none; where only some have
    one, the others count as zero.

    Args:
        parameters: The same in all processes.
        loss: This process's, shape ().

    Returns:
        The mean loss, so that all processes agree on whether it is finite.

    Example:
        >>> import torch
        >>> weight = torch.tensor([3.0], requires_grad=True)
        >>> (2 * weight).sum().backward()
        >>> average_gradients([weight], torch.tensor(6.0)), weight.grad
        (tensor(6.), tensor([2.]))
    """
    if number() == 1:
        return loss
    there = torch.tensor([float(p.grad is not None) for p in parameters], device=loss.device)
    blocks = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters]
    shared = mean(torch.cat([loss.reshape(1), there, *blocks]))
    first, found, *blocks = shared.split([1, len(blocks), *map(len, blocks)])
    for parameter, any_gradient, block in zip(parameters, found.tolist(), blocks, strict=True):
        parameter.grad = block.view_as(parameter).to(parameter.dtype) if any_gradient else None
    return first.squeeze()
