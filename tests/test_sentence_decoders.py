"""A decoder of sentences is a true mass over them; word dropout hides words in training and nothing else."""

import itertools
import math

import pytest
import torch

from buttress.core import BOS, EOS, PAD, UNK, DataSpec, Layout
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.decoders.transformer import TransformerDecoder
from buttress.likelihoods.categorical import Categorical
from buttress.runtime.randomness import shard

RECURRENT, TRANSFORMER = RecurrentDecoder(embedding=3, hidden=5), TransformerDecoder(hidden=8, heads=2)
EVERY = pytest.mark.parametrize("part", [RECURRENT, TRANSFORMER, TRANSFORMER.replace(skip=True)], ids=str)
LENGTH, VOCABULARY = 4, 6  # EOS, UNK and two words can be said


def decoder(part, z_shape=(2,)):
    """A float64 module in evaluation mode, with weights away from their initial symmetry."""
    spec = DataSpec(Layout.text(VOCABULARY, longest=LENGTH))
    module = part.build(spec, z_shape, Categorical().build(spec)).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return module


def latents(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def sentences(length):
    """All sentences of ``length`` tokens, EOS included, padded."""
    words = itertools.product((UNK, 4, 5), repeat=length - 1)
    return torch.tensor([[*w, EOS, *[PAD] * (LENGTH - length)] for w in words])


BEGINNINGS = torch.tensor(list(itertools.product((UNK, 4, 5), repeat=LENGTH)))
SOME = torch.tensor([[4, 5, UNK, EOS], [5, EOS, PAD, PAD], [EOS, PAD, PAD, PAD]])


@EVERY
@pytest.mark.parametrize("word_dropout", [0.0, 0.5, 1.0])
def test_the_mass_of_all_sentences_and_of_all_longer_beginnings_is_one(part, word_dropout):
    p = decoder(part.replace(word_dropout=word_dropout))(latents(1, 2))
    ended = torch.cat([p.log_prob(sentences(n)).exp() for n in range(1, LENGTH + 1)]).sum()
    tail = p.log_prob(BEGINNINGS).exp().sum()
    assert 0 < tail < 1
    assert (ended + tail).item() == pytest.approx(1, abs=1e-12)


@EVERY
def test_padding_costs_nothing_and_changes_nothing(part):
    module, z = decoder(part), latents(3, 2)
    longer = torch.cat([SOME, torch.full((3, 2), PAD)], 1)
    torch.testing.assert_close(module(z).log_prob(longer), module(z).log_prob(SOME))
    torch.testing.assert_close(module(z[1:2]).log_prob(SOME[1:2, :2]), module(z).log_prob(SOME)[1:2])


@EVERY
def test_log_prob_is_the_sum_of_the_words_logits(part):
    module, z = decoder(part), latents(3, 2)
    logits = module.parameters_of(z, SOME).log_softmax(-1)
    by_hand = [sum(logits[b, t, w - EOS].item() for t, w in enumerate(row) if w != PAD) for b, row in enumerate(SOME)]
    torch.testing.assert_close(module(z).log_prob(SOME), torch.tensor(by_hand, dtype=torch.float64))


@EVERY
def test_word_dropout_hides_words_in_training_only(part):
    module = decoder(part.replace(word_dropout=0.3))
    x = SOME.repeat(2000, 1)
    before = torch.cat([torch.full((len(x), 1), BOS), x[:, :-1]], 1)
    assert torch.equal(module.eval().read(x), before)
    read = module.train().read(x)
    word = (before != BOS) & (before != PAD)
    assert torch.equal(read[~word], before[~word])
    hidden = read != before
    assert set(read[hidden].tolist()) == {UNK}
    share = hidden[word & (before != UNK)].double().mean().item()
    assert share == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / len(x)))


