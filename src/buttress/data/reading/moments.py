r"""Mean, standard deviation and range of every site, of values that come in chunks; missing values (NaN) are left out.

Mean and variance are merged chunk by chunk (Chan, Golub and LeVeque, 1979), with n values so far and m in a chunk:
$$ \delta = \bar x_m - \bar x_n, \quad \bar x \leftarrow \bar x_n + \delta \tfrac{m}{n+m}, \quad
   M \leftarrow M_n + M_m + \delta^2 \tfrac{nm}{n+m}, \qquad \mathrm{std} = \sqrt{M / n} $$
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from buttress.data.reading.memory import Array

__all__ = ["RunningMoments"]

_EXACT = 256  # so many squares of bytes add up below 2^24, where float32 is still exact


@dataclass
class RunningMoments:
    """What is known of values so far: count, mean, squared deviations, smallest and largest value, for each site.

    Example:
        >>> moments = RunningMoments()
        >>> moments.add(np.array([[1.0, np.nan], [3.0, 5.0]]))
        >>> moments.mean.tolist(), moments.std.tolist(), moments.low.tolist(), moments.high.tolist()
        ([2.0, 5.0], [1.0, 0.0], [1.0, 5.0], [3.0, 5.0])
    """

    count: Any = 0
    mean: Array = field(default_factory=lambda: np.zeros(()))
    squares: Array = field(default_factory=lambda: np.zeros(()))
    low: Array = field(default_factory=lambda: np.full((), np.inf))
    high: Array = field(default_factory=lambda: np.full((), -np.inf))

    def add(self, values: Array) -> None:
        """Take in more values, shape (n, *sites)."""
        for start in range(0, len(values), _EXACT):
            block = values[start : start + _EXACT]
            n, mean, squares = _of_bytes(block) if block.dtype == np.uint8 else _of_floats(block)
            total, delta = self.count + n, mean - self.mean
            share = n / np.maximum(1, total)
            self.squares = self.squares + squares + delta**2 * self.count * share
            self.mean = self.mean + delta * share
            self.count = total
            self.low = np.fmin(self.low, np.fmin.reduce(block, 0))
            self.high = np.fmax(self.high, np.fmax.reduce(block, 0))

    @property
    def std(self) -> Array:
        """The (population) standard deviation."""
        return np.sqrt(self.squares / np.maximum(1, self.count))

    @property
    def overall(self) -> tuple[float, float]:
        """Mean and standard deviation of all sites together."""
        mean = float(np.mean(self.mean))
        return mean, float(np.sqrt(np.mean(self.std**2 + (self.mean - mean) ** 2)))


def _of_bytes(block: Array) -> tuple[int, Array, Array]:
    """Count, mean and squared deviations of at most ``_EXACT`` rows, in float32 and yet without error: fast."""
    values = block.reshape(len(block), -1).astype(np.float32)
    first = values.sum(0).astype(np.float64)
    second = np.einsum("ij,ij->j", values, values).astype(np.float64)
    mean = first / len(block)
    sites = block.shape[1:]
    return len(block), mean.reshape(sites), (second - first * mean).clip(0).reshape(sites)


@np.errstate(invalid="ignore")  # a NaN of some bits warns when it is cast
def _of_floats(block: Array) -> tuple[Any, Array, Array]:
    values = block.astype(np.float64)
    present = ~np.isnan(values)
    if present.all():
        n, mean = len(block), values.mean(0)
        values -= mean
    else:
        n = present.sum(0)
        mean = np.where(present, values, 0).sum(0) / np.maximum(1, n)
        values = np.where(present, values - mean, 0)
    return n, mean, np.einsum("i...,i...->...", values, values)
