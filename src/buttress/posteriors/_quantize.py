r"""The nearest of K codewords for each of N vectors, without a table of N x K distances.

$$ c_n = \arg\min_k \lVert z_n - e_k \rVert^2 = \arg\min_k (\tfrac12 \lVert e_k \rVert^2 - z_n \cdot e_k) $$

The table is made a few rows at a time, in one small piece of memory that stays in the processor's cache: one matrix
product and one search a piece. Sums over the vectors of a codeword are added up at its index, not by a one-hot matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["nearest", "straight_through", "tally"]

PIECE = 2**19
"""Entries of the table made at once."""


@torch.no_grad()
def nearest(z: Float[Tensor, "N D"], codebook: Float[Tensor, "K D"]) -> Int[Tensor, " N"]:
    """The index of the nearest codeword; in the numbers' own precision, even under autocast.

    Example:
        >>> nearest(torch.tensor([[0.9, 0.0], [-3.0, 1.0]]), torch.tensor([[-1.0, 0.0], [1.0, 0.0]])).tolist()
        [1, 0]
    """
    with torch.autocast(z.device.type, enabled=False):
        rows = max(1, min(len(z), PIECE // len(codebook)))
        halves, across = codebook.square().sum(1) / 2, codebook.t()
        codes = torch.empty(len(z), dtype=torch.long, device=z.device)
        table = z.new_empty(rows, len(codebook))
        for piece, found in zip(z.split(rows), codes.split(rows), strict=True):
            scores = torch.addmm(halves, piece, across, alpha=-1, out=table[: len(piece)])
            torch.argmin(scores, 1, out=found)
        return codes


@torch.no_grad()
def tally(
    z: Float[Tensor, "N D"], codes: Int[Tensor, " N"], size: int
) -> tuple[Float[Tensor, " K"], Float[Tensor, "K D"]]:
    """How many vectors each of K = ``size`` codewords has, and their sum.

    Example:
        >>> count, total = tally(torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([0, 0, 2]), 3)
        >>> count.tolist(), total.flatten().tolist()
        ([2.0, 0.0, 1.0], [3.0, 0.0, 5.0])
    """
    count = torch.bincount(codes, minlength=size).to(z.dtype)
    return count, z.new_zeros(size, z.shape[1]).index_add_(0, codes, z)


def straight_through(z: Float[Tensor, "*rest"], q: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """The value of q, exactly, with the gradient of z: dq/dz is taken to be one, and q gets none."""
    return _StraightThrough.apply(z, q)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, q: Tensor) -> Tensor:
        return q.view_as(q)

    @staticmethod
    def backward(ctx: Any, *gradient: Any) -> Any:
        return gradient[0], None
