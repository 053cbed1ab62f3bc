"""What is given beside x: which of it a model reads, and which examples have the same.

What z tells beyond a condition is measured among examples of an equal condition, where conditions are whole numbers and
enough examples share each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from buttress.core.batch import Given
from buttress.diagnostics.passes import Encoded

__all__ = ["MEMBERS", "RESERVED", "condition_numbers", "large_groups", "with_others"]

RESERVED = ("index", "lengths")
"""Names in ``given`` that are no conditions."""
MEMBERS = 20
"""Examples of an equal condition that can be compared: information up to log 20 = 3 nats can be seen among them."""
SHARE = 0.8
"""Of all examples, that must be in such groups."""
NUMBERS = 64
"""Most numbers of a condition that can be expected to be equal for several examples."""


def condition_numbers(data: Encoded, names: Sequence[str]) -> Int[Tensor, " N"] | None:
    """A number for each example, the same where all conditions are equal; None where they are no whole numbers.

    Args:
        data: Held-out data.
        names: Of the conditions.

    Example:
        >>> from types import SimpleNamespace
        >>> from buttress.core.batch import Batch
        >>> batch = Batch(torch.zeros(3, 2), {"label": torch.tensor([7, 5, 7])})
        >>> condition_numbers(Encoded(SimpleNamespace(), [batch]), ["label"]).tolist()
        [1, 0, 1]
    """
    rows: list[Tensor] = []
    for i in range(len(data)):
        given = data[i].given
        row = torch.cat([given[name].reshape(len(data[i]), -1).double().cpu() for name in names], 1)
        if row.shape[1] > NUMBERS or (row != row.round()).any() or (rows and row.shape[1] != rows[0].shape[1]):
            return None
        rows.append(row)
    return torch.cat(rows).unique(dim=0, return_inverse=True)[1]


def large_groups(numbers: Int[Tensor, " M"]) -> Int[Tensor, " M"] | None:
    """The same numbers with -1 for groups of fewer than :data:`MEMBERS`; None where most examples are in such.

    Example:
        >>> large_groups(torch.tensor([0] * 90 + [1] * 3)).unique().tolist(), large_groups(torch.arange(90))
        ([-1, 0], None)
    """
    _, which, often = numbers.unique(return_inverse=True, return_counts=True)
    kept = torch.where(often[which] >= MEMBERS, numbers, -1)
    return kept if (kept >= 0).double().mean() >= SHARE else None


def with_others(given: Given, name: str, donors: Given) -> Given:
    """What is given with one condition taken from other examples, in the opposite order.

    Example:
        >>> with_others({"label": torch.tensor([1, 2])}, "label", {"label": torch.tensor([5, 6, 7])})["label"].tolist()
        [7, 6]
    """
    n = len(given[name])
    return {**given, name: donors[name].flip(0)[torch.arange(n) % len(donors[name])]}
