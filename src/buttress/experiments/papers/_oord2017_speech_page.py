"""What the page of :mod:`buttress.experiments.papers.oord2017_speech` shows of a run: codes, spectrograms, WAVs."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from buttress.experiments.abx import stages
from buttress.experiments.papers._niekerk2020_judge import places
from buttress.experiments.papers._oord2017_speech_judge import as_voice, frames_of, labelled
from buttress.experiments.picture_files import labelled as named
from buttress.experiments.picture_files import magnified
from buttress.experiments.present_sound import heard
from buttress.quality.code_labels import CodeLabels
from buttress.report.code_labels import write_code_labels
from buttress.report.pictures import spectrograms, tiles
from buttress.report.sounds import wav
from buttress.training.run import Run

__all__ = ["write_codes", "write_conversions"]


def write_codes(run: Run, speaker: str, folder: Path) -> list[Path]:
    """The phones that each code has in held-out recordings, as ``codes.png`` and ``codes.csv``."""
    out = run.splits().held_out
    assert out.alignment is not None  # the data have been looked at
    codes, _, phones = places(run, out, stages(run)["codes"], speaker, None)
    names = out.alignment.names
    found = CodeLabels.count(codes, phones, run.model.space.classes or 1, len(names))
    write_code_labels(found, names, folder / "codes.csv", folder / "codes.png")
    return [folder / "codes.csv", folder / "codes.png"]


def write_conversions(run: Run, speaker: str, temperature: float, folder: Path) -> list[Path]:
    """A held-out crop of the first and of the last speaker, and both as up to three speakers, in ``conversions.png``.

    What can be heard is also written as ``sounds/FROM.wav`` and ``sounds/FROM_as_TO.wav``.
    """
    spec = run.spec
    x, _, who = labelled(run.splits(), run.splits().held_out, speaker, len(run.splits().held_out))
    column = spec.column(speaker)
    spoken = column.values or tuple(map(str, range(column.classes)))
    ends = [0, column.classes - 1]
    voices = sorted({0, column.classes // 2, column.classes - 1})
    crops = torch.cat([x[who == one][:1] for one in ends])
    rows = [crops, *(as_voice(run, crops, speaker, torch.full((len(crops),), to), temperature) for to in voices)]
    shown = torch.stack([frames_of(spec, row) for row in rows], 1)  # (crops, recording and voices, T, bands)
    canvas = magnified(tiles(spectrograms(shown.flatten(0, 1).numpy()), len(rows)))
    names = ["recording", *(f"as {spoken[to]}" for to in voices)]
    path = folder / "conversions.png"
    Image.fromarray(named(canvas, [spoken[i] for i in ends], names), "RGBA").save(path)
    written = [path]
    for i, one in enumerate(ends):
        try:
            sounds, rate = heard(run, [row[i] for row in rows])
        except ValueError:  # data that were not made from sound
            return written
        (folder / "sounds").mkdir(exist_ok=True)
        for name, sound in zip(["", *(f"_as_{spoken[to]}" for to in voices)], sounds, strict=True):
            written.append(folder / "sounds" / f"{spoken[one]}{name}.wav")
            written[-1].write_bytes(wav(sound.numpy(), rate))
    return written
