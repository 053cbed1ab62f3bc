"""Whether two tensors that stand where mean and log-variance would are those of a quantiser, or a z and its copy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["no_pair"]

VECTORS = 32
"""So many vectors of a tensor are looked for among the rows of a codebook."""
NEAR = 1e-4
"""Distance, beside the largest number of a codebook, that rounding leaves."""


def no_pair(model: nn.Module, mean: Tensor, log_variance: Tensor) -> bool:
    """Whether two tensors of one shape are no (mu, logvar).

    They are none where one is computed of the other, as a quantised value with a straight-through estimator is of what
    was quantised, or where one is made of rows of a codebook.

    Args:
        model: Where they come from.
        mean: (B, ...), with its graph of gradients where there is one.
        log_variance: The same.

    Example:
        >>> h, codes = torch.randn(6, 2, requires_grad=True), nn.Embedding(8, 2)
        >>> q = codes(torch.arange(6))
        >>> no_pair(codes, h, h + (q - h).detach()), no_pair(codes, h, q.detach()), no_pair(codes, h, h[:, :2] * 2)
        (True, True, True)
        >>> no_pair(nn.Linear(2, 2), *nn.Linear(2, 4)(h).chunk(2, -1))
        False
    """
    if _made_of(log_variance, mean) or _made_of(mean, log_variance):
        return True
    books = [w for w in (*model.parameters(), *model.buffers()) if w.dim() == 2 and min(w.shape) > 1]
    return any(_in_rows(value, books) for value in (mean, log_variance))


def _made_of(value: Tensor, source: Tensor) -> bool:
    if not (value.requires_grad and source.requires_grad):
        return False
    (found,) = torch.autograd.grad(value.sum(), source, retain_graph=True, allow_unused=True)
    return found is not None


def _in_rows(value: Tensor, books: list[Tensor]) -> bool:
    """Whether every vector of a tensor, along its last axis or its second, is a row of one of some matrices."""
    for vectors in (value.detach(), value.detach().movedim(1, -1)):
        rows = vectors.reshape(-1, vectors.shape[-1])[:VECTORS].double()
        if not bool(rows.isfinite().all()) or len(rows.unique(dim=0)) < 2:
            continue  # broken, or the same for all x, as a variance that is set
        for book in (b.detach().double() for b in books if b.shape[1] == rows.shape[1]):
            if bool((torch.cdist(rows, book).amin(1) <= NEAR * book.abs().amax()).all()):
                return True
    return False
