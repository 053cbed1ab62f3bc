r"""One number with what one must know to trust it, and running moments.

$$ \text{standard error of a mean} = \sqrt{\frac{\sum_n (v_n - \bar v)^2}{N (N - 1)}} $$
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "NO_DENSITY",
    "Estimate",
    "Moments",
    "jackknife",
    "mean",
    "quantile",
    "ratio",
    "share",
    "short",
    "with_error",
]


@dataclass(frozen=True)
class Estimate:
    """A measured number.

    Args:
        value: In nats per example unless the name says otherwise; None where it could not be measured. A value that is
            not finite becomes None, with a note.
        error: Standard error, or None where there is none.
        n: Number of examples it rests on.
        method: How it was obtained, such as "closed form" or "Monte Carlo".
        ceiling: What the estimator cannot exceed whatever the truth, or None.
        note: What else a reader must know.

    Example:
        >>> Estimate(float("inf"), None, 10, "Monte Carlo")
        Estimate(value=None, error=None, n=10, method='Monte Carlo', ceiling=None, note='not finite: inf')
    """

    value: float | None
    error: float | None
    n: int
    method: str
    ceiling: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Keep JSON valid: what is not finite becomes None."""
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "note", "; ".join(filter(None, [self.note, f"not finite: {self.value}"])))
            object.__setattr__(self, "value", None)
        for name in ("error", "ceiling"):
            if (number := getattr(self, name)) is not None and not math.isfinite(number):
                object.__setattr__(self, name, None)

    def __str__(self) -> str:
        """As people read it.

        Example:
            >>> print(Estimate(1.2345, 0.01, 100, "Monte Carlo"))
            1.23 ± 0.01
        """
        if self.value is None:
            return "not measured"
        return with_error(self.value, self.error)


SMALLEST = 5e-4
"""What is smaller is written as 0."""
NO_DENSITY = Estimate(None, None, 0, "left out", note="it needs p(x|z), and a model with a critic has none")
"""What stands for a number that such a model can't have."""


def with_error(value: float, error: float | None) -> str:
    """A number with as many digits as its error allows; alone where that is not known or too small to show.

    Example:
        >>> with_error(98.76, 6.6), with_error(0.00117, 0.002), with_error(12.345, 0.01), with_error(1.2345, 4e-17)
        ('99 ± 7', '0.001 ± 0.002', '12.35 ± 0.01', '1.23')
    """
    if error is None or error < SMALLEST:
        return short(value)
    said = short(error, 1)
    places = len(said.partition(".")[2])
    return f"{round(value, places) + 0.0:.{places}f} ± {said}"


def short(value: float, digits: int = 3) -> str:
    """A number with a few digits, and nothing of what is only rounding.

    Example:
        >>> short(1.2345), short(4.4e-19), short(96.84, 1)
        ('1.23', '0', '97')
    """
    if abs(value) < SMALLEST:
        return "0"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def mean(values: Float[Tensor, " N"], method: str, ceiling: float | None = None, note: str = "") -> Estimate:
    """The mean over examples with its standard error.

    Example:
        >>> mean(torch.tensor([1.0, 3.0]), "closed form")
        Estimate(value=2.0, error=1.0, n=2, method='closed form', ceiling=None, note='')
    """
    values, n = values.double(), len(values)
    error = values.std().item() / math.sqrt(n) if n > 1 else None
    return Estimate(values.mean().item(), error, n, method, ceiling, note)


def ratio(above: Float[Tensor, " N"], below: Float[Tensor, " N"]) -> tuple[float, float | None]:
    """Sum over sum, and its standard error by the delta method.

    Example:
        >>> ratio(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0]))
        (2.0, 0.0)
    """
    above, below, n = above.double(), below.double(), len(above)
    value = above.sum() / below.sum()
    if n < 2:
        return value.item(), None
    return value.item(), ((above - value * below).std() / below.mean().abs() / math.sqrt(n)).item()


