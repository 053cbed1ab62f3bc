r"""The loss is not built as an ELBO: its reconstruction is averaged beside a summed KL, as far as the model shows it.

Sentence: "the loss is not built as an ELBO". Of a model whose loss is not known three things are true, each by two
standard errors:

- q equals the prior: the rate is below 0.1 nats, and q is so wide that its width tells no weight;
- at a weight of 1 a better q gains 0.1 nats, and the decoder with it: so q is at rest in no ELBO;
- at a weight of 10 D, with D the number of columns, pixels or tokens of x, the decoder would save less than 0.1 nats by
  the best q (:mod:`buttress.diagnostics.estimators.averaged_loss`): so q is at rest where a mean stands in place of a
  sum, perhaps with a beta beside it.

An encoder that falls short of a right loss, behind a decoder that reads z as faintly, gives the same numbers: no number
of the model tells the two apart, so each has an even chance, and "inference lags" is borderline. The loss tells them
apart at once. Where the decoder would save more at that weight too, a mean does not explain it, and inference lags; a
weight beyond it, as of a KL summed over a large batch beside a mean, would. Where q is not the prior, its means and
widths tell the weight: :mod:`buttress.diagnostics.causes.rate_weight`.

Three more things make the sentence true:

- the loss was there to be looked at (``loss_fn``, or a "loss" that ``forward`` returns), and its gradients show a mean
  beside a sum, a sign, a formula, padding, or the batch in the weight of the rate; or ``forward`` in training mode
  decodes the mean of q and not a sample (:mod:`buttress.diagnostics.wiring`). It follows from the gradients;
- q is wider than the prior, by half as much again (``posterior_scale`` above 1.5), and the decoder reads z: at any
  weight above 0 a narrower q would save rate and distortion both, so the loss does not charge for the rate as it
  should, or its prior is another one;
- q is as wide as the prior in coordinates whose means tell x apart (``posterior_scale`` between 0.8 and 1.25, means in
  balance with a weight between 1/2 and 2): the means are trained with their part of the KL, and nothing narrows q, as
  where the decoder gets the mean in place of a sample.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, below, every
from buttress.diagnostics.estimate import short
from buttress.diagnostics.finding import EVEN, Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import (
    ABOUT,
    AVERAGED_TIMES,
    COLLAPSED_NATS,
    LAG_NATS,
    WEIGHTED,
    WIDE,
)

__all__ = ["NOT_ELBO"]

NOT_ELBO = "the loss is not built as an ELBO"
RULES = (
    "loss-reduction",
    "batch-dependence",
    "batch-mixed",
    "kl-sign",
    "kl-formula",
    "kl-missing",
    "no-sampling",
    "sampling-noise",
    "double-activation",
    "padding-counted",
    "sees-target",
)
"""Of the linter."""
ASK = "the loss shows which: bt.diagnose(..., loss_fn=...), or bt.lint(model, loss_fn, batch)"
FOLLOW = (
    "the rate has a weight",
    "inference lags",
    "q's family is too narrow",
    "the data offer no more",
    "the model ignores z",
    "all q together are far from the prior",
)


@cause(priority=14, explains=FOLLOW)
def faulty_loss(n: Numbers) -> Finding | None:
    """Whether the linter found a mistake in the loss or in forward."""
    told = [found.note for rule in RULES if (found := n.estimates.get(f"wiring/{rule}")) is not None]
    return finding(NOT_ELBO, True, told) if told else None


@cause(priority=16, explains=FOLLOW)
def widened(n: Numbers) -> Finding | None:
    """Whether q is wider than the prior though its noise costs something."""
    scale = n.get("posterior_scale")
    if scale is None or any(name.startswith("wiring/") for name in n.estimates):
        return None
    truth = every(above(scale, WIDE), above(n.get("worth_shuffled"), COLLAPSED_NATS), n.gains("amortisation_gap"))
    told = (
        f"sigma of q is {scale} of that of the prior, and its noise costs a decoder that reads z: in an ELBO a "
        f"narrower "
        f"q would be cheaper on both sides, so look for a KL that lacks "
        f"exp(logvar) or is subtracted, or a loss with a wider prior than the one that was handed over; {ASK}"
    )
    return finding(NOT_ELBO, truth, [told], [(scale, WIDE)])


@cause(priority=17, explains=FOLLOW, of_density=True)
def unsampled(n: Numbers) -> Finding | None:
    """Whether the means of q are in balance with a weight of about 1, and its widths are those of the prior."""
    scale, means = n.get("posterior_scale"), n.get("effective_beta_means")
    if scale is None or means is None or any(name.startswith("wiring/") for name in n.estimates):
        return None
    as_prior = every(above(scale, 1 / ABOUT), below(scale, ABOUT))
    balanced = every(above(means, 1 / WEIGHTED), below(means, WEIGHTED))
    truth = every(as_prior, balanced, n.gains("amortisation_gap"))
    told = (
        f"q is as wide as the prior ({scale} of its sigma) where its means tell x apart, and these are in balance with "
        f"a weight of the rate of {means}: so the means are trained and nothing narrows q, as where the decoder gets "
        f"the mean of q in place of a sample in training; {ASK}"
    )
    return finding(NOT_ELBO, truth, [told], [(scale, ABOUT)])


@cause(priority=48, explains=("the model ignores z", "q's family is too narrow"), of_density=True)
def loss_not_elbo(n: Numbers) -> Finding | None:
    """Whether q is at rest in an averaged loss and in no ELBO."""
    saved = n.get("decoder_gain_averaged")
    if (
        saved is None
        or n.get("effective_beta") is not None
        or {"wiring/no-gradient", "wiring/z-unreached"} & n.estimates.keys()
    ):
        return None
    truth = every(n.gains("amortisation_gap"), n.gains("decoder_gain"), n.averaged)
    decided = [(n.get(name), n.matters) for name in ("amortisation_gap", "decoder_gain")]
    return finding(NOT_ELBO, truth, [_sentence(n)], [*decided, (saved, LAG_NATS)], share=EVEN)


def _sentence(n: Numbers) -> str:
    """Where q is at rest and where not, and what to do."""
    weight, saved = n["averaged_weight"], n.text("decoder_gain_averaged")
    mean = short(weight / AVERAGED_TIMES, 4)
    return (
        f"q equals the prior, though at a weight of 1 {n.told}; at a weight of the rate of {short(weight, 4)} the best "
        f"q would save it {saved}: so q is at rest in a loss that averages over the {mean} numbers of x beside a "
        f"summed KL (an effective beta of {mean}, up to ten times that), and in no ELBO. Look at the loss first: "
        "bt.diagnose(..., loss_fn=...), or bt.lint(model, loss_fn, batch). If both terms are summed, say beta=1: then "
        "inference lags, which gives the "
        "same numbers"
    )
