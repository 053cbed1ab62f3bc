"""Sound of yours: a folder of WAV, FLAC or OGG files, as mu-law samples or as log-mel frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from buttress.core import Column, Data, DataSpec, Examples, Layout, Splits
from buttress.data.reading import sound
from buttress.data.reading.folders import listing
from buttress.data.reading.memory import Array, Rows, cached, file_key, read_json
from buttress.data.reading.split import Division
from buttress.nn.mel import log_mel, mu_law
from buttress.runtime.safe_files import expanded

__all__ = ["Sounds"]

_VERSION = 1  # of what is in the cache


@dataclass(frozen=True)
class Sounds(Data):
    """Sound files, each a sequence of log-mel frames with its true length, or crops of mu-law samples.

    Files are decoded once, into the cache; memory does not grow with the hours of sound. All must have one sampling
    rate. Sub-folders (speakers, say) give a label. Crops of one file stay on one side of the split.

    Args:
        path: A folder, searched through all its sub-folders.
        form: "mel", log-mel frames (T, bands); or "wave", crops of samples as mu-law levels (T,).
        bands: Mel bands of a frame.
        window: Samples of a frame's window.
        hop: Samples from one frame to the next.
        crop: Samples of a crop ("wave"), and the most samples of an example ("mel"), longer files being cut; 0 leaves
            files whole ("mel").
        levels: Mu-law levels of a sample.
        rate: Samples a second that the files must have; None for those of the first.
        held_out: Share of files held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split.

    Errors:
        ValueError: A file is damaged or has another rate, there are too few, or a size is too small.

    Example:
        On the command line, speakers being sub-folders::

            buttress train recordings/ --data.form mel --data.bands 40
    """

    path: str
    form: Literal["mel", "wave"] = "mel"
    bands: int = 40
    window: int = 512
    hop: int = 160
    crop: int = 16000
    levels: int = 256
    rate: int | None = None
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "hash"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for name in ("bands", "window", "hop"):
            if getattr(self, name) < 1:
                raise ValueError(f"sounds data: {name} is {getattr(self, name)}, wanted at least 1")
        if self.crop < (self.form == "wave") or not 2 <= self.levels <= 65536:
            raise ValueError(
                f"sounds data: crop is {self.crop} and levels {self.levels}; wanted a crop of 1 or more samples (0 for "
                "whole files only with form mel) and 2 to 65,536 levels"
            )

    @classmethod
    def tiny(cls) -> tuple[Sounds, ...]:
        """None: sounds of yours need files."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        root = expanded(self.path)
        if not root.is_dir():
            raise ValueError(f"{root}: there is no such folder (looked in {Path.cwd()}); try an absolute path")
        found = listing(root, sound.ENDINGS)
        if not found.files:
            raise ValueError(f"{root}: no sound files ({', '.join(sound.ENDINGS)}) in this folder; try another one")
        keys = tuple(file_key(file) for file in found.files)
        folder = cached(("sounds", _VERSION, keys, self.rate), partial(sound.decode_all, found.files, self.rate))
        meta, kept = read_json(folder / sound.RATE), np.load(folder / "kept.npy")
        samples, lengths = Rows(folder / "samples.npy"), np.load(folder / "lengths.npy")
        division = Division(self.split, self.held_out, self.split_seed)
        division.enough(len(lengths), str(root))
        held = self._held(division, samples, lengths) if found.held is None else found.held[kept]
        division.both_sides(held, str(root))
        labels = None if found.labels is None else found.labels[kept]
        names = [str(found.files[i]) for i in kept]
        train, out = (self._examples(samples, lengths, side, labels, meta["rate"], names) for side in (~held, held))
        size = f"{meta['rate']} samples a second, {lengths.sum() / meta['rate']:.0f} s of sound"
        notes = (*found.notes, *meta["notes"], size)
        note = division.note(held) if found.held is None else ""
        spec = self._spec(train, out, labels, found.label_names)
        return Splits(
            train, out, spec, (*notes, note) if note else notes, out.conditions.get("label"), found.label_names
        )

    def _held(self, division: Division, samples: Rows, lengths: Array) -> Array:
        """True for the files held out, by their contents or by their place."""
        if division.method == "seed":
            return division.drawn(len(lengths))
        begins = sound.starts(lengths)
        whole = (samples.take(np.arange(a, a + n)) for a, n in zip(begins, lengths, strict=True))
        return division.hashed(division.digest(file.tobytes() for file in whole))

    def _examples(
        self, samples: Rows, lengths: Array, side: Array, labels: Array | None, rate: int, names: list[str]
    ) -> SoundExamples:
        """The crops of the files on one side: where each begins, how long it is, and its file."""
        begins, first, long, file = sound.starts(lengths), [], [], []
        for i in np.flatnonzero(side):
            size = self.crop or int(lengths[i])
            whole = np.arange(0, lengths[i], size)
            rest = np.minimum(size, lengths[i] - whole)
            use = rest == size if self.form == "wave" else rest >= min(self.window, lengths[i])
            first.append(begins[i] + whole[use])
            long.append(rest[use])
            file.append(np.full(use.sum(), i))
        if not sum(map(len, first)):
            raise ValueError(f"{self.path}: no file has {self.crop} samples, a crop; try a smaller --data.crop")
        where = np.concatenate(file)
        known = None if labels is None else torch.from_numpy(labels[where])
        return SoundExamples(
            self, samples, np.concatenate(first), np.concatenate(long), known, rate, [names[i] for i in where]
        )

    def _spec(self, train: SoundExamples, out: SoundExamples, labels: Array | None, names: tuple[str, ...]) -> DataSpec:
        given = () if labels is None else (Column("label", int(labels.max()) + 1, values=names),)
        if self.form == "wave":
            return DataSpec(Layout.wave(self.crop, self.levels), given=given, rate=train.rate)
        assert train.lengths is not None and out.lengths is not None
        longest = int(max(train.lengths.max(), out.lengths.max()))
        mean, std = _moments(train)
        return DataSpec(Layout.frames(self.bands, longest), mean, std, given=given, rate=train.rate)


