"""Data that people have in memory, or behind a loader: written once to the cache, so that a run can find them again.

A run must be able to read its data later, to resume or to be measured. So arrays are stored under a name that is a hash
of their values, and used like files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import torch
from torch import Tensor

from buttress.core import Data
from buttress.data.reading.memory import Array, cache_dir
from buttress.data.source import detect
from buttress.runtime.atomic_write import replace_file, write_text

__all__ = ["as_data", "pairs"]

X_NAMES = ("x", "image", "images", "input", "inputs", "pixel_values", "data", "features", "input_ids", "text")
Y_NAMES = ("y", "label", "labels", "target", "targets")
"""The keys under which dicts of a loader are looked for, in this order."""


def as_data(data: Any) -> Data:
    """The data part for what a user gave.

    Args:
        data: A data part; a path or name; a tensor, NumPy array or list of lists (N, ...); a table of pandas; a list or
            array of sentences; a dict such as {"x": ..., "label": ...}; or a ``Dataset`` or ``DataLoader`` that gives
            x, (x, y) or dicts.

    Errors:
        ValueError: It is something else, holds no examples, or examples of different shapes.

    Example:
        >>> as_data(torch.rand(50, 1, 4, 4)).name(), as_data(np.random.rand(50, 3)).name(), as_data("mnist5k").name()
        ('images', 'table', 'mnist5k')
    """
    if isinstance(data, Data):
        return data
    if isinstance(data, str | bytes | Path):
        return detect(os.fsdecode(data))
    if hasattr(data, "to_csv") and hasattr(data, "columns"):
        return _written(data.to_csv(index=False), "csv", header=True)
    if isinstance(data, np.ndarray) and data.ndim == 1 and data.dtype.kind in "OU":
        data = data.tolist()
    if _are_texts(data):
        return _written("".join(f"{' '.join(line.split())}\n" for line in data), "txt")
    if isinstance(data, Mapping):
        return _stored(*_split(data))
    if isinstance(data, Tensor | np.ndarray) or _are_rows(data):
        return _stored(_array(data), None)
    if hasattr(data, "__iter__") or hasattr(data, "__getitem__"):
        return _collected(data)
    raise ValueError(
        f"data is a {type(data).__name__}, wanted a path, a name, a tensor, an array, a list of sentences, a Dataset "
        "or a DataLoader"
    )


def _are_texts(data: Any) -> bool:
    return isinstance(data, list | tuple) and len(data) > 0 and all(isinstance(one, str) for one in data)


def _are_rows(data: Any) -> bool:
    """Whether it is a list of lists of numbers."""
    return (
        isinstance(data, list | tuple)
        and len(data) > 0
        and all(
            isinstance(row, list | tuple) and len(row) and all(isinstance(x, int | float | list) for x in row)
            for row in data
        )
    )


def _written(text: str, ending: str, **options: Any) -> Data:
    path = _folder() / f"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}.{ending}"
    if not path.exists():
        write_text(path, text)
    return detect(str(path), **options)


def _collected(data: Any) -> Data:
    xs: list[Array] = []
    ys: list[Array] = []
    for x, y in pairs(data):
        xs.append(x)
        if y is not None:
            ys.append(y)
    if not xs:
        raise ValueError("the data hold no examples, wanted some hundreds")
    if len({x.shape[1:] for x in xs}) > 1:
        raise ValueError("the examples differ in shape; bring them to one, or give a folder of files")
    if 0 < len(ys) < len(xs):
        warn(f"y came with {len(ys)} of {len(xs)} batches, and was left out; wanted it with all or none", stacklevel=4)
    same = len(ys) == len(xs) and len({y.shape[1:] for y in ys}) == 1
    return _stored(np.concatenate(xs), np.concatenate(ys) if same else None)


def pairs(data: Any) -> Iterator[tuple[Array, Array | None]]:
    """(x, y) of every batch of a loader, or of every example of a dataset as a batch of one; y may be None.

    Errors:
        ValueError: An item is no tensor, pair or dict with a known key.

    Example:
        >>> [(x.shape, y) for x, y in pairs([{"image": torch.zeros(4, 3)}])]
        [((4, 3), None)]
    """
    loader = isinstance(data, torch.utils.data.DataLoader)
    single = not loader and isinstance(data, torch.utils.data.Dataset)
    for item in data if hasattr(data, "__iter__") else (data[i] for i in range(len(data))):
        x, y = _split(item)
        yield (x[None], None if y is None else np.asarray(y)[None]) if single else (x, y)


def _split(item: Any) -> tuple[Array, Array | None]:
    if isinstance(item, Mapping):
        x = _first(item, X_NAMES)
        if x is None:
            raise ValueError(
                f"an item of the data has the keys {', '.join(map(str, item))}, wanted one of {', '.join(X_NAMES)}"
            )
        return _array(x), _optional(_first(item, Y_NAMES))
    if isinstance(item, list | tuple):
        return _array(item[0]), _optional(item[1]) if len(item) > 1 else None
    return _array(item), None


def _first(item: Mapping[Any, Any], names: Iterable[str]) -> Any:
    return next((item[name] for name in names if name in item), None)


def _optional(value: Any) -> Array | None:
    return None if value is None else _array(value)


def _array(value: Any) -> Array:
    """The numbers of a tensor, an array, or nested lists.

    Errors:
        ValueError: It holds something else, or nothing at all.

    Example:
        >>> _array(torch.ones(2, dtype=torch.bfloat16)).dtype, _array([[1, 2], [3, 4]]).shape
        (dtype('float32'), (2, 2))
    """
    if isinstance(value, Tensor):
        if value.is_meta:
            raise ValueError(
                "the data are a tensor on the meta device, which holds no values; wanted one on cpu or cuda"
            )
        dense = value.detach().cpu().to_dense()
        return (dense.float() if dense.dtype == torch.bfloat16 else dense).numpy()
    try:
        array = np.asarray(value)
        array = array.astype(float) if array.dtype.kind == "O" else array
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the data hold a {type(value).__name__} that is no array of numbers ({error}); wanted a tensor or an array"
        ) from error
    if array.dtype.kind not in "biufUS":
        raise ValueError(
            f"the data are an array of {array.dtype}, wanted numbers; try a table of its columns (pandas.DataFrame)"
        )
    return array


def _folder() -> Path:
    folder = cache_dir() / "in_memory"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _stored(x: Array, labels: Array | None) -> Data:
    """A data part over arrays, which are written where no equal ones lie yet."""
    if x.ndim not in (2, 3, 4):
        raise ValueError(
            f"the data have shape {x.shape}; wanted (N, columns) for a table, and (N, H, W), (N, C, H, W) or "
            "(N, H, W, C) for images"
        )
    if x.size and x.dtype.kind == "f" and np.isnan(x).all():
        raise ValueError("the data are NaN throughout; wanted numbers")
    labels = None if labels is None else _classes(labels, len(x))
    digest = hashlib.blake2b(
        repr((x.shape, x.dtype, None if labels is None else labels.dtype)).encode(), digest_size=12
    )
    for array in (x,) if labels is None else (x, labels):
        digest.update(np.ascontiguousarray(array).data)
    path = _folder() / f"{digest.hexdigest()}.{'npy' if labels is None else 'npz'}"
    if not path.exists():
        replace_file(path, lambda scratch: _save(scratch, x, labels))
    return detect(str(path), **({} if labels is None else _label_setting(x)))


def _classes(y: Array, rows: int) -> Array | None:
    """y where it is one class for each example; None where it is something else."""
    if y.shape == (rows, 1):
        y = y[:, 0]
    if y.shape == (rows,) and (y.dtype.kind in "biuUS" or (y == np.round(y)).all()):
        return y if y.dtype.kind != "f" else y.astype(np.int64)
    warn(
        f"y of shape {y.shape} and type {y.dtype} is not one class for each example, and was left out; labels are "
        "whole numbers or words of shape (N,)",
        stacklevel=5,
    )
    return None


def _save(path: Path, x: Array, labels: Array | None) -> None:
    with path.open("wb") as file:  # a file, not a path, to which NumPy would add an ending
        if labels is None:
            np.save(file, x)
        else:
            np.savez(file, x=x, label=labels)


def _label_setting(x: Array) -> dict[str, str]:
    return {"labels_key": "label"} if x.ndim > 2 else {"label": "label"}
