r"""How near to a query a group of points may be: lower bounds of squared distances, by one product of matrices for all.

With the mean of the points taken from points c and queries q alike, and of each G rows that follow each other the
least kept,

$$ \lVert c - q \rVert^2 = \lVert q \rVert^2 + 2 \bigl( \lVert c \rVert^2 / 2 - q \cdot c \bigr). $$

:class:`FloatBounds` take the product in float32. :class:`IntegerBounds` take it of numbers rounded to 8 bits, which a
CPU multiplies about four times as fast. With $\hat c$ a multiple of some step near c, and so for q (Cauchy-Schwarz)

$$ q \cdot c \le \hat q \cdot \hat c + \lVert \hat q \rVert \, \lVert c - \hat c \rVert
   + \lVert q - \hat q \rVert \, \lVert c \rVert . $$

What float32 rounds, here and in the distance itself, is at most $\rho (\lVert c \rVert^2 + \lVert q \rVert^2)$ with
$\rho = 32 (D + 4) u$, u the rounding of one operation: each sum over D terms errs by at most (D + 4) u times the sum
of their sizes. So both squares count as smaller than they are by that share, and by what is lost below the smallest
normal number. Where a square is beyond the float range the bound is minus infinity.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

__all__ = ["GROUP", "Bounds", "FloatBounds", "IntegerBounds", "Least", "integers_are_fast"]

BLOCK = 1920
"""Rows of the table at a time, a multiple of G: their products with some hundred queries fit into the cache."""
GROUP = 8
"""G. Fewer rows make more groups, so that fewer rows are compared one by one, but the nearest are found more slowly."""
SET = 16
"""Groups whose lowest bound is looked at first."""
LEVELS = 127
"""The largest number of 8 bits, to either side."""
WIDEST = 4.0
"""Rounded numbers end so many standard deviations, of the widest column, from the mean."""
FEWEST = 2
"""Columns of a product of 8 bits: of a single one torch's is wrong, so a column of zeros stands beside it."""
ROOM = 2**30
"""What is added to a product is at most this; the products are at most a quarter of it, so that 32 bits hold both."""


@dataclass(frozen=True)
class Least:
    """Bounds of M groups for B queries, until the next are asked for.

    Args:
        values: That much each group has beyond what the query has for all.
        unit: Of the values.
        shift: What the query has.
        unknown: Values below it bound nothing.
    """

    values: Shaped[Tensor, "M B"]
    unit: float
    shift: Float[Tensor, " B"]
    unknown: float = -math.inf

    def lowest(self, queries: Int[Tensor, " Q"], count: int) -> tuple[Int[Tensor, "Q m"], Float[Tensor, "Q m"]]:
        """So many groups with the lowest bounds, lowest first, and these; or all groups there are.

        Args:
            queries: The numbers of those that are asked about, ascending.
            count: How many groups for each.

        Returns:
            Numbers of groups, and their bounds. Some groups hold no points; these come last.

        Example:
            >>> least = FloatBounds(torch.arange(16.0)[:, None]).of(torch.tensor([[10.0], [3.0]]))
            >>> least.lowest(torch.tensor([1]), 2)[0].tolist()
            [[0, 1]]
        """
        values = self.values if len(queries) == len(self.shift) else self.values[:, queries]
        least = values.view(-1, SET, len(queries)).amin(1).T
        sets = least.topk(min(count, least.shape[1]), largest=False).indices
        groups = (sets[..., None] * SET + torch.arange(SET, device=sets.device)).flatten(1)
        found, at = values.T.gather(1, groups).topk(min(count, len(values)), largest=False)
        bounds = (found * self.unit + self.shift[queries, None]).masked_fill_(found < self.unknown, -math.inf)
        return groups.gather(1, at), bounds


