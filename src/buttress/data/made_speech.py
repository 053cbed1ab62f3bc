r"""Made-up speech: frames whose phones and speakers are known, and what both do to a spectrum.

$$ x_{tb} = g_s + \sum_j a_j \exp\Bigl(-\frac{(b - f_{k_t j} - \delta_s)^2}{2 w^2}\Bigr) + \tau_s \frac{b}{B}
   + r_s \cos(2 \pi b / q_s) + \sigma \epsilon_{tb} $$

A phone k has two peaks at bands f; a speaker s moves them by delta (the length of the vocal tract), has a loudness g, a
tilt tau and a ripple of period q (the pitch). Phones last 5 to 12 frames of 10 ms and follow each other as in a Markov
chain in which each has four successors; spectra pass into each other over three frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Alignment, Column, Data, DataSpec, Examples, Layout, Splits
from buttress.data.reading.memory import Array, row_name

__all__ = ["MadeSpeech"]

RATE, HOP = 16_000, 160
SHORTEST, LONGEST = 5, 12
"""Frames of a phone."""
FOLLOWERS = 4
"""Phones that may follow a phone."""
WIDTH, NOISE = 1.5, 0.3
"""w in bands, and sigma."""


@dataclass(frozen=True)
class MadeSpeech(Data):
    """Utterances of known phones by known speakers, as frames like log-mel ones.

    Source: ours; a stand-in for recordings with aligned phones where there are none.

    Args:
        train: Number of training utterances.
        held_out: Number of held-out ones.
        phones: Number of different phones.
        speakers: Number of speakers, each of whom says as many utterances.
        bands: Numbers in a frame.
        spoken: Phones in an utterance.
        words: Different utterances there are, each a sequence of phones of its own, as conditions ``word``; 0 for as
            many as examples.
        shift: Bands by which the speakers' peaks are apart, from the lowest to the highest.
        seed: Of the draws.
        voices: Another number gives as many other speakers, who say the same phones.

    Errors:
        ValueError: A size below 1, or so few phones that none has four successors.

    Example:
        >>> splits = MadeSpeech(train=20, held_out=6, speakers=3).open()
        >>> splits.spec.kind, splits.spec.seconds, splits.label_names, splits.held_out.alignment.names[:2]
        ('frames', 0.01, ('s0', 's1', 's2'), ('p00', 'p01'))
    """

    train: int = 400
    held_out: int = 120
    phones: int = 16
    speakers: int = 6
    bands: int = 24
    spoken: int = 12
    shift: float = 4.0
    seed: int = 0
    words: int = 0
    voices: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        sizes = (
            self.train, self.held_out, self.speakers, self.bands, self.spoken, self.seed + 1, self.words + 1,
            self.voices + 1,
        )  # fmt: skip
        if min(sizes) < 1 or self.phones <= FOLLOWERS:
            raise ValueError(
                f"made_speech data: wanted no size below 1, seeds of at least 0 and more than {FOLLOWERS} phones, got "
                f"{self}"
            )

    @classmethod
    def tiny(cls) -> tuple[MadeSpeech, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(train=24, held_out=8, phones=5, speakers=2, bands=6, spoken=4),)

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`. Utterances are independent, so the split is by position."""
        random = np.random.default_rng(self.seed)
        voice = _Voices.drawn(self, random)
        words = [voice.phones(random) for _ in range(self.words)]
        if self.voices:
            random = np.random.default_rng([self.seed, self.voices])
            voice = voice.of_others(random)
        word = random.integers(max(1, self.words), size=self.train + self.held_out) if words else None
        said = [
            voice.utterance(n % self.speakers, voice.phones(random) if word is None else words[word[n]], random)
            for n in range(self.train + self.held_out)
        ]
        names = tuple(f"p{k:02}" for k in range(self.phones))
        train, held_out = (
            _Utterances(said[part], part.start or 0, names, self.speakers, None if word is None else word[part])
            for part in (slice(self.train), slice(self.train, None))
        )
        longest = int(max(train.lengths.max(), held_out.lengths.max()))
        speakers = tuple(f"s{s}" for s in range(self.speakers))
        spec = DataSpec(
            Layout.frames(self.bands, longest), train.frames.mean(0), train.frames.std(0),
            given=(Column("speaker", self.speakers, values=speakers), *self._word()), rate=RATE, hop=HOP,
        )  # fmt: skip
        note = f"{self.train} training and {self.held_out} held-out utterances, made, with seed {self.seed}"
        return Splits(train, held_out, spec, (note,), held_out.conditions["speaker"], speakers)

    def _word(self) -> tuple[Column, ...]:
        """The column that says which word it is, if utterances recur."""
        return (Column("word", self.words, values=tuple(f"w{k}" for k in range(self.words))),) if self.words else ()


