"""Words and pieces to ids: the fast ways equal those of the tokenizers library."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from buttress.core import EOS, UNK
from buttress.data.reading import tokens
from buttress.data.reading.tokens import SPECIAL, TokenEncoder, learn, word_tokenizer

WORDS = [
    "so",
    "it",
    "is",
    "it's",
    "(so),",
    "größe",
    "👩‍👩‍👧",
    "日本",
    "▁",
    "▁it",
    "s▁o",
    *SPECIAL,
    "a<unk>b",
    "<",
    "<unk",
    "a",
    "b",
]
SENTENCES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=8)


def learned(texts, kind, vocabulary, punctuation):
    """What `learn` gives, and None for texts of too few words."""
    try:
        return learn(texts, kind, vocabulary, punctuation)
    except ValueError:
        return None


@pytest.mark.parametrize("kind", ["word", "bpe"])
@pytest.mark.parametrize("punctuation", [False, True])
@given(training=SENTENCES, texts=SENTENCES, vocabulary=st.integers(6, 40))
def test_every_word_is_encoded_as_in_its_sentence(kind, punctuation, training, texts, vocabulary):
    tokenizer = learned(training, kind, vocabulary, punctuation)
    if tokenizer is not None:
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        wanted = [[i if i > UNK else UNK for i in e.ids] + [EOS] for e in encoded]
        ids, lengths = TokenEncoder(tokenizer)(texts)
        assert [part.tolist() for part in np.split(ids, lengths.cumsum()[:-1])] == wanted


@pytest.mark.parametrize("punctuation", [False, True])
@given(training=SENTENCES, vocabulary=st.integers(6, 40))
def test_the_vocabulary_is_that_of_the_library(punctuation, training, vocabulary):
    tokenizer = learned(training, "word", vocabulary, punctuation)
    split = pre_tokenizers.Whitespace() if punctuation else pre_tokenizers.WhitespaceSplit()
    theirs = Tokenizer(models.WordLevel(unk_token="<unk>"))
    theirs.pre_tokenizer = split
    trainer = trainers.WordLevelTrainer(vocab_size=vocabulary, special_tokens=list(SPECIAL), show_progress=False)
    theirs.train_from_iterator([" ".join(w for w in text.split() if w not in SPECIAL) for text in training], trainer)
    if tokenizer is not None:
        assert tokenizer.to_str() == theirs.to_str()
    else:
        assert theirs.get_vocab_size() < len(SPECIAL) + 2


def test_the_rarest_words_are_dropped_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(tokens, "MOST_WORDS", 100)
    text = [f"so w{i} it w{i % 20}" for i in range(10_000)]
    counts = Counter(" ".join(text).split())
    found = learn(iter(text), "word", 26).get_vocab()
    assert set(found) - set(SPECIAL) == {word for word, _ in counts.most_common(22)}


def test_no_text_has_no_ids():
    ids, lengths = TokenEncoder(word_tokenizer(["so"]))([])
    assert ids.size == lengths.size == 0


def test_words_that_are_no_longer_remembered_are_looked_up(monkeypatch):
    monkeypatch.setattr(tokens, "MOST_KNOWN", 3)
    tokenizer = learn(["so, it is", "it, so"], "word", 20, punctuation=True)
    texts = ["so, it is", "it, so, is", "so it"]
    encode = TokenEncoder(tokenizer)
    once, again = encode(texts), encode(texts)
    assert once[0].tolist() == again[0].tolist() == TokenEncoder(tokenizer)(texts)[0].tolist()
