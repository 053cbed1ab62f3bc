"""Pairs of sentences, the decoder that looks at a source, the model without z, and beam search."""

from __future__ import annotations

import itertools
import math
import sys
from dataclasses import replace

import pytest
import torch

from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.cli.commands.translate import translate as translate_files
from buttress.core import EOS, PAD, Column, DataSpec, Layout, remedy
from buttress.core.model import LatentVariableModel
from buttress.data.made_translations import MadeTranslations
from buttress.data.pairs import Pairs
from buttress.data.reading.tokens import decode
from buttress.decoders._beam import beam_search
from buttress.decoders.cross_attention import CrossAttentionDecoder
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.decoders.transformer import TransformerDecoder
from buttress.encoders.none import NoEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.encoders.transformer import TransformerEncoder
from buttress.experiments.translate import translate
from buttress.likelihoods.categorical import Categorical
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.none import NoLatent
from buttress.priors.standard_normal import StandardNormal
from buttress.priors.uniform import Uniform
from buttress.quality.bleu import bleu
from buttress.quality.standard_bleu import standard_bleu
from buttress.training.run import train

SPEC = DataSpec(Layout.text(7, longest=4), given=(Column("source", symbols=7, size=5),))
SOURCE = torch.tensor([[4, 5, EOS, PAD, PAD], [6, 4, 5, 6, EOS], [6, EOS, PAD, PAD, PAD]])
SMALL = CrossAttentionDecoder(hidden=8, heads=2, layers=1, source_layers=1)


def model_of(decoder=SMALL):
    torch.manual_seed(0)
    model = LatentVariableModel(SPEC, NoEncoder(), NoLatent(), Uniform(), decoder, Categorical())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model.eval()


def sentences():
    """Every sentence of at most four tokens."""
    for length in range(4):
        for words in itertools.product((3, 4, 5, 6), repeat=length):
            yield [*words, EOS, *[PAD] * (3 - length)]
    yield from map(list, itertools.product((3, 4, 5, 6), repeat=4))


def test_without_z_the_bound_is_the_likelihood_and_every_parameter_learns():
    model, x = model_of(), torch.tensor([[4, 5, EOS, PAD], [6, EOS, PAD, PAD], [EOS, PAD, PAD, PAD]])
    every = torch.tensor(list(sentences()))
    given = {"source": SOURCE[:1].expand(len(every), -1)}
    z = torch.zeros(1, len(every), 1, dtype=torch.long)
    assert model.log_likelihood(every, z, given).exp().sum().item() == pytest.approx(1, abs=1e-5)
    terms = model.train()(x, given={"source": SOURCE})
    assert not terms.latent.rate.any() and model.reads == ("source",)
    ELBO()(terms, 0).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_the_source_is_read_and_its_padding_is_not():
    model, x, z = model_of(), torch.tensor([[4, 5, EOS, PAD]] * 3), torch.zeros(1, 3, 1, dtype=torch.long)
    whole = model.log_likelihood(x, z, {"source": SOURCE})
    assert len(whole.unique()) == 3
    short = model.log_likelihood(x[:1], z[:, :1], {"source": SOURCE[:1, :3]})
    torch.testing.assert_close(short, whole[:, :1])


def test_parts_without_a_latent_variable_go_together():
    for encoder, posterior, why in (
        (RecurrentEncoder(3, 4), NoLatent(), "none posterior reads nothing, and the recurrent encoder gives 4"),
        (NoEncoder(), GaussianPosterior(2), "gaussian posterior has nothing to read, and the none encoder gives 0"),
    ):
        prior = Uniform() if posterior.discrete else StandardNormal()
        with pytest.raises(ValueError, match=why):
            LatentVariableModel(SPEC, encoder, posterior, prior, SMALL, Categorical())


def test_an_encoder_may_read_the_source_in_place_of_x():
    encoder = TransformerEncoder(hidden=4, heads=1, layers=1, positions=True, source="source").build(SPEC)
    h = encoder(torch.zeros(3, 2, dtype=torch.long), {"source": SOURCE})
    assert h.shape == (3, 5, 4) and encoder.names == ("source",)
    assert torch.equal(encoder.valid(torch.zeros(3, 2, dtype=torch.long), {"source": SOURCE}), SOURCE != PAD)
    with pytest.raises(ValueError, match="no sentence"):
        TransformerEncoder(hidden=4, heads=1, source="label").build(replace(SPEC, given=(Column("label", classes=2),)))


