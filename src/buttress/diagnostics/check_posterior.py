"""Does q(z|x) of an example depend on that example alone, the same way every time?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from buttress.core.batch import Batch
from buttress.diagnostics.protocol import Conditional
from buttress.distributions.inspect import log_density
from buttress.distributions.rows import parameters

__all__ = ["differs", "steady_posterior", "values_of"]

TOLERANCE = 1e-3
"""Mean difference beside the mean size of a parameter: far above the rounding of another batch size, far below what
dropout or batch normalisation change."""


def values_of(q: Distribution) -> Tensor | None:
    """All parameters of q, (B, P) or (P,) where its batch shape is (); None where its family is not known.

    Example:
        >>> values_of(torch.distributions.Normal(torch.zeros(2), 1.0)).tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    found = parameters(q)
    if found is None:
        return None
    lead = len(q.batch_shape)
    return torch.cat([value.double().reshape(*value.shape[:lead], -1) for value in found.tensors.values()], -1)


def differs(one: Tensor | None, other: Tensor | None, tolerance: float = TOLERANCE) -> bool:
    """Whether two answers differ by more than rounding; not where one is not known.

    Example:
        >>> differs(torch.ones(2), torch.ones(2) + 1e-6), differs(torch.ones(2), torch.zeros(2)), differs(None, None)
        (False, True, False)
    """
    if one is None or other is None:
        return False
    size = one.abs().mean() + other.abs().mean()
    return one.shape != other.shape or bool((one - other).abs().mean() > tolerance * size)


def _comparable(q: Distribution, other: Distribution, rows: slice) -> tuple[Tensor, Tensor]:
    """Numbers of q, and of another answer for some of its rows: parameters, or densities at the same z."""
    found, answer = values_of(q), values_of(other)
    if found is not None and answer is not None:
        return found, answer
    z = q.sample()
    return log_density(q, z).double(), log_density(other, z[rows]).double()


def steady_posterior(model: Conditional, batch: Batch, q: Distribution) -> None:
    """Refuse a posterior that answers otherwise when the second half of the examples comes alone.

    Args:
        model: Every callable takes ``given``.
        batch: Some examples.
        q: What the posterior gave for them.

    Errors:
        ValueError: The answers differ.
    """
    half = slice(len(batch) // 2, None)
    part = batch.take(half)
    alone = model.posterior(part.x, part.given)
    found, other = _comparable(q, alone, half)
    if not differs(found[half], other):
        return
    again = model.posterior(batch.x, batch.given)
    if differs(*_comparable(q, again, slice(0, None))):
        raise ValueError(
            "posterior(x) differs from one call to the next: is dropout on in the encoder? Give Adapter(module=...), "
            "or call .eval() on your model first"
        )
    raise ValueError(
        "posterior(x) of an example depends on the other examples of its batch, or on their order: batch normalisation "
        "in training mode (call .eval() first) or without running statistics, or labels that do not come in a last "
        "argument `given`?"
    )
