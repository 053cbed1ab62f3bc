"""Every command works on a run of every kind of data: sound as frames and as samples, sentences, images and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from buttress.cli import main as cli

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
    "mel": "--data.bands 6 --data.window 128 --data.hop 64 "
    "--encoder.widths 4,4 --decoder.channels 4 --decoder.layers 2",
    "wave": "--data.form wave --data.crop 200 --encoder.widths 4,4 --decoder.channels 4 --decoder.layers 2",
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
def test_every_command_works_on_every_kind_of_run(trained, command, tmp_path, capsys):
    kind, _, run = trained
    out = [] if command == "diagnose" else ["--out", tmp_path / OUT.get(command, OUT[kind])]
    typed(command, run, *COMMANDS[command].split(), *out)
    said = capsys.readouterr()
    assert "Traceback" not in said.err and (command != "export" or "cannot be exported" not in said.out)


def test_every_kind_of_run_is_resumed(trained, capsys):
    kind, data, run = trained
    words = [*STEPS, *KINDS[kind].split(), "--training.steps", "3"]
    typed("train", data, "--no_diagnose", "--out", run, *words, "--resume", "yes")
