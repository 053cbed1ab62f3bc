r"""Made-up reviews of a sentence: what is spoken of, and how, with the sentiment as their label.

$$ y \sim U\{0, 1\}, \quad \text{pattern} \sim U, \quad \text{each blank} \sim U(\text{its words in style } y), \qquad
   -\log p(x) = \log 2 + \log P + \sum_{\text{blanks}} \log |\text{words}| $$

Things, people and times are words of both styles, and what is said of them is not: so the label is in every sentence,
and each sentence has a counterpart of the other style that differs by its words of style alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import EOS, Column, Data, DataSpec, Layout, Splits
from buttress.data.reading.memory import Array, Rows, row_name
from buttress.data.reading.tokens import SPECIAL, TokenExamples, word_tokenizer

__all__ = ["MadeReviews"]

LABELS = ("negative", "positive")
PATTERNS = (
    "the THING was QUALITY TIME .",
    "WHO FEELING the THING and the THING .",
    "the THING was QUALITY but small .",
    "WHO came for the THING TIME , and it was QUALITY .",
    "QUALITY THING and QUALITY staff , ENDING .",
    "WHO had the THING TIME and ENDING .",
)
SHARED = {
    "THING": "soup salad pizza burger coffee tea bread rice fish chicken steak pasta cake pie beer wine juice room bed "
    "view pool lobby garden music menu sauce cheese dessert breakfast lunch",
    "WHO": "i we they everyone my-wife my-husband our-friends the-kids",
    "TIME": "today yesterday tonight again on-monday on-friday last-week this-morning at-noon in-june",
}
STYLED = {
    "QUALITY": (
        "awful terrible bland cold dirty rude stale horrible disgusting poor",
        "great lovely fresh warm clean friendly tasty wonderful delicious superb",
    ),
    "FEELING": ("hated disliked regretted sent-back", "loved enjoyed adored recommend"),
    "ENDING": (
        "will-not-return asked-for-a-refund left-hungry felt-cheated",
        "will-be-back told-all-friends left-happy felt-welcome",
    ),
}


@dataclass(frozen=True)
class MadeReviews(Data):
    """Short reviews with a sentiment, made from patterns, whose entropy is known.

    Source: ours; what the sentiment is told by, and what not, is known of every word.

    Args:
        train: Number of training sentences.
        held_out: Number of held-out ones.
        seed: Of the draws.

    Errors:
        ValueError: A size below 1.

    Example:
        >>> data = MadeReviews(train=50, held_out=10)
        >>> splits = data.open()
        >>> splits.label_names, splits.train.conditions["label"].shape, data.sentences()[0]
        (('negative', 'positive'), torch.Size([50]), 'my-wife had the cake in-june and will-be-back .')
    """

    train: int = 8_000
    held_out: int = 1_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if min(self.train, self.held_out, self.seed + 1) < 1:
            raise ValueError(f"made_reviews data: wanted no size below 1 and a seed of at least 0, got {self}")

    @classmethod
    def tiny(cls) -> tuple[MadeReviews, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(train=60, held_out=20),)

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`. Sentences are independent, so the split is by position."""
        tokenizer, (texts, labels, _) = word_tokenizer(vocabulary()), _drawn(self)
        ids = [[*encoded.ids, EOS] for encoded in tokenizer.encode_batch(list(texts))]
        lengths = np.array([len(one) for one in ids])
        starts, rows = np.concatenate([[0], lengths.cumsum()[:-1]]), Rows(np.concatenate(ids).astype(np.int32))
        name = partial(row_name, "made_reviews")
        train, held_out = (
            TokenExamples(rows, starts[part], lengths[part], name, {"label": torch.from_numpy(labels[part])})
            for part in (slice(self.train), slice(self.train, None))
        )
        spec = DataSpec(
            Layout.text(len(vocabulary()) + len(SPECIAL), longest=int(lengths.max())),
            tokenizer=tokenizer.to_str(),
            given=(Column("label", len(LABELS), values=LABELS),),
        )
        note = f"{self.train} training and {self.held_out} held-out sentences, independent, with seed {self.seed}"
        return Splits(train, held_out, spec, (note,), held_out.conditions["label"], LABELS)

    def sentences(self) -> tuple[str, ...]:
        """All sentences: training, then held-out."""
        return _drawn(self)[0]

    def true_nll(self) -> Float[Tensor, " N"]:
        """-log p(x) of the held-out sentences in nats.

        Example:
            >>> data = MadeReviews(train=1, held_out=3)
            >>> data.sentences()[1], round(data.true_nll()[0].exp().item())  # 2 styles, 6 patterns, 3 blanks
            ('the wine was tasty in-june .', 36000)
            >>> 2 * 6 * 30 * 10 * 10
            36000
        """
        return torch.from_numpy(_drawn(self)[2][self.train :])


def words_for(blank: str, label: int) -> list[str]:
    """The words that may fill a blank in a sentence of a style.

    Example:
        >>> words_for("FEELING", 1)
        ['loved', 'enjoyed', 'adored', 'recommend']
    """
    return (SHARED[blank] if blank in SHARED else STYLED[blank][label]).split()


@cache
def vocabulary() -> list[str]:
    """All words, in alphabetical order.

    Example:
        >>> vocabulary()[:3]
        [',', '.', 'adored']
    """
    fixed = [word for pattern in PATTERNS for word in pattern.split() if word not in SHARED and word not in STYLED]
    filled = [word for label in (0, 1) for blank in (*SHARED, *STYLED) for word in words_for(blank, label)]
    return sorted({*fixed, *filled})


@cache
def _drawn(part: MadeReviews) -> tuple[tuple[str, ...], Array, Array]:
    """All sentences, their labels, and -log p of each."""
    random, count = np.random.default_rng(part.seed), part.train + part.held_out
    labels, patterns = random.integers(2, size=count), random.integers(len(PATTERNS), size=count)
    made = [_fill(PATTERNS[p], y, random) for p, y in zip(patterns.tolist(), labels.tolist(), strict=True)]
    nats = np.array([math.log(2 * len(PATTERNS)) + cost for _, cost in made])
    return tuple(text for text, _ in made), labels, nats


def _fill(pattern: str, label: int, random: np.random.Generator) -> tuple[str, float]:
    """A sentence, and the nats of the words in its blanks."""
    words, nats = [], 0.0
    for word in pattern.split():
        if word in SHARED or word in STYLED:
            choices = words_for(word, label)
            word, nats = choices[random.integers(len(choices))], nats + math.log(len(choices))
        words.append(word)
    return " ".join(words), nats
