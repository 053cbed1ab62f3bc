"""Dropout that is the same for one process and for N that share a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.runtime.randomness import draw

__all__ = ["Dropout", "check_dropout"]


class Dropout(nn.Module):
    """Zero each number with probability ``rate`` and divide the others by 1 - rate, in training only.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> drop = Dropout(0.5)
        >>> drop(torch.ones(2, 1000), (2,)).unique().tolist(), drop.eval()(torch.ones(2), (2,)).tolist()
        ([0.0, 2.0], [1.0, 1.0])
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, numbers: Float[Tensor, "*rest"], lead: Sequence[Any]) -> Float[Tensor, "*rest2"]:
        """Drop some.

        Args:
            numbers: With the dimensions ``lead`` in front, or these laid in a row.
            lead: The batch; its last dimension runs over the examples that this process has. Whole numbers, or what
                stands for them while a network is exported.
        """
        if self.rate == 0 or not self.training:
            return numbers
        shape = (*lead, numbers.numel() // math.prod(lead))
        kept = draw(torch.rand, shape, len(lead) - 1).reshape(numbers.shape).to(numbers.device) >= self.rate
        return numbers * kept / (1 - self.rate)


def check_dropout(owner: str, rate: float) -> None:
    """Refuse a rate at which nothing is left.

    Example:
        >>> check_dropout("mlp decoder", 1.0)
        Traceback (most recent call last):
        ValueError: mlp decoder: dropout is 1.0, wanted at least 0 and below 1
    """
    if not 0 <= rate < 1:
        raise ValueError(f"{owner}: dropout is {rate}, wanted at least 0 and below 1")
