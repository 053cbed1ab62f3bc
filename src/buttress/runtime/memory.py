"""How much is decoded at once, so that memory stays flat however many examples and samples there are."""

from __future__ import annotations

from torch import Tensor

__all__ = ["ROWS", "pairs_at_once"]

ROWS = 256
"""Most examples looked at together."""
NUMBERS = 2**18
"""Most numbers of x decoded together: the memory of a decoder grows with it."""
TOKEN = 64
"""How many numbers a token or a pixel class counts for: a decoder holds a score for each possible value of it."""


def pairs_at_once(x: Tensor) -> int:
    """How many pairs (sample, example) to decode together.

    Args:
        x: Some of the examples, shape (B, ...).

    Example:
        >>> import torch
        >>> pairs_at_once(torch.zeros(2, 3)), pairs_at_once(torch.zeros(2, 3, 64, 64))
        (256, 21)
    """
    weight = 1 if x.is_floating_point() else TOKEN
    return min(ROWS, max(16, NUMBERS // max(1, weight * x[0].numel())))
