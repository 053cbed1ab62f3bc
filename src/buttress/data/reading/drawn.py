"""Rows that are computed when they are read, such as rendered images: nothing of them is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch import from_numpy

from buttress.core import Factors
from buttress.data.reading.memory import CHUNK, Array, Rows

__all__ = ["DrawnRows", "grid", "refuse_count"]


class DrawnRows(Rows):
    """Rows of whole numbers of 8 bits that a function draws by their positions.

    Args:
        draw: Positions, shape (n,), -> their rows, uint8 of shape (n, *shape).
        count: Number of rows.
        shape: Of one row.

    Example:
        >>> rows = DrawnRows(lambda at: (10 * at[:, None]).astype(np.uint8), count=3, shape=(1,))
        >>> rows.take(np.array([2, 0])).tolist(), [(start, len(chunk)) for start, chunk in rows.chunks(size=2)]
        ([[20], [0]], [(0, 2), (2, 1)])
    """

    def __init__(self, draw: Callable[[Array], Array], count: int, shape: tuple[int, ...]) -> None:
        self.path, self.shape, self.dtype = None, (count, *shape), np.dtype(np.uint8)
        self._draw = draw

    def take(self, index: Array) -> Array:
        """The rows at these positions."""
        return self._draw(index)

    def chunks(self, size: int = CHUNK) -> Iterator[tuple[int, Array]]:
        """All rows in order, about ``size`` bytes at a time, each chunk with the number of its first row."""
        step = max(1, size // max(1, self.row_bytes))
        for start in range(0, len(self), step):
            yield start, self._draw(np.arange(start, min(start + step, len(self))))


def grid(sizes: dict[str, int], count: int | None, seed: int) -> tuple[Array, Factors]:
    """All combinations of the values of some factors, or a random choice of them, and the factors that vary.

    Args:
        sizes: How many values each factor takes, by name.
        count: How many combinations, each at most once; None for all.
        seed: Of the choice.

    Example:
        >>> combinations, factors = grid({"shape": 2, "color": 1, "x": 3}, None, 0)
        >>> combinations[-1].tolist(), factors.names, len(factors)
        ([1, 0, 2], ('shape', 'x'), 6)
    """
    total = int(np.prod(list(sizes.values())))
    index = np.arange(total)
    if count is not None:
        index = np.sort(np.random.default_rng(seed).permutation(total)[:count])
    found = np.stack(np.unravel_index(index, tuple(sizes.values())), 1)
    kept = [i for i, size in enumerate(sizes.values()) if size > 1]
    names = tuple(sizes)
    factors = Factors(
        tuple(names[i] for i in kept), from_numpy(found[:, kept].astype(np.int64)), tuple(sizes[names[i]] for i in kept)
    )
    return found, factors


def refuse_count(part: str, sizes: dict[str, int], count: int | None) -> None:
    """Refuse a factor without values, a single image, and a choice of more combinations than there are.

    Errors:
        ValueError: Says which, and what was wanted.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{part}: the factor {name} takes {size} values, wanted at least 1")
    total = int(np.prod(list(sizes.values())))
    if max(sizes.values()) < 2:
        raise ValueError(f"{part}: no factor takes more than one value, wanted at least one that varies")
    if count is not None and not 1 <= count <= total:
        raise ValueError(f"{part}: count is {count}, wanted 1 to {total:,}, which is all combinations; or null for all")
