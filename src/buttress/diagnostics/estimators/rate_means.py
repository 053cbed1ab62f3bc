r"""The weight of the rate that the means of q are in balance with, beside ``effective_beta``, that of its widths.

At an optimum of distortion + beta rate, moving all means of q away from the mean m of a normal prior gains nothing to
first order, which for any decoder gives

$$ \beta = -\frac{\partial_h E\, D(\mu + h (\mu - m))}{E \sum_j (\mu_j - m_j)^2 / s_j^2} $$

with s the prior's sigma, by central differences with common noise. It is measured where effective beta is above 2: if
both agree, q is the best one for that weight; a q that lags has means and widths that are wrong in unequal measure.
"""

from __future__ import annotations

import torch
from torch import Tensor

from buttress.diagnostics.compare import above
from buttress.diagnostics.estimate import Estimate, ratio
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, decode, draw, evaluating
from buttress.diagnostics.passes import count, passes
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.thresholds import WEIGHTED
from buttress.distributions.inspect import normal

__all__ = ["effective_beta_means"]

STEP = 0.05
"""h: for a quadratic distortion any step gives the same."""
EXAMPLES = 1000


def effective_beta_means(model: Model, batches: Batches, *, samples: int = 4, seed: int = 0) -> Estimate | None:
    """The weight that the means of q are in balance with; None where q or the prior are no products of normals.

    Args:
        model: Keeps the protocol.
        batches: Held-out data, of which at most 1,000 examples are used.
        samples: Samples of z per example.
        seed: Of the choice and the noise.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> effective_beta_means(model.vae(), [model.sample(2000)[0]])  # the best q for a weight of 1
        Estimate(value=1.0..., error=0.0..., n=1000, method='central differences', ...)
    """
    rows: list[tuple[Tensor, Tensor]] = []
    with evaluating(model, seed) as asked:
        for block in passes(asked, batches, keep=choose(count(batches), EXAMPLES, seed)):
            q, p = normal(block.q), normal(block.prior)
            if q is None or p is None:
                return None
            away = q.loc - p.loc
            z = draw(block.q, block.index, samples, seed, "means")
            further, nearer = (decode(asked, block.x, z + h * away, block.given).mean(0) for h in (STEP, -STEP))
            squares = (away.double() / p.scale.double()).square().flatten(1).sum(1)
            rows.append((((further - nearer).double() / (2 * STEP)).cpu(), squares.cpu()))
    gain, squares = (torch.cat(column) for column in zip(*rows, strict=True))
    value, error = ratio(gain, squares)
    note = "not in nats: the weight of the rate that the means of q are in balance with"
    return Estimate(value, error, len(gain), "central differences", note=note)


@estimator("bound")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The weight by the means of q, where that by its widths is far above 1."""
    if not above(subject.estimates.get("effective_beta"), WEIGHTED):
        return {}
    found = effective_beta_means(subject.model, subject.data, samples=subject.settings["samples"], seed=subject.seed)
    return {} if found is None else {"effective_beta_means": found}
