r"""How far the coordinates of z are from independent of each other, over all data together.

$$ \mathrm{TC} = \mathrm{KL}\Bigl(q(z) \Big\| \prod_j q(z_j)\Bigr)
   = E_{q(z)} \Bigl[ \log q(z) - \sum_j \log q(z_j) \Bigr], \qquad q(z) = \frac1N \sum_m q(z|x_m) $$

No discriminator is asked: q(z|x) is a product of normals, so both densities are mixtures of the q of all N examples,
summed exactly; only z is drawn, one for each example. Minibatch-weighted sampling puts the q of M examples in place of
all N. As published the weights are 1 / NM, which makes TC of independent coordinates about (D − 1) log N; the
stratified weights, 1/N for the q that z was drawn from and (N − 1) / N(M − 1) for the others, leave only the bias that
the logarithm of a noisy mean has, and with M = N none. So all N are used where that is affordable.

Bias that remains: it is TC of these N examples. Where they are few for what z tells (information near log N), q(z) is
made of bumps that the margins do not show, and TC is too large. A lower bound for all data that the examples may stand
for leaves each z's own q out of q(z), and keeps it in the margins,

$$ \mathrm{TC} \ge E \Bigl[ \log \frac{1}{N-1} \sum_{m \ne n} q(z_n|x_m)
   - \sum_j \log \frac1N \sum_m q(z_{nj}|x_m) \Bigr] $$

since the logarithm is concave. Where both agree there are examples enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, evaluating
from buttress.diagnostics.passes import count, passes
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import normal
from buttress.runtime.randomness import noise

__all__ = ["TotalCorrelation", "total_correlation"]

PAIRS = 2**20
"""Pairs of an example and a component that are held at once."""
EXAMPLES, WIDEST = 2000, 64
"""Examples that a diagnosis compares, and coordinates of z, at most."""
FEW = "the lower bound for all data is below 0 and says nothing"
NOT_NORMAL = "q(z|x) is no product of normals, whose margins would be known"


@dataclass(frozen=True)
class TotalCorrelation:
    """What was found.

    Args:
        estimate: Of the examples, in nats.
        at_least: The lower bound for all data that they stand for.
    """

    estimate: Estimate
    at_least: Estimate


def total_correlation(
    model: Model,
    batches: Batches,
    *,
    examples: int | None = 5000,
    minibatch: int | None = None,
    stratified: bool = True,
    seed: int = 0,
) -> TotalCorrelation:
    """TC of the aggregate of all q, and its lower bound.

    Source: Chen, Li, Grosse and Duvenaud, Isolating Sources of Disentanglement in VAEs, 2018, for minibatches.

    Args:
        model: Keeps the protocol; q is a product of normals.
        batches: Held-out data.
        examples: N, at most: a random choice of the data where there is more. None for all.
        minibatch: M, components that each z is compared with, its own and random others; None for all N.
        stratified: Weights without a bias of their own; false for the published 1 / NM. Matters for minibatches alone.
        seed: Of the choice and the draws.

    Errors:
        ValueError: A minibatch of fewer than 2 or more than N.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> from torch import eye, zeros
        >>> model = LinearGaussian(eye(2).double(), zeros(2).double(), 1.0)  # z has two coordinates, unrelated
        >>> print(total_correlation(model.vae(), [model.sample(2000)[0]]).estimate)
        0.0012 ± 0.0006
    """
    with evaluating(model, seed) as asked:
        keep = choose(count(batches), examples, seed)
        blocks = list(passes(asked, batches, keep=keep))
        found = [base for block in blocks if (base := normal(block.q)) is not None]
        if len(found) < len(blocks):
            nothing = Estimate(None, None, count(batches), "left out", note=NOT_NORMAL)
            return TotalCorrelation(nothing, nothing)
        loc, scale = (
            torch.cat([getattr(q, name).flatten(1).double().cpu() for q in found]) for name in ("loc", "scale")
        )
        index = torch.cat([block.index for block in blocks])
        e = noise(index, 1, loc.shape[1:], seed, "total correlation")[0].double().cpu()
    n, m = len(loc), minibatch or len(loc)
    if not 2 <= m <= n:
        raise ValueError(f"total_correlation: minibatch is {m} for {n} examples, wanted 2 to {n}, or None for all")
    if m == n:
        return _of_all(loc, scale, e)
    return _of_minibatches(loc, scale, e, m, stratified, seed)


def _of_all(loc: Float[Tensor, "N D"], scale: Float[Tensor, "N D"], e: Float[Tensor, "N D"]) -> TotalCorrelation:
    """Every z beside every q.

    The error is the spread of what each z adds, as if the mixtures were known, which is the spread over data sets.
    """
    n, d = loc.shape
    terms, others = [], []
    for at in torch.arange(n).split(max(1, PAIRS // n)):
        joint, margins = torch.zeros(len(at), n).double(), torch.zeros(len(at)).double()
        for j in range(d):
            pairs = _pairs(loc, scale, e, at, j)
            joint += pairs
            margins += pairs.logsumexp(1)
        terms.append(joint.logsumexp(1) - margins)
        apart = joint.scatter(1, at[:, None], -torch.inf).logsumexp(1)
        others.append(apart - margins + math.log(n / (n - 1)))
    constant = (d - 1) * math.log(n)
    value, low = torch.cat(terms) + constant, torch.cat(others) + constant
    method, note = f"all pairs of {n} examples", FEW if low.mean() < 0 else ""
    return TotalCorrelation(mean(value, method, note=note), mean(low, method, note=note))


def _pairs(loc: Tensor, scale: Tensor, e: Tensor, at: Int[Tensor, " C"], j: int) -> Float[Tensor, "C N"]:
    """log q(z_j|x_m) of all m, for the z_j that noise e made of the q of the examples ``at``."""
    apart = loc[at, j, None] - loc[:, j] + (scale[at, j] * e[at, j])[:, None]
    return -0.5 * (apart / scale[:, j]).square() - (scale[:, j].log() + 0.5 * math.log(2 * math.pi))


def _of_minibatches(
    loc: Float[Tensor, "N D"], scale: Float[Tensor, "N D"], e: Float[Tensor, "N D"], m: int, stratified: bool, seed: int
) -> TotalCorrelation:
    """Every z beside its own q and m - 1 others, drawn for it alone."""
    n, generator = len(loc), torch.Generator().manual_seed(seed)
    weight = torch.full((m,), -math.log(n * m)).double()
    if stratified:
        weight = torch.full((m,), math.log((n - 1) / (n * (m - 1)))).double()
        weight[0] = -math.log(n)
    terms = []
    for at in torch.arange(n).split(max(1, PAIRS // (m * loc.shape[1]))):
        others = torch.rand(len(at), n - 1, generator=generator).argsort(1)[:, : m - 1]
        beside = torch.cat([at[:, None], others + (others >= at[:, None])], 1)
        apart = loc[at, None] - loc[beside] + (scale[at] * e[at])[:, None]
        pairs = -0.5 * (apart / scale[beside]).square() - scale[beside].log() - 0.5 * math.log(2 * math.pi)
        joint = (pairs.sum(2) + weight).logsumexp(1)
        terms.append(joint - (pairs + weight[:, None]).logsumexp(1).sum(1))
    how = "stratified" if stratified else "minibatch-weighted"
    found = mean(torch.cat(terms), f"{how}, {m} of {n} examples at a time")
    return TotalCorrelation(found, Estimate(None, None, n, found.method, note="known of all pairs alone"))


@estimator("mutual information")
def measure(subject: Subject) -> dict[str, Estimate]:
    """Both, where z is made of several real numbers whose q is a product of normals."""
    base = normal(next(subject.data.blocks(rows=1)).q)
    if base is None or not 2 <= base.loc[0].numel() <= WIDEST:
        return {}
    examples = min(subject.settings["mi_examples"] or EXAMPLES, EXAMPLES)
    found = total_correlation(subject.model, subject.data, examples=examples, seed=subject.seed)
    return {"total_correlation": found.estimate, "total_correlation_at_least": found.at_least}
