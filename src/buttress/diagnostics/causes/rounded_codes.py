r"""Codes are chosen by rounding: the encoder's numeric type is too coarse for the distances between codewords.

Sentence: "codes are chosen by rounding". True where a twentieth or more of the codes, by two standard errors, are
others once the same encoder computes in double precision (``codes_by_rounding``,
:mod:`buttress.diagnostics.estimators.code_precision`). Codewords so near to each other that any rounding exchanges them
change a few in a hundred. Where squared distances cancel altogether all codewords are as near, and one takes
everything: so a dead or under-used codebook follows from it.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, maybe
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import ROUNDED

__all__ = ["BY_ROUNDING"]

BY_ROUNDING = "codes are chosen by rounding"


@cause(
    priority=18,
    explains=(
        "the codebook is dead",
        "the codes ignore x",
        "the codebook is under-used",
        "inference lags",
        "the model ignores z",
    ),
)
def rounded_codes(n: Numbers) -> Finding | None:
    """Whether many codes are others in double precision."""
    share = n.get("codes_by_rounding")
    if share is None:
        return None
    told = (
        f"a share of {share} of the codes are others where the encoder computes in double precision "
        f"({maybe(above(share, ROUNDED), 'above')} {ROUNDED}): "
        "keep the encoder's last layer and the distances to codewords in float32, outside of autocast, and compute "
        "them "
        "as the square of the difference, or after the mean of the codewords is taken off"
    )
    return finding(BY_ROUNDING, above(share, ROUNDED), [told], [(share, ROUNDED)])
