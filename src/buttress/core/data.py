"""Where examples come from, and what they are once they are opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from buttress.core.alignment import Alignment
from buttress.core.batch import EMPTY, Batch, Given
from buttress.core.factors import Factors
from buttress.core.part import Part
from buttress.core.spec import DataSpec

__all__ = ["Data", "Examples", "Splits"]


class Examples(ABC):
    """Stored examples, read a batch at a time; memory stays flat as their number grows.

    Example:
        >>> import numpy as np, torch
        >>> from buttress.data.reading.memory import Rows
        >>> from buttress.data.reading.tokens import TokenExamples
        >>> ids = Rows(np.array([7, 2, 5, 6, 7, 2]))  # two sentences, each ends in 2
        >>> sentences = TokenExamples(ids, np.array([0, 2]), np.array([2, 4]), str)
        >>> both = torch.tensor([0, 1])
        >>> sentences.batch(both, slice(0, 1))  # the first of two processes: padded to the longest of both
        tensor([[7, 2, 0, 0]])
    """

    lengths: Tensor | None = None
    """True lengths along the first place axis (tokens with EOS, frames), shape (N,); None where there are none."""
    conditions: Given = EMPTY
    """What is known beside every example, such as its label: columns (N, ...) by name."""
    alignment: Alignment | None = None
    """What is said when in every example, for evaluation alone: no batch has it."""
    missing: bool = False
    """Whether NaN is a missing value, as in tables with gaps, and no fault."""

    @property
    def sizes(self) -> Tensor | None:
        """How long each is to compute, shape (N,): those of a batch are of similar sizes. The lengths, if not more."""
        return self.lengths

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples N."""

    @abstractmethod
    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """The stored examples ``index[rows]`` as one raw tensor.

        Images uint8, uint16 or float (B, C, H, W); sentences int64 (B, T) padded with PAD to the longest of ``index``,
        whichever ``rows`` are kept, so that the shards of one global batch have one shape; tables float32 (B, D).
        """

    def read(self, index: Tensor, rows: slice = slice(None)) -> Batch:
        """The examples ``index[rows]`` with all that is given beside them, their numbers and true lengths included.

        Example:
            >>> import torch
            >>> from buttress.data.linear_gaussian import LinearGaussianData
            >>> LinearGaussianData(n=50).open().train.read(torch.tensor([7, 3])).index.tolist()
            [7, 3]
        """
        kept = index[rows]
        lengths = {} if self.lengths is None else {"lengths": self.lengths[kept]}
        columns = {name: column[kept] for name, column in self.conditions.items()}
        return Batch(self.batch(index, rows), {"index": kept, **lengths, **columns})


@dataclass(frozen=True)
class Splits:
    """Data, opened and checked.

    Args:
        train: Examples to learn from.
        held_out: Examples that training never sees; all evidence is measured on them.
        spec: What the parts must know, measured on ``train``.
        notes: What a person should know: files or rows set aside and why, how the split was made.
        labels: Class labels of the held-out examples where the source has some, shape (N,).
        label_names: Names of the classes, in the order of their numbers, where they have some.
        factors: Known factors of the held-out examples, where the source has some.

    Example:
        >>> import torch
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> splits = LinearGaussianData(n=100, held_out=0.2).open()
        >>> train = splits.train.batch(torch.arange(len(splits.train)))
        >>> torch.allclose(splits.spec.mean, train.mean(0))  # held-out examples have no part in it
        True
        >>> splits.notes
        ('held out 20 of 100 examples (20.0 %), at random by position, seed 0',)
    """

    train: Examples
    held_out: Examples
    spec: DataSpec
    notes: tuple[str, ...] = ()
    labels: Tensor | None = None
    label_names: tuple[str, ...] = ()
    factors: Factors | None = None


class Data(Part):
    """Where examples come from.

    Example:
        >>> import torch
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> splits = LinearGaussianData(dim=3, n=100).open()
        >>> len(splits.train), len(splits.held_out), splits.train.batch(torch.arange(4)).shape
        (90, 10, torch.Size([4, 3]))
    """

    @abstractmethod
    def open(self) -> Splits:
        """Read, check and split; refuse bad input with an error that names file and row and says what to try."""
