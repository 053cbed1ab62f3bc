r"""Whether a log-likelihood of bits or tokens is averaged over the sites, found from what single changes of x cost.

Of a probability mass p(x|z) over D sites the conditionals are known up to nothing,

$$ p(x_d | x_{-d}, z) = \frac{e^{f(x)}}{\sum_v e^{f(x_{d \to v})}}, \qquad
   \sum_d \mathbb{E} \log p(x_d | x_{-d}, z) \ge \mathbb{E} \log p(x|z) $$

(Han's inequality; equal where sites are independent given z). So a function f that is far above the left-hand side is
no log-mass: an average over D sites changes by a D-th of what it should, its conditionals are nearly even, and their
sum is near -D log V. Only values that occur in the data are tried, which makes the left-hand side larger and hides
faults rather than making them up.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core.batch import Batch
from buttress.diagnostics.evaluation import decode
from buttress.diagnostics.protocol import Conditional

__all__ = ["averaged_mass"]

ROWS, SITES, VALUES = 4, 8, 64
"""Examples, sites of each and values that are tried."""


def averaged_mass(model: Conditional, batch: Batch, z: Tensor) -> tuple[str, ...]:
    """A sentence on a log-likelihood that is averaged; none where it is not, or where x takes other values.

    Args:
        model: Every callable takes ``given``.
        batch: Some examples: zeros and ones, or tokens (B, T) with zeros behind them.
        z: One sample of their q, (1, B, ...).

    Example:
        >>> from types import SimpleNamespace
        >>> mean = SimpleNamespace(log_likelihood=lambda x, z: torch.full(z.shape[:2], -0.69))  # of 64 bits, averaged
        >>> bits = torch.ones(4, 64)
        >>> bits[0] = 0.0
        >>> averaged_mass(Conditional(mean), Batch(bits), torch.zeros(1, 4, 2))[0][:63]
        'log_likelihood is -0.69 nats where the masses of single numbers'
    """
    part = batch.take(slice(0, ROWS))
    flat = part.x.flatten(1)
    tokens = not part.x.is_floating_point()
    said = (
        (flat != 0).long().flip(1).cummax(1).values.flip(1).sum(1)
        if tokens
        else torch.full((len(flat),), flat.shape[1])
    )
    values = batch.x.unique()
    values = values[values != 0][:VALUES] if tokens else values
    if len(flat) < 2 or len(values) < 2 or int(said.min()) < 2:
        return ()
    sites = torch.linspace(0, int(said.min()) - 1, min(int(said.min()), SITES)).round().long().unique()
    try:
        own = torch.stack([_along(model, part, z[:, : len(flat)], int(d), values) for d in sites])
        value = float(model.log_likelihood(part.x, z[:, : len(flat)], part.given).double().mean())
    except Exception:  # such x is outside the support
        return ()
    count = float(said.double().mean())
    total = count * float(own.mean())
    error = 0.0 if len(sites) == count else count * float(own.mean(1).std()) / len(sites) ** 0.5
    if not math.isfinite(total) or total + 4 * error > value - max(1.0, 0.1 * abs(total)):
        return ()
    what = "tokens" if tokens else "numbers"
    return (
        f"log_likelihood is {value:.3g} nats where the masses of single {what} of x add up to {total:.3g} or more: it "
        f"is averaged over the {count:.0f} {what} and not summed over them",
    )


def _along(
    model: Conditional, batch: Batch, z: Tensor, site: int, values: Float[Tensor, " V"] | Int[Tensor, " V"]
) -> Float[Tensor, " B"]:
    """log p(x_d | the other sites, z) of each example, among the values that are tried and its own."""
    b = len(batch)
    row = torch.arange(b).repeat(len(values) + 1)
    x = batch.x.flatten(1)[row]
    x[b:, site] = values.repeat_interleave(b).to(x)
    whole = batch.take(row)
    f = decode(model, x.reshape(whole.x.shape), z[:, row], whole.given)[0].double().reshape(-1, b)
    other = batch.x.flatten(1)[:, site] != values[:, None]
    return f[0] - torch.cat([f[:1], torch.where(other, f[1:], -torch.inf)]).logsumexp(0)
