"""Speech codes: trained by one command, measured in bits per second, and decoded as another speaker's."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import buttress as bt
from buttress.cli import main as cli
from buttress.experiments.convert import Converted, convert, of_length, save_converted, speaker_of
from buttress.experiments.inputs import other_rows

soundfile = pytest.importorskip("soundfile", reason="needs the audio extra (soundfile)")

SMALL = ("--training.steps", "8", "--training.batch_size", "4", "--training.validate_every", "4", "--no_diagnose")
CODES = "speech_codes:stride=8:codes=6:dim=4:width=6:first=0.5"
NET = ("--decoder", "wavenet", "--decoder.channels", "6", "--decoder.skips", "8", "--decoder.layers", "3")


def typed(*words):
    assert cli.main([str(word) for word in words]) == 0


@pytest.fixture(scope="module", params=["wave", "mel"])
def spoken(request, tmp_path_factory):
    """A folder of two voices, and that of a run on it."""
    folder = tmp_path_factory.mktemp(request.param)
    for i in range(14):
        (speaker := folder / "speech" / ("ann", "bob")[i % 2]).mkdir(parents=True, exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * (300, 900)[i % 2] * np.arange(900 + 20 * i) / 8000 + i)
        soundfile.write(speaker / f"{i}.wav", tone, 8000)
    size = {"wave": ("--data.crop", "160"), "mel": ("--data.bands", "6", "--data.window", "64", "--data.hop", "8")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTRESS_CACHE", str(folder / "cache"))
        data = (
            folder / "speech",
            "--data.form",
            request.param,
            "--data.folders",
            "speaker",
            "--data.split",
            "seed",
            "--data.held_out",
            "0.3",
            *size[request.param],
        )
        typed("train", *data, "--remedies", f"{CODES}:speaker=speaker", *NET, "--out", folder / "run", *SMALL)
        yield folder


def test_codes_of_one_speaker_are_decoded_as_another(spoken, tmp_path, capsys):
    run, file = bt.load(spoken / "run"), spoken / "speech" / "ann" / "0.wav"
    typed("convert", spoken / "run", file, "--to", "bob", "--out", tmp_path, "--seed", 3)
    assert str(tmp_path / "0_bob.wav") in capsys.readouterr().out and (tmp_path / "converted.png").is_file()
    samples, rate = soundfile.read(tmp_path / "0_bob.wav", dtype="float32")
    same, other = (next(convert(run, [file], to, seed=3)).after.numpy() for to in ("bob", "ann"))
    loud = max(1.0, np.abs(same).max())
    assert rate == 8000 and len(same) == len(other)
    np.testing.assert_allclose(samples, same / loud, atol=2e-3)  # phases are found by iteration
    assert len(samples) == 900
    assert not np.array_equal(same, other), "the decoder reads the speaker"
    x = run.held_out()[0].x[:1]
    codes = [run.model.posterior(x, {"speaker": torch.tensor([who])}).sample() for who in (0, 1)]
    assert torch.equal(*codes), "the posterior does not"


def test_a_model_of_another_length_has_the_same_codes_where_it_sees_the_same(spoken):
    run = bt.load(spoken / "run")
    longest = run.spec.layout.places[0]
    longer = of_length(run, 2 * longest + 3)
    assert longer.spec.layout.places[0] % 8 == 0 and longer.spec.layout.places[0] >= 2 * longest + 3
    x = run.held_out()[0].x[:1, :longest]
    given = {"speaker": torch.tensor([0]), "lengths": torch.tensor([x.shape[1]])}
    padded = torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, longer.spec.layout.places[0] - x.shape[1]))
    short, long = (model.posterior(values, given).sample() for model, values in ((run.model, x), (longer, padded)))
    far = x.shape[1] // 8 - 2
    assert torch.equal(short[:, :far], long[:, :far])


def test_what_cannot_be_converted_says_why(spoken):
    run = bt.load(spoken / "run")
    with pytest.raises(ValueError, match=r"speaker: got 'eve', wanted ann, bob"):
        speaker_of(run, "eve")
    run.model.condition.inference = True
    with pytest.raises(ValueError, match=r"its z depends on the speaker"):
        speaker_of(run, "bob")
    with pytest.raises(AssertionError):
        typed("convert", spoken / "run", spoken / "none.wav", "--to", "bob")


def test_the_rate_of_sound_is_given_in_bits_per_second(spoken):
    run = bt.load(spoken / "run")
    found = run.diagnose(nll_samples=0, gap_steps=0).estimates
    lengths = run.splits().held_out.lengths
    places = float(run.spec.layout.places[0] if lengths is None else lengths.double().mean())
    duration = places * (1 if run.spec.kind == "wave" else 8) / 8000
    assert run.spec.seconds == pytest.approx(duration / places)
    held_out = run.held_out()
    codes = [run.model.posterior(batch.x, batch.given).sample()[..., 0] for batch in held_out]
    sizes = [batch.given.get("lengths", torch.full((len(batch.x),), batch.x.shape[1])) for batch in held_out]
    true = torch.cat(
        [row[: -(-int(n) // 8)] for c, size in zip(codes, sizes, strict=True) for row, n in zip(c, size, strict=True)]
    )
    share = true.bincount().double() / len(true)
    bits = len(true) / sum(map(len, codes)) * -torch.xlogy(share, share).sum().item() / math.log(2)
    assert found["code_bits_per_second"].value == pytest.approx(bits / duration)
    assert 0 < found["bits_per_second"].value <= found["rate"].value / math.log(2) / duration + 1e-6
    assert "bits_per_second" not in bt.diagnose(run.model, run.held_out(), seconds=0.0, gap_steps=0).estimates


def test_recordings_of_one_name_are_all_kept(tmp_path):
    files = [Path(name) for name in ("ann/1.wav", "bob/1.wav", "bob/1.flac", "cy/bob_1.wav")]
    save_converted((Converted(file, torch.zeros(600), torch.zeros(600), 8000) for file in files), tmp_path, "dan")
    assert len(list(tmp_path.glob("*_dan.wav"))) == len(files)


def test_other_recordings_are_read_at_the_rate_of_the_run_and_need_no_row_in_its_table(spoken, tmp_path):
    for i in range(10):
        tone = 0.3 * np.sin(2 * np.pi * 500 * np.arange(2320) / 16000 + i)
        soundfile.write(tmp_path / f"{i}.wav", tone, 16000)
    run = bt.load(spoken / "run")
    (tmp_path / "who.csv").write_text("file,speaker\n0.wav,ann\n")
    table = run.recipe.data.replace(table=str(tmp_path / "who.csv"), columns=("speaker",))
    for data in (run.recipe.data, table):
        run.recipe = replace(run.recipe, data=data)
        rows = [batch for _, batch in other_rows(run, str(tmp_path))]
        pieces, places = (7, 160) if run.spec.kind == "wave" else (1, 146)  # of 1160 samples
        assert len(rows) == 10 * pieces and rows[0].x.shape[1] == places
