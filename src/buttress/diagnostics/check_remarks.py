r"""What looks wrong with a log-likelihood without being certain to be: noted, and not refused.

Given z, a density that is a product over the columns of x equals the product of its conditional densities, each of
which is found by normalising along one column,

$$ \log p(x|z) = \sum_d \log p(x_d | x_{-d}, z), \qquad
   \log p(x_d | x_{-d}, z) = -\log \int \exp\bigl(f(x_{d \to t}) - f(x)\bigr) \, \mathrm{d}t $$

so a function f far above the right-hand side has lost its constants, or is an average over columns.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from buttress.core.batch import Batch
from buttress.diagnostics.protocol import Conditional

__all__ = ["remarks"]

ROWS, COLUMNS = 4, 8
"""Examples and columns that are looked at."""
PADDED = 2
"""Zeros that are put behind sentences."""


def remarks(model: Conditional, batch: Batch, z: Shaped[Tensor, "S B *event"]) -> tuple[str, ...]:
    """Sentences on a log-likelihood that counts padding, or that is no logarithm of a density of columns.

    Args:
        model: Every callable takes ``given``.
        batch: Some examples.
        z: Samples of their q.
    """
    x = batch.x
    if x.dim() != 2:
        return ()
    if not x.is_floating_point():
        return _padding(model, batch, z[:1])
    return () if len(x) < 2 or torch.equal(x, x.round()) else _scale(model, batch, z[:1])  # whole numbers have a mass


def _padding(model: Conditional, batch: Batch, z: Tensor) -> tuple[str, ...]:
    """Where zeros stand at the ends of sentences alone, more of them should cost nothing."""
    x = batch.x
    behind = (x == 0).flip(1).long().cumprod(1).flip(1).bool()
    if not torch.equal(behind, x == 0) or not behind.any():
        return ()
    longer = batch.with_x(torch.cat([x, torch.zeros_like(x[:, :1]).expand(-1, PADDED)], 1))
    try:
        change = (model.log_likelihood(longer.x, z, longer.given) - model.log_likelihood(x, z, batch.given)).mean()
    except Exception:  # a model of sentences of one length
        return ()
    if change.abs() < 0.01:
        return ()
    return (
        f"log_likelihood counts padding: {PADDED} more zeros behind each sentence change it by {change:.3g} nats; "
        "where 0 is padding, mask it, or distortion, ELBO and perplexity depend on how sentences are batched",
    )


def _scale(model: Conditional, batch: Batch, z: Tensor) -> tuple[str, ...]:
    """Compare a log-density of columns with the sum of those along single columns."""
    if len(batch) < 2 or ((batch.x == 0) | (batch.x == 1)).all():  # zeros and ones may have a mass
        return ()
    part, columns = batch.take(slice(0, ROWS)), batch.x.shape[1]
    some = torch.linspace(0, columns - 1, min(columns, COLUMNS)).round().long().unique()
    spread = batch.x.std(0)
    try:
        own = torch.stack([_along(model, part, z[:, :ROWS], int(d), float(spread[d])) for d in some])
        value = model.log_likelihood(part.x, z[:, :ROWS], part.given).double().mean()
    except Exception:  # such x is outside the support
        return ()
    total = columns * own.mean()
    error = 0.0 if len(some) == columns else columns * own.mean(1).std() / len(some) ** 0.5
    if not total.isfinite() or columns < 2 or total + 4 * error > value - max(1.0, 0.1 * float(total.abs())):
        return ()
    return (
        f"log_likelihood is {value:.3g} nats where the densities along single columns of x add up to {total:.3g}: "
        f"unless columns depend on each other given z, it is averaged over the {columns} columns and not summed over "
        "them, or it lacks the constants of a density (log sigma)",
    )


def _along(model: Conditional, batch: Batch, z: Tensor, column: int, spread: float) -> Float[Tensor, " B"]:
    """log p(x_d | the other columns, z) by the trapezoid rule, on steps that grow with the distance from x_d."""
    away = torch.linspace(-9, 9, 121, dtype=torch.float64).sinh() * spread / 50
    f = []
    for step in away.tolist():
        x = batch.x.clone()
        x[:, column] += step
        f.append(model.log_likelihood(x, z, batch.given).double()[0])
    values = torch.stack(f)
    return values[len(away) // 2] - (
        torch.trapezoid((values - values.amax(0)).exp(), away, dim=0).log() + values.amax(0)
    )
