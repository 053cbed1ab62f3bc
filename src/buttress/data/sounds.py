"""Sound of yours: a folder of WAV, FLAC or OGG files, or a .npz archive, as mu-law samples or as log-mel frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from buttress.core import Alignment, Column, Data, DataSpec, Layout, Splits
from buttress.data.reading import sound, sound_archive
from buttress.data.reading.folders import Listing, listing
from buttress.data.reading.memory import Array
from buttress.data.reading.pieces import Form, SoundExamples, cut, moments
from buttress.data.reading.recordings import Recordings
from buttress.data.reading.split import Division
from buttress.data.reading.utterances import ColumnOfFiles, alignment_beside, alignment_in, columns_in
from buttress.runtime.safe_files import expanded

__all__ = ["Sounds"]

LONGEST_WINDOW = 65536
"""Samples of a frame's window: more than a second at all usual rates."""
LEAST_RATE, MOST_RATE = 100, 1_000_000
"""Samples a second to which sound is resampled: a slip of the pen could fill the disk otherwise."""


@dataclass(frozen=True)
class Sounds(Data):
    """Recordings, each a sequence of log-mel frames with its true length, or crops of mu-law samples.

    Files are decoded once, into the cache; memory does not grow with the hours of sound. Crops of one recording stay
    on one side of the split. In an archive (.npz) one array of int16 holds all samples, ``offsets`` says where each
    recording begins, and other arrays hold a value for each.

    What is known of each recording comes from sub-folders, from a table with a row for each file, or from the arrays of
    the archive. What is said in it when (phones, words) is kept beside it for evaluation, and no model sees it: from
    TextGrid files of the same names, or from a table with a row for each segment.

    Args:
        path: A folder, searched through all its sub-folders, or an archive.
        form: "mel", log-mel frames (T, bands); or "wave", crops of samples as mu-law levels (T,).
        bands: Mel bands of a frame.
        window: Samples of a frame's window.
        hop: Samples from one frame to the next.
        crop: Samples of a crop ("wave"), and the most samples of an example ("mel"), longer recordings being cut; 0
            leaves recordings whole ("mel").
        levels: Mu-law levels of a sample.
        rate: Samples a second: files of another rate are resampled. None for that of the first file, which all must
            have. An archive does not say its own.
        trim: Decibels below its loudest moment at which the ends of a recording count as silence and are left out; 0
            keeps them.
        folders: What sub-folders tell, such as "speaker".
        table: A .csv or .tsv file with a column ``file`` and others, such as ``speaker``, in place of sub-folders.
        columns: Which of its columns, or of the archive's arrays, are used; the first one is what held-out examples
            are labelled by. () for all whose values recur.
        alignment: A .csv or .tsv file with the columns ``file``, ``start``, ``end`` (seconds) and ``label``; None for
            TextGrid files beside the sound files, if there are any.
        tier: The tier of TextGrid files.
        held_out: Share of recordings held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split.

    Errors:
        ValueError: A file is damaged or has another rate, there are too few, a table does not fit the files, or a size
            is too small.

    Example:
        On the command line, speakers being sub-folders::

            buttress train recordings/ --data.folders speaker --data.rate 16000 --data.bands 40
    """

    path: str
    form: Literal["mel", "wave"] = "mel"
    bands: int = 40
    window: int = 512
    hop: int = 160
    crop: int = 16000
    levels: int = 256
    rate: int | None = None
    trim: float = 0.0
    folders: str = "label"
    table: str | None = None
    columns: tuple[str, ...] = ()
    alignment: str | None = None
    tier: str = "phones"
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "hash"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for name in ("bands", "window", "hop"):
            if getattr(self, name) < 1:
                raise ValueError(f"sounds data: {name} is {getattr(self, name)}, wanted at least 1")
        if self.form == "mel" and not 2 * (self.bands - 1) <= self.window <= LONGEST_WINDOW:
            raise ValueError(
                f"sounds data: bands is {self.bands} and window {self.window}; wanted a window of at most "
                f"{LONGEST_WINDOW:,} samples, and no more bands than it has frequencies, window / 2 + 1"
            )
        if self.crop < (self.form == "wave") or not 2 <= self.levels <= 65536:
            raise ValueError(
                f"sounds data: crop is {self.crop} and levels {self.levels}; wanted a crop of 1 or more samples (0 for "
                "whole files only with form mel) and 2 to 65,536 levels"
            )
        if not 0 <= self.trim < np.inf:
            raise ValueError(f"sounds data: trim is {self.trim}, wanted 0 or more decibels")
        if self.rate is not None and not LEAST_RATE <= self.rate <= MOST_RATE:
            raise ValueError(
                f"sounds data: rate is {self.rate}, wanted {LEAST_RATE:,} to {MOST_RATE:,} samples a second, such as "
                "16000"
            )

    @classmethod
    def tiny(cls) -> tuple[Sounds, ...]:
        """None: sounds of yours need files."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        root = expanded(self.path)
        if root.is_dir():
            found = self._folder(root)
        elif root.is_file() and root.suffix.lower() == ".npz":
            found = self._archive(root)
        else:
            raise ValueError(
                f"{root}: there is no such folder or .npz archive (looked in {Path.cwd()}); try an absolute path"
            )
        recordings, division = found.recordings, Division(self.split, self.held_out, self.split_seed)
        division.enough(len(recordings.first), str(root))
        held = self._held(division, recordings) if found.held is None else found.held
        division.both_sides(held, str(root))
        train, out = (self._examples(found, *side) for side in ((~held, "training"), (held, "held-out")))
        spec = self._spec(train, out, found)
        sound_seconds = recordings.size.sum() / recordings.rate
        notes = [*found.notes, *recordings.notes, f"{recordings.rate} samples a second, {sound_seconds:.0f} s of sound"]
        if unused := 1 - (train.size.sum() + out.size.sum()) / recordings.size.sum():
            notes.append(f"{unused:.1%} of it lies in recordings or in ends of some that are shorter than a crop")
        if found.alignment is not None:
            notes.append(f"{len(found.alignment.names)} labels with times, for evaluation alone")
        if found.held is None:
            notes.append(division.note(held))
        first = next(iter(found.columns), None)
        labels, names = (None, ()) if first is None else (out.conditions[first], found.columns[first][1])
        return Splits(train, out, spec, tuple(notes), labels, names)

    def _folder(self, root: Path) -> _Found:
        """The recordings in a folder."""
        files = listing(root, sound.ENDINGS, beside=(".textgrid", ".csv", ".tsv"))
        if not files.files:
            raise ValueError(f"{root}: no sound files ({', '.join(sound.ENDINGS)}) in this folder; try another one")
        recordings = sound.decoded(files.files, self.rate, self.trim)
        columns = self._columns(root, files)
        when = (
            alignment_beside(files.files, self.tier)
            if self.alignment is None
            else alignment_in(expanded(self.alignment), root, files.files)
        )
        return _Found.of(recordings, [str(file) for file in files.files], columns, when, files.held, files.notes)

    def _columns(self, root: Path, files: Listing) -> dict[str, ColumnOfFiles]:
        """What is known of each file, from a table or from its sub-folder."""
        if self.table is not None:
            return self._chosen(columns_in(expanded(self.table), root, files.files), len(files.files))
        if self.columns:
            raise ValueError(f"sounds data: columns {', '.join(self.columns)} are those of a table; try --data.table")
        return {} if files.labels is None else {self.folders: (files.labels, files.label_names)}

    def _archive(self, path: Path) -> _Found:
        """The recordings in an archive."""
        if self.table is not None or self.alignment is not None:
            raise ValueError(f"{path}: table and alignment are for folders; an archive holds its own columns")
        recordings = sound_archive.archived(path, self.rate, self.trim)
        count = sound_archive.recordings_in(path)
        columns = self._chosen(sound_archive.columns_of(path, count), count)
        return _Found.of(recordings, [f"{path}, recording {i}" for i in range(count)], columns)

    def _chosen(self, columns: Mapping[str, ColumnOfFiles], count: int) -> dict[str, ColumnOfFiles]:
        """The columns that are asked for, or those whose values recur."""
        if missing := [name for name in self.columns if name not in columns]:
            raise ValueError(f"{self.path}: no column {missing[0]!r}; it has {', '.join(columns) or 'none'}")
        recurring = [
            name for name, (numbers, _) in columns.items() if 1 < len(np.unique(numbers)) <= max(2, count // 2)
        ]
        for name in (chosen := {name: columns[name] for name in self.columns or recurring}):
            if (chosen[name][0] < 0).any():
                raise ValueError(f"{self.table}: column {name!r} has no value for some files; try --data.columns")
        return chosen

    def _held(self, division: Division, recordings: Recordings) -> Array:
        """True for the recordings held out, by their contents or by their place."""
        if division.method == "seed":
            return division.drawn(len(recordings.first))
        return division.hashed(division.digest(recordings.digests))

    def _examples(self, found: _Found, side: Array, name: str) -> SoundExamples:
        """The pieces of the recordings on one side."""
        form = Form(self.form, found.recordings.rate, self.bands, self.window, self.hop, self.levels)
        mine = np.flatnonzero(side)
        first, size = found.recordings.first[mine], found.recordings.size[mine]
        which, begin, count = cut(first, size, self.crop, self.window)
        if self.form == "wave":
            which, begin, count = (column[count == self.crop] for column in (which, begin, count))
        if not len(which):
            raise ValueError(
                f"{self.path}: no {name} recording has {self.crop} samples, a crop; try a smaller --data.crop, or more "
                "files"
            )
        of = mine[which]
        known = {name: torch.from_numpy(numbers[of]) for name, (numbers, _) in found.columns.items()}
        when = None
        if found.alignment is not None:
            when = found.alignment.pieces(of, (begin - found.recordings.first[of]) / found.recordings.rate)
        names = [found.names[i] for i in of]
        return SoundExamples(form, found.recordings.samples, begin, count, known, names, when)

    def _spec(self, train: SoundExamples, out: SoundExamples, found: _Found) -> DataSpec:
        given = tuple(
            Column(name, int(numbers.max()) + 1, values=names) for name, (numbers, names) in found.columns.items()
        )
        rate = found.recordings.rate
        if self.form == "wave":
            return DataSpec(Layout.wave(self.crop, self.levels), given=given, rate=rate, hop=1)
        assert train.lengths is not None and out.lengths is not None
        longest = int(max(train.lengths.max(), out.lengths.max()))
        mean, std = moments(train)
        return DataSpec(Layout.frames(self.bands, longest), mean, std, given=given, rate=rate, hop=self.hop)


@dataclass(frozen=True)
class _Found:
    """Recordings, and for each what is known of it."""

    recordings: Recordings
    names: list[str]
    columns: dict[str, ColumnOfFiles]
    alignment: Alignment | None
    held: Array | None
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        recordings: Recordings,
        names: list[str],
        columns: Mapping[str, ColumnOfFiles],
        alignment: Alignment | None = None,
        held: Array | None = None,
        notes: tuple[str, ...] = (),
    ) -> _Found:
        """From what is known of all, of which empty ones are left out, and from whose beginnings silence is trimmed."""
        kept = recordings.kept
        when = None if alignment is None else alignment.pieces(kept, recordings.late / recordings.rate)
        if when is not None:
            _check_times(when, recordings.size / recordings.rate, [names[i] for i in kept])
        return cls(
            recordings,
            [names[i] for i in kept],
            {name: (numbers[kept], values) for name, (numbers, values) in columns.items()},
            when,
            None if held is None else held[kept],
            notes,
        )


def _check_times(when: Alignment, seconds: Array, names: list[str]) -> None:
    """Refuse an alignment most of whose segments begin behind the end of their recordings, as milliseconds would."""
    of = np.repeat(np.arange(len(seconds)), np.diff(when.first))
    behind = np.flatnonzero(when.start >= seconds[of])
    if 2 * len(behind) > len(of):
        one = behind[0]
        raise ValueError(
            f"alignment: {len(behind)} of {len(of)} segments begin behind the end of their recording, one of "
            f"{names[of[one]]} at {when.start[one]:g} s of {seconds[of[one]]:.3g} s; wanted seconds from its beginning"
        )
