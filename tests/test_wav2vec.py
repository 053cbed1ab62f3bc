"""vq-wav2vec: its encoder, its groups of codes, the BERT of codes, and a run of the remedy up to the evidence."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import group_norm

from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, remedy
from buttress.core.remedy import DoesNotFit
from buttress.data.made_speech import MadeSpeech
from buttress.data.opened import opened
from buttress.diagnostics.evidence import Evidence
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.experiments.convert import speaker_of
from buttress.posteriors.categorical import CategoricalPosterior
from buttress.quality.masked_codes import MaskedCodes, fit_masked_codes, spans
from buttress.training.run import train

DATA = MadeSpeech(train=24, held_out=12, phones=5, speakers=2, bands=6, spoken=6, words=3)
STATES = {"used", "partly used", "collapsed", "unknown"}
CODES = "wav2vec_codes:codes=4:dim=2:width=6:steps=2:negatives=3:layers=1:first=0.5"


def recipe(codes):
    start = baseline(DATA, opened(DATA).spec)
    return remedy.apply(
        codes, replace(start, training=replace(start.training, steps=8, batch_size=8, validate_every=4))
    )


def test_utterances_of_one_word_have_its_phones():
    splits = replace(DATA, train=40).open()
    spoken = splits.train.alignment.label.reshape(40, 6)  # six phones each
    word = splits.train.conditions["word"]
    assert splits.spec.column("word").values == ("w0", "w1", "w2") and len(word.unique()) == 3
    for n in range(40):
        assert (spoken[n] == spoken[int((word == word[n]).nonzero()[0])]).all()
    assert len({tuple(row) for row in spoken.tolist()}) == 3
    assert splits.train.lengths.unique().numel() > 3  # at a pace of its own each time


def test_the_norm_of_the_encoder_is_that_of_one_group_over_true_places():
    torch.manual_seed(0)
    part = Conv1dEncoder(widths=(4,), strides=(2,), positions=True, normalize=True, compress=True)
    module = part.build(DataSpec(Layout.frames(3, longest=12)))
    x = torch.randn(2, 12, 3)
    found = module(x, {"lengths": torch.tensor([12, 7])})
    plain = group_norm(module.layers[0](x.mT), 1).relu().log1p().mT
    torch.testing.assert_close(found[0], plain[0])
    alone = group_norm(module.layers[0](x[1:, :7].mT), 1).relu().log1p().mT
    torch.testing.assert_close(found[1, :4], alone[0])
    assert not found[1, 4:].any()


@pytest.mark.parametrize("strides", [(5, 4, 2), (1,), (3, 1)])
def test_features_read_something_in_common_until_they_are_apart(strides):
    part = Conv1dEncoder((3,) * len(strides), activation="tanh", strides=strides, positions=True)
    longest = 10 * math.prod(strides)
    module = part.build(DataSpec(Layout.frames(1, longest=longest)))
    x = torch.randn(1, longest, 1, requires_grad=True)
    read = [torch.autograd.grad(h.sum(), x, retain_graph=True)[0][0, :, 0] != 0 for h in module(x)[0]]
    common = [bool((read[4] & read[4 + away]).any()) for away in range(6)]
    assert common == [away < part.apart for away in range(6)]


def test_groups_that_share_a_codebook_read_the_same_codeword_for_one_code():
    module = CategoricalPosterior(codes=3, dim=2, slots=2, shared=True, hidden=4).build(features=5)
    first, second = module.embed(torch.tensor([2, 2])).chunk(2)
    assert torch.equal(first, second) and module.codebook.shape == (1, 3, 2)
    own = CategoricalPosterior(codes=3, dim=2, slots=2).build(features=5)
    assert not torch.equal(*own.embed(torch.tensor([2, 2])).chunk(2))


def test_spans_hide_a_share_of_places_and_none_beyond_the_end():
    torch.manual_seed(0)
    lengths = torch.tensor([60, 9, 1]).repeat(500)
    hidden = spans(lengths, 60)
    inside = torch.arange(60) < lengths[:, None]
    assert not hidden[~inside].any() and hidden.any(1).all()
    late = hidden[lengths == 60][:, 20:].float().mean().item()
    assert late == pytest.approx(
        1 - 0.95**10 * (1 - 10 / 60), abs=0.03
    )  # no span begins there, nor the one that is sure


def test_what_is_hidden_or_beyond_the_end_is_not_read():
    torch.manual_seed(0)
    model = MaskedCodes(groups=2, classes=5, hidden=8, heads=2, layers=2).eval()
    codes, lengths = torch.randint(5, (3, 9, 2)), torch.tensor([9, 6, 1])
    hide = spans(lengths, 9, span=2)
    unread = hide | (torch.arange(9) >= lengths[:, None])
    other = torch.where(unread[..., None], (codes + 1) % 5, codes)
    inside = torch.arange(9) < lengths[:, None]
    torch.testing.assert_close(model(codes, lengths, hide)[inside], model(other, lengths, hide)[inside])
    beyond = torch.where(inside[..., None], codes, 0)
    torch.testing.assert_close(model.pooled(codes, lengths), model.pooled(beyond, lengths))
    assert not torch.equal(model.pooled(codes, lengths), model.pooled(other, lengths))
    with pytest.raises(ValueError, match="codes from 0 to 4 of 4"):
        fit_masked_codes(torch.tensor([[[0], [4]]]), torch.tensor([2]), classes=4)


@pytest.mark.parametrize("quantizer", ["kmeans", "gumbel"])
def test_a_run_of_the_remedy_is_diagnosed(tmp_path, quantizer):
    run = train(recipe(f"{CODES}:quantizer={quantizer}"), tmp_path / "run", progress=False)
    evidence = run.diagnose(nll_samples=0, gap_steps=0, samples=1)
    found = evidence.estimates
    assert isinstance(evidence, Evidence) and found["worth_critic"].error is not None
    assert evidence.verdict.state in ({"unknown", "collapsed"} if found["worth_critic"].value < 0.1 else STATES)
    with pytest.raises(ValueError, match="a critic and no decoder"):
        speaker_of(run, "ann")
    assert 0 < found["contrastive_accuracy"].value < 1 and found["contrastive_information"].value < math.log(4)
    assert "each candidate by itself" in found["distortion"].note
    assert found["rate_uniform"].value > 0
    slots = {name for name in found if name.startswith("code_perplexity/")}
    assert slots == ({"code_perplexity/slot0", "code_perplexity/slot1"} if quantizer == "kmeans" else set())


def test_the_remedy_finds_strides_and_the_first_step_that_is_no_overlap():
    wave = baseline(DATA, DataSpec(Layout.wave(4000)))
    changed = remedy.apply("wav2vec_codes:stride=80:shared=true", wave)
    assert changed.encoder.strides == (5, 2, 2, 2, 2) and changed.critic.first == changed.encoder.apart == 4
    assert changed.posterior.shared and changed.posterior.learning == "gradient"
    assert changed.posterior.revive == 100
    short = replace(wave, training=replace(wave.training, steps=60))  # else one codeword would be left, and no time
    revives = {rest: remedy.apply(f"wav2vec_codes{rest}", short).posterior.revive for rest in ("", ":revive=61")}
    assert revives == {"": 5, ":revive=61": 61}
    drawn = remedy.apply("wav2vec_codes:quantizer=gumbel:ahead=2", wave)
    assert drawn.objective.beta.value == 0 and drawn.critic.first == 2
    with pytest.raises(DoesNotFit, match="stride is 0"):
        remedy.apply("wav2vec_codes:stride=0", wave)
    with pytest.raises(DoesNotFit, match="stride is 1000000000000000003, wanted 1 to 100,000"):
        remedy.apply("wav2vec_codes:stride=1000000000000000003", wave)
    with pytest.raises(ValueError, match="first is nan"):
        remedy.apply("wav2vec_codes:quantizer=gumbel:first=nan", wave)
