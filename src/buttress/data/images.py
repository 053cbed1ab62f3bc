"""Images of yours: a folder of files, an array in a .npy or .npz file, or a Hugging Face dataset."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL.Image import Image
from PIL.Image import open as open_image

from buttress.core import Data, Splits
from buttress.data.reading import hub, npz
from buttress.data.reading.arrays import Axes, Source, open_rows
from buttress.data.reading.memory import Array, Rows, cached, file_key, name_at, read_json, row_name
from buttress.data.reading.pictures import ENDINGS, Pictures, decode_all
from buttress.data.reading.split import Division

__all__ = ["Images"]

_VERSION = 2  # of what is in the cache


@dataclass(frozen=True)
class Images(Data):
    """Images, whole numbers read as uint8 from 0 to 255, floats as they are stored, booleans as 0.0 and 1.0.

    Whole numbers of any type are grey levels. Where none of them is above 1, as in many masks, they are refused: read
    as grey levels such images would be black without a word, and read as 0.0 and 1.0 the same file would mean another
    thing once a brighter image was added.

    A folder or a dataset is decoded once, into the cache (see :func:`buttress.data.reading.memory.cache_dir`); arrays
    are read from where they are, so that memory does not grow with the data.

    Args:
        path: A folder (searched through all its sub-folders), a .npy or .npz file, a folder that
            ``datasets.save_to_disk`` or parquet files made, or the name of a dataset on the Hugging Face hub.
        key: The array of a .npz file, or the image column of a dataset; None for the only or usual one.
        held_out_key: The array of a .npz file, or the split of a dataset, that is held out; None to split some off.
        labels_key: The array of a .npz file, or the column of a dataset, with class labels of the held-out examples;
            None for none. Sub-folders give labels by themselves.
        subset: The split of a dataset to learn from.
        layout: Where the channels of an array stand; "auto" takes an axis of 1, 3 or 4, the last one first.
        resize: (height, width) to bring image files to; needed where they differ.
        fit: "stretch" to that size, or "crop" the middle of its aspect first.
        color: Three channels (true) or one (false) from image files; None for three if any has colour.
        tolerate: Share of unreadable image files that is set aside with a note; more are refused.
        held_out: Share of images held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split.

    Errors:
        ValueError: On anything that could only fail later; says which file and row, and what to try.

    Example:
        >>> import tempfile
        >>> grey = np.arange(40 * 8 * 8, dtype=np.uint8).reshape(40, 8, 8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder) / "grey.npy", grey)
        ...     splits = Images(f"{folder}/grey.npy", held_out=0.25, split="seed").open()
        >>> splits.spec.shape, len(splits.train), len(splits.held_out)
        ((1, 8, 8), 30, 10)

        On the command line, a folder of pictures of several sizes::

            buttress train photos/ --data.resize '[32,32]' --data.fit crop
    """

    path: str
    key: str | None = None
    held_out_key: str | None = None
    labels_key: str | None = None
    subset: str = "train"
    layout: Literal["auto", "NCHW", "NHWC"] = "auto"
    resize: tuple[int, int] | None = None
    fit: Literal["stretch", "crop"] = "stretch"
    color: bool | None = None
    tolerate: float = 0.01
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "hash"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError(f"images: resize is {self.resize}, wanted (height, width) of at least 1")
        if not 0 <= self.tolerate <= 1:
            raise ValueError(f"images: tolerate is {self.tolerate}, wanted a share between 0 and 1")

    @classmethod
    def tiny(cls) -> tuple[Images, ...]:
        """None: images of yours need files."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        path = Path(self.path).expanduser()
        if path.suffix in (".npy", ".npz"):
            train, held_out = self._file(path)
        elif path.is_dir() and not hub.is_dataset(path):
            self._refuse("key", "held_out_key", "labels_key", why="a folder of images has no arrays or columns")
            train, held_out = self._folder(path), None
        else:
            train = self._dataset(self.subset)
            held_out = self._dataset(self.held_out_key) if self.held_out_key else None
        return open_rows(train, Division(self.split, self.held_out, self.split_seed), held_out)

    def _refuse(self, *fields: str, why: str) -> None:
        for field in fields:
            if getattr(self, field) is not None:
                raise ValueError(f"{self.path}: {field} does not apply: {why}; try leaving it out")

    def _file(self, path: Path) -> tuple[Source, Source | None]:
        if not path.is_file():
            raise ValueError(f"{path}: there is no such file (looked in {Path.cwd()}); try an absolute path")
        self._refuse("resize", "color", why="they are for image files, an array has one shape")
        if path.suffix == ".npy":
            self._refuse("key", "held_out_key", "labels_key", why="a .npy file holds one array")
            return self._array(Rows(path), str(path)), None
        key = npz.pick(path, self.key, (3, 4))
        where = f"{path}, array {key!r}"
        if self.held_out_key is None:
            return self._array(npz.member(path, key), where, self._labels(path, key), npz.unused(path, key)), None
        train = self._array(npz.member(path, key), where)
        given = npz.pick(path, self.held_out_key, (3, 4))
        where = f"{path}, array {given!r}"
        return train, self._array(npz.member(path, given), where, self._labels(path, given), (f"held out: {where}",))

    def _labels(self, path: Path, key: str) -> Array | None:
        if self.labels_key is None:
            return None
        labels = npz.member(path, npz.pick(path, self.labels_key, (1,)))
        count = npz.shapes(path)[key][0]
        if labels.dtype.kind not in "iub" or labels.shape != (count,):
            raise ValueError(
                f"{path}, array {self.labels_key!r}: labels of type {labels.dtype} and shape {labels.shape}, wanted "
                f"whole numbers of shape ({count},), one for each row of {key!r}"
            )
        return labels.take(np.arange(count)).astype(np.int64)

    def _array(self, rows: Rows, where: str, labels: Array | None = None, notes: tuple[str, ...] = ()) -> Source:
        layout = _layout(rows.shape, self.layout, where)
        return Source(rows, layout, where, partial(row_name, where), labels=labels, notes=notes)

    def _pictures(self, where: str, count: int, name: Callable[[int], str], read: Callable[[int], Image]) -> Pictures:
        return Pictures(where, count, name, read, self.resize, self.fit, self.color, self.tolerate)

    def _folder(self, root: Path) -> Source:
        files, notes = _listing(root)
        pictures = self._pictures(str(root), len(files), partial(_file_name, files), lambda i: open_image(files[i]))
        key = (_VERSION, [(str(f.relative_to(root)), *file_key(f)[1:]) for f in files], str(root.resolve()))
        return self._decoded(pictures, key, _folders_as_labels(root, files), notes)

    def _dataset(self, subset: str) -> Source:
        data = hub.load(self.path, subset)
        column = hub.image_column(data, self.path, self.key)
        raw = data.select_columns([column]).cast_column(column, hub.undecoded())
        where = f"{self.path}, split {subset!r}"
        pictures = self._pictures(where, len(raw), partial(row_name, where), lambda i: hub.open_image(raw[i][column]))
        labels = None if self.labels_key is None else hub.labels(data, self.path, self.labels_key)
        return self._decoded(pictures, (_VERSION, hub.fingerprint(data), column), labels, ())

    def _decoded(self, pictures: Pictures, key: object, labels: Array | None, notes: tuple[str, ...]) -> Source:
        if not pictures.count:
            raise ValueError(f"{pictures.where}: there are no images; wanted files ending in {', '.join(ENDINGS)}")
        settings = (self.resize, self.fit, self.color, self.tolerate)
        folder = cached(("pictures", key, settings), partial(decode_all, pictures))
        kept = np.load(folder / "kept.npy")
        return Source(
            Rows(folder / "images.npy"),
            "NCHW",
            pictures.where,
            partial(name_at, pictures.name, kept),
            labels=None if labels is None else labels[kept],
            notes=(*notes, *read_json(folder / "notes.json")),
        )