def quantile(values: Float[Tensor, " N"], p: float, method: str, note: str = "") -> Estimate:
    """A quantile over examples. Its standard error assumes no distribution: half of what lies between two order
    statistics.

    Their ranks are N p plus and minus sqrt(N p (1 - p)), which is one standard deviation of a count of values below.

    Example:
        >>> print(quantile(torch.arange(101.0), 0.5, "counting"))
        50 ± 5
    """
    values, n = values.double().sort().values, len(values)
    middle, half = (n - 1) * p, math.sqrt(n * p * (1 - p))
    low, high = (
        torch.lerp(values[int(r)], values[math.ceil(r)], r % 1)
        for r in (max(0, middle - half), min(n - 1, middle + half))
    )
    value = torch.quantile(values, p).item()
    return Estimate(value, ((high - low) / 2).item() if n > 1 else None, n, method, note=note)


def share(held: Bool[Tensor, " N"], method: str, note: str = "") -> Estimate:
    """The share of examples for which something holds, with its binomial error.

    The error is that of two more successes and two more failures (Agresti and Coull 1998), so that 0 of N is not
    certain.

    Example:
        >>> print(share(torch.arange(100) < 20, "counting"), "|", share(torch.arange(100) < 0, "counting"))
        0.20 ± 0.04 | 0.00 ± 0.01
    """
    n, k = len(held), int(held.sum())
    p = (k + 2) / (n + 4)
    return Estimate(k / n, math.sqrt(p * (1 - p) / (n + 4)), n, method, note=note)


def jackknife(
    statistic: Callable[[Int[Tensor, " M"]], Tensor], n: int, groups: int = 10, each: bool = False
) -> Float[Tensor, "*entries"] | None:
    """The standard error of a statistic's mean over its entries, from leaving out one group of examples at a time.

    Args:
        statistic: Numbers of examples -> what is measured on them, of any shape.
        n: Number of examples.
        groups: Parts they are divided into, at random.
        each: Give the error of each entry in place of that of their mean.

    Example:
        >>> v = torch.arange(100.0)
        >>> bool((jackknife(lambda keep: v[keep].mean(), 100) - v.std() / 10).abs() < 1)
        True
        >>> both = jackknife(lambda keep: torch.stack([v[keep].mean(), 2 * v[keep].mean()]), 100, each=True)
        >>> bool((both[1] / both[0]).isclose(torch.tensor(2.0)))
        True
    """
    groups = min(groups, n)
    if groups < 3:
        return None
    part = torch.randperm(n, generator=torch.Generator().manual_seed(0)) % groups
    left = torch.stack([statistic((part != i).nonzero()[:, 0]) for i in range(groups)])
    return ((left if each else left.reshape(groups, -1).mean(1)).var(0, correction=0) * (groups - 1)).sqrt()


class Moments:
    """Mean and variance over examples of each of G numbers, a batch at a time, in float64 and without cancellation.

    Example:
        >>> moments = Moments()
        >>> moments.add(torch.tensor([[1.0], [3.0]])).add(torch.tensor([[5.0]])).variance.tolist()
        [4.0]
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, rows: Float[Tensor, "B G"]) -> Moments:
        """Count some more examples (Chan et al. 1979)."""
        rows = rows.double().cpu()
        n, middle = len(rows), rows.mean(0)
        step = middle - self.mean
        self._squares = self._squares + (rows - middle).square().sum(0) + step.square() * self.n * n / (self.n + n)
        self.mean = self.mean + step * n / (self.n + n)
        self.n += n
        return self

    @property
    def variance(self) -> Float[Tensor, " G"]:
        """With N - 1 below; zero for a single example."""
        return self._squares / max(1, self.n - 1)

    @property
    def error(self) -> Float[Tensor, " G"]:
        """Standard error of the mean."""
        return (self.variance / self.n).sqrt()
