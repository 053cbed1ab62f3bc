r"""What looks wrong with a log-likelihood without being certain to be: noted, and not refused.

Given z, a density that is a product over the columns of x equals the product of its conditional densities, each of
which is found by normalising along one column,

$$ \log p(x|z) = \sum_d \log p(x_d | x_{-d}, z), \qquad
   \log p(x_d | x_{-d}, z) = -\log \int \exp\bigl(f(x_{d \to t}) - f(x)\bigr) \, \mathrm{d}t $$

so a function f far above the right-hand side has lost its constants, or is an average over columns. Of bits and tokens
see :mod:`buttress.diagnostics.check_masses`.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from buttress.core.batch import Batch
from buttress.diagnostics.check_masses import averaged_mass
from buttress.diagnostics.evaluation import decode
from buttress.diagnostics.protocol import Conditional

__all__ = ["remarks"]

ROWS, COLUMNS = 4, 8
"""Examples and columns that are looked at."""
LEAST_SPREAD = 0.3
"""Of a pixel, beside that of all: one that is the same in all examples is moved too."""
LINEAR = 1e-3
"""Of its change along a column: what a function may bend and still be linear."""
ROUNDED = 1e-5
"""Of its value: what rounding may bend it by."""
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
    if not x.is_floating_point():
        return (*_padding(model, batch, z[:1]), *averaged_mass(model, batch, z[:1])) if x.dim() == 2 else ()
    if bool(((x == 0) | (x == 1)).all()):
        return averaged_mass(model, batch, z[:1])
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
    """Compare a log-density with the sum of those along single columns, or single pixels."""
    flat = batch.x.reshape(len(batch.x), -1)
    if len(batch) < 2 or ((flat == 0) | (flat == 1)).all():  # zeros and ones may have a mass
        return ()
    rows, columns = ROWS if batch.x.dim() == 2 else 2, flat.shape[1]
    part = batch.take(slice(0, rows))
    some = torch.linspace(0, columns - 1, min(columns, COLUMNS)).round().long().unique()
    spread = flat.std(0).clamp(min=LEAST_SPREAD * float(flat.std()) if batch.x.dim() > 2 else 0.0)
    try:
        own = torch.stack([_along(model, part, z[:, :rows], int(d), float(spread[d])) for d in some])
        value = model.log_likelihood(part.x, z[:, :rows], part.given).double().mean()
    except Exception:  # such x is outside the support
        return ()
    total = columns * own.mean()
    error = 0.0 if len(some) == columns else columns * own.mean(1).std() / len(some) ** 0.5
    if not total.isfinite() or columns < 2 or total + 4 * error > value - max(1.0, 0.1 * float(total.abs())):
        return ()
    what = "columns" if batch.x.dim() == 2 else "numbers"
    return (
        f"log_likelihood is {value:.3g} nats where the densities along single {what} of x add up to {total:.3g}: "
        f"unless {what} depend on each other given z, it is averaged over the {columns} {what} and not summed over "
        "them, or it lacks the constants of a density (log sigma)",
    )


def _along(model: Conditional, batch: Batch, z: Tensor, column: int, spread: float) -> Float[Tensor, " B"]:
    """log p(x_d | the other columns, z) by the trapezoid rule, on steps that grow with the distance from x_d.

    An average over D pixels falls sqrt(D) times as slowly, so one goes that much further. NaN where f does not fall on
    both sides, or is linear: a cross-entropy of grey values is no density over all real numbers.
    """
    image, b, size = batch.x.dim() > 2, len(batch), batch.x[0].numel()
    reach = 9.0 + (math.log(16 * size) / 2 if image else 0.0)
    away = torch.linspace(-reach, reach, 2 * round(reach / 0.15) + 1, dtype=torch.float64).sinh() * spread / 50
    row = torch.arange(b).repeat(len(away))
    x = batch.x.flatten(1)[row]
    x[:, column] += away.repeat_interleave(b).to(x)
    whole = batch.take(row)
    f = decode(model, x.reshape(whole.x.shape), z[:, row], whole.given)[0].reshape(-1, b)
    if (image and bool((f[[0, -1]] > f[len(away) // 2] - 1).any())) or _linear(f):
        return f[0] * torch.nan
    return f[len(away) // 2] - (torch.trapezoid((f - f.amax(0)).exp(), away, dim=0).log() + f.amax(0))


def _linear(f: Float[Tensor, "T B"]) -> bool:
    """Whether f is linear in x for some example: it is then the logarithm of no density."""
    low, middle, high = f[0], f[len(f) // 2], f[-1]
    bent = (low + high - 2 * middle).abs()
    return bool((bent <= LINEAR * (high - low).abs() + ROUNDED * middle.abs()).any())