class Bounds(ABC):
    """Lower bounds of the squared distances of queries from groups of points.

    Args:
        points: N of them, in float32. They may be moved, if :meth:`move` is told.
    """

    def __init__(self, points: Float[Tensor, "N D"]) -> None:
        self.points, self.center = points, points.mean(0)
        self._rooms: dict[str, Tensor] = {}
        kind = torch.finfo(points.dtype)
        self.share, self.lost = (32 * (points.shape[1] + 4) * least for least in (kind.eps / 2, kind.tiny))

    @abstractmethod
    def move(self, rows: Int[Tensor, " R"]) -> None:
        """Take note that these points have moved."""

    @abstractmethod
    def of(self, queries: Float[Tensor, "B D"]) -> Least | None:
        """The bounds of all groups; None where they tell nothing of such queries."""

    def _half(self, centered: Float[Tensor, "R D"]) -> Float[Tensor, " R"]:
        """Half of each squared norm, rounding taken off."""
        half = centered.square().sum(-1).mul_((1 - self.share) / 2).sub_(self.lost)
        return half.masked_fill_(~half.isfinite(), -math.inf)

    def _least(self, multiply: Callable[[slice, Tensor], None], b: int, dtype: torch.dtype, beyond: float) -> Tensor:
        """The least of each group of products, which are made a block of points at a time."""
        n, sets = len(self.points), -(-len(self.points) // (GROUP * SET))
        room, least = self._room("block", dtype, BLOCK, b), self._room("least", dtype, sets * SET, b).fill_(beyond)
        for start in range(0, n, BLOCK):
            rows = slice(start, min(n, start + BLOCK))
            apart = room[: rows.stop - start]
            multiply(rows, apart)
            _least_of_groups(apart, least[start // GROUP :])
        return least

    def _room(self, name: str, dtype: torch.dtype, *shape: int) -> Tensor:
        """Memory that is written anew at each look: fresh memory would cost more than the product does."""
        kept = self._rooms.get(name)
        if kept is None or kept.shape != shape:
            kept = self._rooms[name] = torch.empty(shape, dtype=dtype, device=self.points.device)
        return kept


class FloatBounds(Bounds):
    """Bounds from products in float32.

    Example:
        >>> least = FloatBounds(torch.arange(16.0)[:, None]).of(torch.tensor([[10.0]]))
        >>> groups, bounds = least.lowest(torch.tensor([0]), 2)
        >>> groups.tolist(), bounds.round().abs().tolist()  # row 10 itself, and row 7
        ([[1, 0]], [[0.0, 9.0]])
    """

    def __init__(self, points: Float[Tensor, "N D"]) -> None:
        super().__init__(points)
        self.half = self._half(points - self.center)

    def move(self, rows: Int[Tensor, " R"]) -> None:
        """See :class:`Bounds`."""
        self.half[rows] = self._half(self.points[rows] - self.center)

    def of(self, queries: Float[Tensor, "B D"]) -> Least:
        """See :class:`Bounds`."""
        asked = queries - self.center
        weights = torch.cat([-asked, asked.new_ones(len(asked), 1)], 1).T.contiguous()
        block = self._room("read", asked.dtype, BLOCK, len(weights))

        def multiply(rows: slice, out: Tensor) -> None:
            read = block[: len(out)]
            torch.sub(self.points[rows], self.center, out=read[:, :-1])
            read[:, -1] = self.half[rows]
            torch.mm(read, weights, out=out)

        least = self._least(multiply, len(asked), asked.dtype, math.inf)
        return Least(least.masked_fill_(least.isnan(), -math.inf), 2.0, 2 * self._half(asked))


class IntegerBounds(Bounds):
    """Bounds from products of numbers of 8 bits, for queries that are spread about as the points are.

    Example:
        >>> least = IntegerBounds(torch.arange(16.0)[:, None]).of(torch.tensor([[10.0]]))
        >>> groups, bounds = least.lowest(torch.tensor([0]), 2)
        >>> groups.tolist(), (bounds < torch.tensor([0.0, 9.0])).tolist()
        ([[1, 0]], [[True, True]])
    """

    def __init__(self, points: Float[Tensor, "N D"]) -> None:
        super().__init__(points)
        centered = points - self.center
        widest = WIDEST * centered.square().mean(0).amax().sqrt()
        self.step = min(centered.abs().amax().item(), widest.item()) / LEVELS
        self.rounded = points.new_zeros(len(points), max(FEWEST, points.shape[1]), dtype=torch.int8)
        self.half, self.norm, self.error = (points.new_empty(len(points)) for _ in range(3))
        self._note(slice(None), centered)

    def move(self, rows: Int[Tensor, " R"]) -> None:
        """See :class:`Bounds`."""
        self._note(rows, self.points[rows] - self.center)

    def _note(self, rows: Any, centered: Float[Tensor, "R D"]) -> None:
        self.rounded[rows, : centered.shape[1]], self.error[rows] = _rounded(centered, self.step)
        self.half[rows], self.norm[rows] = self._half(centered), centered.norm(dim=1)

    def of(self, queries: Float[Tensor, "B D"]) -> Least | None:
        """See :class:`Bounds`. They tell nothing where points have no spread, or a query is far beyond theirs."""
        asked = queries - self.center
        step = asked.abs().amax().item() / LEVELS or self.step
        unit = step * self.step
        if not (self.lost < unit < math.inf and LEVELS**2 * asked.shape[1] * (1 + step / self.step) < ROOM / 4):
            return None
        rounded, error = _rounded(asked, step)
        size = step * rounded.float().norm(dim=1)
        base = self.half.sub(self.error, alpha=size.amax().item()).sub_(self.norm, alpha=error.amax().item())
        base = base.div_(unit).floor_().nan_to_num_(nan=-ROOM).clamp_(-ROOM, ROOM).int()[:, None]
        weights = nn.functional.pad(-rounded, (0, self.rounded.shape[1] - rounded.shape[1])).T.contiguous()

        def multiply(rows: slice, out: Tensor) -> None:
            torch._int_mm(self.rounded[rows], weights, out=out).add_(base[rows])

        least = self._least(multiply, len(asked), torch.int32, torch.iinfo(torch.int32).max)
        less = (size.amax() - size) * self.error.amin() + (error.amax() - error) * self.norm.amin()
        return Least(least, 2 * unit, 2 * (self._half(asked) + less), unknown=-ROOM / 2)


def integers_are_fast(device: torch.device) -> bool:
    """Whether numbers of 8 bits are multiplied in far fewer steps than those of 32, and exactly (VNNI).

    Example:
        >>> integers_are_fast(torch.device("meta"))
        False
    """
    known = getattr(torch.cpu, "_is_vnni_supported", None)
    usable = hasattr(torch, "_int_mm") and torch.backends.mkldnn.is_available()
    return device.type == "cpu" and usable and known is not None and bool(known())


def _rounded(numbers: Float[Tensor, "R D"], step: float) -> tuple[Int[Tensor, "R D"], Float[Tensor, " R"]]:
    """Which multiple of the step each is near to, of those there are, and how far that is from each row."""
    found = (numbers / step).round_().nan_to_num_(nan=0.0).clamp_(-LEVELS, LEVELS)
    return found.to(torch.int8), (numbers - step * found).norm(dim=1)


def _least_of_groups(apart: Shaped[Tensor, "n B"], out: Shaped[Tensor, "m B"]) -> None:
    """The least of each G rows, into the first rows of another tensor; rows that are left over are the last group."""
    whole = len(apart) // GROUP
    torch.amin(apart[: whole * GROUP].view(whole, GROUP, apart.shape[1]), 1, out=out[:whole])
    if whole * GROUP < len(apart):
        torch.amin(apart[whole * GROUP :], 0, out=out[whole])
