r"""Made-up pairs of sentences whose translation is known: words are mapped, their order is reversed, and turned or not.

$$ n \sim U\{n_0, \ldots, T\}, \qquad s_1, \ldots, s_n \sim U\{1, \ldots, V\}, \qquad
   x = \mathrm{turn}^{\,s_1 \bmod 2}\bigl(\pi(s_n), \ldots, \pi(s_1)\bigr), \qquad -\log p(x | s) = 0 $$

pi is a permutation of the V words, and a turn puts the last word first. So x is a function of s: a model that has
learned it has zero nats, and translations are right or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from buttress.core import EOS, Column, Data, DataSpec, Layout, Splits
from buttress.data.pairs import PairExamples
from buttress.data.reading.memory import Array, Rows, row_name
from buttress.data.reading.tokens import SPECIAL, TokenExamples, word_tokenizer

__all__ = ["MadeTranslations"]


@dataclass(frozen=True)
class MadeTranslations(Data):
    """Pairs of a target, which is x, and its source, ``given["source"]``, in one vocabulary as those of ``pairs``.

    Source: ours. Long-range order, a choice that hangs on one word, and a table of words: what a translation needs, and
    nothing that a small Transformer can't learn within minutes.

    Args:
        train: Number of training pairs.
        held_out: Number of held-out ones.
        words: V, of each of the two languages.
        shortest: n_0, words of the shortest sentences.
        longest: T, of the longest.
        seed: Of the permutation and of the draws.

    Errors:
        ValueError: A number is too small, or ``shortest`` is above ``longest``.

    Example:
        >>> import torch
        >>> from buttress.data.reading.tokens import decode
        >>> data = MadeTranslations(train=1, held_out=1, words=9, shortest=3, longest=3)
        >>> splits = data.open()
        >>> batch = splits.train.read(torch.tensor([0]))
        >>> decode(splits.spec, batch.given["source"]), decode(splits.spec, batch.x)  # s5 is turned
        (['s5 s6 s9'], ['t4 t2 t9'])
    """

    train: int = 20_000
    held_out: int = 500
    words: int = 40
    shortest: int = 6
    longest: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if min(self.train, self.held_out, self.words, self.shortest, self.seed + 1) < 1:
            raise ValueError(f"made_translations data: wanted no size below 1 and a seed of at least 0, got {self}")
        if self.longest < self.shortest:
            raise ValueError(
                f"made_translations data: shortest is {self.shortest} and longest is {self.longest}, wanted "
                "shortest to be at most longest"
            )

    @classmethod
    def tiny(cls) -> tuple[MadeTranslations, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(train=60, held_out=20, words=5, shortest=2, longest=4),)

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`. Pairs are independent, so the split is by position."""
        random, count = np.random.default_rng(self.seed), self.train + self.held_out
        mapping = len(SPECIAL) + self.words + random.permutation(self.words)
        lengths = random.integers(self.shortest, self.longest + 1, size=count)
        words = random.integers(self.words, size=int(lengths.sum()))
        sources = [len(SPECIAL) + s for s in np.split(words, lengths.cumsum()[:-1])]
        targets = [_translated(s - len(SPECIAL), mapping) for s in sources]
        sizes = (lengths + 1, (lengths + 1).cumsum())
        most = int(lengths.max()) + 1
        train, held_out = (
            PairExamples(_examples(targets, *sizes, part), _examples(sources, *sizes, part))
            for part in (slice(self.train), slice(self.train, None))
        )
        tokenizer = word_tokenizer([f"{side}{k + 1}" for side in "st" for k in range(self.words)])
        spec = DataSpec(
            Layout.text(len(SPECIAL) + 2 * self.words, longest=most),
            tokenizer=tokenizer.to_str(),
            given=(Column("source", size=most, symbols=len(SPECIAL) + 2 * self.words),),
        )
        note = f"{self.train} training and {self.held_out} held-out pairs, independent, with seed {self.seed}"
        return Splits(train, held_out, spec, (note,))


def _translated(source: Array, mapping: Array) -> Array:
    """x, from words counted from 0; the first has the number 1 in s_1, an odd one.

    Example:
        >>> [_translated(np.array(source), np.arange(10)).tolist() for source in ([1, 2, 3], [0, 2, 3])]
        [[3, 2, 1], [0, 3, 2]]
    """
    turned: Array = np.roll(mapping[source[::-1]], 1 - source[0] % 2)
    return turned


def _examples(texts: list[Array], lengths: Array, ends: Array, part: slice) -> TokenExamples:
    ids = Rows(np.concatenate([np.append(text, EOS) for text in texts]).astype(np.int32))
    return TokenExamples(ids, (ends - lengths)[part], lengths[part], partial(row_name, "made_translations"))
