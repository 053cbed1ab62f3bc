"""z is used by a few examples, and the mean over all of them hides it.

Sentence: "used by few examples". True where the share of examples for which z lowers the distortion beyond its error
(``share_used``) is below a quarter but above 0, and yet for the hundredth that reads most of it z is worth half a nat
or more (``worth_shuffled_p99``): so the decoder can read z, and does so for some. A model that ignores z has no such
tail: all its losses are noise about 0. Both comparisons by two standard errors.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, below, every
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import FEW, USED_NATS

__all__ = ["BY_FEW"]

BY_FEW = "used by few examples"


@cause(priority=45, explains=("the model ignores z", "the data offer no more"))
def used_by_few(n: Numbers) -> Finding | None:
    """Whether z matters to a small share of the examples only."""
    share, most = n.get("share_used"), n.get("worth_shuffled_p99")
    if share is None or most is None:
        return None
    truth = every(below(share, FEW), above(share, 0.0), above(most, USED_NATS))
    told = (
        f"z lowers the distortion of {share} of the examples (as a share), and is worth {most} nats to the hundredth "
        "that reads most of it: look at these before changing the model"
    )
    return finding(BY_FEW, truth, [told], [(share, FEW)])
