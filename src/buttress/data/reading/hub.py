"""Hugging Face datasets: a folder written by ``save_to_disk``, a folder of parquet files, or a name on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from buttress.core.registry import suggest
from buttress.data.reading.cells import PEEK
from buttress.data.reading.memory import Array, file_key
from buttress.data.reading.open_picture import open_picture
from buttress.data.reading.records import sentence_columns
from buttress.runtime.safe_files import expanded

__all__ = [
    "blocks",
    "class_names",
    "fingerprint",
    "image_column",
    "is_dataset",
    "labels",
    "load",
    "open_image",
    "text_column",
    "undecoded",
]

_PREFIX = "hf:"


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds such a dataset.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     before = is_dataset(Path(folder))
        ...     Path(folder, "train-00000-of-00001.parquet").touch()
        ...     before, is_dataset(Path(folder))
        (False, True)
    """
    saved = any((folder / name).is_file() for name in ("dataset_dict.json", "dataset_info.json", "state.json"))
    return saved or any(folder.glob("*.parquet"))


def load(path: str, subset: str | None) -> Any:
    """The ``datasets.Dataset`` of one split.

    Args:
        path: A folder or a name on the hub ("owner/name", or "hf:name").
        subset: The split; None for any, to see what the dataset holds.

    Errors:
        ValueError: There is no such dataset or split, or the hub cannot be reached.

    Example:
        >>> import tempfile, datasets
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = datasets.Dataset.from_dict({"text": ["so it is", "so be it"]})
        ...     datasets.DatasetDict({"train": data}).save_to_disk(folder)
        ...     load(folder, "train")["text"][1]
        'so be it'
    """
    import datasets  # takes a second to import, and most runs need none

    folder = expanded(path)
    if not folder.is_dir():
        return _from_hub(path, subset)
    if any(folder.glob("*.parquet")):
        return _from_parquet(folder, subset)
    try:
        with _quiet():
            found = datasets.load_from_disk(str(folder))
    except Exception as error:  # a library of many formats has many exceptions
        raise ValueError(f"{path}: not readable as a dataset ({_brief(error)}); try save_to_disk again") from error
    return _split(found, path, subset) if isinstance(found, datasets.DatasetDict) else found


