"""Is there a q(z|x) for every single example? Else which example has none, and what its call said."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from buttress.core.batch import Batch
from buttress.diagnostics.failed_call import first_line
from buttress.diagnostics.passes import Encoded
from buttress.diagnostics.protocol import Conditional
from buttress.distributions.rows import parameters

__all__ = ["check_every_posterior", "check_finite", "failing"]

LOOK = "look for log(0), a division by 0 or an overflow in the encoder at this x, or leave the example out"


def check_every_posterior(data: Encoded) -> None:
    """Refuse an example for which the posterior fails, or has a parameter that is not finite.

    The parameters are remembered, so that the passes that follow need not call the posterior again.

    Args:
        data: Held-out data whose x have been looked at.

    Errors:
        ValueError: There is such an example; the first is named.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Independent, Normal
        >>> log = SimpleNamespace(posterior=lambda x: Independent(Normal(x.log(), 1.0), 1))
        >>> check_every_posterior(Encoded(log, [torch.ones(5, 1), torch.tensor([[1.0], [-1.0]])]))
        Traceback (most recent call last):
        ValueError: posterior(x) failed for example 6 (row 1 of batch 1), whose x is finite: Expected parameter loc ...
    """
    for block in data.blocks():
        (number, rows), *_ = block.parts
        place = int(block.index[0]), int(rows[0]), number
        try:
            q = block.q
        except Exception as error:
            if told := failing(data.asked, block.batch, place, error):
                raise ValueError(told) from error
            raise ValueError(
                f"posterior(x) fails on x of shape {tuple(block.x.shape)}, from example {place[0]} on (row {place[1]} "
                f"of batch {number}): {first_line(error)}; wanted examples shaped as in training"
            ) from error
        check_finite(q, place)


def check_finite(q: Distribution, place: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Refuse parameters that are not finite for some examples; where they are for none, the weights are to blame.

    Args:
        q: Of some examples, batch shape (B,).
        place: Of the first of them its number in the data, its row and its batch.

    Errors:
        ValueError: There is such an example; the first is named.

    Example:
        >>> check_finite(torch.distributions.Normal(torch.tensor([0.0, torch.nan]), 1.0, validate_args=False))
        Traceback (most recent call last):
        ValueError: posterior(x) gives NaN in loc for example 1 (row 1 of batch 0), whose x is finite; ...
    """
    found = parameters(q)
    for name, value in ({} if found is None else found.tensors).items():
        if value.is_floating_point() and (row := _row(name, value)) is not None:
            raise ValueError(f"posterior(x) gives {_what(value, row)} in {name} for {_named(row, place)}; {LOOK}")


def _row(name: str, value: Tensor) -> int | None:
    """The first row that is not finite where others are; logits of minus infinity are a probability of 0."""
    allowed = value == -torch.inf if "logits" in name else torch.zeros_like(value, dtype=torch.bool)
    bad = ~(value.isfinite() | allowed).reshape(len(value), -1).all(1)
    return int(bad.nonzero()[0]) if bad.any() and not bad.all() else None


def _what(value: Tensor, row: int) -> str:
    return "NaN" if bool(value[row].isnan().any()) else "an infinite number"


def _named(row: int, place: tuple[int, int, int]) -> str:
    """An example, from the number of the first of its block, the row of that and its batch."""
    example, first, batch = place
    return f"example {example + row} (row {first + row} of batch {batch}), whose x is finite"


def failing(model: Conditional, batch: Batch, place: tuple[int, int, int], error: BaseException) -> str:
    """What to say where the posterior fails for one example of several, and not for others; empty where for all.

    Args:
        model: Every callable takes ``given``.
        batch: The examples.
        place: Of the first of them its number in the data, its row and its batch.
        error: What the call for all of them raised.
    """
    if not isinstance(error, ValueError):  # only what torch says of parameters
        return ""
    low, high = 0, len(batch)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fails(model, batch, slice(low, middle)) else (middle, high)
    if not _fails(model, batch, slice(low, high)) or all(
        _fails(model, batch, slice(r, r + 1)) for r in _some(len(batch))
    ):
        return ""
    said = " ".join(str(error).split())[:60]
    return f"posterior(x) failed for {_named(low, place)}: {said} ...; {LOOK}"


def _some(n: int) -> list[int]:
    return torch.linspace(0, n - 1, min(n, 8)).long().tolist()


def _fails(model: Conditional, batch: Batch, rows: slice) -> bool:
    part = batch.take(rows)
    try:
        model.posterior(part.x, part.given)
    except Exception:
        return len(part) > 0
    return False
