r"""The codebook is under-used: z is used, and most codes are never taken.

Sentence: "the codebook is under-used". True where fewer than half of the codes are ever taken, by two standard errors
of a count that foresees codes not met yet (``codes_alive``, :mod:`buttress.diagnostics.estimators.codes_alive`). Codes
that are taken rarely are in use: two codes taken in 80 and 20 of a hundred examples are all there are, and a thousand
whose frequencies fall as those of words do are too. So it rests on codes that are not taken at all, and not on
perplexity, which is low for both and is told beside it. Where one code takes everything the codebook is dead, which is
more (:mod:`buttress.diagnostics.causes.codebook`).
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import below, maybe, size
from buttress.diagnostics.estimate import short
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import ALIVE_SHARE

__all__ = ["UNDER_USED"]

UNDER_USED = "the codebook is under-used"


@cause(priority=115)
def under_used(n: Numbers) -> Finding | None:
    """Whether most codes are never taken."""
    alive, used = n.get("codes_alive"), n.get("codes_used")
    if alive is None or used is None:
        return None
    few = below(alive, ALIVE_SHARE)
    k = short(used.ceiling or 0.0, 4)
    told = (
        f"{size(used):.0f} of {k} codes are taken in the data, and a share of {alive} ever would be "
        f"({maybe(few, 'below')} {ALIVE_SHARE}), with a perplexity of {n.text('code_perplexity')}: start the "
        "codebook from encoder outputs, "
        "revive what is not taken, or make it smaller"
    )
    return finding(UNDER_USED, few, [told], [(alive, ALIVE_SHARE)])
