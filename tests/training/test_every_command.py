"""Every command works on a run of every kind of data: sound as frames and as samples, sentences, images and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import buttress as bt
from buttress.cli import main as cli
from buttress.experiments import export
from buttress.experiments.examples import reconstructed, sampled, some_held_out
from buttress.nn.mel import expand, log_mel

STEPS = (
    "--training.steps",
    "2",
    "--training.batch_size",
    "4",
    "--training.validate_every",
    "2",
    "--posterior.dim",
    "2",
)
KINDS = {
    "mel": "--data.split seed --data.held_out 0.25 --data.bands 6 --data.window 128 --data.hop 64 "
    "--encoder.widths 4,4 --decoder.channels 4 --decoder.layers 2",
    "wave": "--data.split seed --data.held_out 0.25 --data.form wave --data.crop 200 "
    "--encoder.widths 4,4 --decoder.channels 4 --decoder.layers 2",
    "text": "--encoder.hidden 6 --encoder.embedding 4 --decoder.hidden 6 --decoder.embedding 4",
    "image": "--encoder.widths 3,4 --decoder.widths 4,3",
    "table": "--encoder.hidden 6 --decoder.hidden 6",
}
COMMANDS = {
    "diagnose": "--nll_samples 2 --gap_steps 1",
    "encode": "",
    "export": "",
    "reconstruct": "--count 2",
    "interpolate": "--count 2 --steps 3",
    "traverse": "--dims 1 --steps 3",
    "sample": "--count 2",
}


OUT = {
    "encode": "z.npy",
    "export": "made",
    "mel": "made",
    "wave": "made.wav",
    "text": "made.txt",
    "image": "made.png",
    "table": "made.csv",
}


def written(kind: str, folder: Path) -> Path:
    """A few examples of a kind, in files."""
    rng = np.random.default_rng(0)
    if kind in ("mel", "wave"):
        for i in range(12):
            size = 800 + 40 * i
            tone = 0.3 * np.sin(2 * np.pi * 200 * (1 + i % 3) * np.arange(size) / 8000)
            soundfile.write(folder / f"{i}.wav", tone + 0.01 * rng.normal(size=size), 8000)
        return folder
    path = folder / {"text": "lines.txt", "image": "images.npy", "table": "rows.csv"}[kind]
    if kind == "text":
        words = ("the", "a", "cat", "dog", "saw")
        path.write_text("".join(f"{a} {b} {c}\n" for a in words for b in words for c in words), encoding="utf-8")
    elif kind == "image":
        np.save(path, rng.integers(0, 256, (40, 8, 8), np.uint8))
    else:
        np.savetxt(path, rng.normal(size=(40, 3)), delimiter=",", header="a,b,c", comments="")
    return path


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory) -> tuple[str, Path, Path]:
    """The kind, the data, and the folder of a run of two steps."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "data").mkdir()
    data = written(request.param, folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTRESS_CACHE", str(folder / "cache"))
        typed("train", data, "--no_diagnose", "--out", folder / "run", *STEPS, *KINDS[request.param].split())
        yield request.param, data, folder / "run"


def typed(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works_on_every_kind_of_run(trained, command, tmp_path, capsys, monkeypatch):
    kind, _, run = trained
    monkeypatch.setattr(export, "_difference", lambda path, inputs: 0.0)  # in another process; see test_commands.py
    out = [] if command == "diagnose" else ["--out", tmp_path / OUT.get(command, OUT[kind])]
    typed(command, run, *COMMANDS[command].split(), *out)
    said = capsys.readouterr()
    assert "no WAV files" not in said.err and "cannot be exported" not in said.out and " alone" not in said.out


def test_every_kind_of_run_is_resumed(trained, capsys):
    kind, data, run = trained
    words = [*STEPS, *KINDS[kind].split(), "--training.steps", "3"]
    typed("train", data, "--no_diagnose", "--out", run, *words, "--resume", "yes")


def sound(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 8000 and soundfile.info(path).subtype == "PCM_16"
    return samples


@pytest.mark.parametrize("trained", ["wave"], indirect=True)
def test_samples_of_a_wave_run_are_its_levels_as_sound(trained, tmp_path):
    folder = trained[2]
    typed("sample", folder, "--count", 2, "--seed", 3, "--out", tmp_path / "both.wav")
    typed("sample", folder, "--count", 2, "--seed", 3, "--out", tmp_path / "each")
    wanted = expand(sampled(bt.load(folder), 2, seed=3)).numpy()
    for i in range(2):
        np.testing.assert_allclose(sound(tmp_path / "each" / f"0{i + 1}.wav"), wanted[i], atol=1e-4)
    both = sound(tmp_path / "both.wav")
    np.testing.assert_allclose(both[:200], wanted[0], atol=1e-4)
    assert len(both) == 2 * 200 + 2000 and not both[200:2200].any(), "a quarter of a second between them"
    assert (tmp_path / "both.png").is_file() and (tmp_path / "each" / "samples.png").is_file()


@pytest.mark.parametrize("trained", ["mel"], indirect=True)
def test_frames_become_sound_of_their_true_length_that_has_these_frames(trained, tmp_path):
    folder = trained[2]
    typed("reconstruct", folder, "--count", 3, "--out", tmp_path / "pairs")
    raw = some_held_out(bt.load(folder), 3)
    for i, (frames, length) in enumerate(zip(raw.x, raw.given["lengths"].tolist(), strict=True), 1):
        original, again = (sound(tmp_path / "pairs" / f"{i}_{w}.wav") for w in ("original", "reconstruction"))
        assert len(original) == len(again) == 64 * (length - 1)
        found, frames = log_mel(torch.from_numpy(original), 8000, 6, 128, 64), frames[:length]
        loud = frames > frames.max() - 4
        assert (found - frames)[loud].abs().mean() < 0.5
    typed("traverse", folder, "--dims", 1, "--steps", 3, "--out", tmp_path / "moved")
    assert {path.name for path in (tmp_path / "moved").iterdir()} == {f"z1_{v}.wav" for v in ("-2", "0", "+2")} | {
        "traversal.png"
    }


@pytest.mark.parametrize(("trained", "sounds"), [("mel", 12), ("wave", 12), ("text", 0)], indirect=["trained"])
def test_a_page_plays_sound_offline(trained, sounds, capsys):
    folder = trained[2]
    typed("diagnose", folder, "--nll_samples", 0, "--gap_steps", 0)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<audio ") == page.count('src="data:audio/wav;base64,') == min(sounds, page.count("<audio "))
    assert ("<audio " in page) == (sounds > 0) and "media-src data:" in page
    assert ("drawing examples for the report: traversals" in capsys.readouterr().out) == (sounds > 0)


@pytest.mark.parametrize("trained", ["text"], indirect=True)
def test_a_decoder_without_a_mean_is_said_to_have_none(trained, capsys):
    for words in (["sample", "--count", 2], ["reconstruct", "--count", 1], ["interpolate", "--count", 1]):
        typed(words[0], trained[2], *words[1:], "--mean", "true")
        assert "the recurrent decoder has no mean; --temperature 0 comes closest" in capsys.readouterr().err


@pytest.mark.parametrize("trained", ["image"], indirect=True)
def test_pictures_under_a_gaussian_are_means_unless_noise_is_wanted(trained, tmp_path, monkeypatch):
    folder, run = trained[2], bt.load(trained[2])
    seen = []
    monkeypatch.setattr("buttress.experiments.present.present", lambda run, rows, *rest: seen.append(rows))
    for words in ([], ["--mean", "false"], ["--mean", "true"]):
        typed("reconstruct", folder, "--count", 2, *words)
    raw = some_held_out(run, 2)
    means, draws = (reconstructed(run, raw, mean=mean) for mean in (True, False))
    assert [torch.equal(rows[1::2], means) for rows in seen] == [True, False, True]
    assert torch.equal(seen[1][1::2], draws)


@pytest.mark.parametrize("trained", ["table"], indirect=True)
def test_a_traversal_names_the_dimension_and_its_value(trained, tmp_path):
    typed("traverse", trained[2], "--dims", "1,0", "--steps", 2, "--out", tmp_path / "rows.csv")
    head, *rows = [line.split(",") for line in (tmp_path / "rows.csv").read_text().splitlines()]
    assert head[:2] == ["dimension", "value"]
    assert [row[:2] for row in rows] == [["z1", "-2"], ["z1", "+2"], ["z0", "-2"], ["z0", "+2"]]


@pytest.mark.parametrize("trained", ["table"], indirect=True)
def test_the_folder_of_a_run_is_diagnosed_as_the_run_is_and_a_run_says_what_it_is(trained):
    folder = trained[2]
    (folder / "evidence.json").unlink(missing_ok=True)
    assert repr(bt.load(folder)).endswith(": not diagnosed yet)") and str(folder) in repr(bt.load(folder))
    for path in (folder, str(folder)):
        verdict = bt.diagnose(path, nll_samples=0, gap_steps=0).verdict.state
        assert repr(bt.load(folder)).endswith(f": {verdict})")
