r"""Cross-entropy of a linear layer with many outputs, without the (rows x outputs) table of logits in memory.

$$ \ell_n = \log \sum_v \exp l_{nv} - (1 - s)\, l_{n t_n} - \frac{s}{V} \sum_v l_{nv}, \qquad l_n = W h_n + b $$

Logits of some rows at a time are made, summed up and forgotten, and the backward pass makes them again: four products
in place of three, and fewer passes through memory. The gradient of $\ell_n$ by $l_n$ is $\mathrm{softmax}(l_n) -
(1 - s)\, e_{t_n} - s / V$.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from buttress.nn.layers import full

__all__ = ["linear_cross_entropy", "worth_it"]

CHUNK = 1 << 22
"""Logits made at a time, 16 MB of float32; smaller products are slower."""


def worth_it(rows: int, outputs: int) -> bool:
    """Whether the table of logits is large enough to do without; below it, making it at once is as fast or faster.

    Example:
        >>> worth_it(64 * 30, 10_000), worth_it(64 * 10, 500)
        (True, False)
    """
    return rows * outputs > 2 * CHUNK


def linear_cross_entropy(
    hidden: Float[Tensor, "N F"],
    weight: Float[Tensor, "V F"],
    bias: Float[Tensor, " V"] | None,
    target: Int[Tensor, " N"],
    smoothing: float = 0.0,
) -> Float[Tensor, " N"]:
    """``cross_entropy(linear(hidden, weight, bias), target, reduction="none")`` in float32, in little memory.

    Products are made in the precision of autocast, where it is on; all else in float32. It can be differentiated twice.

    Args:
        hidden: What the layer reads, a row for each token.
        weight: Of the layer.
        bias: Of the layer; None for none.
        target: The index of the true output of each row.
        smoothing: Share of the loss that is the mean over all outputs.

    Returns:
        The loss of each row, in nats.

    Example:
        >>> h, weight, bias = torch.ones(2, 3), torch.zeros(5, 3), torch.zeros(5)
        >>> linear_cross_entropy(h, weight, bias, torch.tensor([0, 4]))  # five alike: log 5
        tensor([1.6094, 1.6094])
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    return _LinearCrossEntropy.apply(hidden, weight, bias, target, smoothing, dtype)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return full(F.linear(hidden, weight, bias))


def _chunks(rows: int, outputs: int) -> Iterator[slice]:
    size = max(1, CHUNK // outputs)
    for first in range(0, rows, size):
        yield slice(first, first + size)


class _LinearCrossEntropy(torch.autograd.Function):
    """What autograd knows of :func:`linear_cross_entropy`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, smoothing: float, dtype: Any
    ) -> Tensor:
        rows, low, cast = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        total = hidden.new_empty(len(hidden), dtype=torch.promote_types(dtype, torch.float32))
        with torch.autocast(hidden.device.type, enabled=False):
            sums = torch.empty_like(total)
            for rows_of in _chunks(len(hidden), len(weight)):
                logits = _logits(rows[rows_of], low, cast)
                sums[rows_of] = logits.logsumexp(-1)
                true = logits.gather(-1, target[rows_of, None]).squeeze(-1)
                total[rows_of] = sums[rows_of] - (1 - smoothing) * true
                if smoothing:
                    total[rows_of] -= smoothing * logits.mean(-1)
        ctx.save_for_backward(hidden, weight, bias, target, sums)
        ctx.low = rows, low, cast
        ctx.smoothing, ctx.dtype = smoothing, dtype
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, target, sums = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: of operations that autograd knows
            with torch.autocast(hidden.device.type, ctx.dtype, enabled=ctx.dtype in (torch.bfloat16, torch.float16)):
                logits = F.linear(hidden, weight, bias)
            loss = F.cross_entropy(logits.to(sums.dtype), target, reduction="none", label_smoothing=ctx.smoothing)
            wanted = [t for t in (hidden, weight, bias) if t is not None and t.requires_grad]
            found = iter(torch.autograd.grad(loss, wanted, grad, create_graph=True))
            by = [next(found) if t is not None and t.requires_grad else None for t in (hidden, weight, bias)]
            return (*by, None, None, None)
        rows, low, cast = ctx.low
        by_hidden = torch.empty_like(rows, dtype=sums.dtype)
        by_weight = torch.zeros_like(low, dtype=sums.dtype)
        by_bias = None if bias is None else torch.zeros_like(bias, dtype=sums.dtype)
        for rows_of in _chunks(len(rows), len(low)):
            scale = grad[rows_of, None]
            slope = _logits(rows[rows_of], low, cast).sub_(sums[rows_of, None]).exp_()
            if ctx.smoothing:
                slope -= ctx.smoothing / len(low)
            slope.mul_(scale).scatter_add_(-1, target[rows_of, None], -(1 - ctx.smoothing) * scale)
            if by_bias is not None:
                by_bias += slope.sum(0)
            slope = slope.to(ctx.dtype)
            by_hidden[rows_of] = slope @ low
            by_weight += slope.T @ rows[rows_of]
        return (
            by_hidden.to(hidden.dtype),
            by_weight.to(weight.dtype),
            None if by_bias is None or bias is None else by_bias.to(bias.dtype),
            None,
            None,
            None,
        )
