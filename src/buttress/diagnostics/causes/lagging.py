r"""Inference lags: the decoder would use z, so the encoder is what falls short.

Sentence: "inference lags". True where for each example a better q of the same family is there (the amortisation gap
$\Delta$) and the decoder profits from it (distortion saved): both must exceed, by two standard errors, 0.1 nats and
what z carries already, since every amortised q has some gap. Means and medians are asked: one example far off makes the
error of a mean as large as the mean, and says nothing of the others. A search that did not end gives a lower bound of
$\Delta$, which is on the safe side. If only the rate falls, the decoder does not need z, and nothing lags.
Where the loss gave the rate a weight above 2, the better q must gain at that weight too: the encoder was trained for
it.

Where the loss is not known and q equals the prior, a loss that averages may leave it there just as well: then it is
borderline, see :mod:`buttress.diagnostics.causes.loss_not_elbo`. One whose KL is also summed over a large batch holds
back a q that is near the prior, or has just left it: where the decoder would not save more than 0.1 nats at a weight of
1,000 D either, the numbers do not exclude it, and the confidence is at most 0.8, as that is the rarer mistake.

Where no q can be searched for, $-\mathrm{ELBO} - \mathrm{NLL} = E\,\mathrm{KL}(q(z|x) \| p(z|x))$ stands in for the
gap, and distortion - NLL for what the decoder saves, of which it is a lower bound: with z of the true posterior its
distortion is no more than the NLL. For a family without limits, as any distribution over codes, the first is the gap.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import Truth, above, every
from buttress.diagnostics.estimate import short
from buttress.diagnostics.finding import EVEN, LIKELIER, Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS, LAG_NATS

__all__ = ["LAGS", "check_weights"]

LAGS = "inference lags"
WEIGHTS = (
    "q equals the prior: in a loss of your own, check first that both terms have a weight of 1, as a reconstruction "
    "averaged over pixels, tokens or columns beside a summed KL gives the KL as many times its weight (beta); "
    "bt.lint(model, loss_fn, batch) looks at it"
)
"""What else makes a rate of 0."""


def check_weights(n: Numbers) -> list[str]:
    """What else makes a rate of 0, where the weight of the rate in the loss is not known."""
    if n["rate"] >= COLLAPSED_NATS or n.get("rate_weight") is not None:
        return []
    if n.averaged is False:
        weight, saved = short(n["averaged_weight"], 4), n.text("decoder_gain_averaged")
        return [
            "q equals the prior, and a reconstruction averaged over the numbers of x would not explain it: the decoder "
            f"would save {saved} nats at a weight of {weight} too"
        ]
    ratio = n.get("optimum_ratio")
    pays = f"; at a weight of 1 a direction of x offers z {ratio} times what it must pay here"
    return [f"{WEIGHTS}{pays if above(ratio, 1) else ''}"]


@cause(priority=50, explains=("the model ignores z", "q's family is too narrow"), of_density=True)
def lagging(n: Numbers) -> Finding | None:
    """Whether a better q is there, and read."""
    weights = check_weights(n)
    if n.refined:
        truth = every(n.gains("amortisation_gap"), n.gains("decoder_gain"), n.gains_at_weight)
        if n.averaged is not False and n.get("decoder_gain_averaged") is not None:
            return _or_averaged(n, truth)
        decided = [(n.get(name), n.matters) for name in ("amortisation_gap", "decoder_gain")]
        lags = f"{n.told}: the decoder would use a better z, so the encoder is what falls short"
        summed = n.get("decoder_gain_summed")
        if summed is None or above(summed, LAG_NATS):
            return finding(LAGS, truth, [lags, *weights], decided)
        return finding(LAGS, truth, [lags, *weights, _summed(n)], decided, share=LIKELIER)
    if n.bound_gap is None:
        return None
    told = (
        f"-ELBO exceeds the NLL by {n.bound_gap} nats, which is how far q is from the posterior: the decoder would use "
        "z, so the encoder is what falls short"
    )
    truth = every(above(n.bound_gap, n.matters), above(n.readable, n.matters))
    return finding(LAGS, truth, [told, *weights], [(n.bound_gap, n.matters), (n.readable, n.matters)])


def _summed(n: Numbers) -> str:
    """What else would hold q back."""
    return (
        f"q is near the prior, and at a weight of the rate a thousand times the numbers of x the best q would save the "
        f"decoder {n.text('decoder_gain_summed')}: so a reconstruction averaged over x beside a KL summed over a large "
        "batch is not excluded, and after a few steps both look like this. Say beta=1 or hand over loss_fn"
    )


def _or_averaged(n: Numbers, truth: Truth) -> Finding | None:
    """Of numbers that an averaged loss gives as well, or may give."""
    told = "an encoder that falls short of a right loss gives the same numbers as a loss that averages"
    if truth is not True:
        return finding(LAGS, truth, [told])
    return finding(LAGS, None, [told], [(n.get("decoder_gain_averaged"), LAG_NATS)], share=EVEN)
