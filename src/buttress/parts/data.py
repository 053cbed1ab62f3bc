"""Where examples come from, and what they are once they are opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from buttress.parts.part import Part
from buttress.parts.spec import DataSpec, Kind

__all__ = ["Data", "Examples", "Splits"]


class Examples(ABC):
    """Stored examples, read a batch at a time; memory stays flat as their number grows."""

    lengths: Tensor | None = None
    """True lengths of sentences (tokens with EOS), shape (N,); None for other kinds."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples N."""

    @abstractmethod
    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """The stored examples ``index[rows]`` as one raw tensor.

        Images uint8 or float (B, C, H, W); sentences int64 (B, T) padded with PAD to the longest of ``index``,
        whichever ``rows`` are kept, so that the shards of one global batch have one shape; tables float32 (B, D).
        """


@dataclass(frozen=True)
class Splits:
    """Data, opened and checked.

    Args:
        train: Examples to learn from.
        held_out: Examples that training never sees; all evidence is measured on them.
        spec: What the parts must know, measured on ``train``.
        notes: What a person should know: files or rows set aside and why, how the split was made.
        labels: Class labels of the held-out examples where the source has some, shape (N,).
    """

    train: Examples
    held_out: Examples
    spec: DataSpec
    notes: tuple[str, ...] = ()
    labels: Tensor | None = None


class Data(Part):
    """Where examples come from.

    Example:
        >>> import torch
        >>> from buttress.data.linear_gaussian import LinearGaussian
        >>> splits = LinearGaussian(dim=3, n=100).open()
        >>> len(splits.train), len(splits.held_out), splits.train.batch(torch.arange(4)).shape
        (90, 10, torch.Size([4, 3]))
    """

    kind: ClassVar[Kind]

    @abstractmethod
    def open(self) -> Splits:
        """Read, check and split; refuse bad input with an error that names file and row and says what to try."""
