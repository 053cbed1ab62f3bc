"""Data that people have in memory, or behind a loader: written once to the cache, so that a run can find them again.

A run must be able to read its data later, to resume or to be measured. So arrays are stored under a name that is a hash
of their values, and used like files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
        data: A data part; a path or name; a tensor or NumPy array (N, ...); a list of sentences; or a ``Dataset`` or
            ``DataLoader`` that gives x, (x, y) or dicts.

    Errors:
        ValueError: It is something else, holds no examples, or examples of different shapes.

    Example:
        >>> as_data(torch.rand(50, 1, 4, 4)).name(), as_data(np.random.rand(50, 3)).name(), as_data("mnist5k").name()
        ('images', 'table', 'mnist5k')
    """
    if isinstance(data, Data):
        return data
    if isinstance(data, str | Path):
        return detect(str(data))
    if isinstance(data, Tensor | np.ndarray):
        return _stored(np.asarray(torch.as_tensor(data).detach().cpu()), None)
    if _are_texts(data):
        return _texts(list(data))
    if hasattr(data, "__iter__") or hasattr(data, "__getitem__"):
        return _collected(data)
    raise ValueError(
        f"data is a {type(data).__name__}, wanted a path, a name, a tensor, an array, a list of sentences, a Dataset "
        "or a DataLoader"
    )


def _are_texts(data: Any) -> bool:
    return isinstance(data, list | tuple) and len(data) > 0 and all(isinstance(one, str) for one in data)


def _texts(lines: list[str]) -> Data:
    text = "".join(f"{' '.join(line.split())}\n" for line in lines)
    path = _folder() / f"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}.txt"
    if not path.exists():
        write_text(path, text)
    return detect(str(path))


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
    labels = np.concatenate(ys) if len(ys) == len(xs) else None
    return _stored(np.concatenate(xs), labels)


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
        yield (x[None], None if y is None else np.asarray(y).reshape(1)) if single else (x, y)


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
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"an item of the data is a {type(value).__name__}, wanted a tensor or an array") from error


def _folder() -> Path:
    folder = cache_dir() / "in_memory"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _stored(x: Array, labels: Array | None) -> Data:
    """A data part over arrays, which are written where no equal ones lie yet."""
    digest = hashlib.blake2b(
        repr((x.shape, x.dtype, None if labels is None else labels.dtype)).encode(), digest_size=12
    )
    for array in (x,) if labels is None else (x, labels):
        digest.update(np.ascontiguousarray(array).data)
    path = _folder() / f"{digest.hexdigest()}.{'npy' if labels is None else 'npz'}"
    if not path.exists():
        replace_file(path, lambda scratch: _save(scratch, x, labels))
    return detect(str(path), **({} if labels is None else _label_setting(x)))


def _save(path: Path, x: Array, labels: Array | None) -> None:
    with path.open("wb") as file:  # a file, not a path, to which NumPy would add an ending
        if labels is None:
            np.save(file, x)
        else:
            np.savez(file, x=x, label=labels)


def _label_setting(x: Array) -> dict[str, str]:
    return {"labels_key": "label"} if x.ndim > 2 else {"label": "label"}
