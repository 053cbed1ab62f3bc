r"""Can the log-likelihood be the logarithm of a mass or a density?

A probability mass gives no example more than 1, and different examples together at most one, whatever z:
$\sum_b p(x_b | z) \le 1$. An average over pixels or tokens in place of the sum breaks that, and so does a forgotten
minus. A density may exceed 1, but not everywhere: it falls where x moves far away from all data.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from buttress.core.batch import Batch
from buttress.diagnostics.conditions import RESERVED
from buttress.diagnostics.protocol import Conditional

__all__ = ["check_density"]

SIGN = (
    "is its sign forgotten? log_likelihood wants log p(x|z), which is minus the reconstruction loss (summed over the "
    "places of x)"
)
SUM = "Sum over the places of x (pixels, tokens, columns), and over nothing else"
FAR = (10.0, 100.0)
"""Standard deviations that x is moved by."""


def check_density(model: Conditional, batch: Batch, z: Shaped[Tensor, "S B *event"]) -> None:
    """Refuse what is no log-likelihood of these examples.

    Args:
        model: Every callable takes ``given``.
        batch: Some examples.
        z: Samples of their q.

    Errors:
        ValueError: It is above 0 for examples that have a probability, grows as x moves away from the data, or is
            averaged over places.
    """
    x = batch.x
    if x[0].numel() and (not x.is_floating_point() or _bits(x)):
        _sign_of_mass(model, batch, z)
        _mass(model, batch, z)
        return
    _sign_of_density(model, batch, z)
    if bool(((x >= 0) & (x <= 1)).all()) and bool((model.log_likelihood(x, z, batch.given) > 0).all()):
        _sign_of_mass(model, batch.with_x(x.round()), z)  # a cross-entropy of grey values is linear in x


def _bits(x: Tensor) -> bool:
    """Whether floats are zeros and ones, enough of them for that to be no accident."""
    return x.numel() >= 16 and bool(((x == 0) | (x == 1)).all()) and bool((x != x.flatten()[0]).any())


def _sign_of_mass(model: Conditional, batch: Batch, z: Tensor) -> None:
    """Refuse log-probabilities above 0. Real numbers that are bits may have a density, which is low for other bits."""
    x, value = batch.x, model.log_likelihood(batch.x, z, batch.given)
    if not x.is_floating_point() and bool((value > 1e-3).any()):
        raise ValueError(
            f"log_likelihood is {value.max().item():.4g} for integers x, of which each has a probability of at most 1 "
            f"and so a log-likelihood of at most 0: {SIGN}"
        )
    if x.is_floating_point() and bool((value > 0).all()) and (value.max() - value.min() > 1e-3):
        opposite = _try(model, batch.with_x(1 - x), z)
        if opposite is not None and bool((opposite > 0).all()):
            raise ValueError(
                f"log_likelihood is above 0 for all x of zeros and ones (from {value.min().item():.4g} to "
                f"{value.max().item():.4g}), also for their opposites, and no probability or density is: {SIGN}"
            )


def _sign_of_density(model: Conditional, batch: Batch, z: Tensor) -> None:
    """Refuse a log-density that grows as x moves away from the data: no density does."""
    x = batch.x
    near, spread = model.log_likelihood(x, z, batch.given), x.std(correction=0)
    if not spread > 0:
        return
    noise = torch.randn(x.shape, dtype=x.dtype, device=x.device)
    away = []
    for far in FAR:
        sides = [_try(model, batch.with_x(x + sign * far * spread * noise), z) for sign in (1, -1)]
        if sides[0] is None or sides[1] is None:
            return
        away.append((sides[0] + sides[1]) / 2)
    there, beyond = away
    if bool((there > near).all()) and bool((beyond > there + 1).all()):
        raise ValueError(
            f"log_likelihood grows on average where x moves away from the data ({near.mean():.4g} at x, "
            f"{there.mean():.4g} at ten and {beyond.mean():.4g} at a hundred standard deviations from it), and no "
            f"log-density does: {SIGN}"
        )


def _mass(model: Conditional, batch: Batch, z: Tensor) -> None:
    """Different discrete examples must share a probability of one."""
    x, real = batch.x, batch.x.is_floating_point()
    distinct = x.unique(dim=0)
    if len(distinct) < 4 or x[0].numel() < (16 if real else 2) or (model.takes and set(batch.given) - set(RESERVED)):
        return
    value = _of_one_z(model, distinct, z)
    total = value.double().exp().sum().item()
    # a density of zeros and ones may add up to more than one, but hardly with all its logarithms in [-2, 0]
    if total > 1.01 and bool((value <= 0).all()) and (not real or bool((value > -2).all())):
        raise ValueError(
            f"under one and the same z, log_likelihood gives {len(distinct)} different examples probabilities that add "
            f"up to {total:.3g}, and a probability mass adds up to at most 1. Is it averaged over pixels or tokens? "
            f"{SUM}"
        )


def _of_one_z(model: Conditional, x: Tensor, z: Tensor) -> Float[Tensor, " B"]:
    return model.log_likelihood(x, z[:1, :1].expand(1, len(x), *z.shape[2:]))[0]


def _try(model: Conditional, batch: Batch, z: Tensor) -> Tensor | None:
    """The log-likelihood, or None where the model refuses such x."""
    try:
        return model.log_likelihood(batch.x, z, batch.given)
    except Exception:
        return None
