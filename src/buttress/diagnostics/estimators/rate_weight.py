r"""What supports ``effective_beta`` where it is far from 1: the balance of the means of q, and twice the noise.

At an optimum of distortion + beta rate, moving all means of q away from the mean m of a normal prior gains nothing to
first order, which for any decoder gives

$$ \beta = -\frac{\partial_h E\, D(\mu + h (\mu - m))}{E \sum_j (\mu_j - m_j)^2 / s_j^2} $$

with s the prior's sigma, by central differences with common noise. It is measured where effective beta is above 2, or
not known as q is as wide as the prior: if
both agree, q is the best one for that weight; a q that lags has means and widths that are wrong in unequal measure.

Effective beta takes the distortion for quadratic in the noise of q. A decoder of steps is not: noise costs nothing
until it crosses one, rarely and then much. So where effective beta is below 1/2, the cost of twice the noise is
measured, in the same unit: a quarter of it, over what a q in balance pays for its noise, is effective beta again if the
decoder is smooth, and far above it if not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions import Normal

from buttress.diagnostics.compare import above, below
from buttress.diagnostics.estimate import Estimate, ratio
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, decode, draw, evaluating
from buttress.diagnostics.passes import Block, count, passes
from buttress.diagnostics.protocol import Batches, Conditional, Model
from buttress.diagnostics.thresholds import WEIGHTED
from buttress.distributions.inspect import mean_of, normal

__all__ = ["effective_beta_doubled", "effective_beta_means"]

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
        for block, q, p in _normal_blocks(asked, batches, seed):
            away = q.loc - p.loc
            z = draw(block.q, block.index, samples, seed, "means")
            further, nearer = (_reading(asked, block, z + h * away) for h in (STEP, -STEP))
            rows.append(((further - nearer) / (2 * STEP), _summed((away / p.scale).square())))
    return _weight(rows, "central differences", "the weight of the rate that the means of q are in balance with")


def effective_beta_doubled(model: Model, batches: Batches, *, samples: int = 4, seed: int = 0) -> Estimate | None:
    """Effective beta by twice the noise of q; None where q or the prior are no products of normals.

    Args:
        model: Keeps the protocol.
        batches: Held-out data, of which at most 1,000 examples are used.
        samples: Samples of z per example.
        seed: Of the choice and the noise.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> effective_beta_doubled(model.vae(), [model.sample(2000)[0]])  # smooth: effective beta, 1
        Estimate(value=0.9..., error=0.0..., n=1000, method='Monte Carlo', ...)
    """
    rows: list[tuple[Tensor, Tensor]] = []
    with evaluating(model, seed) as asked:
        for block, q, p in _normal_blocks(asked, batches, seed):
            middle = mean_of(block.q)
            assert middle is not None  # q is normal
            z = draw(block.q, block.index, samples, seed, "doubled")
            cost = _reading(asked, block, middle[None]) - _reading(asked, block, 2 * z - middle)
            rows.append((cost / 4, 0.5 * _summed(1 - (q.scale / p.scale).square())))
    return _weight(rows, "Monte Carlo", "effective beta by twice the noise of q: the same if the decoder is smooth")


def _normal_blocks(model: Conditional, batches: Batches, seed: int) -> Iterator[tuple[Block, Normal, Normal]]:
    """Some of the data, as far as q and the prior are products of normals."""
    for block in passes(model, batches, keep=choose(count(batches), EXAMPLES, seed)):
        q, p = normal(block.q), normal(block.prior)
        if q is not None and p is not None:
            yield block, q, p


def _reading(model: Conditional, block: Block, z: Tensor) -> Tensor:
    """E log p(x|z) of each example."""
    return decode(model, block.x, z, block.given).mean(0).double().cpu()


def _summed(values: Tensor) -> Tensor:
    return values.double().flatten(1).sum(1).cpu()


def _weight(rows: list[tuple[Tensor, Tensor]], method: str, note: str) -> Estimate | None:
    if not rows:
        return None
    gain, unit = (torch.cat(column) for column in zip(*rows, strict=True))
    value, error = ratio(gain, unit)
    return Estimate(value, error, len(gain), method, note=f"not in nats: {note}")


@estimator("bound")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The weight by the means of q where that by its widths is far above 1, and by twice the noise where far below."""
    beta, settings = subject.estimates.get("effective_beta"), {"samples": subject.settings["samples"]}
    found = {}
    if above(beta, WEIGHTED) or (beta is not None and beta.value is None):
        found["effective_beta_means"] = effective_beta_means(subject.model, subject.data, seed=subject.seed, **settings)
    if below(beta, 1 / WEIGHTED):
        found["effective_beta_doubled"] = effective_beta_doubled(
            subject.model, subject.data, seed=subject.seed, **settings
        )
    return {name: estimate for name, estimate in found.items() if estimate is not None}
