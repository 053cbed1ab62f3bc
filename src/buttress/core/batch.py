"""What flows in: examples x, and what is known beside each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["EMPTY", "Batch", "Given", "known", "rows_of"]

Given = Mapping[str, Tensor]
"""What is known beside x, by name; row b belongs to example b. Reserved: "index", which training example it is, and
"lengths", its true length along the first place axis."""

EMPTY: Given = MappingProxyType({})
"""Nothing is given."""


@dataclass(frozen=True)
class Batch:
    """Examples and what is given with them.

    Args:
        x: What is modelled, shape (B, ...).
        given: What is known beside it, each of shape (B, ...).

    Example:
        >>> batch = Batch(torch.zeros(3, 2), {"label": torch.tensor([4, 5, 6])})
        >>> len(batch), batch.take(torch.tensor([2, 0])).given["label"].tolist(), batch.lengths
        (3, [6, 4], None)
    """

    x: Tensor
    given: Given = field(default_factory=lambda: EMPTY)

    def __len__(self) -> int:
        """Number of examples B."""
        return len(self.x)

    @property
    def index(self) -> Int[Tensor, " B"] | None:
        """Which examples of the data these are."""
        return self.given.get("index")

    @property
    def lengths(self) -> Int[Tensor, " B"] | None:
        """True lengths along the first place axis."""
        return self.given.get("lengths")

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(self.x.to(device), {name: value.to(device) for name, value in self.given.items()})

    def take(self, rows: Any) -> Batch:
        """Some of the rows: a slice, a mask, or their numbers."""
        return Batch(self.x[rows], rows_of(self.given, rows))

    def with_x(self, x: Tensor) -> Batch:
        """Another x with the same conditions."""
        return replace(self, x=x)


def rows_of(given: Given, rows: Any) -> Given:
    """The rows of everything given.

    Example:
        >>> rows_of({"label": torch.tensor([4, 5, 6])}, slice(1, 3))["label"].tolist()
        [5, 6]
    """
    return {name: value[rows] for name, value in given.items()} if given else given


def known(given: Given, name: str, reader: str) -> Tensor:
    """The value of a name that ``reader`` needs.

    Errors:
        ValueError: It is not given.

    Example:
        >>> known({"label": torch.tensor([4])}, "speaker", "embedding condition")
        Traceback (most recent call last):
        ValueError: embedding condition: needs 'speaker' for every example, and only 'label' is given; pass given=...
    """
    if name not in given:
        there = ", ".join(map(repr, given)) or "nothing"
        raise ValueError(
            f"{reader}: needs {name!r} for every example, and only {there} is given; pass given={{{name!r}: ...}}"
        )
    return given[name]
