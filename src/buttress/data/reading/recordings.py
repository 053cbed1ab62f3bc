"""Recordings as one flat array of samples in the cache: where each begins, and how long it is without silence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from buttress.data.reading.memory import Array, Rows, few, read_json, write_json

__all__ = ["FULL_SCALE", "Recordings", "Track", "load", "said_of", "save"]

FULL_SCALE = 32768
CLIPPED = 0.01
"""Share of samples at full scale from which on a recording is said to be clipped."""
MOMENT = 0.01
"""Seconds over which loudness is measured."""


@dataclass(frozen=True)
class Recordings:
    """Recordings of one rate.

    Args:
        samples: Of all of them, int16, one after the other.
        first: Where each begins in ``samples``, shape (N,).
        size: Its samples, shape (N,).
        late: Samples that were trimmed from its beginning, shape (N,).
        digests: A hash of each one's samples, 16 bytes each.
        rate: Samples a second.
        kept: The number of each among all that there were, shape (N,); empty ones are left out.
        notes: What a person should know.
    """

    samples: Rows
    first: Array
    size: Array
    late: Array
    digests: list[bytes]
    rate: int
    kept: Array
    notes: tuple[str, ...]


class Track:
    """What is known of one recording, a block of samples at a time.

    Args:
        rate: Samples a second.

    Example:
        >>> track = Track(rate=1000)
        >>> for loudness in (0, 900, 1000, 10):  # 50 milliseconds each
        ...     track.add(np.full(50, loudness, np.int16))
        >>> track.count, track.extent(trim=20)
        (200, (50, 100))
    """

    def __init__(self, rate: int) -> None:
        self.rate, self.count, self.loud = rate, 0, 0
        self._moment, self._powers = max(1, round(MOMENT * rate)), [np.zeros(0)]
        self._rest, self._hash = np.zeros(0, np.int16), blake2b(digest_size=16)

    def add(self, block: Array) -> None:
        """Take note of the next samples, int16."""
        self.count += len(block)
        self.loud += int((np.abs(block.astype(np.int32)) >= FULL_SCALE - 1).sum())
        self._hash.update(np.ascontiguousarray(block).tobytes())
        rows = np.concatenate([self._rest, block])
        whole = len(rows) // self._moment * self._moment
        self._powers.append(np.square(rows[:whole].astype(np.float64)).reshape(-1, self._moment).mean(1))
        self._rest = rows[whole:]

    @property
    def digest(self) -> bytes:
        """The hash of all samples."""
        return self._hash.digest()

    @property
    def clipped(self) -> bool:
        """Whether many samples are at full scale."""
        return self.loud > CLIPPED * max(1, self.count)

    @property
    def silent(self) -> bool:
        """Whether every sample is 0."""
        return not self._rest.any() and not any(powers.any() for powers in self._powers)

    def extent(self, trim: float) -> tuple[int, int]:
        """The first sample and the number of samples between the silences at both ends.

        Args:
            trim: Decibels below the loudest moment from which on it is silent; 0 keeps everything.
        """
        powers = np.concatenate(self._powers)
        if not trim or not powers.any():
            return 0, self.count
        heard = np.flatnonzero(powers >= powers.max() * 10 ** (-trim / 10))
        first, last = int(heard[0]) * self._moment, (int(heard[-1]) + 1) * self._moment
        return first, min(last, self.count) - first


def save(folder: Path, tracks: Iterable[tuple[int, str, Track]], rate: int, trim: float, notes: Iterable[str]) -> None:
    """Write what :func:`load` reads, but for the samples themselves.

    Args:
        folder: Where to write.
        tracks: The number, name and track of every recording, empty ones too, in the order of the samples.
        rate: Samples a second.
        trim: See :meth:`Track.extent`.
        notes: What a person should know of them.

    Errors:
        ValueError: No recording holds a sample.
    """
    tracks = list(tracks)
    full = [(number, name, track) for number, name, track in tracks if track.count]
    if not full:
        raise ValueError(f"{tracks[0][1] if tracks else folder}: no recording holds a sample of sound; try other files")
    counts = np.array([track.count for *_, track in full], np.int64)
    late, size = np.array([track.extent(trim) for *_, track in full], np.int64).T
    clipped = [name for _, name, track in full if track.clipped]
    silent = [name for _, name, track in full if track.silent]
    empty = [name for _, name, track in tracks if not track.count]
    said = [
        *notes,
        *said_of(empty, len(tracks), "are empty and were set aside"),
        *said_of(silent, len(tracks), "are silent (every sample is 0)"),
        *said_of(clipped, len(tracks), "are clipped (1 % of samples or more at full scale)"),
    ]
    if trim:
        share = 1 - size.sum() / counts.sum()
        said.append(f"silence at the ends, {trim:g} dB below the loudest, was trimmed: {share:.1%} of the sound")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    np.save(folder / "extents.npy", np.stack([starts + late, size, late, [number for number, *_ in full]]))
    write_json(
        folder / "about.json", {"rate": rate, "notes": said, "digests": [track.digest.hex() for *_, track in full]}
    )


def said_of(names: list[str], count: int, what: str) -> list[str]:
    """A note on some of ``count`` recordings; none where there are none.

    Example:
        >>> said_of(["a.wav", "b.wav"], 9, "are empty")
        ['2 of 9 recordings are empty: a.wav; b.wav']
    """
    return [f"{len(names)} of {count} recordings {what}: {few(names.__getitem__, range(len(names)), 3)}"] * bool(names)


def load(folder: Path, samples: Path | Rows) -> Recordings:
    """The recordings that :func:`save` described."""
    about: dict[str, Any] = read_json(folder / "about.json")
    first, size, late, kept = np.load(folder / "extents.npy")
    rows = samples if isinstance(samples, Rows) else Rows(samples)
    digests = [bytes.fromhex(digest) for digest in about["digests"]]
    return Recordings(rows, first, size, late, digests, about["rate"], kept, tuple(about["notes"]))
