r"""The family of q is too narrow: its best member is far from the posterior.

Sentence: "q's family is too narrow". $-\mathrm{ELBO} - \mathrm{NLL}$ is the mean KL(q(z|x) || p(z|x)), the sum of what
the encoder loses within its family (the amortisation gap) and what the best member of the family loses. So it is true
where the first sum exceeds 0.1 nats and what z carries, while a finished search within the family gains less. Whether
the search had finished must be known; else the cause is borderline.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, below, every, opposite
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers

__all__ = ["NARROW"]

NARROW = "q's family is too narrow"


@cause(priority=60, explains=("the model ignores z",), of_density=True)
def narrow_family(n: Numbers) -> Finding | None:
    """Whether the bound is loose although the best q of the family was found."""
    if not n.refined or n.bound_gap is None or above(n.bound_gap, n.matters) is not True:
        return None
    truth = every(below(n.get("amortisation_gap"), n.matters), opposite(n.unfinished))
    told = (
        f"-ELBO exceeds the NLL by {n.bound_gap} nats, of which {n.text('amortisation_gap')} are to be had within the "
        "family of q: try a posterior with correlations or several modes"
    )
    return finding(NARROW, truth, [told])
