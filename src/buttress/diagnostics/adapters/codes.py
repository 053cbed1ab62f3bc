"""Whether two tensors that stand where mean and log-variance would are those of a quantiser, or a z and its copy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["no_pair"]

VECTORS = 32
"""So many vectors of a tensor, spread over examples and places, are looked for among the rows of a codebook."""
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
        >>> dead = codes(torch.cdist(h, codes.weight[:1]).argmin(1))  # one code is left
        >>> no_pair(nn.Embedding.from_pretrained(torch.cat([codes.weight[:1], 50 + codes.weight])), h, dead.detach())
        True
        >>> no_pair(nn.Linear(2, 2), *nn.Linear(2, 4)(h).chunk(2, -1))
        False
    """
    if _made_of(log_variance, mean) or _made_of(mean, log_variance):
        return True
    books = [w for w in (*model.parameters(), *model.buffers()) if w.dim() == 2 and min(w.shape) > 1]
    return _in_rows(mean, log_variance, books) or _in_rows(log_variance, mean, books)


def _made_of(value: Tensor, source: Tensor) -> bool:
    if not (value.requires_grad and source.requires_grad):
        return False
    (found,) = torch.autograd.grad(value.sum(), source, retain_graph=True, allow_unused=True)
    return found is not None


def _in_rows(value: Tensor, other: Tensor, books: list[Tensor]) -> bool:
    """Whether every vector of a tensor, along its last axis or its second, is a row of one of some matrices.

    Args:
        value: Looked at.
        other: What it would be the codes of.
        books: Matrices (K, D).
    """
    for axis in (-1, 1):
        vectors, sources = (one.detach().movedim(axis, -1).flatten(0, -2) for one in (value, other))
        where = _some(vectors)
        rows, sources = vectors[where].double(), sources[where].double()
        if not bool(rows.isfinite().all()):
            continue
        one_row = bool((rows == rows[:1]).all())
        for weight in books:
            book = weight.detach().double()
            if book.shape[1] != rows.shape[1]:
                continue
            near = torch.cdist(rows, book)
            inside = bool((near.amin(1) <= NEAR * book.abs().amax()).all())
            if inside and (not one_row or (_chosen(sources, near.argmin(1), book) and _learned(value, weight, rows))):
                return True
    return False


def _some(vectors: Tensor) -> Tensor:
    """The places of some vectors, with one that differs from the first where there is one."""
    spread = torch.linspace(0, len(vectors) - 1, min(VECTORS, len(vectors))).long()
    other = (vectors != vectors[:1]).any(1).nonzero()[:1, 0].cpu()
    return torch.cat([spread, other])


def _chosen(sources: Tensor, taken: Tensor, book: Tensor) -> bool:
    """Whether vectors that differ are each nearest to the row taken: the one code of a dead codebook.

    A variance that all x share, such as a row of a matrix of one for each level, is the nearest by chance alone.
    """
    if bool((sources == sources[:1]).all()) or not bool(sources.isfinite().all()):
        return False
    return bool((torch.cdist(sources, book).argmin(1) == taken).all())


def _learned(value: Tensor, weight: Tensor, rows: Tensor) -> bool:
    """Whether the one row is not a number that is set, such as a log-variance of 0 beside an embedding's padding."""
    return _made_of(value, weight) or not bool((rows == rows[0, 0]).all())
