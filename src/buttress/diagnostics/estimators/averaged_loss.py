r"""Would a loss that averages over the D numbers of x explain a q that equals the prior?

A mean over the D pixels, tokens or columns of x in place of a sum, beside a summed KL, is distortion / D + rate: an
ELBO whose rate has a weight of D. At a weight $\beta$ the best q of an example stands $-g / (\beta + h)$ from a
standard normal prior, with g the slope of its distortion there and h the curvature, and the decoder saves
$g^2 / \beta$ by it, to first order. So in such a loss q stays at the prior for any decoder whose slopes are small
beside $\sqrt D$, though at a weight of 1 a better q would gain. As a mean often has a beta of some units beside it, or
a KL that is summed over more than one example, the best q is searched for at a weight of 10 D, as the one at a weight
of 1 is (:mod:`buttress.diagnostics.estimators.amortisation`), and what the decoder saves with it is told.

It is measured where the weight of the rate is not known, q equals the prior, so that its width tells no weight either
(``effective_beta``), and a better q may gain at a weight of 1.

A KL that is summed over a batch of some hundred examples beside such a mean has a weight of as many times D. So where
10 D does not explain q, or q has just left the prior (a rate below 1/2, as after ten or twenty steps), the same is
measured at a weight of 1,000 D. A decoder that would save something even there reads z so well that no such loss holds
q back.
"""

from __future__ import annotations

from buttress.diagnostics.compare import below
from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.amortisation import refinement
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.passes import count
from buttress.diagnostics.thresholds import AVERAGED_TIMES, COLLAPSED_NATS, LAG_NATS, SUMMED_TIMES, USED_NATS

__all__ = ["averaged_gain"]


def averaged_gain(subject: Subject, weight: float) -> Estimate | None:
    """What the decoder saves with the best q at a weight of the rate; None where none can be searched for.

    Args:
        subject: The model and its data.
        weight: Of the rate.

    Example:
        >>> import torch
        >>> from buttress.diagnostics.passes import Encoded
        >>> from buttress.diagnostics.protocol import conditional
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> found = []
        >>> for w in (0.2, 2.0):  # a decoder that hardly reads z, and one that does; q = p(z)
        ...     lags = LinearGaussian(torch.full((8, 1), w).double(), torch.zeros(8).double(), 1.0).lagging()
        ...     asked, x = conditional(lags), lags.model.sample(200)[0]
        ...     settings = {"gap_steps": 40, "gap_examples": 100, "seed": 0}
        ...     found.append(averaged_gain(Subject(asked, Encoded(asked, [x]), settings), 80.0))
        >>> found[0].value < 0.1 < 1 < found[1].value
        True
    """
    steps, examples = subject.settings["gap_steps"], subject.settings["gap_examples"]
    found = refinement(subject.model, subject.data, steps=steps, examples=examples, seed=subject.seed, weight=weight)
    if found.obstacle:
        return None
    return mean(
        found.saved, found.method, note=f"distortion saved with the best q at a weight of the rate of {weight:g}"
    )


@estimator("amortisation gap")
def measure(subject: Subject) -> dict[str, Estimate]:
    """What a better q saves in an averaged loss, where q equals the prior and nobody says what the loss is."""
    n, sites = Numbers(subject.estimates), subject.data[0].x[0].numel()
    gains = (n.gains("amortisation_gap"), n.gains("decoder_gain"))
    if subject.beta is not None or not n.refined or sites < 2 or False in gains:
        return {}
    if below(n.get("rate"), USED_NATS) is not True:
        return {}
    found: dict[str, Estimate] = {}
    if below(n.get("rate"), COLLAPSED_NATS) and n.get("effective_beta") is None:
        weight = AVERAGED_TIMES * sites
        if (saved := averaged_gain(subject, weight)) is None:
            return {}
        told = (
            f"not in nats: weight of the rate by a mean over the {sites} numbers of x and a beta of {AVERAGED_TIMES:g}"
        )
        found = {
            "decoder_gain_averaged": saved,
            "averaged_weight": Estimate(weight, None, count(subject.data), "counting", note=told),
        }
        if below(saved, LAG_NATS) is not False:
            return found
    further = averaged_gain(subject, SUMMED_TIMES * sites)
    return found if further is None else found | {"decoder_gain_summed": further}
