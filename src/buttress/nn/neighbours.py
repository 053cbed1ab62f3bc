r"""The K rows of a table nearest to each query, by $\lVert c \rVert^2 / 2 - q \cdot c$, exact but for rounding.

The table keeps half the squared norm of each row as one more column, so that this is one product of matrices. It is
read a block at a time, so that the distances stay in the cache. Of every G rows that follow each other only the least
distance is kept. Every row of the K + 1 nearest groups is then compared with the query itself: the K nearest are among
them, also where the query's own row, which is left out, is what made a group near.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["greedy_tour", "nearest", "with_norms"]

BLOCK = 1920
"""Rows of the table at a time, a multiple of G: their distances to some hundred queries fit into the cache."""
GROUP = 16
"""G. Fewer rows make more groups, so that fewer rows are compared one by one, but the nearest are found more slowly."""


def with_norms(points: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows E"]:
    """Rows as :func:`nearest` reads them: the numbers of each, then half its squared norm.

    Example:
        >>> with_norms(torch.tensor([[1.0, 3.0]])).tolist()
        [[1.0, 3.0, 5.0]]
    """
    return torch.cat([points, points.square().sum(-1, keepdim=True) / 2], -1)


def nearest(
    queries: Float[Tensor, "B D"], table: Float[Tensor, "N E"], count: int, own: Int[Tensor, " B"] | None = None
) -> Int[Tensor, "B K"]:
    """Numbers of the nearest rows by Euclidean distance, the nearest first.

    Rows whose distances differ by less than the rounding of float32 may change places.

    Args:
        queries: B points.
        table: N points, from :func:`with_norms`.
        count: K, no more than the rows there are without the own one.
        own: For each query the row that is not looked at; a number beyond the table for none.

    Example:
        >>> points = torch.tensor([[0.0], [1.0], [3.0]])
        >>> nearest(points, with_norms(points), 1, own=torch.arange(3)).flatten().tolist()
        [1, 0, 1]
    """
    least = _least(queries, table)
    groups = least.topk(min(count + 1, least.shape[1]), largest=False).indices
    rows = (groups[:, :, None] * GROUP + torch.arange(GROUP, device=table.device)).flatten(1)
    beyond = rows >= len(table) if own is None else (rows >= len(table)) | (rows == own[:, None])
    read = table.index_select(0, rows.clamp(max=len(table) - 1).flatten()).view(*rows.shape, -1)[..., :-1]
    apart = (read - queries[:, None]).square().sum(-1).masked_fill(beyond, torch.inf)
    return rows.gather(1, apart.topk(count, largest=False).indices)


def _least(queries: Float[Tensor, "B D"], table: Float[Tensor, "N E"]) -> Float[Tensor, "B M"]:
    """The least distance to each group, as above; rows that are left over are the last group."""
    asked = torch.cat([-queries, queries.new_ones(len(queries), 1)], 1).T.contiguous()
    found = []
    for block in table.split(BLOCK):
        apart = block @ asked
        whole = len(apart) - len(apart) % GROUP
        found.append(apart[:whole].unflatten(0, (-1, GROUP)).amin(1))
        if whole < len(apart):
            found.append(apart[whole:].amin(0, keepdim=True))
    return torch.cat(found).T.contiguous()


def greedy_tour(points: Float[Tensor, "N D"]) -> Int[Tensor, " N"]:
    """An order of all points in which each is followed by the nearest one that had no turn yet, from point 0 on.

    Example:
        >>> greedy_tour(torch.tensor([[0.0], [5.0], [1.0], [4.0]])).tolist()
        [0, 2, 3, 1]
    """
    squares, tour = points.square().sum(1), [0]
    waiting = squares.clone()  # infinite once a point had its turn
    for _ in range(len(points) - 1):
        waiting[tour[-1]] = torch.inf
        tour.append(int(torch.addmv(waiting, points, points[tour[-1]], alpha=-2).argmin()))
    return torch.tensor(tour, device=points.device)