class SoundExamples(Examples):
    """Pieces of one flat array of samples, as levels or frames.

    Args:
        part: The settings.
        samples: All samples, int16.
        first: Where each piece begins, shape (N,).
        size: Its samples, shape (N,).
        labels: Its class, shape (N,), if there are classes.
        rate: Samples a second.
        names: The file of each, for errors.
    """

    def __init__(
        self,
        part: Sounds,
        samples: Rows,
        first: Array,
        size: Array,
        labels: Tensor | None,
        rate: int,
        names: list[str],
    ) -> None:
        self.part, self.samples, self.first, self.size, self.rate, self.names = part, samples, first, size, rate, names
        if part.form == "mel":
            self.lengths = torch.from_numpy(1 + size // part.hop)
        if labels is not None:
            self.conditions = {"label": labels}

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.first)

    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """See :class:`buttress.core.Examples`. Frames are padded with 0."""
        kept = index[rows].numpy()
        pieces = [self._piece(int(i)) for i in kept]
        if self.part.form == "wave":
            return mu_law(torch.stack(pieces), self.part.levels)
        assert self.lengths is not None
        frames = torch.zeros(len(kept), int(self.lengths[index].max()), self.part.bands)
        for row, piece in zip(frames, pieces, strict=True):
            found = log_mel(piece, self.rate, self.part.bands, self.part.window, self.part.hop)
            row[: len(found)] = found
        return frames

    def _piece(self, i: int) -> Tensor:
        raw = self.samples.take(np.arange(self.first[i], self.first[i] + self.size[i]))
        return torch.from_numpy(raw.astype(np.float32) / 32768)

    def where(self, position: int) -> str:
        """The file of an example, for errors."""
        return self.names[position]


def _moments(examples: SoundExamples) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each band over the true frames of all examples."""
    count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert examples.lengths is not None
    for index in torch.arange(len(examples)).split(32):
        frames, lengths = examples.batch(index).double(), examples.lengths[index]
        true = frames[torch.arange(frames.shape[1]) < lengths[:, None]]
        count, total, squares = count + len(true), total + true.sum(0), squares + true.square().sum(0)
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=1e-6).sqrt().float()
