"""Examples for people to look at: samples, reconstructions, draws of one z, interpolations, traversals.

Two files in a run's folder, so that a report can be made again at any time:

- ``examples.safetensors`` for images (uint8: N × C × H × W, rows of examples R × T × C × H × W), tables and waves
  (float32: N × D, rows R × T × D) and frames (N × L × D), with the kind and all names in its metadata;
- ``examples.json`` for sentences (lists of strings, rows a list of such lists).

Rows are draws of one z, interpolations and traversals. A file may lack any part, as those of older runs do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from buttress.runtime.atomic_write import replace_file, write_text
from buttress.runtime.plain_data import load_json, parse_json
from buttress.runtime.safe_files import regular

__all__ = ["Kind", "ReportExamples", "gather", "load_examples", "pixels", "save_examples"]

Kind = Literal["image", "text", "table", "wave", "frames"]
KINDS = ("image", "text", "table", "wave", "frames")
DIMENSIONS = {"image": 4, "frames": 3}
"""Of an array of examples, where they are not two."""
PARTS = ("samples", "originals", "reconstructions", "interpolations", "uniform_samples", "draws", "mean_samples",
         "mean_reconstructions", "traversals")  # fmt: skip
ROWS = ("interpolations", "draws", "traversals")
"""Parts of which each entry is several examples."""
NAMES = ("columns", "traversed", "words", "offset", "sound")
"""What else is saved: lists, empty where they are not needed."""


@dataclass(frozen=True)
class ReportExamples:
    """What was saved, ready to be shown; None where there is none.

    Args:
        kind: "image", "text", "table", "wave" or "frames".
        samples: x ~ p(x|z), z ~ p(z): an array of N examples, or N strings.
        originals: Held-out examples.
        reconstructions: x ~ p(x|z), z ~ q(z|original), one for each original.
        interpolations: R walks of T steps from one z to another.
        columns: Names of a table's columns.
        uniform_samples: As samples, but z of codes drawn uniformly, where the prior is a learned one over codes.
        draws: R rows, each a held-out example and then several x ~ p(x|z) of one and the same z ~ q(z|example).
        mean_samples: The mean of p(x|z), z ~ p(z).
        mean_reconstructions: The mean of p(x|z) at the mean of q(z|original), one for each original.
        traversals: R rows, in each of which one dimension of one z is moved.
        traversed: What each row of the traversals moves.
        words: For each column of a table the names of its categories, none where it holds numbers.
        offset: For each column what is to be added to its numbers.
        sound: Of sound, samples a second; of log-mel frames also the samples of a window and of a hop. Frames are NaN
            behind the end of an example.
    """

    kind: str
    samples: Any = None
    originals: Any = None
    reconstructions: Any = None
    interpolations: Any = None
    columns: tuple[str, ...] = ()
    uniform_samples: Any = None
    draws: Any = None
    mean_samples: Any = None
    mean_reconstructions: Any = None
    traversals: Any = None
    traversed: tuple[str, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    offset: tuple[float, ...] = ()
    sound: tuple[int, ...] = ()


def save_examples(folder: str | Path, kind: Kind, **given: Any) -> Path:
    """Write examples into a run's folder; gives the file.

    Args:
        folder: The run's folder; made where it is not there.
        kind: "image", "text", "table", "wave" or "frames".
        given: As for :func:`gather`.

    Errors:
        ValueError: As :func:`gather`.
        OSError: The folder cannot be written; an earlier file is still there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_examples(folder, "text", samples=["the food was good"])
        ...     load_examples(folder).samples
        ['the food was good']
    """
    examples = gather(kind, **given)
    found = {name: value for name in PARTS if (value := getattr(examples, name)) is not None}
    names = {name: getattr(examples, name) for name in NAMES}
    Path(folder).mkdir(parents=True, exist_ok=True)
    if kind == "text":
        path = Path(folder) / "examples.json"
        write_text(path, json.dumps({"format": 1, "kind": kind, **names, **found}, ensure_ascii=False, indent=1))
        return path
    path = Path(folder) / "examples.safetensors"
    metadata = {"format": "1", "kind": kind, **{name: json.dumps(value) for name, value in names.items()}}
    replace_file(path, lambda scratch: save_file(found, scratch, metadata))
    return path


def gather(kind: Kind, **given: Any) -> ReportExamples:
    """Examples to show or to save.

    Args:
        kind: "image", "text", "table", "wave" or "frames".
        given: The fields of :class:`ReportExamples` but ``kind``: images (N, C, H, W), rows (N, D), N strings, waves
            (N, L) or frames (N, L, D); for parts made of rows (R, T, ...). Images are 0 to 255, or fractions of white
            where none is above 1 (so Bernoulli images may come as they are). Tensors and arrays both serve.

    Errors:
        ValueError: A part is unknown, has a shape that its kind has not, or originals and reconstructions differ in
            number.

    Example:
        >>> gather("image", samples=[[[[0.0, 1.0]]]]).samples.tolist()
        [[[[0, 255]]]]
    """
    names = {name: _tuples(given.pop(name)) for name in NAMES if name in given}
    return ReportExamples(kind, **_checked(kind, given), **names)


def _tuples(names: Any) -> tuple[Any, ...]:
    return tuple(tuple(name) if isinstance(name, list) else name for name in names)


def load_examples(folder: str | Path) -> ReportExamples | None:
    """The examples in a run's folder, or None where it has none.

    Errors:
        ValueError: The file is not one that :func:`save_examples` wrote.
    """
    text, arrays = Path(folder) / "examples.json", Path(folder) / "examples.safetensors"
    if text.exists():
        plain = load_json(text)
        names = {key: _tuples(plain.get(key) or ()) for key in NAMES}
        return ReportExamples("text", **{name: _sentences(name, plain.get(name)) for name in PARTS}, **names)
    return _load_arrays(regular(arrays)) if arrays.exists() else None


def _sentences(name: str, value: Any) -> Any:
    """Strings, or rows of strings, as they were written; None where there are none."""
    rows = value if name in ROWS else [value]
    if value is not None and not all(isinstance(row, list) and all(isinstance(s, str) for s in row) for row in rows):
        raise ValueError(f"expected lists of sentences, got other {name}")
    return value


def _load_arrays(path: Path) -> ReportExamples:
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in file.keys() if name in PARTS}  # noqa: SIM118 - not a dict
    except Exception as error:  # safetensors raises its own, which is no ValueError
        raise ValueError(f"examples are not readable: {error}") from error
    kind, names = metadata.get("kind", "image"), {key: _names(metadata, key) for key in NAMES}
    for name, array in found.items():
        _check_shape(kind, name, array, len(names["columns"]))
    return ReportExamples(kind, **found, **names)


def _names(metadata: dict[str, str], key: str) -> tuple[Any, ...]:
    plain = parse_json(metadata.get(key, "[]"), key)
    if not isinstance(plain, list):
        raise ValueError(f"expected a list of {key}, got {plain!r}")
    return _tuples(plain)


def _check_shape(kind: str, name: str, array: np.ndarray, columns: int) -> None:
    """Refuse what :func:`save_examples` would not have written."""
    if kind not in KINDS or not array.size or array.ndim != DIMENSIONS.get(kind, 2) + (name in ROWS):
        raise ValueError(f"expected {name} of examples, got shape {array.shape} of kind {kind!r}")
    if kind == "table" and columns not in (0, array.shape[-1]):
        raise ValueError(f"expected {name} of {columns} columns, got shape {array.shape}")


def _checked(kind: str, parts: dict[str, Any]) -> dict[str, Any]:
    """The parts that are there, as strings, bytes of pixels or float32."""
    if kind not in KINDS:
        raise ValueError(f"expected examples of kind {', '.join(KINDS)}, got {kind!r}")
    if unknown := parts.keys() - set(PARTS):
        raise ValueError(f"unknown examples {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    found = {name: _prepare(kind, name, value) for name, value in parts.items() if value is not None and len(value)}
    wanted = len(found.get("originals", ()))
    for name in ("reconstructions", "mean_reconstructions"):
        if (got := len(found.get(name, ()))) != wanted and (got or name == "reconstructions"):
            raise ValueError(f"expected a reconstruction for each original, got {wanted} originals and {got} {name}")
    return found


def _prepare(kind: str, name: str, value: Any) -> Any:
    rows = name in ROWS
    if kind == "text":
        return [[str(s) for s in row] for row in value] if rows else [str(s) for s in value]
    array = value.detach().float().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype=np.float32)
    wanted = {"image": 4, "frames": 3}.get(kind, 2) + rows
    if array.ndim != wanted:
        raise ValueError(f"expected {name} with {wanted} dimensions for kind {kind!r}, got shape {array.shape}")
    return pixels(array) if kind == "image" else np.ascontiguousarray(array, dtype=np.float32)


def pixels(array: np.ndarray) -> np.ndarray:
    """Grey levels 0 to 255; images in which nothing is above 1 are fractions of white."""
    array = np.nan_to_num(array)
    return np.ascontiguousarray((array * (255 if array.max() <= 1 else 1)).round().clip(0, 255).astype(np.uint8))
