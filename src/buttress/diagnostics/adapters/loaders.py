"""Data in whatever form people have them, as batches that can be read more than once."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from buttress.core.batch import Batch
from buttress.diagnostics.protocol import Batches

__all__ = ["LABELS", "Loaded", "as_tensor", "held", "loaded", "with_conditions"]

INPUTS = (
    "x", "image", "images", "input", "inputs", "pixel_values", "input_ids", "input_values", "data", "features", "X",
)  # fmt: skip
"""Names of x in batches that are dicts."""
LABELS = ("label", "labels", "y", "target", "targets", "class")
"""Names of labels in batches that are dicts."""
ROWS = 256
"""Examples of a batch that is made here."""


@dataclass(frozen=True)
class Loaded:
    """Batches of x, and what came beside x.

    Args:
        batches: A list of tensors or of ``Batch``es, or what the user handed over where it can be read as it is.
        labels: Of all examples, (N, ...), or None.
        beside: Of every batch, all that came with x by name, labels as "label".
        ready: Whether the batches carry their conditions already.
        names: What batches that are dicts call "x" and "label".
    """

    batches: Batches
    labels: Tensor | None = None
    beside: tuple[Mapping[str, Tensor], ...] = ()
    ready: bool = False
    names: Mapping[str, str] = field(default_factory=dict)


def loaded(data: Any) -> Loaded:
    """Data as batches. A loader and a data set are read once and held in memory.

    Args:
        data: A tensor, an array (N, ...) or a frame of columns (N, D), or a dict of such; a ``Dataset`` or a
            ``DataLoader`` of x, (x, y) or dicts; a list of such batches; or anything that gives tensors or ``Batch``es
            whenever it is indexed, which is left as it is.

    Errors:
        ValueError: A batch is none of these.

    Example:
        >>> pairs = DataLoader(torch.utils.data.TensorDataset(torch.zeros(5, 3), torch.arange(5)), batch_size=2)
        >>> found = loaded(pairs)
        >>> [x.shape[0] for x in found.batches], found.labels.tolist()
        ([2, 2, 1], [0, 1, 2, 3, 4])
    """
    data = as_tensor(data)
    if isinstance(data, Mapping):
        data = [data]
    if isinstance(data, Tensor):
        return Loaded(list(data.split(ROWS)) if data.dim() else [data])
    if isinstance(data, DataLoader | Dataset) and not isinstance(data, IterableDataset):
        return _parted(held(data))
    if isinstance(data, list | tuple) and any(isinstance(one, list | tuple | Mapping | np.ndarray) for one in data):
        return _parted(list(data))
    return Loaded(data, ready=True)


def as_tensor(data: Any) -> Any:
    """An array or a frame of columns (pandas, polars) as a tensor; anything else as it is.

    Errors:
        ValueError: It holds something else than numbers.

    Example:
        >>> as_tensor(np.zeros((2, 3))).dtype
        torch.float32
    """
    if not isinstance(data, type) and callable(getattr(data, "to_numpy", None)):
        data = data.to_numpy()
    return _of_array(data) if isinstance(data, np.ndarray) else data


def held(data: Any) -> Any:
    """The batches of a loader or a data set, read once; anything else as it is.

    Whoever reads a loader draws a seed for its workers, and may draw what it augments by. Neither moves the random
    states of the program here, so that a training is the same whether it is watched or not.

    Args:
        data: A ``DataLoader``, a ``Dataset``, or anything else.

    Example:
        >>> state = torch.get_rng_state()
        >>> held(DataLoader(torch.arange(4), batch_size=2, shuffle=True))[0].shape
        torch.Size([2])
        >>> torch.equal(state, torch.get_rng_state())
        True
    """
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        data = DataLoader(data, batch_size=ROWS)
    if not isinstance(data, DataLoader):
        return data
    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            return list(data)
    finally:
        random.setstate(python)
        np.random.set_state(arrays)


def _of_array(array: np.ndarray) -> Tensor:
    """An array as a tensor: float64 as the float32 that models are made of."""
    if array.dtype == np.float64:
        return torch.from_numpy(array.astype(np.float32))
    try:
        return torch.from_numpy(np.ascontiguousarray(array))
    except TypeError as error:
        raise ValueError(
            f"got an array of {array.dtype}, wanted numbers; leave out columns of text or dates, or encode them"
        ) from error


def _parted(raw: list[Any]) -> Loaded:
    """Batches of x and of what came with it."""
    parts = [_part(batch, number) for number, batch in enumerate(raw)]
    if any(isinstance(batch, Batch) for batch in raw):
        return Loaded([Batch(x, beside) for x, beside in parts], ready=True)
    beside = tuple(beside for _, beside in parts)
    labels = [given["label"] for given in beside if "label" in given]
    same = labels and len(labels) == len(parts) and len({label.shape[1:] for label in labels}) == 1
    names = _names(raw[0]) if raw and isinstance(raw[0], Mapping) else {}
    return Loaded([x for x, _ in parts], torch.cat(labels) if same else None, beside, names=names)


def _part(batch: Any, number: int) -> tuple[Any, dict[str, Tensor]]:
    """x of a batch, and what came with it by name; all but x and the labels of a pair must be tensors."""
    if isinstance(batch, Batch):
        return batch.x, dict(batch.given)
    if isinstance(batch, Mapping):
        return _of_mapping(batch, number)
    if isinstance(batch, tuple | list):
        if not 1 <= len(batch) <= 2 or not isinstance(as_tensor(batch[0]), Tensor):
            raise ValueError(
                f"batch {number} is a {type(batch).__name__} of {len(batch)} entries, wanted x or (x, y); "
                "try [x for x, *_ in loader], or dicts with the names 'x' and 'label'"
            )
        label = as_tensor(batch[1]) if len(batch) == 2 else None
        return as_tensor(batch[0]), {"label": label} if isinstance(label, Tensor) and label.dim() else {}
    return as_tensor(batch), {}


def _of_mapping(batch: Mapping[str, Any], number: int) -> tuple[Tensor, dict[str, Tensor]]:
    name = next((name for name in INPUTS if name in batch), None)
    if name is None:
        raise ValueError(
            f"batch {number} has the entries {', '.join(map(str, batch))}, and none is called {', '.join(INPUTS[:6])}; "
            "try [batch['...'] for batch in loader]"
        )
    x = as_tensor(batch[name])
    others = {key: as_tensor(value) for key, value in batch.items() if key != name}
    rows = {k: v for k, v in others.items() if isinstance(v, Tensor) and v.dim() and len(v) == len(x)}
    label = _names(rows).get("label")
    return x, {"label" if key == label else key: value for key, value in rows.items()}


def _names(batch: Mapping[str, Any]) -> dict[str, str]:
    """What a dict calls "x" and "label"."""
    found = (("x", INPUTS), ("label", LABELS))
    return {own: name for own, names in found if (name := next((n for n in names if n in batch), None)) is not None}


def with_conditions(found: Loaded) -> Batches:
    """The batches with what came beside x as conditions.

    Example:
        >>> batches = with_conditions(loaded([(torch.zeros(2, 3), torch.tensor([4, 5]))]))
        >>> batches[0].given["label"].tolist()
        [4, 5]
    """
    if found.ready or not any(found.beside):
        return found.batches
    return [Batch(found.batches[i], beside) for i, beside in enumerate(found.beside)]  # type: ignore[arg-type]
