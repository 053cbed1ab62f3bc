"""Sound: read from a folder, trained a few steps by a 1-D convolution and a causal decoder, refused where broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from buttress import api
from buttress.core import DataSpec, Layout
from buttress.data.sounds import Sounds
from buttress.data.source import detect
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.nn.griffin_lim import sound_of
from buttress.nn.mel import expand, filters, log_mel, mu_law

soundfile = pytest.importorskip("soundfile", reason="needs the audio extra (soundfile)")


@pytest.fixture
def folder(tmp_path, own_cache):
    """Twenty tones of two speakers, 0.1 to 0.3 seconds at 8000 samples a second, WAV and FLAC."""
    rng = np.random.default_rng(0)
    for i in range(20):
        speaker, ending = ("low", "high")[i % 2], ("wav", "flac", "WAV")[i % 3]
        size = int(rng.integers(800, 2400))
        tone = 0.3 * np.sin(2 * np.pi * (200 if i % 2 == 0 else 900) * np.arange(size) / 8000 + i)
        (tmp_path / speaker).mkdir(exist_ok=True)
        form = "WAV" if ending.lower() == "wav" else "FLAC"
        soundfile.write(tmp_path / speaker / f"{i}.{ending}", tone.astype(np.float32), 8000, format=form)
    return tmp_path


SMALL = {"bands": 8, "window": 128, "hop": 80, "held_out": 0.3}


def test_a_folder_of_sound_is_frames_with_true_lengths_and_labels(folder):
    part = detect(str(folder), **SMALL)
    assert part == Sounds(str(folder), **SMALL)
    splits = part.open()
    train, spec = splits.train, splits.spec
    assert len(train) + len(splits.held_out) == 20 and spec.layout.kind == "frames" and spec.layout.lengths
    assert spec.given[0].values == ("high", "low") and any("8000 samples a second" in note for note in splits.notes)
    batch = train.read(torch.arange(len(train)))
    assert batch.x.shape == (len(train), int(batch.lengths.max()), 8) and set(batch.given) == {
        "index",
        "lengths",
        "label",
    }
    true = batch.x[torch.arange(batch.x.shape[1]) < batch.lengths[:, None]]
    torch.testing.assert_close(true.mean(0), spec.mean, rtol=1e-3, atol=1e-3)
    loudest = [batch.x[i, 1].argmax().item() for i in range(len(train))]
    assert all((band > 1) == (label == 0) for band, label in zip(loudest, batch.given["label"].tolist(), strict=True))


def test_crops_of_samples_are_levels_and_those_of_one_file_stay_together(folder):
    splits = Sounds(str(folder), form="wave", crop=400, held_out=0.3).open()
    x = splits.train.batch(torch.arange(4))
    assert x.shape == (4, 400) and x.dtype == torch.int64 and int(x.min()) >= 0 and int(x.max()) < 256
    sides = [{examples.where(i) for i in range(len(examples))} for examples in (splits.train, splits.held_out)]
    assert all(sides) and not sides[0] & sides[1]


@pytest.mark.parametrize("form", ["mel", "wave"])
def test_sound_is_trained_diagnosed_and_sampled(folder, form):
    part = Sounds(str(folder), form=form, **{**SMALL, "crop": 64 if form == "wave" else 800})
    run = api.train(
        part, folder / "run", steps=3, batch_size=4, progress=False, encoder=Conv1dEncoder((8, 8)),
        decoder=api.recipe_for(part).decoder.replace(channels=4, layers=3),
    )  # fmt: skip
    evidence = run.diagnose(nll_samples=0, gap_steps=0)
    assert np.isfinite(evidence.estimates["elbo"].value) and run.sample(2).shape[1:] == run.spec.shape


def test_files_that_are_no_sound_or_of_another_rate_are_named(folder):
    soundfile.write(folder / "low" / "fast.wav", np.zeros(100), 16000)
    with pytest.raises(ValueError, match=r"samples a second, and the others have .*; resample it"):
        Sounds(str(folder)).open()
    (folder / "low" / "fast.wav").write_bytes(b"RIFF broken")
    with pytest.raises(ValueError, match=r"fast.wav: not readable as sound"):
        Sounds(str(folder)).open()


def test_stereo_empty_and_clipped_files_are_said(folder):
    soundfile.write(folder / "low" / "both.wav", np.stack([np.full(900, 0.5), np.full(900, -0.5)], 1), 8000)
    soundfile.write(folder / "low" / "loud.wav", np.ones(900), 8000)
    soundfile.write(folder / "low" / "none.wav", np.zeros(0), 8000)
    notes = " ".join(Sounds(str(folder)).open().notes)
    assert "several channels" in notes and "clipped" in notes and "1 of 23 sound files are empty" in notes


def test_mel_filters_are_triangles_of_one_height_per_width():
    weights = filters(16000, 512, 40).double()
    peak = weights.argmax(1)
    assert (peak.diff() >= 0).all() and (weights >= 0).all()
    assert torch.allclose(weights[20:].sum(1) * 16000 / 512, torch.tensor(1.0).double(), atol=0.03)
    librosa = pytest.importorskip("librosa", reason="the filters of librosa, where it is installed")
    np.testing.assert_allclose(weights.numpy(), librosa.filters.mel(sr=16000, n_fft=512, n_mels=40), atol=1e-6)


def test_a_louder_tone_moves_its_own_band_by_the_log_of_its_power():
    tone = 0.1 * torch.sin(2 * torch.pi * 1000 * torch.arange(4000) / 8000)
    one, two = (log_mel(a * tone, 8000, 20, 256, 80)[20] for a in (1.0, 2.0))
    assert (two - one)[one.argmax()].item() == pytest.approx(2 * np.log(2), abs=1e-4)


@pytest.mark.parametrize(("rate", "bands", "window", "hop"), [(16000, 40, 512, 160), (8000, 20, 256, 64)])
def test_sound_from_frames_has_nearly_these_frames(rate, bands, window, hop):
    """A chirp, in the hundredth of its bands and frames that hold most of its power, and elsewhere as quiet."""
    t = torch.arange(rate) / rate
    chirp = 0.5 * torch.sin(2 * torch.pi * (300 * t + 0.1 * rate * t.square())) * (0.6 + 0.4 * torch.cos(20 * t))
    frames = log_mel(chirp, rate, bands, window, hop)
    again = log_mel(sound_of(frames, rate, window, hop), rate, bands, window, hop)
    loud = frames > frames.max() - 6
    assert again.shape == frames.shape and (again - frames)[loud].abs().mean() < 0.4
    assert (again[~loud] < frames.max() - 3).all(), "no power where there was none"


def test_frames_that_do_not_overlap_and_numbers_beyond_all_sound():
    with pytest.raises(ValueError, match="cannot be turned back into sound"):
        sound_of(torch.zeros(4, 8), 8000, window=64, hop=64)
    frames = torch.full((12, 8), -20.0)
    frames[3, 2], frames[6, 5] = 60.0, torch.nan
    wild = sound_of(frames, 8000, window=128, hop=64)
    assert wild.isfinite().all() and wild.abs().max() < 4


def test_mu_law_and_back_is_near_for_every_level():
    levels = torch.arange(256)
    assert torch.equal(mu_law(expand(levels)), levels)


def test_padding_frames_further_changes_no_feature():
    encoder = Conv1dEncoder(widths=(4, 5), kernel=3).build(DataSpec(Layout.frames(3, longest=12)))
    x, lengths = torch.randn(2, 9, 3), {"lengths": torch.tensor([9, 5])}
    further = torch.nn.functional.pad(x, (0, 0, 0, 3), value=7.0)
    torch.testing.assert_close(encoder(x, lengths), encoder(further, lengths))
    x[1, 5:] = 100.0
    torch.testing.assert_close(encoder(x, lengths)[1], encoder(further, lengths)[1])
