"""Whether data are those that a run was trained on, whatever file they are in and whenever it was written."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from buttress.core import Examples, Splits

__all__ = ["fingerprint"]

EXAMPLES, NUMBERS = 512, 2**22
"""Most examples, and about how many numbers, that are read of each split."""


def fingerprint(splits: Splits) -> str:
    """A hash of the values of some examples of each split, of what is given with them, and of labels and factors.

    All examples are read where there are few; else some at equal distances, so that rows which were added, removed or
    put in another order change it too.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> one, same, other = (LinearGaussianData(n=50, seed=seed).open() for seed in (0, 0, 1))
        >>> fingerprint(one) == fingerprint(same), fingerprint(one) == fingerprint(other)
        (True, False)
    """
    digest = hashlib.blake2b(digest_size=16)
    for examples in (splits.train, splits.held_out):
        digest.update(str(len(examples)).encode())
        for index in _sample(examples):
            row = examples.read(index[None])  # by itself, so that no padding depends on its neighbours
            for name, value in {"x": row.x, **row.given}.items():
                _add(digest, name, value)
    if splits.labels is not None:
        _add(digest, "labels", splits.labels)
    if splits.factors is not None:
        _add(digest, f"factors {splits.factors.names}", splits.factors.values)
    return digest.hexdigest()


def _sample(examples: Examples) -> Tensor:
    if not len(examples):
        return torch.arange(0)
    size = examples.batch(torch.zeros(1, dtype=torch.long)).numel()
    count = min(len(examples), EXAMPLES, max(16, NUMBERS // size))
    return torch.linspace(0, len(examples) - 1, count, dtype=torch.float64).round().long()


def _add(digest: hashlib.blake2b, name: str, value: Tensor) -> None:
    plain = value.detach().cpu().contiguous()
    digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
    digest.update(plain.numpy().tobytes())
