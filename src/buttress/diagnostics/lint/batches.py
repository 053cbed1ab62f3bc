"""What a batch is made of: its x, some of its rows, and the same batch with other tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["first", "replaced", "rows_of"]


def first(batch: Any) -> Tensor:
    """The x of a batch."""
    found = next(iter(batch.values()), batch) if isinstance(batch, Mapping) else batch
    found = next(iter(found), found) if isinstance(found, tuple | list) else found
    if isinstance(found, np.ndarray) or hasattr(found, "to_numpy"):
        raise ValueError(
            f"x of the batch is a {type(found).__name__}, wanted a tensor as the training loop has it; try "
            f"torch.from_numpy(x{'' if isinstance(found, np.ndarray) else '.to_numpy()'}), in the type of the model"
        )
    if not isinstance(found, Tensor) or found.dim() < 1 or len(found) < 1:
        raise ValueError(
            f"the batch gave {type(found).__name__ if not isinstance(found, Tensor) else tuple(found.shape)} for x, "
            "wanted a tensor of one example or more, (x, ...), or a dict with x first; of a loader, one batch: "
            "next(iter(loader))"
        )
    if found.device.type == "meta" or found.layout is not torch.strided:
        raise ValueError("x is on the meta device or sparse, wanted a dense tensor with values, on cpu or cuda")
    return found


def rows_of(value: Any, rows: slice, n: int) -> Any:
    """The same rows of everything in a batch that has n of them."""
    if isinstance(value, Tensor):
        return value[rows] if value.dim() and len(value) == n else value
    if isinstance(value, Mapping):
        return {name: rows_of(one, rows, n) for name, one in value.items()}
    return type(value)(rows_of(one, rows, n) for one in value) if isinstance(value, tuple | list) else value


def replaced(value: Any, by: Mapping[int, Tensor]) -> Any:
    """The same thing with some of its tensors exchanged."""
    if isinstance(value, Tensor):
        return by.get(id(value), value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(replaced(one, by) for one in value))
    if isinstance(value, tuple | list):
        return type(value)(replaced(one, by) for one in value)
    if is_dataclass(value) and not isinstance(value, Mapping | type):
        names = [one.name for one in fields(value) if one.init]
        return replace(value, **{name: replaced(getattr(value, name), by) for name in names})
    changed = copy.copy(value)
    if isinstance(value, Mapping):
        for name in value:
            changed[name] = replaced(value[name], by)
    for name, one in vars(value).items() if hasattr(value, "__dict__") else ():
        if not isinstance(value, Mapping) or isinstance(one, Tensor):  # some dicts have their entries by name as well
            setattr(changed, name, replaced(one, by))
    return changed