class _Utterances(Examples):
    """Utterances in memory.

    Args:
        said: Frames (T, B) and phones (start and end in frames, label) of each.
        first: The number of the first among all, of which every next one is by the next speaker.
        names: Of the phones.
        speakers: How many there are.
        word: The word of each, if utterances recur.
    """

    lengths: Tensor

    def __init__(
        self,
        said: Sequence[tuple[Array, list[tuple[int, int, int]]]],
        first: int,
        names: tuple[str, ...],
        speakers: int,
        word: Array | None = None,
    ) -> None:
        self.rows = [torch.from_numpy(frames) for frames, _ in said]
        self.frames, self.lengths = torch.cat(self.rows), torch.tensor([len(row) for row in self.rows])
        self.conditions = {"speaker": (first + torch.arange(len(said))) % speakers}
        if word is not None:
            self.conditions["word"] = torch.from_numpy(word)
        step = HOP / RATE
        self.alignment = Alignment.of(
            [[(a * step, b * step, names[k]) for a, b, k in spans] for _, spans in said], names
        )
        self.where = partial(row_name, "made_speech")

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.rows)

    def batch(self, index: Int[Tensor, " B"], rows: slice = slice(None)) -> Float[Tensor, "B T C"]:
        """See :class:`buttress.core.Examples`. Frames are padded with 0."""
        kept = index[rows].tolist()
        found = torch.zeros(len(kept), int(self.lengths[index].max()), self.frames.shape[1])
        for row, i in zip(found, kept, strict=True):
            row[: len(self.rows[i])] = self.rows[i]
        return found


@dataclass(frozen=True)
class _Voices:
    """What phones and speakers look like.

    Args:
        part: Sizes.
        peaks: f, (K, 2), and their heights a, (K, 2).
        heights: See peaks.
        next: The phones that may follow each, (K, 4).
        colour: What a speaker adds to every frame, (S, B).
        moved: delta, (S,).
    """

    part: MadeSpeech
    peaks: Array
    heights: Array
    next: Array
    colour: Array
    moved: Array

    @classmethod
    def drawn(cls, part: MadeSpeech, random: np.random.Generator) -> _Voices:
        """At random, but for delta, which is at equal distances."""
        k, s = part.phones, part.speakers
        low, high = (random.permutation(np.linspace(a, b, k) * part.bands) for a, b in ((0.1, 0.45), (0.5, 0.9)))
        colour = _colour(part, random)
        return cls(
            part, np.stack([low, high], 1), random.uniform(1.5, 3, (k, 2)),
            np.stack([random.permutation(k)[:FOLLOWERS] for _ in range(k)]),
            colour,
            np.linspace(-part.shift / 2, part.shift / 2, s) if s > 1 else np.zeros(1),
        )  # fmt: skip

    def of_others(self, random: np.random.Generator) -> _Voices:
        """The same phones of as many other speakers, all at random."""
        half = self.part.shift / 2
        moved = random.uniform(-half, half, self.part.speakers)
        return replace(self, colour=_colour(self.part, random), moved=moved)

    def phones(self, random: np.random.Generator) -> list[int]:
        """A sequence of phones, each followed by one that may follow it."""
        phones = [int(random.integers(self.part.phones))]
        while len(phones) < self.part.spoken:
            others = self.next[phones[-1]][self.next[phones[-1]] != phones[-1]]
            phones.append(int(random.choice(others)))
        return phones

    def utterance(
        self, speaker: int, phones: list[int], random: np.random.Generator
    ) -> tuple[Array, list[tuple[int, int, int]]]:
        """Frames, and the phones with the frames at which they begin and end."""
        sizes = random.integers(SHORTEST, LONGEST + 1, len(phones))
        ends = sizes.cumsum().tolist()
        label = np.repeat(phones, sizes)
        away = np.arange(self.part.bands) - self.peaks[label][..., None] - self.moved[speaker]
        clean = (self.heights[label][..., None] * np.exp(-np.square(away) / (2 * WIDTH**2))).sum(1)
        around = np.pad(clean, ((1, 1), (0, 0)), mode="edge")
        smooth = (around[:-2] + around[1:-1] + around[2:]) / 3
        frames = smooth + self.colour[speaker] + NOISE * random.normal(size=smooth.shape)
        return frames.astype(np.float32), list(zip([0, *ends[:-1]], ends, phones, strict=True))


def _colour(part: MadeSpeech, random: np.random.Generator) -> Array:
    """Loudness, tilt and ripple of each speaker, (S, B)."""
    s, bands = part.speakers, np.arange(part.bands)
    period = random.uniform(2.5, 5, (s, 1))
    colour = random.normal(0, 0.5, (s, 1)) + random.normal(0, 1, (s, 1)) * bands / part.bands
    found: Array = colour + 0.5 * np.cos(2 * np.pi * bands / period)
    return found
