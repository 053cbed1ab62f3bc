r"""When to warn: z was used and is being lost, or is not used at look after look.

Information is *lost* where it is below half of what it was at its best, by two standard errors:

$$ I_t + 2 e_t < \tfrac12 (I_{best} - 2 e_{best}), \qquad I_{best} - 2 e_{best} > 0.5 $$

z is *not used* where the verdict is "collapsed", and not borderline, at three looks in a row; the first look of all
does not count, as an untrained model has learned nothing yet. In the second half of a run whose length is known two
are enough, as few looks are left. Each is told once where it begins.

A mistake in ``forward`` or the loss that gradients show is told at the first look that sees it.

Where the length of the run is known, there is a third: at 10 % of it, z is *expected to end collapsed* with a
probability of one half or more; see :mod:`buttress.diagnostics.monitor.forecast`.
"""

from __future__ import annotations

from collections.abc import Sequence

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.monitor.seen import Seen
from buttress.diagnostics.state import COLLAPSED
from buttress.diagnostics.thresholds import USED_NATS

__all__ = ["EXPECTED", "FAULT", "LOST", "UNUSED", "alarm"]

LOST, UNUSED, EXPECTED = "z is being lost", "z is not used", "this run is expected to end collapsed"
FAULT = "forward or the loss has a mistake"
LIKELY = 0.5
"""The probability from which on that is told."""
IN_A_ROW, IN_A_ROW_LATE = 3, 2
INFORMATION = "mutual_information"


def alarm(looks: Sequence[Seen], steps: int | None = None) -> str:
    """What the latest look warns of: :data:`FAULT`, :data:`LOST`, :data:`EXPECTED`, :data:`UNUSED` or nothing.

    Args:
        looks: All so far, the latest last.
        steps: Of the whole run; None where that is not known.

    Example:
        >>> def look(step, nats):
        ...     state = "used" if nats > 0.5 else "collapsed"
        ...     return Seen(step, {"mutual_information": Estimate(nats, 0.05, 256, "")}, state, None)
        >>> alarm([look(1, 0.0), look(2, 2.0), look(3, 0.6)]), alarm([look(1, 0.0)])
        ('z is being lost', '')
        >>> alarm([look(k, 0.0) for k in range(4)])
        'z is not used'
        >>> alarm([look(step, 0.0) for step in (0, 100, 200)], steps=250)
        'z is not used'
    """
    before = looks[:-1]
    if set(looks[-1].faults) - {name for one in before for name in one.faults}:
        return FAULT
    if _lost(looks):
        return "" if _lost(before) else LOST
    if _expected(looks) and not _expected(before):
        return EXPECTED
    return UNUSED if _unused(looks, steps) and not _unused(before, steps) else ""


def _expected(looks: Sequence[Seen]) -> bool:
    return any(one.probability is not None and one.probability >= LIKELY for one in looks)


def _unused(looks: Sequence[Seen], steps: int | None) -> bool:
    late = bool(looks) and steps is not None and looks[-1].step >= steps / 2
    row = IN_A_ROW_LATE if late else IN_A_ROW
    return len(looks) > row and all(one.state == COLLAPSED for one in looks[-row:])


def _lost(looks: Sequence[Seen]) -> bool:
    known = [one.numbers[INFORMATION] for one in looks if INFORMATION in one.numbers]
    if len(known) < 2 or INFORMATION not in looks[-1].numbers:
        return False
    best = max(_at_least(one) for one in known[:-1])
    return best > USED_NATS and _at_most(known[-1]) < best / 2


def _at_least(one: Estimate) -> float:
    return (one.value or 0.0) - 2 * (one.error or 0.0)


def _at_most(one: Estimate) -> float:
    return (one.value or 0.0) + 2 * (one.error or 0.0)
