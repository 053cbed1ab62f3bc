r"""The K of some points that are nearest to each query: those that all distances in float32 would give, without all.

Lower bounds of the distances of whole groups of points say which groups to look at; there distances are taken one by
one. Once the K-th of these is below the bounds of all groups that were not looked at, the answer is exact. Where that
does not come about, more groups are looked at, then closer bounds are taken, and at last every distance: this last
way is slow, and needed only where hundreds of points are as near as each other.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.nn.lower_bounds import GROUP, Bounds, FloatBounds, IntegerBounds, Least, integers_are_fast

__all__ = ["Neighbours", "greedy_tour"]

FIRST = 8
"""Groups that are looked at in any case, if no more neighbours are wanted."""
FURTHER = (24, 192)
"""Groups that may be looked at where their bounds ask for it, first and where those do not suffice."""
QUERIES = 256
"""At a time, so that their products with a block of points stay in the cache."""
READ = 512
"""Groups that are compared one by one at a time, for the same reason."""
NEVER = torch.iinfo(torch.int64).max
"""The key of what is no candidate."""


class Neighbours:
    r"""Points among which the nearest are sought.

    The nearest are those with the least $\sum_d (c_d - q_d)^2$ in float32; of points as near as each other the first.

    Args:
        points: N of them, of which a copy is kept.

    Errors:
        ValueError: There is no point, or one has no coordinates.

    Example:
        >>> found = Neighbours(torch.tensor([[0.0], [1.0], [3.0]]))
        >>> found.nearest(torch.tensor([[2.0], [9.0]]), 2).tolist()
        [[1, 2], [2, 1]]
        >>> found.move(torch.tensor([0]), torch.tensor([[8.0]]))
        >>> found.nearest(torch.tensor([[2.0], [9.0]]), 2).tolist()
        [[1, 2], [0, 2]]
    """

    def __init__(self, points: Float[Tensor, "N D"]) -> None:
        if points.dim() != 2 or not points.numel():
            raise ValueError(
                f"neighbours: got points of shape {tuple(points.shape)}, wanted (N, D): at least one, of one or more "
                "coordinates"
            )
        n, d = points.shape
        self._groups = points.new_zeros(-(-n // GROUP), GROUP * d, dtype=torch.float32)
        self.points = self._groups.view(-1, d)[:n].copy_(points.detach())
        rough = [IntegerBounds] if integers_are_fast(points.device) else []
        self._bounds: list[Bounds] = [kind(self.points) for kind in (*rough, FloatBounds)]

    @torch.no_grad()
    def move(self, rows: Int[Tensor, " R"], points: Float[Tensor, "R D"]) -> None:
        """Put other points in the place of some.

        Errors:
            ValueError: They are not as wide as the points are, or not as many as ``rows``.
        """
        if points.shape != (len(rows), self.points.shape[1]):
            raise ValueError(
                f"neighbours: got points of shape {tuple(points.shape)} for {len(rows)} rows, wanted "
                f"({len(rows)}, {self.points.shape[1]})"
            )
        self.points[rows] = points.to(self.points)
        for bounds in self._bounds:
            bounds.move(rows)

    @torch.no_grad()
    def nearest(
        self, queries: Float[Tensor, "B D"], count: int, own: Int[Tensor, " M"] | None = None
    ) -> Int[Tensor, "B K"]:
        """Numbers of the nearest points, the nearest first.

        Args:
            queries: B points.
            count: K, no more than the points there are without the own one.
            own: For each of the B queries the point that is not looked at; a number beyond the points for none.

        Errors:
            ValueError: There are not so many points, or queries are not as wide as points are.

        Example:
            >>> points = torch.tensor([[0.0], [1.0], [3.0]])
            >>> Neighbours(points).nearest(points, 1, own=torch.arange(3)).flatten().tolist()
            [1, 0, 1]
        """
        if queries.dim() != 2 or queries.shape[1] != self.points.shape[1]:
            raise ValueError(
                f"neighbours: got queries of shape {tuple(queries.shape)}, wanted (B, {self.points.shape[1]}), as wide "
                "as the points are"
            )
        if own is not None and own.shape != (len(queries),):
            raise ValueError(f"neighbours: got own of shape {tuple(own.shape)}, wanted ({len(queries)},)")
        others = len(self.points) - (own is not None)
        if not 0 < count <= others:
            most = f"1 to {others}" if others else "none: the only point is left out"
            raise ValueError(f"neighbours: {count} nearest points are wanted of {others}; ask for {most}")
        none = torch.full((len(queries),), len(self.points), device=queries.device)
        left_out = (none if own is None else own).split(QUERIES)
        parts = zip(queries.to(self.points).split(QUERIES), left_out, strict=True)
        found = [self._nearest(part, count, out) for part, out in parts]
        return torch.cat(found) if found else none.new_empty(0, count)

    def _nearest(self, queries: Tensor, count: int, own: Tensor) -> Tensor:
        keys = torch.empty(len(queries), count, dtype=torch.int64, device=queries.device)
        waiting = torch.arange(len(queries), device=queries.device)
        for bounds in self._bounds:
            if len(waiting):
                waiting = waiting[self._look(bounds.of(queries[waiting]), queries, own, waiting, keys)]
        for one in waiting.tolist():
            keys[one] = self._among_all(queries[one], own[one], count)
        return keys.bitwise_and_(2**32 - 1)

    def _look(self, least: Least | None, queries: Tensor, own: Tensor, waiting: Tensor, keys: Tensor) -> Tensor:
        """Write down the least keys of waiting queries in the groups with the lowest bounds.

        Returns:
            Which of the waiting may have lower ones elsewhere.
        """
        unsure = torch.arange(len(waiting), device=waiting.device)
        for most in FURTHER:
            if least is not None and len(unsure):
                at = waiting[unsure]
                keys[at], more = self._among(least, unsure, queries[at], own[at], keys.shape[1], most)
                unsure = unsure[more]
        return unsure

    def _among(
        self, least: Least, which: Tensor, queries: Tensor, own: Tensor, count: int, most: int
    ) -> tuple[Tensor, Tensor]:
        """The least keys in at most so many groups, and whether groups beyond those may hold lower ones.

        The first groups give a distance; of the others those are looked at whose bound is not above it.
        """
        first = max(FIRST, count + 1)  # at least one point in each, the own one left out
        most = max(most, first)
        groups, bounds = least.lowest(which, most + 1)
        of = torch.arange(len(which), device=which.device)[:, None].expand_as(groups[:, :first])
        keys = _lowest(self._keys(queries, own, of.flatten(), groups[:, :first].flatten()).view(len(which), -1), count)
        below = bounds[:, first:most] <= _farthest(keys)
        of, at = below.nonzero(as_tuple=True)
        others = keys.new_full((*below.shape, GROUP), NEVER)
        others[of, at] = self._keys(queries, own, of, groups[of, first + at])
        keys = _lowest(torch.cat([keys, others.flatten(1)], 1), count)
        return keys, (bounds[:, most:] <= _farthest(keys)).any(1)

    def _keys(
        self, queries: Tensor, own: Tensor, of: Int[Tensor, " P"], groups: Int[Tensor, " P"]
    ) -> Int[Tensor, "P G"]:
        """The keys of all points of a group, for pairs of a query and a group."""
        room, found = queries.new_empty(min(READ, len(of)), self._groups.shape[1]), [own.new_empty(0, GROUP)]
        for some, chosen in zip(of.split(READ), groups.split(READ), strict=True):
            read = room[: len(some)]
            torch.index_select(self._groups, 0, chosen.clamp(max=len(self._groups) - 1), out=read)
            rows = chosen[:, None] * GROUP + torch.arange(GROUP, device=of.device)
            found.append(
                _key(
                    read.view(*rows.shape, queries.shape[1]),
                    queries[some, None],
                    rows,
                    own[some, None],
                    len(self.points),
                )
            )
        return torch.cat(found)

    def _among_all(self, query: Tensor, own: Tensor, count: int) -> Tensor:
        """The least keys of all points."""
        rows = torch.arange(len(self.points), device=query.device)
        return _lowest(_key(self.points.clone(), query, rows, own, len(self.points)), count)


def _lowest(keys: Int[Tensor, "*Q R"], count: int) -> Int[Tensor, "*Q K"]:
    return keys.topk(count, largest=False).values


def _farthest(keys: Int[Tensor, "Q K"]) -> Float[Tensor, "Q 1"]:
    """The distance that the last of the keys holds."""
    return (keys[:, -1:] >> 32).int().view(torch.float32)


def _key(read: Float[Tensor, "*R D"], query: Tensor, rows: Int[Tensor, "*R"], own: Tensor, n: int) -> Tensor:
    """What points are ordered by: the bits of the squared distance, which order as it does, then the point's number."""
    apart = read.sub_(query).square_().sum(-1).nan_to_num_(nan=math.inf, posinf=math.inf)
    return (apart.view(torch.int32).long() << 32).add_(rows).masked_fill_((rows >= n) | (rows == own), NEVER)


def greedy_tour(points: Float[Tensor, "N D"]) -> Int[Tensor, " N"]:
    """An order of all points in which each is followed by the nearest one that had no turn yet, from point 0 on.

    Errors:
        ValueError: There is no point.

    Example:
        >>> greedy_tour(torch.tensor([[0.0], [5.0], [1.0], [4.0]])).tolist()
        [0, 2, 3, 1]
    """
    if not len(points):
        raise ValueError("neighbours: a tour of no points is wanted; give at least one")
    squares, tour = points.square().sum(1), [0]
    waiting = squares.clone()  # infinite once a point had its turn
    for _ in range(len(points) - 1):
        waiting[tour[-1]] = torch.inf
        tour.append(int(torch.addmv(waiting, points, points[tour[-1]], alpha=-2).argmin()))
    return torch.tensor(tour, device=points.device)
