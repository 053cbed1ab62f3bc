r"""Synthetic documents that begin with their topic and end without it: what an encoder must remember.

$$ c \sim U\{1..C\}, \quad T \sim U\{T_0..T_1\}, \quad \epsilon \sim U(0, \epsilon_1), \qquad
   x_t \sim \begin{cases} (1 - \epsilon)\, W_c + \epsilon\, \pi & t < \lfloor T / 2 \rfloor \\
   \pi & t = \lfloor T / 2 \rfloor \\ P(\cdot | x_{t-1}) & t > \lfloor T / 2 \rfloor \end{cases}, \qquad \pi P = \pi $$

The first half of the words can be topical, and only a topic's table W_c has them; the other half are those of the chain
P. The second half of a document is a stationary Markov chain, drawn without regard to the topic. With several
``pieces`` the first half is so many parts, each with a topic of its own, so that more can be known of a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import EOS, Data, DataSpec, Layout, Splits
from buttress.data.reading.memory import Array, Rows, row_name
from buttress.data.reading.tokens import SPECIAL, TokenExamples, word_tokenizer
from buttress.runtime.memory import check_memory

__all__ = ["LongDocuments"]

SUCCESSORS = 5
"""Words that mostly follow a word of the chain."""
RESTART = 0.05
"""Probability that any word of the chain follows, so that the chain forgets where it began."""


@dataclass(frozen=True)
class LongDocuments(Data):
    """Long sentences whose topic is told in the first half only, so that the last state of an LSTM forgets it.

    Source: ours, after the claim of Long, Cao and Cheung, On Posterior Collapse and Encoder Feature Dispersion in
    Sequence VAEs, 2020. The labels of the held-out documents are their first topics.

    Args:
        topics: Number C of topics, equally likely.
        words: Number of words; ids are 4 more. Half of them, rounded down, are topical.
        topic_words: Words of one topic, drawn from the topical ones with a random weight each; topics may share some.
        shortest: Fewest words T_0 in a document.
        longest: Most words T_1 in a document.
        noise: Largest share of the first half of a document that is words of the chain; each document has its own.
        train: Number of training documents.
        held_out: Number of held-out documents.
        seed: Of tables and documents.
        pieces: Parts of the first half, as long as each other up to a word, with independent topics.

    Example:
        >>> data = LongDocuments(topics=3, words=30, shortest=6, longest=9, topic_words=4, train=20, held_out=10)
        >>> splits = data.open()
        >>> splits.spec.shape, splits.spec.vocabulary, splits.labels.shape
        ((10,), 34, torch.Size([10]))
    """

    topics: int = 20
    words: int = 300
    topic_words: int = 15
    shortest: int = 60
    longest: int = 80
    noise: float = 0.5
    train: int = 8_000
    held_out: int = 2_000
    seed: int = 0
    pieces: int = 1

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if min(self.topics, self.topic_words, self.shortest - 1, self.train, self.held_out, self.seed + 1) < 1:
            raise ValueError(f"long_documents data: wanted 2 words or more in each and no size below 1, got {self}")
        if self.longest < self.shortest or not 0 <= self.noise <= 1:
            raise ValueError(
                f"long_documents data: shortest is {self.shortest}, longest {self.longest} and noise {self.noise}; "
                "wanted longest at least shortest, and noise from 0 to 1"
            )
        count = self.train + self.held_out
        numbers = 4 * count * self.longest + self.words * (3 * self.words + self.topics)
        check_memory(8 * numbers, f"{count:,} documents of {self.words:,} words", "smaller sizes")
        if self.words // 2 < max(self.topic_words, SUCCESSORS):
            raise ValueError(
                f"long_documents data: words is {self.words}; half of them must hold topic_words = {self.topic_words} "
                f"and the {SUCCESSORS} successors of a word"
            )
        if not 1 <= self.pieces <= self.shortest // 2:
            raise ValueError(
                f"long_documents data: pieces is {self.pieces}, wanted from 1 to half of the shortest document, "
                f"{self.shortest // 2}"
            )

    @classmethod
    def tiny(cls) -> tuple[LongDocuments, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(topics=3, words=20, topic_words=4, shortest=6, longest=9, train=60, held_out=20),)

    @property
    def topical(self) -> int:
        """The number of topical words: ids from 4 up to 4 + this."""
        return self.words // 2

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`. Documents are independent, so the split is by position."""
        ids, lengths, topics = _drawn(self)
        name = partial(row_name, "long_documents")
        starts = np.concatenate([[0], lengths.cumsum()[:-1]])
        train, held_out = (
            TokenExamples(Rows(ids), starts[part], lengths[part], name)
            for part in (slice(self.train), slice(self.train, None))
        )
        spec = DataSpec(
            Layout.text(self.words + len(SPECIAL), longest=self.longest + 1),
            tokenizer=word_tokenizer(self._names()).to_str(),
        )
        note = f"{self.train} training and {self.held_out} held-out documents, independent, with seed {self.seed}"
        return Splits(train, held_out, spec, (note,), torch.from_numpy(topics[self.train :, 0]))

    def topic_tables(self) -> Float[Tensor, "C V"]:
        """W: the probability of each topical word under each topic."""
        return torch.from_numpy(_tables(self)[0])

    def chain(self) -> Float[Tensor, "K K"]:
        """P: the probability of each word of the chain after each; its ids begin where the topical ones end."""
        return torch.from_numpy(_tables(self)[1])

    def stationary(self) -> Float[Tensor, " K"]:
        """pi: how often each word of the chain occurs in it."""
        return torch.from_numpy(_tables(self)[2])

    def topics_of_all(self) -> Int[Tensor, " N"]:
        """The first topics of all documents: training, then held-out."""
        return torch.from_numpy(_drawn(self)[2][:, 0])

    def true_nll(self) -> Float[Tensor, " N"]:
        """-log p(x) of the held-out documents in nats, exact up to a fine grid of the noise.

        Example:
            >>> data = LongDocuments(topics=1, words=20, topic_words=1, shortest=2, longest=2, noise=0.0, held_out=5)
            >>> least = -data.stationary().max().log()  # the topic has one word, the second is of pi
            >>> len(data.true_nll()), bool((data.true_nll() >= least - 1e-9).all())
            (5, True)
        """
        return torch.from_numpy(_true_nll(self))

    def _names(self) -> list[str]:
        return [f"t{i}" if i < self.topical else f"w{i - self.topical}" for i in range(self.words)]


