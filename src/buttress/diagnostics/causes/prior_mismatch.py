r"""All q together are far from the prior: samples of the prior fall where the decoder was hardly trained.

Sentence: "all q together are far from the prior". The rate is information plus $\mathrm{KL}(q(z) \| p(z))$. True where
the second is a third of the rate or more and at least 2 nats, by two standard errors, and the decoder reads most of
the first. It is $R - I$ where information is
below its ceiling of log N. At the ceiling $R - I$ is only an upper bound, and proves nothing; there the moments of q(z)
give a lower bound (``aggregate_kl_at_least``), and the cause rests on that alone.

If q(z) were the prior, z of the prior would cost the decoder what z of another example costs, on average: so both are
printed.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, every, minus, some
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS, READ_SHARE

__all__ = ["FAR"]

FAR = "all q together are far from the prior"


@cause(priority=90, explains=("the model ignores z",), of_density=True)
def prior_mismatch(n: Numbers) -> Finding | None:
    """Whether most of the rate is no information."""
    mismatch = n.mismatch
    if mismatch is None or n.far is None or n.critic or (n.discrete and n.uniform):
        return None  # with a critic nothing is decoded, so that no sample can be bad
    read = above(minus(n.get("worth_shuffled"), n.get("mutual_information"), READ_SHARE), 0)
    truth = every(n.far, some(read, n["worth_shuffled"] == float("inf")), n.carries(COLLAPSED_NATS))
    least = "at least " if n.at_ceiling else ""
    prior = "" if n.get("worth_prior") is None else f"; z of the prior costs the decoder {n.text('worth_prior')} nats"
    told = (
        f"{least}{mismatch} of the rate of {n.rates} are the distance of all q together from the prior, which carries "
        f"nothing: samples of the prior fall where the decoder was hardly trained{prior}, z of another example "
        f"{n.text('worth_shuffled')}"
    )
    return finding(FAR, truth, [told])
