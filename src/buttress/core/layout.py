"""The shape of data: a field over places, with symbols or numbers at each place.

A table has no place axis, a sentence or a sound has one, an image has two. At every place there are C numbers, or C
symbols out of K. A place axis may have true lengths: examples then differ in length and are padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Kind", "Layout"]

Kind = Literal["image", "text", "table", "wave", "frames"]
"""What people call a layout: for reports and messages, not for decisions."""


@dataclass(frozen=True)
class Layout:
    """What one example is made of.

    Args:
        places: Size of each place axis: () for a table, (T,) for a sequence, (H, W) for an image. T is the longest.
        channels: Values at each place, C; the number of columns D of a table.
        symbols: Number K of symbols each value is one of; 0 where values are numbers.
        lengths: Whether examples have true lengths along the first place axis and are padded to the longest of a batch.

    Errors:
        ValueError: A size below 1, more than two place axes, or lengths without a place axis.

    Example:
        >>> Layout.image(3, 32, 32).shape, Layout.text(10_000, longest=40).shape, Layout.frames(80, longest=200).shape
        ((3, 32, 32), (40,), (200, 80))
        >>> Layout.table(8).kind, Layout.wave(4000).kind
        ('table', 'wave')
    """

    places: tuple[int, ...] = ()
    channels: int = 1
    symbols: int = 0
    lengths: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if min((*self.places, self.channels), default=1) < 1 or self.symbols < 0 or len(self.places) > 2:
            raise ValueError(f"layout: got {self}, wanted sizes of 1 or more along at most two place axes")
        if self.lengths and len(self.places) != 1:
            raise ValueError("layout: true lengths need exactly one place axis; try lengths=False")

    @classmethod
    def image(cls, channels: int, height: int, width: int, symbols: int = 0) -> Layout:
        """Images (C, H, W) of grey levels or real numbers, or of symbols, such as maps of codes."""
        return cls((height, width), channels, symbols)

    @classmethod
    def text(cls, vocabulary: int, longest: int) -> Layout:
        """Sentences of token ids, padded; ``longest`` counts EOS."""
        return cls((longest,), symbols=vocabulary, lengths=True)

    @classmethod
    def table(cls, columns: int) -> Layout:
        """Rows of numbers."""
        return cls((), columns)

    @classmethod
    def wave(cls, longest: int, levels: int = 256) -> Layout:
        """Sound samples, each one of ``levels`` mu-law levels."""
        return cls((longest,), symbols=levels)

    @classmethod
    def frames(cls, channels: int, longest: int) -> Layout:
        """Sequences of vectors, such as log-mel spectrograms, with true lengths."""
        return cls((longest,), channels, lengths=True)

    @property
    def axes(self) -> int:
        """Number of place axes: 0 for a table, 1 for a sequence, 2 for an image."""
        return len(self.places)

    @property
    def tokens(self) -> bool:
        """Whether examples are sentences: token ids that end in EOS and are padded with PAD."""
        return self.axes == 1 and self.symbols > 0 and self.lengths

    @property
    def numeric(self) -> bool:
        """Whether values are numbers rather than symbols."""
        return self.symbols == 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example x: (C, H, W), (T,) for symbols, (T, C) for numbers, (D,)."""
        if self.axes == 2:
            return (self.channels, *self.places)
        return self.places if self.symbols and self.axes else (*self.places, self.channels)

    @property
    def moments_shape(self) -> tuple[int, ...]:
        """Of mean and standard deviation of the data: one number a site, or a channel where lengths differ."""
        return (self.channels,) if self.lengths else self.shape

    @property
    def kind(self) -> Kind:
        """What people call it."""
        if self.axes == 1:
            return "frames" if self.numeric else "text" if self.lengths else "wave"
        return "image" if self.axes else "table"
