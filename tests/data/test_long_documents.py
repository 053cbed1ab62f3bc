"""Long documents follow their tables: topics in the first half alone, a stationary chain in the second."""

from dataclasses import replace

import pytest
import torch

from buttress.core import EOS, PAD
from buttress.data.long_documents import LongDocuments
from buttress.data.reading.tokens import decode
from buttress.diagnostics.estimators.feature_cosine import feature_cosine
from buttress.encoders.recurrent import RecurrentEncoder

DATA = LongDocuments(topics=4, words=40, topic_words=6, shortest=20, longest=30, train=6000, held_out=500)


@pytest.fixture(scope="module")
def documents():
    splits = DATA.open()
    x = splits.train.batch(torch.arange(len(splits.train)))
    lengths = splits.train.lengths - 1
    place = torch.arange(x.shape[1])
    first, inside = place < (lengths // 2)[:, None], place < lengths[:, None]
    return x, lengths, first, inside & ~first


def test_lengths_and_ends(documents):
    x, lengths, *_ = documents
    assert lengths.min() == 20 and lengths.max() == 30
    assert (x.gather(1, lengths[:, None]) == EOS).all()
    after = torch.arange(x.shape[1]) > lengths[:, None]
    assert (x[after] == PAD).all() and (x[~after] != PAD).all() and x.max() == 43


def test_topic_words_stand_in_the_first_half_alone_and_follow_their_table(documents):
    x, _, first, second = documents
    topical = (x >= 4) & (x < 24)
    assert not (topical & second).any()
    share = (topical & first).sum() / first.sum()
    assert share.item() == pytest.approx(1 - DATA.noise / 2, abs=0.01)
    topics, tables = DATA.topics_of_all()[:6000], DATA.topic_tables()
    torch.testing.assert_close(tables.sum(1), torch.ones(4).double())
    assert ((tables > 0).sum(1) == 6).all()
    for c in range(4):
        words = x[topics == c][(topical & first)[topics == c]] - 4
        counted = words.bincount(minlength=20) / len(words)
        assert ((counted - tables[c]).abs() < 5 * (tables[c] * (1 - tables[c]) / len(words)).sqrt() + 1e-9).all()
    assert (topics.bincount() / 6000 - 0.25).abs().max() < 5 * (0.25 * 0.75 / 6000) ** 0.5


def test_documents_differ_in_their_noise(documents):
    x, _, first, _ = documents
    share = ((x >= 24) & first).sum(1) / first.sum(1)
    assert share.mean().item() == pytest.approx(0.25, abs=0.01)
    assert share.var() > 1.3 * (share * (1 - share) / first.sum(1)).mean()  # more than the same noise in all would give


def test_the_second_half_is_the_stationary_chain(documents):
    x, lengths, _, second = documents
    chain, pi = DATA.chain(), DATA.stationary()
    torch.testing.assert_close(pi @ chain, pi)
    torch.testing.assert_close(chain.sum(1), torch.ones(20).double())
    for at in (lengths // 2, lengths - 1):  # the first and the last word of the half are distributed alike
        counted = (x.gather(1, at[:, None])[:, 0] - 24).bincount(minlength=20) / len(x)
        assert ((counted - pi).abs() < 5 * (pi * (1 - pi) / len(x)).sqrt()).all()
    pairs = second[:, :-1] & second[:, 1:]
    counted = torch.zeros(20, 20).double()
    counted.index_put_((x[:, :-1][pairs] - 24, x[:, 1:][pairs] - 24), torch.ones(()).double(), accumulate=True)
    seen = counted.sum(1, keepdim=True)
    assert ((counted / seen - chain).abs() < 5.5 * (chain * (1 - chain) / seen).sqrt() + 1e-9).all()


def test_the_second_half_knows_nothing_of_the_topic(documents):
    x, lengths, *_ = documents
    topics, pi = DATA.topics_of_all()[:6000], DATA.stationary()
    last = x.gather(1, lengths[:, None] - 1)[:, 0] - 24
    for c in range(4):
        counted = last[topics == c].bincount(minlength=20) / (topics == c).sum()
        assert ((counted - pi).abs() < 5 * (pi * (1 - pi) / (topics == c).sum()).sqrt()).all()


def test_labels_are_the_topics_of_the_held_out_documents():
    splits = DATA.open()
    assert torch.equal(splits.labels, DATA.topics_of_all()[6000:]) and len(splits.held_out) == 500
    x, tables = splits.held_out.batch(torch.arange(500)), DATA.topic_tables()
    words = (x[:, :, None] == torch.arange(4, 24)).any(1)
    assert not (words & (tables[splits.labels] == 0)).any()
    assert decode(splits.spec, x[:1])[0].split()[-1].startswith("w")


def test_a_seed_decides():
    one, again, other = (d.open().train.batch(torch.arange(9)) for d in (DATA, replace(DATA), replace(DATA, seed=1)))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_dispersion_of_untrained_encoders():
    """Of states pooled with their sign features are less alike than last states; those of a maximum are all positive,
    and so more alike: as to angles, the claim about pooling by the maximum is not true of default initial weights.
    """
    splits = LongDocuments(train=512, held_out=10).open()
    x = splits.train.batch(torch.arange(512))
    found = {}
    for pooling in ("last", "max", "abs"):
        torch.manual_seed(0)
        encoder = RecurrentEncoder(64, 64, pooling).build(splits.spec)
        found[pooling] = feature_cosine(encoder, [x], encode=encoder)
    assert found["abs"].value + 0.1 < found["last"].value < found["max"].value - 0.1
    assert max(e.error for e in found.values()) < 0.01


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"topics": 0}, "no size below 1"),
        ({"shortest": 1}, "2 words or more"),
        ({"longest": 50}, "longest at least shortest"),
        ({"noise": 1.5}, "noise from 0 to 1"),
        ({"words": 20}, "half of them must hold topic_words = 15"),
    ],
)
def test_impossible_documents_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        LongDocuments(**settings)
