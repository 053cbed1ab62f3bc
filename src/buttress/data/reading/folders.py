"""A folder of image or sound files: which there are, the class of each, and which its sub-folders hold out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from buttress.data.reading.memory import Array

__all__ = ["Listing", "listing"]

TRAIN = ("train", "training")
HELD_OUT = ("test", "testing", "val", "valid", "validation", "dev", "eval")
"""Names of sub-folders that hold examples out, the first that is there first."""


@dataclass(frozen=True)
class Listing:
    """The files of a folder, sorted.

    Args:
        files: Their paths.
        notes: What a person should know.
        labels: The number of each file's class, shape (N,); None where sub-folders do not tell classes.
        label_names: Names of the classes.
        held: True for the files that are held out, shape (N,); None where sub-folders do not say.
    """

    files: list[Path]
    notes: tuple[str, ...] = ()
    labels: Array | None = None
    label_names: tuple[str, ...] = ()
    held: Array | None = None


def listing(
    root: Path,
    endings: Sequence[str],
    train: str = "train",
    held_out: str | None = None,
    beside: Sequence[str] = (),
) -> Listing:
    """All files with these endings under a folder; hidden ones, and those in hidden folders, are left out.

    Args:
        root: The folder, searched through all its sub-folders.
        endings: In small letters.
        train: The sub-folder to learn from, where there is also one that is held out.
        held_out: That one; None for the usual names.
        beside: Endings of files that belong to them, and are not spoken of.

    Errors:
        ValueError: There is no such sub-folder, or a file's name is not UTF-8.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("train/cat", "train/dog", "test/dog"):
        ...         Path(folder, name).mkdir(parents=True)
        ...         Path(folder, name, "1.png").touch()
        ...     found = listing(Path(folder), (".png",))
        >>> found.held.tolist(), found.labels.tolist(), found.label_names
        ([True, False, False], [1, 0, 1], ('cat', 'dog'))
    """
    files, notes = _walk(root, endings, beside)
    parts = [file.relative_to(root).parts for file in files]
    tops = Counter(p[0] for p in parts if len(p) > 1)
    names = _division(root, list(tops), train, held_out)
    if names is None:
        if mixed := [top for top in tops if top.lower() in TRAIN + HELD_OUT]:
            notes = (
                *notes,
                f"{root}: {', '.join(mixed)} put together with the rest, there being no train and test",
            )
        return Listing(files, notes, *_classes(parts))
    chosen = [i for i, p in enumerate(parts) if len(p) > 1 and p[0] in names]
    files, parts = [files[i] for i in chosen], [parts[i] for i in chosen]
    held = np.array([p[0] == names[1] for p in parts])
    notes = (*notes, f"{root}: learned from {names[0]}/ ({(~held).sum()}), held out {names[1]}/ ({held.sum()})")
    if left := [top for top in tops if top not in names]:
        notes = (*notes, f"{root}: not used: {', '.join(f'{top}/ ({tops[top]})' for top in sorted(left)[:5])}")
    return Listing(files, notes, *_classes([p[1:] for p in parts]), held)


def _walk(root: Path, endings: Sequence[str], beside: Sequence[str]) -> tuple[list[Path], tuple[str, ...]]:
    """The files, sorted, and notes on what else was there."""
    files, others, nowhere = [], Counter[str](), []
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in (n for n in names if not n.startswith(".")):
            if (ending := Path(name).suffix.lower()) in beside:
                continue
            if ending not in endings:
                others[ending or "no ending"] += 1
            elif (path := Path(folder, name)).is_symlink() and not path.exists():
                nowhere.append(name)
            elif any("\ud800" <= letter <= "\udfff" for letter in str(path)):  # how Python writes other bytes
                raise ValueError(f"{os.fsencode(path)!r}: this name is not UTF-8; try renaming the file or its folder")
            else:
                files.append(path)
    left = ", ".join(f"{n} of {ending}" for ending, n in others.most_common(5))
    notes = [f"{root}: files of other kinds were left alone: {left}"] if others else []
    links = [f"{root}: links that lead nowhere were left alone: {', '.join(sorted(nowhere)[:5])}"] if nowhere else []
    return sorted(files), (*notes, *links)


def _division(root: Path, tops: list[str], train: str, held_out: str | None) -> tuple[str, str] | None:
    """The sub-folders to learn from and to hold out; None where there are no such two."""
    first = _named(tops, TRAIN if train in TRAIN else (train,))
    second = _named(tops, HELD_OUT if held_out is None else (held_out,))
    for name, found, meant in ((train, first, train not in TRAIN), (held_out, second, held_out is not None)):
        if meant and found is None:
            raise ValueError(
                f"{root}: no sub-folder {name!r} with such files; it has {', '.join(sorted(tops)[:10]) or 'none'}"
            )
    if held_out is not None and first is None:
        raise ValueError(f"{root}: no sub-folder {train!r} to learn from; try subset=... with the name of one")
    return None if first is None or second is None else (first, second)


def _named(tops: list[str], names: Sequence[str]) -> str | None:
    small = {top.lower(): top for top in tops}
    return next((small[name.lower()] for name in names if name.lower() in small), None)


def _classes(parts: list[tuple[str, ...]]) -> tuple[Array | None, tuple[str, ...]]:
    """The number of each file's class: the first sub-folder that differs, where every file lies in one."""
    while parts and all(len(p) > 1 for p in parts):
        names = sorted({p[0] for p in parts})
        if len(names) > 1:
            number = {name: i for i, name in enumerate(names)}
            return np.array([number[p[0]] for p in parts], np.int64), tuple(names)
        parts = [p[1:] for p in parts]
    return None, ()
