"""Pieces of recordings as examples: mu-law levels of samples, or log-mel frames with their true number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Alignment, Examples
from buttress.data.reading.memory import Array, Rows
from buttress.nn.mel import log_mel, mu_law

__all__ = ["Form", "SoundExamples", "cut", "moments"]

MEASURED = 2000
"""Most examples from which mean and standard deviation are measured."""


@dataclass(frozen=True)
class Form:
    """What a piece of sound is turned into.

    Args:
        kind: Log-mel frames, or samples.
        rate: Samples a second.
        bands: Mel bands of a frame.
        window: Samples of a frame's window.
        hop: Samples from one frame to the next.
        levels: Mu-law levels of a sample.
    """

    kind: Literal["mel", "wave"]
    rate: int
    bands: int
    window: int
    hop: int
    levels: int

    def __call__(self, samples: Float[Tensor, "B S"]) -> Tensor:
        """Levels (B, S), or frames (B, T, bands)."""
        if self.kind == "wave":
            return mu_law(samples, self.levels)
        return log_mel(samples, self.rate, self.bands, self.window, self.hop)


def cut(first: Array, size: Array, crop: int, least: int) -> tuple[Array, Array, Array]:
    """Pieces of recordings, one after the other: the recording, the first sample and the number of samples of each.

    Args:
        first: Where each recording begins, shape (N,).
        size: Its samples, shape (N,).
        crop: Samples of a piece; 0 for all of the recording.
        least: Samples that the last piece of a recording must have, unless the recording has fewer.

    Example:
        >>> [found.tolist() for found in cut(np.array([0, 25]), np.array([25, 4]), crop=10, least=6)]
        [[0, 0, 1], [0, 10, 25], [10, 10, 4]]
    """
    step = np.where(crop, crop, np.maximum(size, 1))
    rest = size % step
    count = size // step + ((rest > 0) & (rest >= np.minimum(least, size)))
    which = np.repeat(np.arange(len(first)), count)
    at = (np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)) * step[which]
    return which, first[which] + at, np.minimum(step[which], size[which] - at)


class SoundExamples(Examples):
    """Pieces of one flat array of samples, as levels or frames.

    Args:
        form: Levels or frames.
        samples: All samples, int16.
        first: Where each piece begins, shape (N,).
        size: Its samples, shape (N,).
        conditions: What is known of each, such as its speaker.
        names: What errors call each.
        alignment: What is said when in each.
    """

    def __init__(
        self,
        form: Form,
        samples: Rows,
        first: Array,
        size: Array,
        conditions: Mapping[str, Tensor],
        names: list[str],
        alignment: Alignment | None = None,
    ) -> None:
        self.form, self.samples, self.first, self.size, self.names = form, samples, first, size, names
        self.conditions, self.alignment = conditions, alignment
        if form.kind == "mel":
            self.lengths = torch.from_numpy(1 + size // form.hop)

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.first)

    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """See :class:`buttress.core.Examples`. Frames are padded with 0."""
        kept = index[rows].tolist()
        if len({int(self.size[i]) for i in kept}) == 1:  # all at once
            found = self.form(torch.stack([self.sound(i) for i in kept]))
        else:
            found = torch.nn.utils.rnn.pad_sequence([self.form(self.sound(i)[None])[0] for i in kept], batch_first=True)
        if self.lengths is None:
            return found
        return torch.nn.functional.pad(found, (0, 0, 0, int(self.lengths[index].max()) - found.shape[1]))

    def sound(self, i: int) -> Float[Tensor, " S"]:
        """The samples of a piece, in [-1, 1]."""
        raw = self.samples.span(int(self.first[i]), int(self.size[i]))
        return torch.from_numpy(raw.astype(np.float32) / 32768)

    def where(self, position: int) -> str:
        """The recording of an example, for errors."""
        return self.names[position]


def moments(examples: SoundExamples) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each band over the true frames, of all examples or of some at equal distances."""
    count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert examples.lengths is not None
    used = torch.linspace(0, len(examples) - 1, min(len(examples), MEASURED), dtype=torch.float64).round().long()
    for index in used.split(32):
        frames, lengths = examples.batch(index).double(), examples.lengths[index]
        true = frames[torch.arange(frames.shape[1]) < lengths[:, None]]
        count, total, squares = count + len(true), total + true.sum(0), squares + true.square().sum(0)
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=1e-6).sqrt().float()
