r"""N sequences of N tokens, of which the i-th has a one at place i and zeros elsewhere; all are equally likely.

$$ \log p(x) = -\ln N, \qquad I(x; z) \le \ln N $$

An autoregressive model reaches $-\ln N$ with z or without it, so that the bound does not tell a used z from an unused
one and the mutual information does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from buttress.core import EOS, Data, DataSpec, Layout, Splits
from buttress.data.reading.memory import Rows, row_name
from buttress.data.reading.tokens import SPECIAL, TokenExamples, word_tokenizer
from buttress.runtime.memory import check_memory

__all__ = ["OneHotSequences"]


@dataclass(frozen=True)
class OneHotSequences(Data):
    """A toy of a few sequences whose entropy is known, on which annealing schedules differ.

    Source: Fu et al., Cyclical Annealing Schedule, 2019 (ten one-hot sequences). The labels of the held-out sequences
    say which each is.

    Args:
        count: N, sequences and tokens in each.
        copies: Times that each stands among the training sequences; enough for a batch.
        held_out_copies: Times that each stands among the held-out ones, which are the same.

    Example:
        >>> splits = OneHotSequences(count=3, copies=2, held_out_copies=1).open()
        >>> splits.held_out.batch(torch.arange(3)).tolist()  # "0" is 4, "1" is 5 and the end is 2
        [[5, 4, 4, 2], [4, 5, 4, 2], [4, 4, 5, 2]]
    """

    count: int = 10
    copies: int = 50
    held_out_copies: int = 50

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.count < 2 or min(self.copies, self.held_out_copies) < 1:
            raise ValueError(
                f"one_hot_sequences data: count is {self.count}, copies {self.copies} and held_out_copies "
                f"{self.held_out_copies}; wanted 2 sequences or more, and each at least once"
            )
        check_memory(16 * self.count**2 * (self.copies + self.held_out_copies), "so many sequences", "fewer of them")

    @classmethod
    def tiny(cls) -> tuple[OneHotSequences, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(count=4, copies=15, held_out_copies=5),)

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`. Training and held-out sequences are the same, for there are no others."""
        spec = DataSpec(
            Layout.text(2 + len(SPECIAL), longest=self.count + 1), tokenizer=word_tokenizer(["0", "1"]).to_str()
        )
        note = f"the {self.count} sequences are all there are, so those held out are those trained on"
        labels = torch.arange(self.count).repeat(self.held_out_copies)
        return Splits(self._repeated(self.copies), self._repeated(self.held_out_copies), spec, (note,), labels)

    def _repeated(self, copies: int) -> TokenExamples:
        ids = np.full((self.count, self.count + 1), len(SPECIAL), np.int32)
        np.fill_diagonal(ids, len(SPECIAL) + 1)
        ids[:, -1] = EOS
        rows = np.tile(ids, (copies, 1))
        starts = np.arange(len(rows)) * rows.shape[1]
        name = partial(row_name, "one_hot_sequences")
        return TokenExamples(Rows(rows.reshape(-1)), starts, np.full(len(rows), rows.shape[1]), name)
