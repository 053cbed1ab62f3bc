"""Sentences rewritten towards another label: BLEU, the judge, which codes tell, what is swapped, and the command."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.text import bleu_score

from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.core import remedy
from buttress.core.recipe import Training
from buttress.data.made_reviews import PATTERNS, MadeReviews, vocabulary, words_for
from buttress.data.sentences import Sentences
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.experiments.code_classifier import (
    STRENGTH,
    CodeClassifier,
    fit_code_classifier,
    swap_at_random,
    swap_towards,
)
from buttress.experiments.transfer import LabelledCodes, rewrite, scores, sources
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.quality.bleu import bleu
from buttress.quality.sentence_classifier import SentenceClassifier
from buttress.training.run import Run, train

DATA = MadeReviews(train=2000, held_out=200)


def test_bleu_is_that_of_another_program():
    texts = DATA.sentences()
    for a, b in ((texts[:300], texts[300:600]), (texts[:200], [t.replace("the", "a") for t in texts[:200]])):
        assert bleu(a, b) == pytest.approx(100 * bleu_score(list(a), [[one] for one in b]).item(), abs=1e-4)
    short = [" ".join(t.split()[:-2]) for t in texts[:200]]
    assert bleu(short, texts[:200]) == pytest.approx(
        100 * bleu_score(short, [[t] for t in texts[:200]]).item(), abs=1e-4
    )
    assert bleu(["so it is"], ["so be it"]) == 0 and bleu([], []) == 0
    with pytest.raises(ValueError, match="got 1 candidates and 2 references, wanted as many"):
        bleu(["a"], ["a", "b"])


def test_the_masses_of_made_reviews_sum_to_one():
    """Every filling of every pattern has its mass, and no two of one style are the same sentence."""
    mass, number = 0.0, 0
    for label in (0, 1):
        for pattern in PATTERNS:
            ways = math.prod(len(words_for(w, label)) for w in pattern.split() if w.isupper())
            number += ways
            mass += ways * math.exp(-math.log(2 * len(PATTERNS)) - math.log(ways))
    assert mass == pytest.approx(1)
    splits = DATA.open()
    assert splits.spec.vocabulary == len(vocabulary()) + 4 and len(DATA.true_nll()) == 200
    ids = splits.train.batch(torch.arange(100))
    assert (ids != 3).all()  # no unknown word
    both = {word for label in (0, 1) for blank in ("QUALITY", "FEELING", "ENDING") for word in words_for(blank, label)}
    assert len(both) == 2 * (10 + 4 + 4)  # no word of style belongs to two


def test_a_judge_tells_the_sentiment_of_sentences_it_has_not_seen():
    texts, labels = DATA.sentences(), DATA.open()
    judge = SentenceClassifier(texts[:2000], labels.train.conditions["label"])
    assert (judge(texts[2000:]) == labels.held_out.conditions["label"]).double().mean() > 0.98
    with pytest.raises(ValueError, match="all have one label"):
        SentenceClassifier(["a", "b"], torch.tensor([1, 1]))


def test_what_codes_tell_of_a_label_is_found_slot_by_slot():
    """Three labels; slot 1 tells them with its codes 0, 1 and 2, slots 0 and 2 tell nothing; some have no label."""
    codes = torch.randint(4, (3000, 3), generator=torch.Generator().manual_seed(0))
    labels = torch.where(codes[:, 1] < 3, codes[:, 1] + 5, -1)
    told = fit_code_classifier(codes, labels, 4)
    assert told.classes == (5, 6, 7) and told.weight.shape == (3, 3, 4)
    known = labels >= 0
    assert (told.log_p(codes[known]).argmax(1) + 5 == labels[known]).all()
    assert told.weight[:, [0, 2]].abs().max() < 0.1 * told.weight[:, 1].abs().max()
    torch.testing.assert_close(told.log_p(codes).exp().sum(-1), torch.ones(3000))
    with pytest.raises(ValueError, match="1 different labels, wanted two or more"):
        fit_code_classifier(codes, torch.zeros(3000).long(), 4)


def test_two_labels_have_the_odds_of_the_regression():
    from sklearn.linear_model import LogisticRegression

    codes = torch.randint(3, (400, 2), generator=torch.Generator().manual_seed(1))
    labels = (codes.sum(1) + torch.randint(2, (400,), generator=torch.Generator().manual_seed(2)) > 2).long()
    features = F.one_hot(codes, 3).flatten(1).numpy()
    wanted = LogisticRegression(C=STRENGTH, max_iter=1000).fit(features, labels.numpy()).predict_proba(features)
    torch.testing.assert_close(
        fit_code_classifier(codes, labels, 3).log_p(codes).exp(), torch.from_numpy(wanted).float(), rtol=1e-3, atol=1e-4
    )


def told_of_three_slots():
    """Label 1 is told by code 1 of slots 0 (strongly) and 2 (weakly); slot 1 says nothing. K = 3."""
    says = torch.tensor([[-2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-0.5, 0.5, 0.0]])
    return CodeClassifier((0, 1), torch.stack([-says, says]), torch.zeros(2))


def test_the_most_telling_codes_are_swapped_first_and_no_more_than_needed():
    told, codes = told_of_three_slots(), torch.tensor([[0, 2, 0], [1, 0, 1], [0, 1, 1]])
    seen = []

    def log_prior(z):
        seen.append(len(z))
        return torch.where(z[:, 0] == 2, 3.0, 0.0)  # of the two codes that say as much, the prior likes one

    moved = swap_towards(codes, told, 1, log_prior, most=1, sure=0.9)
    assert moved.tolist() == [[2, 2, 0], [1, 0, 1], [2, 1, 1]]
    assert seen == [2 * 3]  # every code at one place of the two that were not yet sure
    more = swap_towards(codes, told, 1, log_prior, most=9, sure=0.9999)
    assert more.tolist() == [[2, 2, 1], [1, 0, 1], [2, 1, 1]]  # slot 1 tells nothing, so nothing there is swapped
    assert codes.tolist() == [[0, 2, 0], [1, 0, 1], [0, 1, 1]]  # what came stays as it was
    for most, sure in ((0, 0.9), (1, 1.0)):
        with pytest.raises(ValueError, match="wanted 1 or more, and 0 to 1"):
            swap_towards(codes, told, 1, log_prior, most, sure)
    with pytest.raises(ValueError, match="no training example has the label 7; there are 0, 1"):
        swap_towards(codes, told, 7, log_prior, 1, 0.9)


def test_random_swaps_are_as_many_and_of_codes_that_occur_at_that_place():
    others = torch.arange(3).expand(50, 3) + 10
    codes, count = torch.zeros(40, 3, dtype=torch.long), torch.arange(40) % 4
    swapped = swap_at_random(codes, count, others)
    assert torch.equal((swapped > 0).sum(1), count)
    assert torch.where(swapped > 0, swapped, others[:40]).equal(others[:40])


def test_normalised_slots_are_of_one_scale_whatever_the_features():
    module = VectorQuantized(codes=4, dim=3, slots=2, shared=True, normalize=True).build(features=5)
    h = torch.randn(6, 5)
    z = module.vectors(h)
    torch.testing.assert_close(z.flatten(1).mean(1), torch.zeros(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(z.flatten(1).square().mean(1), torch.ones(6), atol=1e-3, rtol=0)
    with torch.no_grad():
        module.linear.weight.mul_(50)
        module.linear.bias.mul_(50)
    torch.testing.assert_close(module.vectors(h), z, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="one slot of one number is always 0 when normalized; try dim=2"):
        VectorQuantized(dim=1, normalize=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Sixteen sentences of four things, each with two good and two bad things to say of it."""
    folder, said = tmp_path_factory.mktemp("moods"), {"bad": ("awful", "poor"), "good": ("lovely", "great")}
    things = ("soup", "fish", "room", "view")
    rows = [f"the {thing} was {word},{mood}" for thing in things for mood, words in said.items() for word in words]
    (folder / "moods.csv").write_text("\n".join(["text,mood", *rows * 30]) + "\n")
    data = Sentences(str(folder / "moods.csv"), label="mood", split="seed", held_out=0.2)
    start = replace(
        baseline(data, data.open().spec),
        encoder=RecurrentEncoder(16, 24, "max"),
        decoder=RecurrentDecoder(8, 24, word_dropout=1.0),
        training=Training(200, 32, 1e-2, validate_every=200, checkpoint_every=200),
    )
    return train(remedy.apply("discretized_bottleneck:chunks=2:codes=16:dim=8:first=0.8", start), folder / "run")


