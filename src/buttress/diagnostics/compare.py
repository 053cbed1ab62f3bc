r"""Whether an estimate is above a threshold: yes, no, or not decided by its standard error.

An estimate v ± e is above t where v - 2e > t, below it where v + 2e < t, and undecided between. As errors fall with the
root of N, the comparison would be decided, if the estimate stayed what it is, with

$$ N' = N \Bigl(\frac{2 e}{v - t}\Bigr)^2 $$

examples. Truth values are True, False and None, and are combined as Kleene did: a conjunction with one False is False
whatever is not known.
"""

from __future__ import annotations

import math

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.thresholds import DECIDED

__all__ = ["above", "below", "every", "maybe", "minus", "needed", "opposite", "size", "some"]

Truth = bool | None
INFINITE = "not finite: inf"
MOST = 1e9
"""No number of examples beyond this is given: the two values are equal as far as anybody can see."""


def size(found: Estimate | None) -> float:
    """The value as a number: infinite where it was, NaN where there is none.

    Example:
        >>> size(Estimate(float("inf"), None, 10, "Monte Carlo")), size(None)
        (inf, nan)
    """
    if found is None:
        return math.nan
    if found.value is None:
        return math.inf if found.note.endswith(INFINITE) else math.nan
    return found.value


def above(found: Estimate | None, threshold: float) -> Truth:
    """Whether an estimate is above a threshold; None where its error leaves that open, or there is none.

    Example:
        >>> wide, sharp = (Estimate(0.089, error, 100, "Monte Carlo") for error in (0.013, 0.001))
        >>> above(wide, 0.1), above(sharp, 0.1), above(sharp, 0.05)
        (None, False, True)
    """
    value = size(found)
    if math.isnan(value):
        return None
    margin = DECIDED * (found.error or 0.0) if found is not None and not math.isinf(value) else 0.0
    if value - margin > threshold or (margin == 0 and value == threshold):
        return True
    return False if value + margin < threshold else None


def below(found: Estimate | None, threshold: float) -> Truth:
    """The opposite of :func:`above`.

    Example:
        >>> below(Estimate(0.05, 0.01, 100, "Monte Carlo"), 0.1)
        True
    """
    return opposite(above(found, threshold))


def maybe(truth: Truth, side: str) -> str:
    """On which side of a threshold an estimate is, as a sentence may say it: where its error leaves that open, it may.

    Args:
        truth: Whether it is on that side.
        side: Of the threshold, such as "below".

    Example:
        >>> maybe(below(Estimate(0.1, 0.01, 100, ""), 0.25), "below"), maybe(None, "above")
        ('below', 'may be above')
    """
    return f"may be {side}" if truth is None else side


def opposite(truth: Truth) -> Truth:
    """Not; what is not known stays so.

    Example:
        >>> opposite(True), opposite(None)
        (False, None)
    """
    return None if truth is None else not truth


def every(*truths: Truth) -> Truth:
    """And.

    Example:
        >>> every(True, None), every(False, None), every(True, True)
        (None, False, True)
    """
    return False if any(truth is False for truth in truths) else None if None in truths else True


def some(*truths: Truth) -> Truth:
    """Or.

    Example:
        >>> some(True, None), some(False, None), some(False, False)
        (True, None, False)
    """
    return opposite(every(*map(opposite, truths)))


def minus(one: Estimate | None, other: Estimate | None, times: float = 1.0) -> Estimate | None:
    """One estimate minus a multiple of another, with the error of two independent ones.

    Example:
        >>> found = minus(Estimate(3.0, 0.3, 100, ""), Estimate(1.0, 0.2, 80, ""), times=2.0)
        >>> found.value, found.error, found.n
        (1.0, 0.5, 80)
    """
    if one is None or other is None or one.value is None or other.value is None:
        return None
    error = math.hypot(one.error or 0.0, times * (other.error or 0.0))
    return Estimate(one.value - times * other.value, error, min(one.n, other.n), "difference")


def needed(found: Estimate | None, threshold: float) -> int | None:
    """How many examples would decide on which side of a threshold an estimate is; None where these do, or none would.

    Example:
        >>> needed(Estimate(0.089, 0.013, 100, "Monte Carlo"), 0.1)
        559
        >>> needed(Estimate(0.05, 0.01, 100, "Monte Carlo"), 0.1) is None
        True
    """
    if found is None or found.value is None or not found.error or above(found, threshold) is not None:
        return None
    if (distance := abs(found.value - threshold)) == 0:
        return None
    wanted = found.n * (DECIDED * found.error / distance) ** 2
    return math.ceil(wanted) if wanted < MOST else None