def test_a_beam_that_holds_all_beginnings_finds_the_best_sentence():
    model = model_of()
    p = model.decode(torch.zeros(3, 1, dtype=torch.long), {"source": SOURCE})
    every = torch.tensor(list(sentences()))
    exact = p.expand((len(every), 3)).log_prob(every[:, None]).T
    for alpha in (0.0, 1.0):
        lengths = (every != PAD).sum(1)
        scores = exact / ((5 + lengths) / 6) ** alpha
        found, score = beam_search(model.decoder, p.z, beam=340, alpha=alpha)
        torch.testing.assert_close(score[:, 0], scores.amax(1))
        assert torch.equal(found[:, 0], every[scores.argmax(1)])


@pytest.mark.parametrize(
    "decoder", [SMALL, TransformerDecoder(hidden=8, heads=2), RecurrentDecoder(embedding=3, hidden=4)]
)
def test_cached_beam_search_equals_the_uncached_and_a_beam_of_one_is_greedy(decoder):
    model = model_of(decoder)
    p = model.decode(torch.zeros(3, 1, dtype=torch.long), {"source": SOURCE})
    (x, score), (other, again) = (beam_search(model.decoder, p.z, 3, cached=cached) for cached in (True, False))
    torch.testing.assert_close(score, again, rtol=1e-4, atol=1e-5)
    assert torch.equal(x, other)
    assert torch.equal(beam_search(model.decoder, p.z, 1, alpha=0.0)[0][:, 0], model.decoder.likeliest(p.z))


def test_label_smoothing_spreads_a_share_over_all_words_in_training_alone():
    model, x = model_of(SMALL.replace(label_smoothing=0.2)), torch.tensor([[4, EOS, PAD, PAD]] * 3)
    p = model.decode(torch.zeros(3, 1, dtype=torch.long), {"source": SOURCE})
    plain = p.log_prob(x)
    logits = model.decoder.parameters_of(p.z, x)[:, :2].log_softmax(-1)
    model.train()
    torch.testing.assert_close(p.log_prob(x), 0.8 * plain + 0.2 * logits.mean(-1).sum(-1))


def test_bleu_is_that_of_sacrebleu():
    """sacrebleu 2.6.0: BLEU(tokenize="none", smooth_method="none")."""
    found = ["a man in a red shirt is riding a bike .", "two dogs are playing in the snow", "a woman is reading"]
    wanted = [
        "a man in a red shirt rides a bike down the street .",
        "two dogs play in the snow .",
        "a woman reads a book on a bench .",
    ]
    assert bleu(found, wanted) == pytest.approx(29.652294061507167)


def test_the_standard_bleu_splits_punctuation_and_is_ours_where_spaces_do():
    pytest.importorskip("sacrebleu", reason="needs the translation extra (sacrebleu)")
    found, wanted = ["the food here was good ."], ["the food here was bad ."]
    score, signature = standard_bleu(found, wanted)
    assert score == pytest.approx(bleu(found, wanted)) and "tok:13a" in signature
    assert standard_bleu([found[0].replace(" .", ".")], wanted)[0] == pytest.approx(score)
    with pytest.raises(ValueError, match="got 1 candidates and 0 references"):
        standard_bleu(found, [])