def _from_parquet(folder: Path, subset: str | None) -> Any:
    import datasets

    files = sorted(folder.glob("*.parquet"))
    named = [f for f in files if f.name.startswith(subset or "")]  # train-00000-of-00002.parquet
    if not named and subset != "train":
        raise ValueError(f"{folder}: no parquet file is named {subset}*; it has {', '.join(f.name for f in files[:5])}")
    try:
        with _quiet():
            return datasets.Dataset.from_parquet([str(f) for f in named or files], keep_in_memory=False)
    except Exception as error:
        raise ValueError(f"{folder}: parquet files not readable ({_brief(error)}); try writing them again") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and log lines of the library while this lasts: what is wrong is said once, by us."""
    import datasets

    bars, level = not datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()


def _from_hub(path: str, subset: str | None) -> Any:
    import datasets

    name = path.removeprefix(_PREFIX)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ValueError(f"{path}: there is no such file or folder (looked in {Path.cwd()}); try an absolute path")
    try:
        found = datasets.load_dataset(name)
    except Exception as error:
        raise ValueError(
            f"{path}: there is no such file or folder (looked in {Path.cwd()}), and the Hugging Face hub did not give "
            f"a dataset of that name ({_brief(error)}); try an absolute path, or check the name and the network"
        ) from error
    return _split(found, path, subset)


def _split(found: Any, path: str, subset: str | None) -> Any:
    if subset is None and len(found):
        return next(iter(found.values()))
    if subset is None or subset not in found:
        raise ValueError(f"{path}: no split {subset!r}; {suggest(subset or '', found, 'It has')} {', '.join(found)}")
    return found[subset]


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"


def image_column(data: Any, path: str, key: str | None) -> str:
    """The column of images: ``key``, or the only one.

    Errors:
        ValueError: There is none, or no telling which.

    Example:
        >>> import datasets
        >>> features = datasets.Features({"photo": datasets.Image(), "kind": datasets.Value("int64")})
        >>> data = datasets.Dataset.from_dict({"photo": [], "kind": []}, features)
        >>> image_column(data, "my/photos", key=None)
        'photo'
        >>> image_column(data, "my/photos", key="kind")
        Traceback (most recent call last):
        ValueError: my/photos: column 'kind' is not one of images; it has photo (...), kind (int64); try one of photo
    """
    from datasets import Image as Feature

    return _column(data, path, key, "images", lambda f: isinstance(f, Feature))


def text_column(data: Any, path: str, key: str | None, label: str | None = None) -> str:
    """The column of strings: ``key``, the one named "text", the only one, or the only one of sentences.

    Args:
        data: The dataset.
        path: Names it in errors.
        key: The column that is meant, if one was named.
        label: A column that is not meant.

    Errors:
        ValueError: There is none, or it is unclear which is meant.

    Example:
        >>> import datasets
        >>> text_column(datasets.Dataset.from_dict({"said": ["so"], "text": ["it"]}), "my/words", key=None)
        'text'
        >>> text_column(datasets.Dataset.from_dict({"said": ["so it is"], "id": ["a7"]}), "my/words", key=None)
        'said'
    """
    strings = [name for name, feature in data.features.items() if _is_string(feature)]
    if key is None and len(strings) > 1:
        sample = data.select(range(min(PEEK, len(data)))).select_columns([name for name in strings if name != label])
        found = sentence_columns(sample.to_dict())
        key = "text" if "text" in strings else found[0] if len(found) == 1 else None
    return _column(data, path, key, "strings", _is_string)


def _is_string(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


def class_names(data: Any, path: str, label: str) -> tuple[str, ...]:
    """The classes of a column of labels in the order of their numbers, where the dataset names them; else ().

    Errors:
        ValueError: There is no such column, or not one of class labels.

    Example:
        >>> import datasets
        >>> features = datasets.Features({"mood": datasets.ClassLabel(names=["sad", "glad"])})
        >>> class_names(datasets.Dataset.from_dict({"mood": [1]}, features), "my/words", "mood")
        ('sad', 'glad')
    """
    if label not in data.features:
        raise ValueError(
            f"{path}: no column {label!r}; {suggest(label, data.features, 'It has')} {', '.join(data.features)}"
        )
    return tuple(getattr(data.features[label], "names", ()) or ())


def blocks(data: Any, columns: list[str], size: int = 4096) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    """Some columns of a dataset, ``size`` rows at a time, each block with the number of its first row from 0.

    Example:
        >>> import datasets
        >>> list(blocks(datasets.Dataset.from_dict({"text": ["so", "it"], "id": [7, 8]}), ["text"]))
        [(0, {'text': ['so', 'it']})]
    """
    tables = data.select_columns(columns).with_format("arrow").iter(size)
    return ((i * size, table.to_pydict()) for i, table in enumerate(tables))


def _column(data: Any, path: str, key: str | None, what: str, fits: Any) -> str:
    fitting = [name for name, feature in data.features.items() if fits(feature)]
    if key is None and len(fitting) == 1:
        return fitting[0]
    if key in fitting:
        return str(key)
    listed = ", ".join(f"{n} ({getattr(f, 'dtype', None) or type(f).__name__})" for n, f in data.features.items())
    got = "no column was named" if key is None else f"column {key!r} is not one of {what}"
    choice = f"try one of {', '.join(fitting)}" if fitting else f"none holds {what}"
    raise ValueError(f"{path}: {got}; it has {listed}; {choice}")


def labels(data: Any, path: str, key: str) -> tuple[Array, tuple[str, ...]]:
    """A column of class labels as it is stored, shape (N,), and the names of the classes where the dataset has some.

    Errors:
        ValueError: There is no such column of whole numbers or words.

    Example:
        >>> import datasets
        >>> labels(datasets.Dataset.from_dict({"kind": [2, 0, 1]}), "my/photos", "kind")
        (array([2, 0, 1]), ())
    """
    values = np.asarray(data[key]) if key in data.features else np.empty(0)
    if values.dtype.kind not in "iubU" or len(values) != len(data):
        raise ValueError(
            f"{path}: column {key!r} does not hold whole numbers or words; it has {', '.join(data.features)}"
        )
    return values, tuple(getattr(data.features[key], "names", None) or ())


def undecoded() -> Any:
    """The image feature that gives bytes, so that a broken image can be set aside by its row.

    Example:
        >>> import datasets
        >>> broken = datasets.Dataset.from_dict({"photo": [{"bytes": b"no image", "path": None}]})
        >>> broken.cast_column("photo", undecoded())[0]["photo"]["bytes"]  # where decoding it would have raised
        b'no image'
    """
    from datasets import Image as Feature

    return Feature(decode=False)


def open_image(cell: dict[str, Any]) -> Image.Image:
    """An image from such a cell, not yet decoded.

    Example:
        >>> file = BytesIO()
        >>> Image.new("L", (4, 2), color=200).save(file, "PNG")
        >>> image = open_image({"bytes": file.getvalue(), "path": None})
        >>> image.size, image.getpixel((3, 1))
        ((4, 2), 200)
    """
    return open_picture(BytesIO(cell["bytes"]) if cell["bytes"] is not None else Path(cell["path"]))


def fingerprint(data: Any) -> tuple[Any, ...]:
    """What changes when the dataset does.

    Example:
        >>> import datasets
        >>> one, other = (datasets.Dataset.from_dict({"text": text}) for text in (["so it is"], ["so be it"]))
        >>> fingerprint(one) == fingerprint(one), fingerprint(one) == fingerprint(other)
        (True, False)
    """
    files = [Path(f["filename"]) for f in data.cache_files]
    return str(data._fingerprint), len(data), [file_key(f) for f in files]
