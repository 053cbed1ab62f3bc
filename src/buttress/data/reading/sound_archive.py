"""Recordings in a .npz archive: one stream of int16 samples, where each begins in it, and what is known of each."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from buttress.data.reading import npz
from buttress.data.reading.labels import classes
from buttress.data.reading.memory import CHUNK, Array, Rows, cached, file_key
from buttress.data.reading.recordings import Recordings, Track, load, save

__all__ = ["archived", "columns_of", "is_archive", "recordings_in"]

OFFSETS = "offsets"
"""The array (N + 1,) that says where each recording begins in the stream, and behind them where the last one ends."""
_VERSION = 2  # of what is in the cache


def is_archive(path: Path) -> bool:
    """Whether a .npz file holds recordings: an array ``offsets`` beside one of samples.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", audio=np.zeros(90, np.int16), offsets=np.array([0, 40, 90]))
        ...     is_archive(Path(folder, "a.npz"))
        True
    """
    return len(npz.shapes(path).get(OFFSETS, ())) == 1


def recordings_in(path: Path) -> int:
    """How many recordings an archive holds."""
    return npz.shapes(path)[OFFSETS][0] - 1


def archived(path: Path, rate: int | None, trim: float) -> Recordings:
    """The recordings of an archive.

    Args:
        path: The .npz file.
        rate: Samples a second, which such a file does not say.
        trim: Decibels below the loudest moment at which the ends of a recording are silence; 0 keeps them.

    Errors:
        ValueError: No rate is given, the archive holds no stream of 16-bit samples, or offsets that do not fit it.
    """
    if rate is None:
        raise ValueError(f"{path}: no telling how many samples a second an archive has; try --data.rate 16000")
    known = npz.shapes(path)
    stream = max((name for name, shape in known.items() if len(shape) == 1), key=lambda name: known[name])
    samples, offsets = npz.member(path, stream), npz.member(path, OFFSETS)
    bounds = offsets.take(np.arange(len(offsets))).astype(np.int64)
    fits = len(bounds) > 1 and bounds[0] >= 0 and (np.diff(bounds) >= 0).all() and bounds[-1] <= len(samples)
    if samples.dtype != np.int16 or not fits:
        raise ValueError(
            f"{path}: array {stream!r} holds {len(samples)} values of type {samples.dtype}, and {len(bounds)} offsets "
            f"reach to {bounds.max(initial=0)}; wanted int16 samples, and offsets that grow from 0 to their number"
        )
    key = ("sound archive", _VERSION, file_key(path), rate, trim)
    folder = cached(key, partial(_measure, path, samples, bounds, rate, trim))
    return load(folder, samples)


def _measure(path: Path, samples: Rows, bounds: Array, rate: int, trim: float, folder: Path) -> None:
    tracks = []
    for number, (begin, end) in enumerate(pairwise(bounds.tolist())):
        track = Track(rate)
        for start in range(begin, end, CHUNK):
            track.add(samples.span(start, min(CHUNK, end - start)))
        tracks.append((number, f"{path}, recording {number}", track))
    save(folder, tracks, rate, trim, ())


def columns_of(path: Path, count: int) -> dict[str, tuple[Array, tuple[str, ...]]]:
    """The arrays of an archive with one value for each recording: numbers of classes, and their names.

    An array ``NAME_names`` holds the names of ``NAME``'s classes.
    """
    found: dict[str, tuple[Array, tuple[str, ...]]] = {}
    known = npz.shapes(path)
    for name in (name for name, shape in known.items() if shape == (count,) and name != OFFSETS):
        numbers, names = classes(npz.labels(path, name, count))
        given = f"{name}_names"
        if len(known.get(given, ())) == 1 and known[given][0] > numbers.max():
            names = tuple(map(str, npz.member(path, given).take(np.arange(known[given][0]))))
        found[name] = (numbers, names)
    return found
