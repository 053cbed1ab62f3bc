r"""All that z says is read, and no better q says more: nothing shows a fault of the model.

Sentence: "the data offer no more" (to this decoder). Little information is no fault where nothing is left on the table:

- the decoder takes out what q puts in: $W_\text{shuffled} \ge I$, as for an exact posterior, and more than 0.1 nats, so
  that it cannot be said to ignore z;
- no better q of the family gains: the gap is below 0.1 nats or what z carries;
- q is in balance with a weight of 1: effective beta is not outside [1/2, 2];
- the bound is tight: $-\mathrm{ELBO} - \mathrm{NLL}$ is not above the same mark.

Whether the data hold more than this decoder can use no number here can tell; so no remedy comes first.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, below, every, opposite
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import WEIGHTED

__all__ = ["NO_MORE"]

NO_MORE = "the data offer no more"


@cause(priority=70, explains=("the model ignores z",), of_density=True)
def no_more(n: Numbers) -> Finding | None:
    """Whether what little z says is all that this decoder can use."""
    if not n.refined:
        return None
    beta = n.get("effective_beta")
    contradicted = (
        above(beta, WEIGHTED) is True or below(beta, 1 / WEIGHTED) is True or above(n.bound_gap, n.matters) is True
    )
    truth = every(
        opposite(n.used), n.read_in_full, below(n.get("amortisation_gap"), n.matters), not contradicted, not _far(n)
    )
    balance = "" if beta is None else f", and q is in balance with the decoder (effective beta {beta})"
    told = (
        f"the decoder reads all that q says ({n.text('worth_shuffled')} nats, of {n.text('mutual_information')}), a "
        f"better q gains {n.text('amortisation_gap')} nats{balance}: z has little to say, and all of it is said. Ask "
        "first whether the data hold more; a strong decoder that has learned x without z looks the same, and one run "
        "with kl_annealing would show it"
    )
    return finding(NO_MORE, truth is True, [told])


def _far(n: Numbers) -> bool:
    """Whether the rate is mostly a distance from the prior: then little information is not the whole story."""
    return n.far is True
