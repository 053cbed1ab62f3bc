"""Sentences as token ids: one flat array and the place where each sentence starts."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain, islice
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from buttress.core import BOS, EMPTY, EOS, PAD, UNK, DataSpec, Examples, Given
from buttress.data.reading.memory import Array, Rows
from buttress.runtime.safe_files import reading

__all__ = ["SPECIAL", "TokenEncoder", "TokenExamples", "decode", "learn", "word_tokenizer"]

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
"""The tokens of the ids PAD, BOS, EOS and UNK."""
MOST_WORDS = 2**21
"""Different words that are counted at a time: some 300 MB."""
MOST_KNOWN = 2**18
"""Words whose ids are remembered."""


class TokenExamples(Examples):
    """Sentences, each its words' ids and then EOS.

    Args:
        ids: All sentences one after the other.
        starts: Place of each sentence's first id, shape (N,).
        lengths: Number of its ids, EOS included, shape (N,).
        name: Names a sentence in errors, by its number.
        conditions: What is known beside each sentence, such as its label, columns of shape (N, ...).

    Example:
        >>> two = TokenExamples(Rows(np.array([5, 2, 6, 7, 2])), np.array([0, 2]), np.array([2, 3]), str)
        >>> two.batch(torch.tensor([0, 1])).tolist()
        [[5, 2, 0], [6, 7, 2]]
    """

    def __init__(
        self, ids: Rows, starts: Array, lengths: Array, name: Callable[[int], str], conditions: Given = EMPTY
    ) -> None:
        self._ids, self._starts, self._name = ids, starts.astype(np.int64), name
        self.conditions = conditions
        self.lengths: Tensor = torch.from_numpy(lengths.astype(np.int64))

    def __len__(self) -> int:
        return len(self._starts)

    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """See :class:`buttress.core.Examples`."""
        width = int(self.lengths[index].max()) if len(index) else 0
        kept = index[rows]
        inside = torch.arange(width) < self.lengths[kept][:, None]
        places = self._starts[kept.numpy()][:, None] + np.arange(width)
        padded = torch.full(inside.shape, PAD)
        padded[inside] = torch.from_numpy(self._ids.take(places[inside.numpy()]).astype(np.int64))
        return padded

    def where(self, position: int) -> str:
        """The file and line of a sentence, for errors."""
        return self._name(position)


def learn(
    texts: Iterable[str], kind: Literal["word", "bpe"], vocabulary: int, punctuation: bool = False, where: str = "text"
) -> Tokenizer:
    """A tokenizer of at most ``vocabulary`` ids, the four special ones included, learned from texts.

    Args:
        texts: One sentence each, its words separated by one space; read once.
        kind: "word" keeps the most frequent words; "bpe" builds words from frequent pieces.
        vocabulary: The cap.
        punctuation: Whether to split words from punctuation; else words are what spaces separate.
        where: Names the texts in errors.

    Errors:
        ValueError: Fewer than two different words or pieces were met.

    Example:
        >>> learn(["a b", "a c", "a b"], "word", vocabulary=6).encode("a b c").ids  # room for the two commonest
        [4, 5, 3]
    """
    learned = _learn_words if kind == "word" else _learn_pieces
    tokenizer = learned(texts, vocabulary, punctuation)
    _enough(tokenizer, where)
    return tokenizer


def _learn_words(texts: Iterable[str], vocabulary: int, punctuation: bool) -> Tokenizer:
    """The most frequent words; of equally frequent ones the first in the order of their characters."""
    split = pre_tokenizers.Whitespace() if punctuation else pre_tokenizers.WhitespaceSplit()
    counts = _counted(texts)
    if punctuation:
        whole, counts = counts, Counter()
        for word, count in whole.items():
            for part, _ in split.pre_tokenize_str(word):
                counts[part] += count
    most = heapq.nsmallest(vocabulary - len(SPECIAL), counts.items(), key=lambda item: (-item[1], item[0]))
    tokenizer = word_tokenizer(word for word, _ in most)
    tokenizer.pre_tokenizer = split
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _counted(texts: Iterable[str]) -> Counter[str]:
    """How often each word is there. Where there are too many to hold, the rarest so far are dropped now and then."""
    counts, rare = Counter[str](), 1
    rest = iter(texts)
    while block := list(islice(rest, 4096)):
        counts.update(" ".join(block).split(" "))
        while len(counts) > MOST_WORDS:
            counts = Counter({word: count for word, count in counts.items() if count > rare})
            rare += 1
    for special in ("", *SPECIAL):
        del counts[special]
    return counts


def _learn_pieces(texts: Iterable[str], vocabulary: int, punctuation: bool) -> Tokenizer:
    tokenizer = Tokenizer(_pieces())
    tokenizer.pre_tokenizer = _spaces_kept(punctuation)
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        limit_alphabet=vocabulary - len(SPECIAL),  # without it, letters alone may break the cap
        show_progress=False,
    )
    tokenizer.train_from_iterator((_unspecial(text) for text in texts), trainer)
    return tokenizer


def _unspecial(text: str) -> str:
    """Without special tokens that are spelled out, which would else be learned a second time as words."""
    return " ".join(w for w in text.split() if w not in SPECIAL) if "<" in text else text


def _pieces() -> models.BPE:
    return models.BPE(unk_token=SPECIAL[UNK])


def _spaces_kept(punctuation: bool) -> pre_tokenizers.PreTokenizer:
    spaces = pre_tokenizers.Metaspace()
    return pre_tokenizers.Sequence([spaces, pre_tokenizers.Punctuation()]) if punctuation else spaces


def _enough(tokenizer: Tokenizer, where: str) -> None:
    words = sorted(set(tokenizer.get_vocab()) - set(SPECIAL))
    if len(words) < 2:
        got = f"only the word {words[0]!r}" if words else "no words at all"
        raise ValueError(
            f"{where}: the training text has {got}; wanted at least two; try other text or tokenizer='bpe'"
        )


def word_tokenizer(words: Iterable[str]) -> Tokenizer:
    """A word-level tokenizer whose ids from 4 on are the given words.

    Example:
        >>> word_tokenizer(["so", "it"]).encode("it so what").ids  # 4 and up; what is not known is 3
        [5, 4, 3]
    """
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[UNK]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


class TokenEncoder:
    """Sentences to ids, each word looked up once; a special token spelled out in a text is an unknown word.

    Args:
        tokenizer: Splits at spaces first, as those of :func:`learn` and :func:`word_tokenizer` do.

    Example:
        >>> ids, lengths = TokenEncoder(word_tokenizer(["so", "it"]))(["it so", "so"])  # each ends in 2
        >>> ids.tolist(), lengths.tolist()
        ([5, 4, 2, 4, 2], [3, 2])
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._known = _Known(tokenizer)
        self._by_word = isinstance(tokenizer.model, models.WordLevel)

    def __call__(self, texts: list[str]) -> tuple[Array, Array]:
        """The ids of all texts one after the other, and how many each has, EOS included."""
        if self._by_word or not any(map(_needs_context, texts)):
            words = " \n ".join([*texts, ""])[:-1].split(" ") if texts else []
        else:
            words = [w for text in texts for w in ([text] if _needs_context(text) else text.split(" ")) + ["\n"]]
        ids = np.fromiter(chain.from_iterable(map(self._known.__getitem__, words)), np.int32)
        return ids, np.diff(np.flatnonzero(ids == EOS), prepend=-1)


