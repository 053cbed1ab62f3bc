"""Images of yours: a folder of files, an array in a .npy or .npz file, or a Hugging Face dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL.Image import Image

from buttress.core import Data, Factors, Splits
from buttress.data.reading import folders, hub, npz
from buttress.data.reading.arrays import Source, open_rows
from buttress.data.reading.labels import classes
from buttress.data.reading.memory import Array, Rows, cached, file_key, read_json, row_name
from buttress.data.reading.open_picture import open_picture
from buttress.data.reading.packed import arrays_of, named
from buttress.data.reading.pictures import ENDINGS, Pictures, decode_all
from buttress.data.reading.split import Division
from buttress.data.reading.stored import Axes
from buttress.runtime.memory import check_memory
from buttress.runtime.safe_files import expanded

__all__ = ["Images"]

_VERSION = 3  # of what is in the cache
_Sources = tuple[Source, Source | None]


@dataclass(frozen=True)
class Images(Data):
    """Images: grey levels of 8 bits as uint8, everything else as float32 in its own range, booleans as 0.0 and 1.0.

    Whole numbers of any type from 0 to 255 are grey levels; where some lie outside, such as those of 16 bits, all are
    kept as real numbers. Where none is above 1, as in many masks, they are refused: read as grey levels such images
    would be black without a word, and read as 0.0 and 1.0 the same file would mean another thing once a brighter image
    was added. Transparent image files are laid on a background; every page or frame of a file is an image.

    A folder with sub-folders ``train`` and ``test`` (or ``val``) holds out the second. Sub-folders below give labels.

    A folder or a dataset is decoded once, into the cache (see :func:`buttress.data.reading.memory.cache_dir`); arrays
    are read from where they are, so that memory does not grow with the data.

    Args:
        path: A folder (searched through all its sub-folders), an image file of several pages, a .npy, .npz or IDX file
            (also gzipped), a folder that ``datasets.save_to_disk`` or parquet files made, or the name of a dataset on
            the Hugging Face hub.
        key: The array of a .npz file, or the image column of a dataset; None for the only or usual one.
        held_out_key: The array of a .npz file, the split of a dataset, or the sub-folder of a folder, that is held out;
            None for a sub-folder ``test`` or ``val`` where there is one, or to split some off.
        labels_key: The array of a .npz file, or the column of a dataset, with class labels; None for none. Where
            examples are held out by ``held_out_key``, it names their array, and that of the training examples is the
            one of the same name with "train". Sub-folders give labels by themselves.
        factors_key: The array of a .npz file with known factors, shape (N, F): numbers that recur, such as those of
            dSprites; None for none. Where examples are held out by ``held_out_key``, those of that array. They serve
            scores of disentanglement, and no training sees them.
        factor_names: What the columns of that array are called; () for factor0, factor1 and so on.
        subset: The split of a dataset, or the sub-folder of a folder that has such, to learn from.
        layout: Where the channels of an array stand: "NHW" for none; "auto" takes the axis of 1, 3 or 4.
        resize: (height, width) to bring image files to; needed where they differ.
        fit: "stretch" to that size, or "crop" the middle of its aspect first.
        color: Three channels (true) or one (false) from image files; None for three if any has colour.
        background: What shows through transparent image files.
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
    factors_key: str | None = None
    factor_names: tuple[str, ...] = ()
    subset: str = "train"
    layout: Literal["auto", "NHW", "NCHW", "NHWC"] = "auto"
    resize: tuple[int, int] | None = None
    fit: Literal["stretch", "crop"] = "stretch"
    color: bool | None = None
    background: Literal["white", "black"] = "white"
    tolerate: float = 0.01
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "hash"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError(f"images: resize is {self.resize}, wanted (height, width) of at least 1")
        if self.resize is not None:
            height, width = self.resize
            check_memory(12 * height * width, f"images of {height:,} by {width:,} pixels", "a smaller resize")
        if not 0 <= self.tolerate <= 1:
            raise ValueError(f"images: tolerate is {self.tolerate}, wanted a share between 0 and 1")
        if self.factor_names and self.factors_key is None:
            raise ValueError("images: factor_names names factors, but factors_key names no array of them; try both")

    @classmethod
    def tiny(cls) -> tuple[Images, ...]:
        """None: images of yours need files."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        path = expanded(self.path)
        if path.suffix.lower() in ENDINGS and path.is_file():
            sources: _Sources = (self._decoded_folder(path.parent, folders.Listing([path])), None)
        elif (arrays := self._arrays(path)) is not None:
            with named(path, arrays):
                sources = self._file(path, arrays)
        elif path.is_dir() and not hub.is_dataset(path):
            self._refuse("key", "labels_key", "factors_key", why="a folder of images has no arrays or columns")
            found = folders.listing(path, ENDINGS, self.subset, self.held_out_key)
            sources = (self._decoded_folder(path, found), None)
        else:
            self._refuse("factors_key", why="factors are read from .npz files")
            held_out = self._dataset(self.held_out_key) if self.held_out_key else None
            sources = _numbered(self._dataset(self.subset), held_out)
        return open_rows(sources[0], Division(self.split, self.held_out, self.split_seed), sources[1])

    def _arrays(self, path: Path) -> Path | None:
        """The .npy or .npz file that is meant; None for folders and datasets."""
        if path.suffix.lower() in (".npy", ".npz") and not path.is_file():
            raise ValueError(f"{path}: there is no such file (looked in {Path.cwd()}); try an absolute path")
        return None if path.is_dir() else arrays_of(path)

    def _refuse(self, *fields: str, why: str) -> None:
        for field in fields:
            if getattr(self, field) is not None:
                raise ValueError(f"{self.path}: {field} does not apply: {why}; try leaving it out")

    def _file(self, path: Path, arrays: Path) -> _Sources:
        self._refuse("resize", "color", why="they are for image files, an array has one shape")
        if arrays.suffix.lower() != ".npz":
            self._refuse("key", "held_out_key", "labels_key", "factors_key", why="such a file holds one array")
            return self._array(Rows(arrays), str(path)), None
        key = npz.pick(arrays, self.key, (3, 4))
        train = self._array(npz.member(arrays, key), f"{path}, array {key!r}")
        if self.held_out_key is None:
            labels = None if self.labels_key is None else npz.labels(arrays, self.labels_key, len(train.rows))
            notes = (*train.notes, *npz.unused(arrays, key, str(path)))
            return _numbered(replace(train, labels=labels, factors=self._factors(arrays, train), notes=notes), None)
        given = npz.pick(arrays, self.held_out_key, (3, 4))
        where = f"{path}, array {given!r}"
        held_out = self._array(npz.member(arrays, given), where)
        factors, notes = self._factors(arrays, held_out), (f"held out: {where}", *held_out.notes)
        held_out = replace(held_out, factors=factors, notes=notes)
        return self._labelled(arrays, train, held_out)

    def _factors(self, arrays: Path, source: Source) -> Factors | None:
        if self.factors_key is None:
            return None
        return npz.factors(arrays, self.factors_key, self.factor_names, len(source.rows))

    def _labelled(self, arrays: Path, train: Source, held_out: Source) -> _Sources:
        """Two arrays of an archive with their labels."""
        if self.labels_key is None:
            return train, held_out
        held_out = replace(held_out, labels=npz.labels(arrays, self.labels_key, len(held_out.rows)))
        if (key := npz.for_training(arrays, self.labels_key, len(train.rows))) is None:
            note = f"no labels of training images: no array is named as {self.labels_key!r}, with 'train' in its place"
            return _numbered(replace(train, notes=(*train.notes, note)), held_out)
        return _numbered(replace(train, labels=npz.labels(arrays, key, len(train.rows))), held_out)

    def _array(self, rows: Rows, where: str) -> Source:
        axes, notes = _axes(rows.shape, self.layout, where)
        return Source(rows, axes, where, partial(row_name, where), notes=notes)

    def _pictures(self, where: str, count: int, name: Callable[[int], str], read: Callable[[int], Image]) -> Pictures:
        settings = (self.resize, self.fit, self.color, self.tolerate, self.background)
        return Pictures(where, count, name, read, *settings)

    def _decoded_folder(self, root: Path, found: folders.Listing) -> Source:
        files = found.files
        pictures = self._pictures(str(root), len(files), partial(_file_name, files), lambda i: open_picture(files[i]))
        key = (_VERSION, [(str(f.relative_to(root)), *file_key(f)[1:]) for f in files], str(root.resolve()))
        return self._decoded(pictures, key, found)

    def _dataset(self, subset: str) -> Source:
        data = hub.load(self.path, subset)
        column = hub.image_column(data, self.path, self.key)
        raw = data.select_columns([column]).cast_column(column, hub.undecoded())
        where = f"{self.path}, split {subset!r}"
        pictures = self._pictures(where, len(raw), partial(row_name, where), lambda i: hub.open_image(raw[i][column]))
        labels, names = hub.labels(data, self.path, self.labels_key) if self.labels_key else (None, ())
        return self._decoded(
            pictures, (_VERSION, hub.fingerprint(data), column), folders.Listing([], (), labels, names)
        )

    def _decoded(self, pictures: Pictures, key: object, found: folders.Listing) -> Source:
        if not pictures.count:
            raise ValueError(f"{pictures.where}: there are no images; wanted files ending in {', '.join(ENDINGS)}")
        settings = (self.resize, self.fit, self.color, self.tolerate, self.background)
        folder = cached(("pictures", key, settings), partial(decode_all, pictures))
        kept = np.load(folder / "kept.npy")
        of_file, page = kept.T
        return Source(
            Rows(folder / "images.npy"),
            "NCHW",
            pictures.where,
            partial(_page_name, pictures.name, kept, np.isin(of_file, of_file[page > 0])),
            labels=None if found.labels is None else found.labels[of_file],
            notes=(*found.notes, *read_json(folder / "notes.json")),
            label_names=found.label_names,
            held=None if found.held is None else found.held[of_file],
        )


def _axes(
    shape: tuple[int, ...], wanted: Literal["auto", "NHW", "NCHW", "NHWC"], where: str
) -> tuple[Axes, tuple[str, ...]]:
    """What the axes of an array are, with a note where another reading is possible; refused where it is as likely."""
    if len(shape) not in (3, 4):
        hint = "as a table (data name: table)" if len(shape) == 2 else "np.reshape"
        raise ValueError(f"{where}: shape {shape}, wanted (N, H, W), (N, H, W, C) or (N, C, H, W); try {hint}")
    if wanted != "auto":
        if len(wanted) != len(shape):
            raise ValueError(f"{where}: shape {shape} has {len(shape)} axes, and layout is {wanted!r}; try another one")
        return wanted, ()
    last, first = shape[-1] in (1, 3, 4), shape[-3] in (1, 3, 4)
    if len(shape) == 3 and any(c in (1, 3, 4) and min(rest) > 4 for c, *rest in (shape, shape[::-1])):
        raise ValueError(
            f"{where}: shape {shape} looks like one colour image, wanted (N, H, W), (N, H, W, C) or (N, C, H, W); try "
            f"an array of many images, or layout='NHW' if these are {shape[0]} images of {shape[1]} x {shape[2]}"
        )
    if len(shape) == 3:
        return "NHW", ()
    if last and first and (shape[1] == 4) != (shape[3] == 4):  # four channels are rare, four pixels are not
        taken: Axes = "NHWC" if shape[1] == 4 else "NCHW"
        return taken, (f"{where}: shape {shape} was read as layout {taken}",)
    if last == first:
        found = "both ends could be channels" if last else "no axis of 1, 3 or 4 channels"
        raise ValueError(f"{where}: shape {shape}, {found}; try layout='NCHW' or 'NHWC'")
    return "NHWC" if last else "NCHW", ()


def _numbered(train: Source, held_out: Source | None) -> _Sources:
    """Stored labels as class numbers, the same for training and held-out examples."""
    parts = [part for part in (train, held_out) if part is not None]
    known = [part.labels for part in parts if part.labels is not None]
    if not known or train.label_names:
        return train, held_out
    numbers, names = classes(np.concatenate(known))
    cut = len(known[0]) if len(known) == 2 else len(numbers) * (train.labels is not None)
    sides = (numbers[:cut], numbers[cut:])
    parts = [
        replace(part, label_names=names, labels=None if part.labels is None else side)
        for part, side in zip(parts, sides, strict=False)
    ]
    return parts[0], parts[1] if held_out is not None else None


def _file_name(files: list[Path], i: int) -> str:
    return str(files[i])


def _page_name(name: Callable[[int], str], kept: Array, paged: Array, position: int) -> str:
    """What errors call an image: its file, and its page where the file has several."""
    file, page = kept[position].tolist()
    return f"{name(file)}, page {page + 1}" if paged[position] else name(file)
