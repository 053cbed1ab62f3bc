"""Numbers as people read them: few digits, an error beside each, and never a small value shown as nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["MISSING", "Spread", "count", "nats", "plus_minus", "seconds", "spread"]

MISSING = "—"


def nats(value: float | None, digits: int = 2) -> str:
    """A number with ``digits`` decimals, or with one significant digit where that would hide all of it.

    Example:
        >>> nats(96.8312), nats(0.0031), nats(-1.5), nats(0.0), nats(None)
        ('96.83', '0.003', '−1.50', '0.00', '—')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    size = abs(value)
    if size == 0 or round(size, digits) >= 10**-digits:
        text = f"{size:,.{digits}f}"
    else:
        decimals = math.ceil(-math.log10(size))
        text = f"{size:.{decimals}f}" if decimals <= 4 else f"{size:.0e}"
    return f"−{text}" if value < 0 else text


def count(value: float | None) -> str:
    """A number of things: no decimals where it is whole, one where it is a mean.

    Example:
        >>> count(16.0), count(15.3333), count(1000), count(None)
        ('16', '15.3', '1,000', '—')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def seconds(value: float | None) -> str:
    """A duration.

    Example:
        >>> seconds(4.21), seconds(38.2), seconds(754.0), seconds(9000.0)
        ('4.2 s', '38 s', '12.6 min', '2.5 h')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 120:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def plus_minus(value: float | None, error: float | None, digits: int = 2) -> str:
    """A value with its error, both in the same unit.

    Example:
        >>> plus_minus(95.4, 0.31), plus_minus(0.003, 0.0004), plus_minus(95.4, None)
        ('95.40 ± 0.31', '0.003 ± 0.0004', '95.40')
        >>> plus_minus(6.16, 4e-17)  # nothing but rounding
        '6.16'
    """
    text = nats(value, digits)
    if text == MISSING or value is None or error is None or not math.isfinite(error):
        return text
    return text if error <= 1e-12 * abs(value) else f"{text} ± {nats(error, digits)}"


@dataclass(frozen=True)
class Spread:
    """The same quantity over several seeds.

    Args:
        mean: Their mean.
        sd: Their standard deviation (n - 1), None for a single seed.
        n: How many there are.
    """

    mean: float
    sd: float | None
    n: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and standard deviation of the values that are there, or None where none is.

    Example:
        >>> spread([1.0, 3.0, None])
        Spread(mean=2.0, sd=1.4142135623730951, n=2)
    """
    found = [v for v in values if v is not None and math.isfinite(v)]
    if not found:
        return None
    mean = math.fsum(found) / len(found)
    if len(found) == 1:
        return Spread(mean, None, 1)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in found) / (len(found) - 1))
    return Spread(mean, sd if sd > 1e-12 * abs(mean) else 0.0, len(found))
