"""Examples for people to look at: samples, originals with their reconstructions, draws of one z, interpolations.

Two files in a run's folder, so that a report can be made again at any time:

- ``examples.safetensors`` for images (uint8: N × C × H × W, rows of examples R × T × C × H × W) and
  tables (float32: N × D, rows R × T × D), with the kind and the column names in its metadata;
- ``examples.json`` for sentences (lists of strings, rows a list of such lists).

Rows are interpolations and draws of one z. A file may lack any part, as those of older runs do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from buttress.runtime.atomic_write import replace_file, write_text

__all__ = ["Kind", "ReportExamples", "load_examples", "pixels", "save_examples"]

Kind = Literal["image", "text", "table", "wave", "frames"]
PARTS = ("samples", "originals", "reconstructions", "interpolations", "uniform_samples", "draws")
ROWS = ("interpolations", "draws")
"""Parts of which each entry is several examples."""
KINDS = ("image", "text", "table")


@dataclass(frozen=True)
class ReportExamples:
    """What was saved, ready to be shown; None where there is none.

    Args:
        kind: "image", "text" or "table".
        samples: x ~ p(x|z), z ~ p(z): an array of N examples, or N strings.
        originals: Held-out examples.
        reconstructions: x ~ p(x|z), z ~ q(z|original), one for each original.
        interpolations: R walks of T steps from one z to another.
        columns: Names of a table's columns.
        uniform_samples: As samples, but z of codes drawn uniformly, where the prior is a learned one over codes.
        draws: R rows, each a held-out example and then several x ~ p(x|z) of one and the same z ~ q(z|example).
        words: For each column of a table the names of its categories, none where it holds numbers.
        offset: For each column what is to be added to its numbers.
    """

    kind: str
    samples: Any = None
    originals: Any = None
    reconstructions: Any = None
    interpolations: Any = None
    columns: tuple[str, ...] = ()
    uniform_samples: Any = None
    draws: Any = None
    words: tuple[tuple[str, ...], ...] = ()
    offset: tuple[float, ...] = ()


def save_examples(
    folder: str | Path,
    kind: Kind,
    samples: Any = None,
    originals: Any = None,
    reconstructions: Any = None,
    interpolations: Any = None,
    columns: Sequence[str] = (),
    uniform_samples: Any = None,
    draws: Any = None,
    words: Sequence[Sequence[str]] = (),
    offset: Sequence[float] = (),
) -> Path:
    """Write examples into a run's folder; gives the file.

    Args:
        folder: The run's folder; made where it is not there.
        kind: "image", "text" or "table".
        samples: Images (N, C, H, W), rows (N, D), or N strings. Images are 0 to 255, or fractions of white where none
            is above 1 (so Bernoulli images may come as they are). Tensors and arrays both serve.
        originals: The same.
        reconstructions: As many as originals.
        interpolations: R walks of T examples: (R, T, C, H, W), (R, T, D), or R lists of T strings.
        columns: Names of the D columns of a table.
        uniform_samples: As samples.
        draws: R rows, each an example and then draws of one z, in the form of interpolations.
        words: Names of the categories of each column of a table.
        offset: What is to be added to the numbers of each column.

    Errors:
        ValueError: An unknown kind, a wrong number of dimensions, or reconstructions that don't match the originals.
        OSError: The disk is full or the folder cannot be written; an earlier file is still there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_examples(folder, "text", samples=["the food was good"])
        ...     load_examples(folder).samples
        ['the food was good']
    """
    if kind not in KINDS:
        raise ValueError(f"examples of kind {kind!r}, wanted one of {', '.join(KINDS)}")
    given = dict(zip(PARTS, (samples, originals, reconstructions, interpolations, uniform_samples, draws), strict=True))
    found = {name: _prepare(kind, name, value) for name, value in given.items() if value is not None and len(value)}
    sizes = [len(found.get(name, ())) for name in ("originals", "reconstructions")]
    if sizes[0] != sizes[1]:
        raise ValueError(f"{sizes[0]} originals and {sizes[1]} reconstructions, wanted one for each")
    Path(folder).mkdir(parents=True, exist_ok=True)
    if kind == "text":
        path = Path(folder) / "examples.json"
        write_text(path, json.dumps({"format": 1, "kind": kind, **found}, ensure_ascii=False, indent=1))
        return path
    path = Path(folder) / "examples.safetensors"
    listed = {"columns": list(columns), "words": list(map(list, words)), "offset": list(offset)}
    metadata = {"format": "1", "kind": kind, **{name: json.dumps(value) for name, value in listed.items()}}
    replace_file(path, lambda scratch: save_file(found, scratch, metadata))
    return path


def load_examples(folder: str | Path) -> ReportExamples | None:
    """The examples in a run's folder, or None where it has none.

    Errors:
        ValueError: The file is not one that :func:`save_examples` wrote.
    """
    text, arrays = Path(folder) / "examples.json", Path(folder) / "examples.safetensors"
    if text.is_file():
        plain = json.loads(text.read_text(encoding="utf-8"))
        return ReportExamples("text", **{name: plain.get(name) for name in PARTS})
    return _load_arrays(arrays) if arrays.is_file() else None


def _load_arrays(path: Path) -> ReportExamples:
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in file.keys() if name in PARTS}  # noqa: SIM118 - not a dict
    except Exception as error:  # safetensors raises its own, which is no ValueError
        raise ValueError(f"examples are not readable: {error}") from error
    listed = {name: json.loads(metadata.get(name, "[]")) for name in ("columns", "words", "offset")}
    words = tuple(map(tuple, listed["words"]))
    kind, columns, offset = metadata.get("kind", "image"), tuple(listed["columns"]), tuple(listed["offset"])
    return ReportExamples(kind, **found, columns=columns, words=words, offset=offset)


def _prepare(kind: str, name: str, value: Any) -> Any:
    """Strings, bytes of pixels or float32, as the kind wants them."""
    rows = name in ROWS
    if kind == "text":
        return [[str(s) for s in row] for row in value] if rows else [str(s) for s in value]
    array = value.detach().float().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype=np.float32)
    wanted = (4 if kind == "image" else 2) + rows
    if array.ndim != wanted:
        raise ValueError(f"{name} have shape {array.shape}, wanted {wanted} dimensions for kind {kind!r}")
    return pixels(array) if kind == "image" else np.ascontiguousarray(array, dtype=np.float32)


def pixels(array: np.ndarray) -> np.ndarray:
    """Grey levels 0 to 255; images in which nothing is above 1 are fractions of white."""
    array = np.nan_to_num(array)
    return np.ascontiguousarray((array * (255 if array.max() <= 1 else 1)).round().clip(0, 255).astype(np.uint8))
