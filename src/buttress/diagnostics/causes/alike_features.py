"""The encoder's features are nearly the same for all x, so q has little to tell them apart by.

Sentence: "the encoder's features are alike". True where z is not used and the mean cosine of the features is above 0.98
by two standard errors: c is the share of their squared length that is common to all examples, so a fiftieth is left to
tell them apart. It stands beside another cause: alike features are seen in collapse whatever brought it about.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, every, maybe, opposite
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import FEATURES_ALIKE

__all__ = ["ALIKE"]

ALIKE = "the encoder's features are alike"


@cause(priority=120)
def alike_features(n: Numbers) -> Finding | None:
    """Whether features without dispersion stand beside a z that is not used."""
    cosine = n.get("feature_cosine")
    if cosine is None:
        return None
    high = above(cosine, FEATURES_ALIKE)
    told = (
        f"the encoder's features are nearly the same for all x: their mean cosine is {cosine} "
        f"({maybe(high, 'above')} {FEATURES_ALIKE}), so q has little to tell them apart by"
    )
    return finding(ALIKE, every(opposite(n.used), high), [told])
