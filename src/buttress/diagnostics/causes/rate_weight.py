r"""The rate has a weight of about B in the loss, and q is the best one for that weight.

Sentence: "the rate has a weight of about B". At the optimum of distortion + beta rate nothing is gained to first order
by making q wider, or by moving its means away from the prior's m:

$$ \frac{\partial D}{\partial \ln \sigma} = \beta \sum_j \Bigl(1 - \frac{\sigma_j^2}{s_j^2}\Bigr), \qquad
   -\frac{\partial D}{\partial h}\Big|_{\mu \to \mu + h (\mu - m)} = \beta \sum_j \frac{(\mu_j - m_j)^2}{s_j^2} $$

(s the prior's sigma). The first ratio is ``effective_beta`` (exact for quadratic distortions), the second
``effective_beta_means``. A q in balance with one weight gives the same number twice; a q that lags does not, since its
means and widths are wrong in unequal measure. So a weight **above** 1 is the cause where effective beta is above 2,
both agree within a factor of 1.5, and something could be gained at weight 1. The lag follows from the weight and is not
named beside it: for q optimal at B, the gap at 1 is $\int_1^B (R_\beta - R_B) d\beta > 0$.

A weight **below** 1 makes q narrow. Its means hardly move, so they say nothing; but then a q of the right width gains
ELBO at weight 1, so the gap must be there too: above 0.1 nats by two standard errors. The decoder must read z, as noise
costs nothing otherwise. And it must be smooth: one of steps gives a small effective beta at any weight, but twice the
noise then costs far more than four times as much. So ``effective_beta_doubled`` must be below 1/2 as well. Such a q
pays more than the decoder reads by its width alone, which is then no sign of a model that ignores z.

Where z is for compression, another sentence of the same name is asked in place of both: a weight is wanted at which the
noise of q costs nothing, so the cause is any effective beta above 0.1 of a decoder that reads z.
"""

from __future__ import annotations

import math

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import Truth, above, below, every, maybe, some
from buttress.diagnostics.estimate import Estimate, short
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS, DETERMINISTIC_BETA, LAG_NATS, SAME_WEIGHT, WEIGHTED

__all__ = ["WEIGHT"]

WEIGHT = "the rate has a weight"
FOR_COMPRESSION = "the rate has a weight that compression does not want"
"""What remedies would have to cure there."""


@cause(priority=30, explains=("inference lags", "the model ignores z", "q's family is too narrow"), of_density=True)
def heavy(n: Numbers) -> Finding | None:
    """Whether q is in balance with a weight far above 1."""
    beta = n.get("effective_beta")
    if beta is None:
        return None
    return _named(n, beta, every(above(beta, WEIGHTED), some(_stated(n), every(_gains(n), _agree(n)))))


@cause(priority=31, explains=("the model ignores z",), of_density=True)
def light(n: Numbers) -> Finding | None:
    """Whether q is as narrow as a weight far below 1 makes it, and the decoder reads z."""
    beta = n.get("effective_beta")
    if beta is None:
        return None
    read = above(n.get("worth_shuffled"), COLLAPSED_NATS)
    narrow = (below(one, 1 / WEIGHTED) for one in (beta, n.get("effective_beta_doubled")))
    return _named(n, beta, every(*narrow, read, some(_stated(n), _gains(n))))


@cause(priority=32, explains=("the model ignores z",))
def too_heavy_to_compress(n: Numbers) -> Finding | None:
    """Whether the noise of q costs a decoder something whose z is for compression."""
    beta = n.get("effective_beta")
    if beta is None or not n.compresses:
        return None
    high = above(beta, DETERMINISTIC_BETA)
    told = (
        f"the noise of q costs the decoder what it does at a weight of the rate (beta) of {beta}: reconstructions and "
        f"what a second model learns are blurred by it ({maybe(high, 'above')} {DETERMINISTIC_BETA}). Lower the "
        "weight: autoencoders for latent diffusion have 1e-6, beside errors summed over x"
    )
    truth = every(high, above(n.get("worth_shuffled"), COLLAPSED_NATS))
    return finding(f"{WEIGHT} of about {short(beta.value or 0.0, 2)}", truth, [told], remedies_for=FOR_COMPRESSION)


def _named(n: Numbers, beta: Estimate, truth: Truth) -> Finding | None:
    missing = "" if n.refined else "the amortisation gap (gap_steps above 0)"
    name = f"{WEIGHT} of about {short(beta.value or 0.0, 2)}"
    return finding(name, truth, [_sentence(n, beta)], remedies_for=WEIGHT, missing=missing)


def _gains(n: Numbers) -> Truth:
    """Whether a better q gains ELBO at a weight of 1."""
    return some(*(above(n.get(name), LAG_NATS) for name in ("amortisation_gap", "amortisation_gap_median")))


def _stated(n: Numbers) -> Truth:
    """Whether the recipe states a weight that agrees with the balance of q."""
    stated, beta = n["rate_weight"], n["effective_beta"]
    if math.isnan(stated) or not (stated > WEIGHTED or 0 <= stated < 1 / WEIGHTED):
        return False
    return stated <= SAME_WEIGHT * beta and (beta <= SAME_WEIGHT * stated or beta < 1 / WEIGHTED)


def _agree(n: Numbers) -> Truth:
    """Whether means and widths of q are in balance with one weight."""
    widths, means = n.get("effective_beta"), n.get("effective_beta_means")
    if widths is None or means is None or not widths.value:
        return None
    if (means.value or 0.0) <= 0:
        return False
    apart = abs(math.log((means.value or 0.0) / widths.value))
    error = math.hypot((means.error or 0.0) / (means.value or 1.0), (widths.error or 0.0) / widths.value)
    return below(Estimate(apart, error, min(means.n, widths.n), "log ratio"), math.log(SAME_WEIGHT))


def _sentence(n: Numbers, beta: Estimate) -> str:
    """The balance of q, and what to change."""
    heavy = (beta.value or 0.0) > 1
    means = "" if n.get("effective_beta_means") is None else f", its means one of {n.text('effective_beta_means')}"
    gap = "" if n.get("amortisation_gap") is None else f"; at a weight of 1, {n.told}"
    kind = "wide" if heavy else "narrow"
    cause = (
        "a reconstruction averaged over pixels, tokens or columns beside a summed KL does that, so sum it"
        if heavy
        else "beta far below 1 and floors of free bits do that"
    )
    return f"q is as {kind} as a weight of the rate (beta) of {beta} makes it{means}: {cause}{gap}"
