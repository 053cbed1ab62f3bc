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
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import every
from buttress.diagnostics.estimate import short
from buttress.diagnostics.finding import EVEN, Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import AVERAGED_TIMES, LAG_NATS

__all__ = ["NOT_ELBO"]

NOT_ELBO = "the loss is not built as an ELBO"


@cause(priority=48, explains=("the model ignores z", "q's family is too narrow"))
def loss_not_elbo(n: Numbers) -> Finding | None:
    """Whether q is at rest in an averaged loss and in no ELBO."""
    saved = n.get("decoder_gain_averaged")
    if saved is None:
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
        f"summed KL (an effective beta of {mean}, up to ten times that), and in no ELBO. Lint the loss first: "
        "bt.lint(model, loss_fn, batch). If both terms are summed, say beta=1: then inference lags, which gives the "
        "same numbers"
    )
