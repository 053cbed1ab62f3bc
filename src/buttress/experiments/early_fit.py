"""The early warning fitted to runs, and tested on sets of data that it was not fitted to.

Runs whose end is borderline are left out of the fit and of all scores, and counted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from buttress.diagnostics.monitor.forecast import PARTS, Forecast
from buttress.experiments.early_table import EarlyRun

__all__ = ["Scores", "decided", "fit", "leave_one_out", "reliability", "scores"]

STRENGTH = 1.0
"""C of the regression: the inverse weight of the squares of its standardised coefficients. The default of scikit-learn,
not tuned."""
DRAWS = 2000
"""Of runs with replacement, for errors."""


def decided(runs: Sequence[EarlyRun]) -> list[EarlyRun]:
    """Runs whose end is not borderline."""
    return [run for run in runs if not run.borderline]


def fit(runs: Sequence[EarlyRun]) -> Forecast:
    """A logistic regression with a penalty on the squares of its coefficients.

    Args:
        runs: To fit it to; those whose end is borderline are left out.

    Errors:
        ValueError: All of them end alike.
    """
    from sklearn.linear_model import LogisticRegression

    kept = decided(runs)
    ends = [run.collapsed for run in kept]
    if len(set(ends)) < 2:
        raise ValueError("the runs all end alike, so there is nothing to fit; wanted some collapsed and some not")
    rows = [run.features for run in kept]
    names = list(rows[0])
    x = np.array([[row[name] for name in names] for row in rows])
    mean, scale = x.mean(0), np.where(x.std(0) > 1e-6, x.std(0), 1.0)
    model: Any = LogisticRegression(C=STRENGTH, max_iter=1000).fit((x - mean) / scale, ends)
    found = dict(zip(PARTS, (mean, scale, model.coef_[0], x.min(0), x.max(0)), strict=True))
    columns = {part: dict(zip(names, map(float, column), strict=True)) for part, column in found.items()}
    return Forecast(float(model.intercept_[0]), runs=len(kept), **columns)


def leave_one_out(runs: Sequence[EarlyRun]) -> list[float]:
    """The probability of each run by a fit to all other sets of data, in their order."""
    others = {data: fit([run for run in runs if run.data != data]) for data in dict.fromkeys(r.data for r in runs)}
    return [others[run.data].probability(run.features) for run in runs]


@dataclass(frozen=True)
class Scores:
    """How good probabilities are.

    Args:
        runs: How many were judged.
        collapsed: How many of them end collapsed.
        auroc: The probability that a run that ends collapsed is given a larger p than one that does not, with its
            standard error by drawing runs anew; NaN where all end alike.
        brier: Mean squared error of p.
        brier_of_share: The same of the share of collapsed runs, given to each.
        caught: Collapsed runs with p of at least 1/2.
        false_alarms: Other runs with p of at least 1/2.
    """

    runs: int
    collapsed: int
    auroc: tuple[float, float]
    brier: float
    brier_of_share: float
    caught: int
    false_alarms: int


def scores(runs: Sequence[EarlyRun], probabilities: Sequence[float]) -> Scores:
    """Of runs whose end is not borderline.

    Example:
        >>> rows = [{"state": "collapsed", "borderline": ""}, {"state": "used", "borderline": ""}]
        >>> found = scores([EarlyRun(row) for row in rows] * 10, [0.9, 0.2] * 10)
        >>> found.auroc, round(found.brier, 3), found.caught, found.false_alarms
        ((1.0, 0.0), 0.025, 10, 0)
    """
    kept = [(run.collapsed, p) for run, p in zip(runs, probabilities, strict=True) if not run.borderline]
    ends, p = np.array([end for end, _ in kept], bool), np.array([p for _, p in kept], float)
    share = ends.mean() if len(ends) else math.nan
    return Scores(
        len(kept),
        int(ends.sum()),
        (auroc(ends, p), _error(ends, p)),
        float(((p - ends) ** 2).mean()) if kept else math.nan,
        float(share * (1 - share)),
        int((ends & (p >= 0.5)).sum()),
        int((~ends & (p >= 0.5)).sum()),
    )


def auroc(ends: Any, p: Any) -> float:
    """The share of pairs in order; equal values count half.

    Example:
        >>> auroc(np.array([True, False, False]), np.array([0.5, 0.5, 0.1]))
        0.75
    """
    high, low = p[ends], p[~ends]
    if not len(high) or not len(low):
        return math.nan
    difference = high[:, None] - low[None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def _error(ends: Any, p: Any) -> float:
    random = np.random.default_rng(0)
    drawn = [random.integers(len(ends), size=len(ends)) for _ in range(DRAWS if len(ends) else 0)]
    found = [value for rows in drawn if not math.isnan(value := auroc(ends[rows], p[rows]))]
    return float(np.std(found)) if found else math.nan


def reliability(
    runs: Sequence[EarlyRun], probabilities: Sequence[float], edges: Sequence[float] = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)
) -> list[tuple[float, float, float, int]]:
    """For each range of p with runs in it: mean p, the share that ends collapsed, its error, and the number of runs.

    The error is the binomial one with two more runs of each end, so that 0 of n is not certain.

    Example:
        >>> runs = [EarlyRun({"state": state, "borderline": ""}) for state in ("collapsed", "used")]
        >>> reliability(runs, [0.95, 0.95])[0][:2]
        (0.95, 0.5)
    """
    kept = [(p, run.collapsed) for run, p in zip(runs, probabilities, strict=True) if not run.borderline]
    bins: list[tuple[float, float, float, int]] = []
    for low, high in itertools.pairwise(edges):
        inside = [(p, end) for p, end in kept if low <= p < high or p == high == edges[-1]]
        if inside:
            n, k = len(inside), sum(end for _, end in inside)
            smooth = (k + 2) / (n + 4)
            error = math.sqrt(smooth * (1 - smooth) / (n + 4))
            bins.append((float(np.mean([p for p, _ in inside])), k / n, error, n))
    return bins