def _layout(shape: tuple[int, ...], wanted: Literal["auto", "NCHW", "NHWC"], where: str) -> Axes:
    if len(shape) == 3:
        return "NHW"
    if len(shape) != 4:
        hint = "as a table (data name: table)" if len(shape) == 2 else "np.reshape"
        raise ValueError(f"{where}: shape {shape}, wanted (N, H, W), (N, H, W, C) or (N, C, H, W); try {hint}")
    if wanted != "auto":
        return wanted
    last, first = shape[3] in (1, 3, 4), shape[1] in (1, 3, 4)
    if not last and not first:
        raise ValueError(f"{where}: shape {shape}, no axis of 1, 3 or 4 channels; try layout='NCHW' or 'NHWC'")
    return "NHWC" if last else "NCHW"


def _listing(root: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The image files under a folder, sorted, and what else was there."""
    files, others = [], Counter[str]()
    for folder, _, names in os.walk(root):
        for name in (n for n in names if not n.startswith(".")):
            if (ending := Path(name).suffix.lower()) in ENDINGS:
                files.append(Path(folder, name))
            else:
                others[ending or "no ending"] += 1
    left = ", ".join(f"{n} of {ending}" for ending, n in others.most_common(5))
    return sorted(files), (f"{root}: files that are no images were left alone: {left}",) if left else ()


def _file_name(files: list[Path], i: int) -> str:
    return str(files[i])


def _folders_as_labels(root: Path, files: list[Path]) -> Array | None:
    """The number of each file's top sub-folder, where every file lies in one of several."""
    parts = [f.relative_to(root).parts for f in files]
    tops = sorted({p[0] for p in parts if len(p) > 1})
    if len(tops) < 2 or any(len(p) == 1 for p in parts):
        return None
    number = {top: i for i, top in enumerate(tops)}
    return np.array([number[p[0]] for p in parts], np.int64)
