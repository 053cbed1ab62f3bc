"""Whether two arms differ by more than their seeds do: what is bold in a table and what a headline may claim."""

from __future__ import annotations

import math
from dataclasses import dataclass

from buttress.report.numbers import Spread, spread
from buttress.report.results import ArmResult

__all__ = ["CLEAR", "Difference", "difference", "of", "shown_difference"]

CLEAR = 2.0
"""Standard deviations over seeds by which two arms must differ to be called different. At one, equal arms of three
seeds would look different in more than one comparison out of five, since three seeds tell their spread only roughly; at
two, in one of thirteen. With one seed there is no spread, so nothing is clear."""


@dataclass(frozen=True)
class Difference:
    """Ours less theirs, over seeds.

    Args:
        mean: Of the difference.
        sd: Standard deviation of the difference between a run of one arm and a run of the other; None where an arm has
            one seed only.
        paired: Whether seeds were compared one by one, which needs the same seeds in both arms; what a seed does to
            both arms alike then cancels.
    """

    mean: float
    sd: float | None
    paired: bool = False

    @property
    def clear(self) -> bool:
        """Whether it is larger than the spread over seeds."""
        return self.sd is not None and abs(self.mean) > CLEAR * self.sd


def of(arm: ArmResult, name: str) -> Spread | None:
    """A quantity of an arm over its seeds, as in the files (−ELBO not yet negated)."""
    return spread(run.value(name) for run in arm.runs)


def difference(ours: ArmResult, theirs: ArmResult, name: str) -> Difference | None:
    """How two arms differ in a quantity; None where one of them has no value."""
    a, b = of(ours, name), of(theirs, name)
    if a is None or b is None:
        return None
    one, other = _by_seed(ours, name), _by_seed(theirs, name)
    if len(one) > 1 and one.keys() == other.keys() and (len(one), len(other)) == (a.n, b.n):
        pairs = spread(one[seed] - other[seed] for seed in one)
        assert pairs is not None
        return Difference(pairs.mean, pairs.sd, paired=True)
    return Difference(a.mean - b.mean, None if a.sd is None or b.sd is None else math.hypot(a.sd, b.sd))


def _by_seed(arm: ArmResult, name: str) -> dict[int, float]:
    found = ((run.seed, run.value(name)) for run in arm.runs)
    return {seed: value for seed, value in found if seed is not None and value is not None and math.isfinite(value)}


def shown_difference(a: float, b: float) -> str:
    """How far two numbers lie apart as a table shows them, so that readers who subtract get the same.

    Example:
        >>> from buttress.report.numbers import nats
        >>> nats(100.184), nats(100.106), shown_difference(100.184, 100.106), nats(100.184 - 100.106)
        ('100.18', '100.11', '0.07', '0.08')
    """
    return f"{abs(round(a, 2) - round(b, 2)):,.2f}"
