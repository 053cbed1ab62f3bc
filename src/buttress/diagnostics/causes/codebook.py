r"""The codebook is dead, or its codes do not depend on x.

Sentences: "the codebook is dead" is true where one code takes (almost) everything: perplexity $e^H$ below 1.1, so
$I(x; z) \le H < 0.1$ for one place. "The codes ignore x" is true where several codes are taken (a larger perplexity
over all places) and yet $I(x; z) < 0.1$: then each place takes the same code for every x. Both need information below
0.1 by two standard errors; the perplexity of N examples has its own.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import below, every, opposite, some
from buttress.diagnostics.estimators.codebook import DRAWN
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS, DEAD_PERPLEXITY

__all__ = ["DEAD", "SAME"]

DEAD, SAME = "the codebook is dead", "the codes ignore x"


@cause(
    priority=40,
    explains=("inference lags", "the model ignores z", "q's family is too narrow", "the codebook is under-used"),
)
def codebook(n: Numbers) -> Finding | None:
    """Whether codes tell examples apart at all."""
    perplexity = n.get("code_perplexity")
    if not n.discrete or perplexity is None or perplexity.method == DRAWN:
        return None
    silent = some(*(below(n.get(name), COLLAPSED_NATS) for name in ("mutual_information", "rate")))
    few = below(perplexity, DEAD_PERPLEXITY)
    dead = finding(DEAD, every(silent, few), [DEAD_REASON], [(perplexity, DEAD_PERPLEXITY)])
    return dead or finding(SAME, every(silent, opposite(few)), [SAME_REASON])


DEAD_REASON = (
    "one code takes (almost) everything: start the codebook from encoder outputs, revive dead codes, or raise the "
    "weight of the commitment"
)
SAME_REASON = "several codes are taken, but each place takes the same one for every x"
