r"""Only a nuisance is encoded: z tells a simple statistic of x, as the length of a sentence, and nothing else.

Sentence: "only a nuisance is encoded". With s(x) the statistic, $I(x; z) = I(s; z) + I(x; z | s)$. True where z carries
half a nat or more and what is left beyond s, ``information_beyond_nuisance``, is below a tenth of the information by
two standard errors. That s can be predicted from z (R^2) does not suffice: z may tell s and everything else. Not of
tables: where their columns share one factor, the mean of a row is that factor and no nuisance.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, below, every, minus
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import NUISANCE_LEFT, USED_NATS

__all__ = ["NUISANCE"]

NUISANCE = "only a nuisance is encoded"
WITHOUT_VARIANCE = "only a nuisance is encoded without a variance to choose"
"""What remedies would have to cure where the likelihood has no variance."""


@cause(priority=100)
def nuisance(n: Numbers) -> Finding | None:
    """Whether nothing is left of the information beyond a simple statistic."""
    beyond, information = n.get("information_beyond_nuisance"), n.get("mutual_information")
    if beyond is None or information is None or n.kind == "table":
        return None
    left = below(minus(beyond, information, NUISANCE_LEFT), 0.0)
    truth = every(above(information, USED_NATS), left)
    explained = "" if n.get("nuisance_r2") is None else f"; R^2 of it from z is {n.text('nuisance_r2')}"
    told = (
        f"of {information} nats of information, {beyond} are left beyond a simple statistic of x"
        f"{f' ({beyond.note})' if beyond.note else ''}{explained}: z tells that and nothing else"
    )
    key = WITHOUT_VARIANCE if n.get("likelihood_variance") is None else NUISANCE
    return finding(NUISANCE, truth, [told], remedies_for=key)
