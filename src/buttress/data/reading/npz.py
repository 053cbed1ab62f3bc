"""Arrays inside a .npz archive: each is copied once into the cache, whence it can be mapped."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import numpy as np

from buttress.core import Factors
from buttress.core.registry import suggest
from buttress.data.reading import npy
from buttress.data.reading.memory import Array, Rows, cached, file_key
from buttress.runtime.safe_files import check_unpacked, reading, regular

__all__ = ["factors", "for_training", "labels", "member", "pick", "shapes", "unused"]

_HELD_OUT = re.compile("test|validation|valid|val|held_out|heldout|dev|eval", re.IGNORECASE)
MOST = 10_000
"""Most arrays in an archive whose headers are read."""
_USUAL = ("x_train", "train", "images", "x", "X", "data", "arr_0")


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of an archive and their shapes.

    Errors:
        ValueError: The file is no archive, or a member's header is unreadable.

    Example:
        >>> import tempfile, numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", x=np.zeros((5, 2)))
        ...     shapes(Path(folder) / "a.npz")
        {'x': (5, 2)}
    """
    if regular(path).stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; try writing it again with np.savez")
    with reading(path, "a .npz archive", "writing it again with np.savez"), zipfile.ZipFile(path) as archive:
        arrays = [name for name in archive.namelist() if name.endswith(".npy")]
        if len(arrays) > MOST:
            raise ValueError(f"{len(arrays):,} arrays, wanted at most {MOST:,}")
        return {name.removesuffix(".npy"): _shape(archive, name) for name in arrays}


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with archive.open(name) as file:
        return npy.header(file)[0]


def pick(path: Path, key: str | None, ndim: tuple[int, ...]) -> str:
    """The name of the array that is meant: ``key``, or the only or usual one of these numbers of axes.

    Errors:
        ValueError: There is none or no telling which.

    Example:
        >>> import tempfile, numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", images=np.zeros((9, 8, 8)), labels=np.zeros(9), masks=np.zeros((9, 8, 8)))
        ...     pick(Path(folder) / "a.npz", None, ndim=(3, 4)), pick(Path(folder) / "a.npz", None, ndim=(1,))
        ('images', 'labels')
    """
    known = shapes(path)
    if key is not None:
        if key not in known:
            raise ValueError(f"{path}: no array {key!r}; {suggest(key, known, 'It has')} {_listed(known)}")
        return key
    fitting = [k for k, shape in known.items() if len(shape) in ndim]
    usual = [k for k in _USUAL if k in fitting]
    if len(fitting) == 1 or usual:
        return (usual or fitting)[0]
    axes = " or ".join(map(str, ndim))
    raise ValueError(f"{path}: wanted one array of {axes} axes, got {_listed(known) or 'no arrays'}; try key=...")


def labels(path: Path, key: str, count: int) -> Array:
    """The labels in an archive as they are stored, shape (count,).

    Errors:
        ValueError: There is no such array, or it does not hold ``count`` whole numbers or words.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, BUTTRESS_CACHE=folder):
        ...     np.savez(f"{folder}/a.npz", x=np.zeros((3, 2)), y=np.array([1, 0, 1]))
        ...     labels(Path(folder) / "a.npz", "y", 3).tolist()
        [1, 0, 1]
    """
    found = member(path, pick(path, key, (1,)))
    if found.dtype.kind not in "iubU" or found.shape != (count,):
        raise ValueError(
            f"{path}, array {key!r}: labels of type {found.dtype} and shape {found.shape}, wanted whole numbers or "
            f"words of shape ({count},), one for each row"
        )
    return found.take(np.arange(count))


def factors(path: Path, key: str, names: tuple[str, ...], count: int) -> Factors:
    """The known factors in an archive: numbers of shape (count, F), or (count,) for one factor.

    Errors:
        ValueError: There is no such array, or it is no table of ``count`` rows, see :meth:`buttress.core.Factors.of`.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, BUTTRESS_CACHE=folder):
        ...     np.savez(f"{folder}/a.npz", x=np.zeros((4, 2)), f=np.array([[0.5, 7], [1.0, 7], [0.5, 9], [1.0, 9]]))
        ...     factors(Path(folder) / "a.npz", "f", ("scale", "angle"), 4).values.tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    where = f"{path}, array {key!r}"
    found = member(path, pick(path, key, (1, 2)))
    if len(found) != count:
        raise ValueError(f"{where}: factors of {len(found):,} examples, wanted those of {count:,}, one row for each")
    table = found.take(np.arange(count))
    return Factors.of(table[:, None] if table.ndim == 1 else table, names, where)


def for_training(path: Path, key: str, count: int) -> str | None:
    """The array of ``count`` labels that is named as this one of held-out labels, with "train" in place of "test".

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", y_train=np.zeros(5), y_test=np.zeros(2))
        ...     for_training(Path(folder) / "a.npz", "y_test", 5)
        'y_train'
    """
    known = {name.lower(): name for name, shape in shapes(path).items() if shape == (count,)}
    found = [known.get(_HELD_OUT.sub(name, key).lower()) for name in ("train", "training", "")]
    return next((name for name in found if name is not None), None)


def unused(path: Path, key: str, where: str) -> tuple[str, ...]:
    """A note about arrays of the file called ``where`` beside ``key`` that hold examples of the same shape.

    Example:
        >>> import tempfile, numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", train=np.zeros((20, 8, 8)), test=np.zeros((5, 8, 8)), labels=np.zeros(20))
        ...     unused(Path(folder) / "a.npz", "train", "a.npz")
        ("a.npz: array 'test' was not used; held_out_key='test' would measure on it",)
    """
    known = shapes(path)
    same = [k for k in known if k != key and known[k][1:] == known[key][1:] and len(known[k]) > 2]
    return tuple(f"{where}: array {k!r} was not used; held_out_key={k!r} would measure on it" for k in same)


def _listed(known: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{k} {shape}" for k, shape in known.items())


def member(path: Path, key: str) -> Rows:
    """The rows of an array in an archive.

    Example:
        >>> import os, tempfile, numpy as np
        >>> from unittest.mock import patch
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, BUTTRESS_CACHE=folder):
        ...     np.savez(f"{folder}/a.npz", x=np.array([[0, 1], [2, 3], [4, 5]]), y=np.zeros(3))
        ...     member(Path(folder) / "a.npz", "x").take(np.array([2, 0])).tolist()
        [[4, 5], [0, 1]]
    """

    def extract(folder: Path) -> None:
        target = folder / "array.npy"
        with zipfile.ZipFile(path) as archive:
            about = archive.getinfo(f"{key}.npy")
            check_unpacked(path, about.file_size, about.compress_size)
            with reading(where, "an array", "writing it again with np.savez"):
                _refuse_lies(archive, about)
                with archive.open(about) as file, target.open("wb") as copy:
                    shutil.copyfileobj(file, copy, 2**20)
        try:
            Rows(target)
        except ValueError as error:
            raise ValueError(f"{where}: {str(error).rpartition('array.npy: ')[2]}") from error

    where = f"{path}, array {key!r}"
    return Rows(cached(("npz", 1, file_key(path), key), extract) / "array.npy")


def _refuse_lies(archive: zipfile.ZipFile, about: zipfile.ZipInfo) -> None:
    """Refuse an array that states more, or far less, than is in it, before anything is unpacked."""
    with archive.open(about) as file:
        shape, dtype, start = npy.header(file)
    if dtype.hasobject:  # said in better words once it is unpacked
        return
    npy.check_plain(shape, dtype, about.file_size - start)