def _needs_context(text: str) -> bool:
    """Whether pieces of a word may depend on its neighbours: Metaspace treats spaces beside these in its own way."""
    return "▁" in text or _spells_special(text)


def _spells_special(text: str) -> bool:
    return "<" in text and any(token in text for token in SPECIAL)


class _Known(dict[str, tuple[int, ...]]):
    """The ids of words met so far."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__({"\n": (EOS,)})
        self._tokenizer = tokenizer
        split = isinstance(tokenizer.pre_tokenizer, pre_tokenizers.WhitespaceSplit)
        self._whole = split and isinstance(tokenizer.model, models.WordLevel)
        if self._whole:
            self.update({word: (i,) for word, i in tokenizer.get_vocab().items() if not _spells_special(word)})

    def __missing__(self, word: str) -> tuple[int, ...]:
        if self._whole and "<" not in word:
            return (UNK,)
        ids = self._tokenizer.encode(word, add_special_tokens=False).ids
        found = tuple(i if i > UNK else UNK for i in ids)
        if len(self) < MOST_KNOWN:
            self[word] = found
        return found


def decode(spec: DataSpec, ids: Int[Tensor, "N T"]) -> list[str]:
    """Sentences as people read them, each up to its first EOS.

    Args:
        spec: Of text data, with its tokenizer.
        ids: Token ids, shape (N, T).

    Errors:
        ValueError: The data is not text.

    Example:
        >>> from buttress.core import Layout
        >>> spec = DataSpec(Layout.text(6, longest=3), tokenizer=word_tokenizer(["so", "it"]).to_str())
        >>> decode(spec, torch.tensor([[5, 4, 2], [4, 2, 0]]))
        ['it so', 'so']
    """
    if spec.tokenizer is None:
        raise ValueError(f"only text can be decoded into sentences, and this is {spec.kind} data without a tokenizer")
    sentences = [[i for i in row[: _end(row)] if i not in (PAD, BOS)] for row in ids.tolist()]
    return _tokenizer(spec.tokenizer).decode_batch(sentences, skip_special_tokens=False)


def _end(row: list[int]) -> int:
    return row.index(EOS) if EOS in row else len(row)


@lru_cache(maxsize=4)
def _tokenizer(text: str) -> Tokenizer:
    with reading("tokenizer.json", "a tokenizer", "going back to a copy of it"):
        return Tokenizer.from_str(text)
