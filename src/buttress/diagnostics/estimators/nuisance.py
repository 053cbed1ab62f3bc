r"""Does z say more of an example than a number anyone can read off it: its length, its brightness, its loudness?

s(x) is a function of x, so what z says splits into what it says of s and what it says beyond it,

$$ I(x; z) = I(s; z) + I(x; z|s) $$

and $R^2$ is how much of the variance of E[z|x] the best smooth prediction from s explains. Among examples of the same s
information would be that of z beyond s, but a continuous s is never the same twice. So z is moved by $E[z|s]$, which is
a bijection given s: with $r = z - f(s)$ for any f

$$ I(x; z|s) = I(x; r|s) = I(x; r) - I(s; r) \le I(x; r), \qquad I(x; z|s) \le I(x; r|g(s)) \le I(x; r) $$

with equality where the noise about f does not depend on s. That is measured as mutual information is, for q(z|x) moved
by -f(s(x)), beside all other examples and beside those in the same of some groups g(s). The smaller bound counts, if it
is not small because its groups are (their ceiling). f is never fitted to the example that it moves: a bad fit leaves
information that is none, and never takes any away.

What is simple need not be unwanted: where a table has one common factor, the mean of a row is that factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.diagnostics.aggregate import Aggregate
from buttress.diagnostics.conditions import large_groups
from buttress.diagnostics.estimate import Estimate, mean, ratio, short
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.mutual_information import densities
from buttress.diagnostics.evaluation import choose, evaluating
from buttress.diagnostics.passes import Block, count, passes
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.smooth_fit import predicted
from buttress.diagnostics.statistics_of_x import statistics_of
from buttress.distributions.inspect import is_discrete, mean_of
from buttress.distributions.rows import WEIGHTS, parameters

__all__ = ["beyond_nuisance", "explained"]

PLACES = ("loc", "low", "high")
"""Parameters that move with z."""
GROUPS, EACH = 20, 50
"""Groups of a continuous statistic, and examples in each, at least."""
BELOW_CEILING = 2.0
"""Nats that information among small groups must stay below its ceiling: it falls short by a few hundredths then."""
ENOUGH = 2000
"""Examples that a diagnosis compares for it, at most."""
WIDEST = 4096
"""Coordinates of z up to which it is fitted."""


def beyond_nuisance(
    model: Model,
    batches: Batches,
    kind: str,
    *,
    weight: Float[Tensor, " J"] | None = None,
    examples: int | None = 5000,
    seed: int = 0,
    within: Int[Tensor, " N"] | None = None,
) -> dict[str, Estimate]:
    """``nuisance_r2`` and ``information_beyond_nuisance``; nothing where no statistic or no mean of q is known.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        kind: Of the data, which says what is simple; see :func:`buttress.diagnostics.statistics_of_x.statistics_of`.
        weight: Of each coordinate of z in R^2; None for the same. Its own information is a good one.
        examples: N, at most: a random choice of the data where there is more.
        seed: Of the choice and the noise.
        within: Group of each example, to measure what z tells beyond the group too.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(4, 1).double(), torch.zeros(4).double(), 1.0)  # E[z|x] is the row mean
        >>> found = beyond_nuisance(model.vae(), [model.sample(500)[0]], "table")
        >>> round(found["nuisance_r2"].value, 2), found["nuisance_r2"].note[:8]
        (1.0, 'row mean')
        >>> abs(found["information_beyond_nuisance"].value) < 0.02
        True
    """
    with evaluating(model, seed) as asked:
        keep = choose(count(batches), examples, seed)
        blocks = list(passes(asked, batches, keep=keep))
        statistics = statistics_of(kind, blocks)
        if not statistics:
            return {}
        if within is not None and keep is not None:
            within = within[keep]
        if is_discrete(blocks[0].q):
            return _of_codes(blocks, statistics, seed, within)
        return _of_numbers(blocks, statistics, weight, seed, within)


def _of_numbers(
    blocks: list[Block],
    statistics: Mapping[str, Tensor],
    weight: Tensor | None,
    seed: int,
    within: Tensor | None,
) -> dict[str, Estimate]:
    """Both numbers for a z of real numbers."""
    rows = [None if (m := mean_of(block.q)) is None else m.double().flatten(1).cpu() for block in blocks]
    known = [row for row in rows if row is not None]
    if len(known) < len(rows) or known[0].shape[1] > WIDEST:
        return {}
    m = torch.cat(known)
    weight = torch.ones(m.shape[1]).double() if weight is None else weight
    alone = {name: explained(m, predicted(m, [s]), weight) for name, s in statistics.items()}
    best = max(alone, key=lambda name: alone[name].value or 0.0)
    fit = predicted(m, list(statistics.values())) if len(statistics) > 1 else predicted(m, [statistics[best]])
    together = explained(m, fit, weight)
    if together.value is None:
        return {"nuisance_r2": together}
    several = f"; {' and '.join(statistics)} together: {short(together.value)}" if len(statistics) > 1 else ""
    share = replace(alone[best], note=f"{best} explains this share of the variance of E[z|x]{several}")
    moved = [
        part for block, f in zip(blocks, fit.split([len(b) for b in blocks]), strict=True) if (part := _moved(block, f))
    ]
    if len(moved) < len(blocks):
        return {"nuisance_r2": share}
    found = _bound(moved, _bins(statistics[best]), seed, within)
    return {
        "nuisance_r2": share,
        "information_beyond_nuisance": replace(
            found, note=f"of z where {' and '.join(statistics)} is known; {found.note}"
        ),
    }


def _of_codes(
    blocks: list[Block], statistics: Mapping[str, Tensor], seed: int, within: Tensor | None
) -> dict[str, Estimate]:
    """Codes can't be moved: those of examples with about the same s are compared."""
    found = {name: _information(blocks, _crossed(_bins(s), within), seed) for name, s in statistics.items()}
    best = min(found, key=lambda name: found[name].value or 0.0)
    note = f"of the codes where {best} is about the same; {found[best].note}"
    return {"information_beyond_nuisance": replace(found[best], note=note)}


