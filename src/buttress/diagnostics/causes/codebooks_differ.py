r"""Processes that train one model together have different codebooks, so that each trains a model of its own.

Sentence: "codebooks differ between processes". True where ``codebooks_between_processes``, the largest distance of a
value of a codebook or a moving average between two processes (:mod:`buttress.diagnostics.processes`), is above a
thousandth of the size of the values. Averages of the same sums agree to the last digit or nearly so, about 1e-6; sums
that each process takes of its own batch are apart by their sampling error, about 1e-2 and more. All processes must
diagnose at the same time; of one alone nothing is known.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above
from buttress.diagnostics.estimate import short
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.processes import NAME

__all__ = ["DIFFER"]

DIFFER = "codebooks differ between processes"
APART = 1e-3
"""Of the size of the values: between rounding and sampling errors."""


@cause(priority=11)
def differ(n: Numbers) -> Finding | None:
    """Whether a codebook is not the same in every process."""
    found = n.get(NAME)
    if found is None or found.value is None or not above(found, APART):
        return None
    told = (
        f"{found.note.removeprefix('no unit: ')}, is {short(found.value)}: add the sums and counts of a moving "
        "average over all processes (all_reduce) before each step, draw dead codes anew from the same numbers in all "
        "of them, and begin with the same codebook (broadcast)"
    )
    return finding(DIFFER, True, [told])