def test_without_sacrebleu_it_says_what_to_install_before_anything_is_translated(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(ValueError, match=r"buttress\[translation\]"):
        standard_bleu(["a"], ["a"])
    (tmp_path / "a.de").write_text("ein hut\n")
    with pytest.raises(ValueError, match=r"buttress\[translation\]"):
        translate_files(tmp_path / "no run", tmp_path / "a.de", reference=tmp_path / "a.de", sacrebleu=True)


def test_a_bottleneck_lets_codes_of_the_source_through_and_nothing_else():
    recipe = remedy.apply(
        "source_bottleneck:chunks=2:codes=8:dim=2", replace(baseline(MadeTranslations(), SPEC), decoder=SMALL)
    )
    torch.manual_seed(1)
    model = recipe.model(SPEC)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    words = torch.tensor(list(itertools.product((4, 5, 6), repeat=4)))
    sources = torch.cat([words, torch.full((len(words), 1), EOS)], 1)
    x = torch.tensor([[4, 5, EOS, PAD]]).expand(len(words), -1)
    model(x, given={"source": sources})
    model.after_step()  # codewords start at what the encoder says
    model.eval()
    terms, z = model(x, given={"source": sources}), model.posterior(x, {"source": sources}).sample()
    torch.testing.assert_close(terms.latent.rate.sum(-1), torch.full((len(words),), 2 * math.log(8)))
    codes, which = z.flatten(1).unique(dim=0, return_inverse=True)
    assert 2 <= len(codes) < len(words)
    for code in range(len(codes)):  # alike for all sources of the same codes
        found = terms.distortion[0, which == code]
        torch.testing.assert_close(found, found[:1].expand_as(found))
    assert len(terms.distortion.round(decimals=4).unique()) == len(codes)
    other = model(torch.full_like(x, EOS), given={"source": sources}).latent.codes
    assert torch.equal(other, terms.latent.codes)  # and none of x


@pytest.fixture
def files(tmp_path):
    """A language in which words are written backwards."""
    nouns, verbs = ("dog", "cat", "man", "cow", "owl", "fox"), ("sees", "hits", "eats", "bites")
    lines = [f"a {n} {v} a {m}" for n in nouns for v in verbs for m in nouns]
    (tmp_path / "a.en").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "a.de").write_text("".join(f"{' '.join(w[::-1] for w in line.split())}\n" for line in lines))
    return tmp_path


def test_pairs_stay_pairs(files, own_cache):
    splits = Pairs(str(files / "a.en"), str(files / "a.de"), vocabulary=60).open()
    assert len(splits.train) + len(splits.held_out) == 144
    for examples in (splits.train, splits.held_out):
        batch = examples.read(torch.arange(len(examples)))
        source, target = decode(splits.spec, batch.given["source"]), decode(splits.spec, batch.x)
        assert target == [" ".join(w[::-1] for w in line.split()) for line in source]
        lengths = [(side != PAD).sum(1) for side in (batch.x, batch.given["source"])]
        assert torch.equal(examples.sizes, torch.maximum(*lengths))
    order = splits.train.sources.lengths.argsort()
    short = splits.train.read(order[:1]).given["source"].shape[1]
    first = splits.train.read(order, slice(1)).given["source"]  # of two processes, the first
    assert short < first.shape[1] == splits.train.sources.lengths.max()
    (files / "table.jsonl").write_text('{"en": "a dog", "de": "ein hund"}\n' * 12)
    table = Pairs(str(files / "table.jsonl"), column="en", source_column="de", tokenizer="word", split="seed").open()
    assert decode(table.spec, table.train.read(torch.tensor([0])).given["source"]) == ["ein hund"]
    (files / "short.de").write_text("nie god\n")
    with pytest.raises(ValueError, match=r"a.en, line 2: has no partner, as .*short.de has fewer lines"):
        Pairs(str(files / "a.en"), str(files / "short.de")).open()
    with pytest.raises(ValueError, match="either source_path"):
        Pairs(str(files / "a.en"))


def test_references_that_are_too_few_are_refused_before_anything_is_translated(tmp_path):
    (tmp_path / "a.de").write_text("ein hut\nein hund\n")
    (tmp_path / "a.en").write_text("a hat\n")
    with pytest.raises(ValueError, match="got 2 candidates and 1 references"):
        translate_files(tmp_path / "no run", tmp_path / "a.de", reference=tmp_path / "a.en")


@pytest.mark.slow
def test_a_run_learns_to_translate_and_the_command_does(files, own_cache, capsys):
    data = Pairs(str(files / "a.en"), str(files / "a.de"), tokenizer="word")
    splits = data.open()
    recipe = baseline(data, splits.spec, len(splits.train))
    decoder = CrossAttentionDecoder(hidden=32, heads=2, layers=1, source_layers=1)
    training = replace(recipe.training, steps=150, batch_size=32, learning_rate=1e-2, validate_every=150)
    run = train(replace(recipe, decoder=decoder, training=training), files / "run", progress=False)
    assert translate(run, ["a god sees a tac", "a xof"], beam=3)[0].startswith("a ")
    command = ["translate", str(files / "run"), str(files / "a.de"), "--reference", str(files / "a.en")]
    assert cli.main([*command, "--out", str(files / "a.out")]) == 0
    assert float(capsys.readouterr().out.split()[-1]) > 60
    assert len((files / "a.out").read_text().splitlines()) == 144
