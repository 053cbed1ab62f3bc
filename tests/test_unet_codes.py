"""Codes on time scales with the voice beside them: what they cost, what they leave out, and voice conversion."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import buttress as bt
from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.core import DataSpec, Layout, Space, remedy
from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit
from buttress.data.made_speech import MadeSpeech
from buttress.data.sounds import Sounds
from buttress.experiments.convert import convert, of_length, voice_of
from buttress.nn.over_time import normalised_over_time
from buttress.posteriors.unet_quantized import SPEAKER, UNetQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.priors.uniform import Uniform

DATA = MadeSpeech(train=24, held_out=8, phones=5, speakers=2, bands=6, spoken=4)
REMEDY = "one_shot_conversion:codes=8:dim=4:width=8"


@pytest.fixture(params=["", ":quantizer=none", ":skips=false"])
def spoken(request):
    """A model with random weights, frames and their true lengths, and its recipe."""
    torch.manual_seed(0)
    spec = DATA.open().spec
    recipe = remedy.apply(REMEDY + request.param, baseline(DATA, spec))
    model = recipe.model(spec).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(3, *spec.shape)
    return model, x, {"lengths": torch.tensor([1, 9, x.shape[1]])}, recipe


def test_what_lies_behind_the_true_end_changes_nothing(spoken):
    model, x, given, _ = spoken
    other = torch.where(torch.arange(x.shape[1])[:, None] < given["lengths"][:, None, None], x, 7.0)
    z, there = (model.posterior(values, given).sample() for values in (x, other))
    assert torch.equal(z, there)
    torch.testing.assert_close(model(x, given=given).elbo, model(other, given=given).elbo)


def test_codes_and_frames_do_not_depend_on_how_long_other_recordings_are(spoken):
    model, x, _, recipe = spoken
    spec = model.spec
    for longest in (16, 23):
        short = recipe.model(bt.core.spec.DataSpec(Layout.frames(6, longest), spec.mean, spec.std))
        longer = recipe.model(bt.core.spec.DataSpec(Layout.frames(6, 40), spec.mean, spec.std))
        for one in (short, longer):
            weights = {k: v for k, v in model.state_dict().items() if not k.startswith("prior.")}
            one.load_state_dict(weights, strict=False)
            one.eval()
        given = {"lengths": torch.tensor([longest, 5, 3])}
        cut, padded = x[:, :longest], torch.nn.functional.pad(x[:, :longest], (0, 0, 0, 40 - longest))
        z, w = short.posterior(cut, given).sample(), longer.posterior(padded, given).sample()
        for level, same in zip(short.space.levels, longer.space.levels, strict=True):
            assert torch.equal(level.view(z), same.view(w)[:, : level.shape[0]])
        one, two = short.decode(z, given).mean, longer.decode(w, given).mean[:, :longest]
        inside = torch.arange(longest) < given["lengths"][:, None]
        torch.testing.assert_close(one[inside], two[inside])


def test_normalisation_over_time_takes_out_what_is_constant_whatever_the_length():
    v = torch.randn(2, 12, 3)
    inside = torch.ones(2, 12, dtype=torch.bool)
    u = normalised_over_time(v, inside)
    torch.testing.assert_close(normalised_over_time(4 * v + 100, inside), u, rtol=1e-3, atol=1e-3)
    twice = normalised_over_time(torch.cat([v, v], 1), torch.ones(2, 24, dtype=torch.bool))
    torch.testing.assert_close(twice[:, :12], u)  # the norm over time would halve their squares


def test_a_code_costs_the_logarithm_of_the_size_of_its_own_codebook():
    part = UNetQuantized(codes=8, dim=4, speaker_values=3)
    module = part.build(5, (16,))
    codes = module(torch.randn(2, 16, 5)).sample()
    nats = 12 * math.log(3) + 4 * math.log(8) + 8 * math.log(4) + 16 * math.log(2)
    torch.testing.assert_close(-Uniform().build(module.space)().log_prob(codes), torch.full((2,), nats))


def test_no_prior_draws_a_code_that_its_level_does_not_have():
    space = Space.stacked([("top", (6, 1), 7), ("bottom", (6, 1), 2)])
    for prior in (Uniform(), RecurrentPrior(hidden=3)):
        p = prior.build(space)()
        drawn = p.sample((50,))
        assert drawn[:, 6:].max() == 1 and drawn[:, :6].max() == 6
        assert torch.isfinite(p.log_prob(drawn)).all()


def test_without_a_quantiser_what_is_read_is_what_was_there():
    module = UNetQuantized(dim=4, quantizer="none").build(5, (16,))
    h = torch.randn(2, 16, 5)
    for v, c, inside in module.before_and_after(h).values():
        n = module._normalised(v, inside)
        assert (n - c).abs().max() <= 2 / 255  # half a step of 2 sqrt(4) / 255
    h.requires_grad_()
    read = module.latent(h, Uniform().build(module.space)()).z
    read.square().sum().backward()
    assert h.grad.abs().sum() > 0


def test_without_normalisation_and_quantiser_codes_keep_what_is_constant_and_the_voice_says_nothing():
    torch.manual_seed(0)
    module = UNetQuantized(scales=1, dim=4, quantizer="none", normalize=False).build(5, (16,))
    h = torch.randn(2, 16, 5)
    voice = [module(x).sample()[:, :4] for x in (h, h + 1)]
    assert torch.stack([((code - 7.5).abs() < 1).all() for code in voice]).all()  # the two of 16 values next to 0
    (v, c, _), (_, louder, _) = (module.before_and_after(x)["top"] for x in (h, h + 1))
    assert (v - c).abs().max() <= 2 / 255
    assert (c.mean(1) - louder.mean(1)).abs().max() > 0.1


soundfile = pytest.importorskip("soundfile", reason="needs the audio extra (soundfile)")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run on two voices, and a recording of a third."""
    folder = tmp_path_factory.mktemp("voices")
    for i in range(15):
        (place := folder / ("speech" if i < 14 else "stranger")).mkdir(exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * (300, 900)[i % 2] * np.arange(900 + 20 * i) / 8000 + i)
        soundfile.write(place / f"{i}.wav", tone, 8000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTRESS_CACHE", str(folder / "cache"))
        sizes = (
            "--data.bands",
            "6",
            "--data.window",
            "64",
            "--data.hop",
            "8",
            "--data.split",
            "seed",
            "--data.held_out",
            "0.3",
        )
        steps = (
            "--training.steps",
            "6",
            "--training.batch_size",
            "4",
            "--training.validate_every",
            "3",
            "--no_diagnose",
        )
        typed("train", folder / "speech", *sizes, "--remedies", REMEDY, "--out", folder / "run", *steps)
        yield folder


def typed(*words):
    assert cli.main([str(word) for word in words]) == 0


def test_a_recording_is_converted_to_the_voice_of_one_that_was_never_heard(trained, tmp_path):
    stranger, file = trained / "stranger" / "14.wav", trained / "speech" / "0.wav"
    typed("convert", trained / "run", file, "--to_sound", stranger, "--out", tmp_path)
    samples, rate = soundfile.read(tmp_path / "0_14.wav", dtype="float32")
    run = bt.load(trained / "run")
    own, other = (next(convert(run, [file], to_sound=voice)).after.numpy() for voice in (file, stranger))
    assert rate == 8000 and len(samples) == 900 and not np.array_equal(own, other)
    x = run.held_out()[0].x[:1]
    z = of_length(run, x.shape[1]).posterior(x, {"lengths": torch.tensor([x.shape[1]])}).sample()
    assert torch.equal(voice_of(run, x), run.model.space.level(SPEAKER).view(z)[..., 0])


def test_the_verdict_looks_at_every_level(trained):
    found = bt.load(trained / "run").diagnose(nll_samples=0, gap_steps=0)
    for level in (SPEAKER, "top", "middle", "bottom"):
        assert f"worth_shuffled/{level}" in found.estimates and f"rate/{level}" in found.estimates
    assert found.estimates["rate/bottom"].value == pytest.approx(found.estimates["rate/top"].value * 4 / 3, rel=0.1)


def test_what_cannot_be_converted_says_why(trained):
    run = bt.load(trained / "run")
    with pytest.raises(ValueError, match=r"takes a voice from a recording of it; name one with --to_sound"):
        next(convert(run, [trained / "speech" / "0.wav"], to="ann"))
    assert isinstance(run.recipe, Recipe)
    with pytest.raises(AssertionError):
        typed("convert", trained / "run", trained / "speech" / "0.wav", "--to_sound", trained / "none.wav")


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        (np.zeros(900), r"this recording is silent"),
        (np.ones(24) / 2, r"0.003 s of sound are 4 frames, wanted 9 or more"),
    ],
)
def test_a_recording_without_a_voice_is_refused(trained, tmp_path, samples, why):
    soundfile.write(tmp_path / "no.wav", samples, 8000)
    with pytest.raises(ValueError, match=why):
        next(convert(bt.load(trained / "run"), [trained / "speech" / "0.wav"], to_sound=tmp_path / "no.wav"))