def test_swapping_the_codes_that_tell_moves_sentences_and_swapping_at_random_does_not(run):
    known, raw = LabelledCodes(run), sources(run, 1, 40)
    assert (raw.given["label"] == 0).all()
    found, control = (rewrite(known, raw, 1, random=random) for random in (False, True))
    moved, random = (scores(one, known.judge) for one in (found, control))
    assert moved["accuracy_copies"] == random["accuracy_copies"] < 0.1
    assert moved["accuracy"] > 0.8 and random["accuracy"] < 0.5
    assert 0 < moved["swapped"] == random["swapped"] < 2
    things = [
        (source.split()[1], result.split()[1]) for source, result in zip(found.sources, found.results, strict=True)
    ]
    assert sum(a == b for a, b in things) > 0.6 * len(things)  # what is spoken of stays
    assert rewrite(known, raw, 1, atoms=1).swapped.max() == 1


def test_the_command_prints_each_sentence_and_writes_a_table(run, capsys, tmp_path):
    assert cli.main(["transfer", str(run.folder), "--to", "good", "--count", "3"]) == 0
    out = capsys.readouterr().out
    assert out.count("  -> ") == 3 and "are taken for good (as reconstructed" in out
    rows = (run.folder / "transferred.tsv").read_text().splitlines()
    assert rows[0] == "source\treconstruction\tresult\tswapped" and len(rows) == 4
    typed = ["--text", "the soup was awful", "--out", str(tmp_path / "one.tsv")]
    assert cli.main(["transfer", str(run.folder), "--to", "1", *typed]) == 0
    assert (tmp_path / "one.tsv").read_text().splitlines()[1].startswith("the soup was awful\t")
    for to, why in (["--to", "happy"], "label: got 'happy', wanted bad, good"), ([], "expected --to LABEL"):
        assert cli.main(["transfer", str(run.folder), *to]) == 2
        assert why in capsys.readouterr().err


def test_runs_that_cannot_be_rewritten_say_why(tmp_path):
    recipe = replace(baseline(DATA, DATA.open().spec), training=Training(2, 8, validate_every=2, checkpoint_every=2))
    plain = train(recipe, tmp_path / "plain", progress=False)
    with pytest.raises(ValueError, match="this run has a z of real numbers; train one on labelled sentences"):
        LabelledCodes(plain)
