r"""The K rows of a table nearest to each query, by $\lVert c \rVert^2 - 2 q \cdot c$, exact but for rounding.

The table is read a block at a time, so that the distances stay in the cache. Row n belongs to group n mod G, and of
each group only the least distance is kept. Every row of the K + 1 nearest groups is then compared with the query
itself: the K nearest are among them, also where the query's own row, which is left out, is what made a group near.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["greedy_tour", "nearest"]

BLOCK = 1024
"""Rows of the table at a time: their distances to some hundred queries fit into the cache of a processor."""
GROUPS = 4 * BLOCK
"""G. More groups are smaller, so that fewer rows are compared one by one, but the nearest are found more slowly."""


def nearest(
    queries: Float[Tensor, "B D"],
    table: Float[Tensor, "N D"],
    squares: Float[Tensor, " N"],
    count: int,
    own: Int[Tensor, " B"] | None = None,
) -> Int[Tensor, "B K"]:
    """Numbers of the nearest rows by Euclidean distance, the nearest first.

    Rows whose distances differ by less than the rounding of float32 may change places.

    Args:
        queries: B points.
        table: N points.
        squares: The squared norm of each row of the table.
        count: K, no more than the rows there are without the own one.
        own: For each query the row that is not looked at; a number beyond the table for none.

    Example:
        >>> table = torch.tensor([[0.0], [1.0], [3.0]])
        >>> nearest(table, table, table.square().sum(1), 1, own=torch.arange(3)).flatten().tolist()
        [1, 0, 1]
    """
    least = queries.new_full((len(queries), min(GROUPS, len(table))), torch.inf)
    for first in range(0, len(table), BLOCK):
        part, at = slice(first, first + BLOCK), first % GROUPS
        apart = torch.addmm(squares[part], queries, table[part].T, alpha=-2)
        seen = least[:, at : at + apart.shape[1]]
        torch.minimum(seen, apart, out=seen)
    groups = least.topk(min(count + 1, least.shape[1]), largest=False).indices
    rows = (groups[:, :, None] + torch.arange(0, len(table), GROUPS, device=table.device)).flatten(1)
    beyond = rows >= len(table) if own is None else (rows >= len(table)) | (rows == own[:, None])
    rows = rows.clamp(max=len(table) - 1)
    apart = (table[rows] - queries[:, None]).square().sum(-1).masked_fill(beyond, torch.inf)
    return rows.gather(1, apart.topk(count, largest=False).indices)


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