def explained(m: Float[Tensor, "N J"], fit: Float[Tensor, "N J"], weight: Float[Tensor, " J"]) -> Estimate:
    """R^2 of a prediction, the mean over coordinates by weight.

    Args:
        m: Means of q.
        fit: Their predictions.
        weight: Of each coordinate.

    Example:
        >>> m = torch.tensor([[0.0], [1.0], [2.0]]).double()
        >>> explained(m, m, torch.ones(1).double()).value, explained(m, torch.ones(3, 1).double(), torch.ones(1)).value
        (1.0, 0.0)
    """
    variance = m.var(0)
    moving = (variance > 0) & (weight > 0)
    if not moving.any():
        return Estimate(None, None, len(m), "cross-fitted", note="no mean of q moves with x")
    share = (weight[moving] / weight[moving].sum()) / variance[moving]
    left = ((m - fit)[:, moving].square() * share).sum(1)
    whole = ((m - m.mean(0))[:, moving].square() * share).sum(1)
    value, error = ratio(left, whole)
    return Estimate(1 - value, error, len(m), "cross-fitted", 1.0)


def _moved(block: Block, f: Float[Tensor, "B J"]) -> Block | None:
    """The same examples with q(z + f|x), in float64; None where the family does not say what moves it."""
    found = parameters(block.q)
    if found is None or not set(PLACES) & set(found.tensors):
        return None
    by = f.reshape(len(block), *block.q.event_shape)
    by = by[:, None] if WEIGHTS in found.tensors else by
    tensors: dict[str, Any] = {
        name: value.double() - by.to(value.device) if name in PLACES else value.double()
        for name, value in found.tensors.items()
    }
    part = Block(block.data, block.parts, block.index)
    part._q = found.make(tensors)
    return part


def _bound(moved: list[Block], bins: Int[Tensor, " N"], seed: int, within: Tensor | None) -> Estimate:
    """The smaller of the two bounds, as far as ceilings allow it."""
    whole = _information(moved, within, seed)
    grouped = _information(moved, _crossed(bins, within), seed)
    value, ceiling = grouped.value or 0.0, grouped.ceiling or 0.0
    return grouped if value < min(whole.value or 0.0, ceiling - BELOW_CEILING) else whole


def _information(blocks: list[Block], group: Int[Tensor, " N"] | None, seed: int) -> Estimate:
    aggregate = Aggregate(blocks, group)
    terms = torch.cat([(own - mixed).mean(0).cpu() for _, _, own, mixed in densities(aggregate, 1, seed)])
    sizes = f"N = {aggregate.n}" + ("" if group is None else f" in {aggregate.groups} groups")
    return mean(terms, "all pairs", aggregate.ceiling, f"an upper bound; {sizes}")


def _crossed(bins: Int[Tensor, " N"], within: Tensor | None) -> Int[Tensor, " N"]:
    """Groups of both."""
    if within is None:
        return bins
    return torch.stack([bins, within.to(bins)], 1).unique(dim=0, return_inverse=True)[1]


def _bins(s: Float[Tensor, " N"]) -> Int[Tensor, " N"]:
    """Examples of about the same s: of each value where enough examples share it, else between quantiles."""
    shared = large_groups(s.unique(return_inverse=True)[1])
    if shared is not None:
        return shared
    parts = max(1, min(GROUPS, len(s) // EACH))
    return torch.bucketize(s, s.quantile(torch.linspace(0, 1, parts + 1)[1:-1].to(s)).unique())


@estimator("mutual information")
def measure(subject: Subject) -> dict[str, Estimate]:
    """What z says beyond simple statistics of x."""
    return beyond_nuisance(
        subject.model,
        subject.data,
        subject.kind,
        weight=subject.kept.get("unit information"),
        examples=min(subject.settings["mi_examples"] or ENOUGH, ENOUGH),
        seed=subject.seed,
        within=subject.within,
    )
