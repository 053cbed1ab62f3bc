"""z is used by a few examples, and the mean over all of them hides it.

Sentence: "used by few examples". True where a tenth of the examples or less carries half of what z is worth
(``worth_concentration``; in linear-Gaussian models 0.25 to 0.4 do), where to the hundredth that uses z most it is worth
half a nat or more (``worth_top_percent``), and where fewer than half of the examples are served by their own z
(``share_used``): so the decoder can read z, and does so for some. One row far off carries half of everything too, but
then all the others are served; and a model that ignores z has no such tail. All three by two standard errors.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, below, every
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import CONCENTRATED, FEW, USED_NATS

__all__ = ["BY_FEW"]

BY_FEW = "used by few examples"


@cause(priority=45, explains=("the model ignores z", "the data offer no more"))
def used_by_few(n: Numbers) -> Finding | None:
    """Whether z matters to a small share of the examples only."""
    share, top, half = (n.get(name) for name in ("share_used", "worth_top_percent", "worth_concentration"))
    if share is None or top is None or half is None:
        return None
    truth = every(below(half, CONCENTRATED), below(share, FEW), above(top, USED_NATS))
    told = (
        f"a share of {half} of the examples carries half of what z is worth, and to the hundredth that uses it most it "
        f"is worth {top} nats, while a share of {share} is served by its own z: look at these examples first"
    )
    return finding(BY_FEW, truth, [told], [(share, FEW), (half, CONCENTRATED)])
