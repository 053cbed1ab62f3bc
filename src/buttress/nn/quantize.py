r"""The nearest of K codewords for each of N vectors, without a table of N x K distances.

$$ c_n = \arg\min_k \lVert z_n - e_k \rVert^2
       = \arg\min_k (\tfrac12 \lVert d_k \rVert^2 + m \cdot d_k - z_n \cdot d_k), \qquad d_k = e_k - m $$

with m the mean codeword: where all vectors share an offset, it does not drown what tells them apart.

The table is made some rows at a time, always in the same piece of memory: one matrix product and one search a piece.
Sums over the vectors of a codeword are added up at its index, not by a one-hot matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["nearest", "straight_through", "tally"]

PIECE = 2**22
"""Entries of the table made at once. With several threads every piece ends in a wait for all of them, which takes long
where other programs share the cores: a piece an eighth of this made the search among 8,192 codewords five times
slower there, and with one thread no faster."""


@torch.no_grad()
def nearest(z: Float[Tensor, "N D"], codebook: Float[Tensor, "K D"]) -> Int[Tensor, " N"]:
    """The index of the nearest codeword; in the numbers' own precision, even under autocast.

    Example:
        >>> nearest(torch.tensor([[0.9, 0.0], [-3.0, 1.0]]), torch.tensor([[-1.0, 0.0], [1.0, 0.0]])).tolist()
        [1, 0]
    """
    rows = max(1, min(len(z), PIECE // len(codebook)))
    middle = codebook.mean(0)
    apart = codebook - middle
    halves, across = apart.square().sum(1) / 2 + (apart * middle).sum(1), apart.t()
    codes = torch.empty(len(z), dtype=torch.long, device=z.device)
    table = z.new_empty(rows, len(codebook))
    for piece, found in zip(z.split(rows), codes.split(rows), strict=True):
        # autocast leaves a product alone that is told where to write
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


def straight_through(
    z: Float[Tensor, "B *rest"], q: Float[Tensor, "B *rest"]
) -> tuple[Float[Tensor, "B *rest"], Float[Tensor, " B"]]:
    """q with the gradient of z, and each example's squared distance of z from q; q itself gets no gradient.

    Example:
        >>> z = torch.tensor([[1.0, 5.0]], requires_grad=True)
        >>> out, distance = straight_through(z, torch.tensor([[2.0, 3.0]]))
        >>> (10 * out.sum() + distance.sum()).backward()
        >>> out.tolist(), distance.item(), z.grad.tolist()
        ([[2.0, 3.0]], 5.0, [[8.0, 14.0]])
    """
    return _StraightThrough.apply(z, q.detach())


class _StraightThrough(torch.autograd.Function):
    """Both at once, so that nothing of the size of z is kept that would not be there anyway."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, q: Tensor) -> Any:
        ctx.save_for_backward(z, q)
        return q.view_as(q), (z - q).square_().flatten(1).sum(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (z, q), (through, distance) = ctx.saved_tensors, gradients
        gradient = z - q
        return gradient.mul_(2 * distance.view(-1, *[1] * (z.dim() - 1))).add_(through), None
