"""Whether all data lies in a likelihood's support, asked before training starts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from buttress.core import Examples, Splits

__all__ = ["check_support"]


def check_support(splits: Splits, check: Callable[[Tensor], None], batch_size: int = 256) -> None:
    """Run a likelihood's ``check`` over every example, a batch at a time.

    Args:
        splits: The data.
        check: Raises ValueError for raw data it cannot take, as ``LikelihoodModule.check`` does.
        batch_size: Examples looked at together.

    Errors:
        ValueError: What ``check`` said, with the file and row of the first example it refuses.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> splits = LinearGaussianData(dim=3, n=50).open()
        >>> check_support(splits, Bernoulli().build(splits.spec).check)
        Traceback (most recent call last):
        ValueError: linear_gaussian data, row 0 (from 0): got the value ... wanted uint8, or floats in [0, 1]; ...
    """
    for examples in (splits.train, splits.held_out):
        for index in torch.arange(len(examples)).split(batch_size):
            try:
                check(examples.batch(index))
            except ValueError as error:
                raise _located(examples, index, check, error) from error


def _located(examples: Examples, index: Tensor, check: Callable[[Tensor], None], error: ValueError) -> ValueError:
    for position in index:
        try:
            check(examples.batch(position[None]))
        except ValueError as single:
            return ValueError(f"{_name(examples, int(position))}: {single}")
    return error  # no single example is at fault


def _name(examples: Examples, position: int) -> str:
    where = getattr(examples, "where", None)
    return str(where(position)) if callable(where) else f"example {position}"