@cache
def _tables(part: LongDocuments) -> tuple[Array, Array, Array]:
    """W, P and pi."""
    random, plain = np.random.default_rng([part.seed, 0]), part.words - part.topical
    topical = np.zeros((part.topics, part.topical))
    for row in topical:
        row[random.choice(part.topical, part.topic_words, replace=False)] = random.dirichlet(np.ones(part.topic_words))
    chain = np.full((plain, plain), RESTART / plain)
    for row in chain:
        chosen = random.choice(plain, SUCCESSORS, replace=False)
        row[chosen] += (1 - RESTART) * random.dirichlet(np.ones(SUCCESSORS))
    # pi (P - 1) = 0 with sum 1: one equation more than unknowns, and exactly solvable
    equations = np.vstack([chain.T - np.eye(plain), np.ones(plain)])
    pi = np.linalg.lstsq(equations, np.append(np.zeros(plain), 1.0), rcond=None)[0].clip(min=0)
    return topical, chain, pi / pi.sum()


@cache
def _drawn(part: LongDocuments) -> tuple[Array, Array, Array]:
    """All ids one after the other, the number of ids of each document with EOS, and its topics."""
    table, chain, pi = _tables(part)
    random, count = np.random.default_rng([part.seed, 1]), part.train + part.held_out
    topics = random.integers(part.topics, size=(count, part.pieces))
    words = random.integers(part.shortest, part.longest + 1, size=count)
    epsilon = random.uniform(0, part.noise, size=(count, 1))
    half, place = words[:, None] // 2, np.arange(part.longest + 1)
    x = np.empty((count, part.longest + 1), np.int64)
    topic = np.take_along_axis(topics, _piece(part, half, place), 1)
    for c in range(part.topics):
        mine = topic == c
        x[mine] = _pick(table[c], random.random(mine.sum()))
    plain = _pick(pi, random.random(x.shape)) + part.topical
    x = np.where((place >= half) | (random.random(x.shape) < epsilon), plain, x)
    below = chain.cumsum(1)
    for t in range(part.shortest // 2 + 1, part.longest):
        going = np.flatnonzero(t > half[:, 0])
        before = x[going, t - 1] - part.topical
        after = (below[before] <= random.random((len(going), 1)) * below[before, -1:]).sum(1)
        x[going, t] = after + part.topical
    x += len(SPECIAL)
    x[np.arange(count), words] = EOS
    return x[place <= words[:, None]].astype(np.int32), words + 1, topics


def _piece(part: LongDocuments, half: Array, place: Array) -> Array:
    """The number of the piece of each place, (N, L); what lies behind the first half counts to the last piece."""
    return np.minimum(place * part.pieces // half, part.pieces - 1)


def _true_nll(part: LongDocuments) -> Array:
    table, chain, pi = _tables(part)
    ids, lengths, _ = _drawn(part)
    place, words = np.arange(part.longest), lengths[part.train :, None] - 1
    x = np.zeros((len(words), part.longest), np.int64)
    x[place < words] = ids[lengths[: part.train].sum() :][ids[lengths[: part.train].sum() :] != EOS] - len(SPECIAL)
    half = words // 2
    topical, first = (x < part.topical) & (place < half), place < half
    plain = np.maximum(x - part.topical, 0)
    with np.errstate(divide="ignore"):
        of_topic, of_pi, of_chain = np.log(table), np.log(pi), np.log(chain)
    piece, total = _piece(part, half, place), np.zeros(len(x))
    for number in range(part.pieces):
        inside = topical & (piece == number)
        score = np.where(inside, of_topic[:, np.minimum(x, part.topical - 1)], 0.0).sum(-1)
        total += np.logaddexp.reduce(score, 0) - np.log(part.topics)
    total += np.where((first & ~topical) | (place == half), of_pi[plain], 0.0).sum(1)
    total += np.where((place > half) & (place < words), of_chain[np.roll(plain, 1, 1), plain], 0.0).sum(1)
    noisy, clean = (first & ~topical).sum(1), topical.sum(1)
    if part.noise:
        noise = part.noise * (np.arange(2000)[:, None] + 0.5) / 2000
        total += np.logaddexp.reduce(clean * np.log1p(-noise) + noisy * np.log(noise), 0) - np.log(2000)
    return np.log(part.longest - part.shortest + 1) - total


def _pick(p: Array, uniforms: Array) -> Array:
    """Indices with probabilities p, from uniform numbers."""
    below = p.cumsum()
    return np.searchsorted(below, uniforms * below[-1], side="right")
