"""Are the held-out data batches that can be measured? Found out before the model is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from buttress.core.batch import Batch
from buttress.diagnostics.passes import as_batch
from buttress.diagnostics.protocol import Batches

__all__ = ["check_batches"]


def check_batches(batches: Batches) -> None:
    """Refuse what is not a list of tensors, or of batches with what is given.

    Errors:
        ValueError: It is one tensor, can't be indexed, is empty, holds pairs instead of tensors or tensors of different
            rank, differs from one reading to the next, or holds NaN or infinite numbers.

    Example:
        >>> check_batches(torch.zeros(100, 3))
        Traceback (most recent call last):
        ValueError: got one tensor, wanted a list of batches; try [x], or x.split(100)
    """
    if isinstance(batches, Tensor):
        raise ValueError("got one tensor, wanted a list of batches; try [x], or x.split(100)")
    if isinstance(batches, str | bytes | Path):
        raise ValueError(f"got the text {str(batches)!r} for data, wanted the data themselves, read into a tensor")
    if isinstance(batches, type):
        raise ValueError(f"got the class {batches.__name__} for data, wanted a list of batches; try an instance of it")
    if not hasattr(batches, "__len__") or not hasattr(batches, "__getitem__"):
        raise ValueError(
            f"batches is a {type(batches).__name__}, wanted a list of tensors, which can be read many times; try "
            "list(batches), or [x for x, _ in loader] where it gives pairs"
        )
    if not len(batches):
        raise ValueError(
            "got no batches; wanted at least one with two or more examples; an iterator that was read gives no more"
        )
    total, first = 0, batches[0]
    for i in range(len(batches)):
        batch = batches[i]
        x = _tensor(batch, i)
        _shape(batch, x, i, _tensor(first, 0))
        if i == 0 and not torch.equal(x.nan_to_num(), _tensor(first, 0).nan_to_num()):
            raise ValueError("batch 0 differs from one reading to the next; observe (binarise, dequantise) data once")
        _finite(x, i, total, getattr(batches, "missing", False))
        total += len(x)
    if total < 2:
        raise ValueError(f"got {total} example, wanted at least 2 (some hundreds for usable standard errors)")


def _tensor(batch: Any, number: int) -> Tensor:
    """x of a batch."""
    x = batch.x if isinstance(batch, Batch) else batch
    if not isinstance(x, Tensor):
        raise ValueError(f"batch {number} is a {type(x).__name__}, wanted one tensor x; try [x for x, _ in loader]")
    if x.is_complex():
        raise ValueError(f"batch {number} holds complex numbers, wanted real ones; try torch.view_as_real(x)")
    if x.device.type == "meta":
        raise ValueError(f"batch {number} is on the meta device, which holds no values; wanted it on cpu or cuda")
    if x.is_nested or x.layout is not torch.strided:
        try_this = "torch.nested.to_padded_tensor(x, 0.0)" if x.is_nested else "x.to_dense()"
        raise ValueError(f"batch {number} is a tensor that is nested or sparse, wanted a dense one; try {try_this}")
    return x


def _shape(batch: Any, x: Tensor, number: int, first: Tensor) -> None:
    if not x.dim() or not len(x):
        raise ValueError(f"batch {number} has shape {tuple(x.shape)}, wanted (B, ...) with B of 1 or more")
    if x.dim() != first.dim():
        raise ValueError(
            f"batch {number} has shape {tuple(x.shape)} and batch 0 {tuple(first.shape)}, wanted the same number of "
            "dimensions in all; try reshape, squeeze or unsqueeze"
        )
    for name, value in as_batch(batch).given.items():
        if not isinstance(value, Tensor) or value.shape[:1] != x.shape[:1]:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"batch {number}: given[{name!r}] has shape {came} for {len(x)} examples, wanted ({len(x)}, ...)"
            )


def _finite(x: Tensor, number: int, before: int, missing: bool) -> None:
    """Refuse NaN and infinity, naming the first row that holds one; NaN may be what the data say is missing."""
    x = x.nan_to_num(0.0, torch.inf, -torch.inf) if missing and x.is_floating_point() else x
    if not x.is_floating_point() or bool(x.isfinite().all()):
        return
    bad = ~x.isfinite().flatten(1).all(1) if x.dim() > 1 else ~x.isfinite()
    row = int(bad.nonzero()[0])
    what = "NaN" if bool(x[row].isnan().any()) else "an infinite number"
    raise ValueError(
        f"x holds {what} in example {before + row} (row {row} of batch {number}), and in {int(bad.sum())} of the "
        f"{len(x)} examples of that batch; wanted finite numbers; try to drop or fill in such examples"
    )
