"""A paper's claim as a number, the mark it must pass, and whether it did."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Claim"]


@dataclass(frozen=True)
class Claim:
    """What must be seen, and what was seen with each seed.

    Args:
        says: What is measured, in words.
        wanted: Whether the median over seeds must lie "below" or "above" the mark.
        mark: That mark.
        seen: The number of each seed; NaN where it could not be measured.
        missing: Why a number is missing, in words; empty where none is.

    Example:
        >>> claim = Claim("final KL, nats", "below", 0.05, (0.01, 0.02, 0.9))
        >>> claim.median, claim.held
        (0.02, True)
    """

    says: str
    wanted: Literal["below", "above"]
    mark: float
    seen: tuple[float, ...]
    missing: str = ""

    @property
    def median(self) -> float:
        """Over seeds; NaN where a seed has no number."""
        return math.nan if not self.seen or any(map(math.isnan, self.seen)) else statistics.median(self.seen)

    @property
    def held(self) -> bool:
        """Whether the median passes the mark; what was not measured does not."""
        return self.median < self.mark if self.wanted == "below" else self.median > self.mark

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        seen = [None if math.isnan(value) else value for value in self.seen]
        median = None if math.isnan(self.median) else self.median
        told = {name: value for name, value in asdict(self).items() if name != "missing" or value}
        return {**told, "seen": seen, "median": median, "held": self.held}