@EVERY
def test_at_one_word_dropout_is_the_inputless_decoder_always(part):
    module, z = decoder(part.replace(word_dropout=1.0)), latents(3, 2)
    for training in (True, False):
        read = module.train(training).read(SOME)
        assert read.tolist() == [[BOS, UNK, UNK, UNK], [BOS, UNK, UNK, PAD], [BOS, UNK, PAD, PAD]]
    logits = module.parameters_of(z[:1], torch.tensor([[4, 4, 4, EOS]]))
    torch.testing.assert_close(module.parameters_of(z[:1], torch.tensor([[5, UNK, 5, EOS]])), logits)


@EVERY
def test_dropout_acts_in_training_only(part):
    module, z = decoder(part.replace(dropout=0.5)), latents(3, 2)
    assert torch.equal(module(z).log_prob(SOME), module(z).log_prob(SOME))
    module.train()
    assert not torch.equal(module(z).log_prob(SOME), module(z).log_prob(SOME))
    numbers = torch.ones(200, 300)
    assert module.drop(numbers, (200,)).unique().tolist() == [0, 2]
    assert module.drop(numbers, (200,)).mean().item() == pytest.approx(1, abs=0.02)


@EVERY
def test_two_processes_hide_the_same_words_as_one(part):
    module, z = decoder(part.replace(word_dropout=0.5, dropout=0.5)).train(), latents(2, 6, 2)
    x = SOME.repeat(2, 1)
    torch.manual_seed(1)
    whole = module(z).log_prob(x)
    torch.manual_seed(1)
    with shard(1, 2):
        half = module(z[:, 3:]).log_prob(x[3:])
    torch.testing.assert_close(half, whole[:, 3:])


@EVERY
@pytest.mark.parametrize("word_dropout", [0.0, 1.0])
def test_what_is_drawn_are_sentences_that_end_and_differ(part, word_dropout):
    p = decoder(part.replace(word_dropout=word_dropout))(latents(5, 2))
    drawn = p.sample((400,))
    assert drawn.shape == (400, 5, LENGTH)
    p.module.likelihood.check(drawn.flatten(0, 1))
    assert (drawn == EOS).any()
    assert len(drawn.flatten(0, 1).unique(dim=0)) > 20


@EVERY
def test_samples_follow_the_mass(part):
    p = decoder(part)(latents(2))
    drawn = p.sample((20_000,))
    x = torch.cat([sentences(1), sentences(2)])
    share = torch.stack([(drawn == one).all(1).double().mean() for one in x])
    torch.testing.assert_close(share, p.log_prob(x).exp(), rtol=0, atol=0.015)


@EVERY
def test_the_likeliest_sentence_takes_the_largest_logit_each_time(part):
    module, z = decoder(part), latents(2, 3, 2)
    x = module.likeliest(z)
    assert x.shape == (2, 3, LENGTH)
    best = module.parameters_of(z, x).argmax(-1) + EOS
    assert torch.equal(x, torch.where(x == PAD, PAD, best))


@EVERY
def test_a_sentence_is_shared_by_the_samples_of_z(part):
    module, z = decoder(part), latents(4, 3, 2)
    together = module(z).log_prob(SOME)
    torch.testing.assert_close(together, torch.stack([module(z[s]).log_prob(SOME) for s in range(4)]))
    shaped = decoder(part, z_shape=(2, 3))
    assert shaped(latents(4, 3, 2, 3)).log_prob(SOME).shape == (4, 3)


def test_z_enters_at_the_start_and_at_every_step():
    module, z = decoder(RECURRENT), latents(1, 2)
    c, h = module.begin(z)[::-1]
    torch.testing.assert_close(h, c.tanh())
    inputs = module.inputs(module.embed(SOME[:1]), z)
    assert torch.equal(inputs[0, :, -2:], z.expand(LENGTH, 2))


@EVERY
def test_every_parameter_learns(part):
    module = decoder(part).train()
    module(latents(3, 2)).log_prob(SOME).sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("wrong", [dict(embedding=0), dict(hidden=0), dict(word_dropout=1.5), dict(dropout=1.0)])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match="recurrent decoder: "):
        RecurrentDecoder(**wrong)