def test_a_name_may_hold_commas_and_an_empty_folder_is_named(trained, tmp_path, capsys):
    run, voice = trained / "run", trained / "stranger" / "14.wav"
    for name in ("a, b.wav", "c.wav"):
        soundfile.write(tmp_path / name, np.ones(900) / 2, 8000)
    typed("convert", run, tmp_path / "a, b.wav", "--to_sound", voice, "--out", tmp_path / "out")
    soundfile.write(tmp_path / "short.wav", np.ones(5) / 2, 8000)  # less than from one frame to the next
    typed("convert", run, tmp_path / "short.wav", "--to_sound", voice, "--out", tmp_path / "short")
    assert soundfile.info(tmp_path / "short" / "short_14.wav").frames == 5
    typed("convert", run, f"{tmp_path / 'c.wav'},{voice}", "--to_sound", voice, "--out", tmp_path / "out")
    assert {file.stem for file in (tmp_path / "out").glob("*.wav")} == {"a, b_14", "c_14", "14_14"}
    (tmp_path / "empty").mkdir()
    for words, said in (
        ((tmp_path / "empty", "--to_sound", voice), "no sound files (.wav, .flac, .ogg) in this folder"),
        ((voice, "--to_sound", tmp_path), "--to_sound wants one recording of the speaker"),
        ((voice,), "wanted the speaker with --to"),
        (("", "--to_sound", voice), "wanted sound files, or a folder of them"),
    ):
        assert cli.main(["convert", *map(str, (run, *words))]) != 0
        assert said in capsys.readouterr().err


def test_raw_samples_have_no_voice_on_three_time_scales():
    recipe = baseline(Sounds("speech", "wave", crop=4096), DataSpec(Layout.wave(4096)))
    with pytest.raises(DoesNotFit, match=r"raw samples, of which its coarsest code would stand for 8; wanted log-mel"):
        remedy.apply("one_shot_conversion", recipe)


@pytest.mark.parametrize("values", [1, 257, 100_000])
def test_as_many_values_as_no_recording_could_tell_apart_are_refused(values):
    with pytest.raises(ValueError, match=f"speaker_values is {values}, wanted 2 to 256, such as 16"):
        UNetQuantized(speaker_values=values)
