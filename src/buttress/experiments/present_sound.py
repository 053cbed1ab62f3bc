"""Examples of sound as WAV files, and as a picture of their spectrograms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from buttress.data.sounds import Sounds
from buttress.experiments.picture_files import magnified, save_picture
from buttress.nn.griffin_lim import sound_of
from buttress.nn.mel import expand, log_mel
from buttress.report.pictures import spectrograms, tiles
from buttress.report.sounds import wav
from buttress.runtime.atomic_write import write_bytes
from buttress.training.run import Run

__all__ = ["heard", "present_sound", "save_spectrograms"]

PAUSE = 0.25
"""Seconds of silence between examples in one file."""


def present_sound(
    run: Run,
    rows: Tensor,
    out: Path | None,
    name: str,
    across: int,
    names: Sequence[str],
    lengths: Sequence[int] | None = None,
) -> None:
    """Write examples as WAV files of 16 bits and a PNG of their spectrograms, and print where they are.

    Args:
        run: Whose examples they are.
        rows: The examples, shape (N, *x).
        out: A WAV file for all, one after the other, or a folder for one file each; None for a folder in the run's.
        name: What they are, such as "samples".
        across: Spectrograms in a row of the picture.
        names: Of each example's file.
        lengths: True length of each example, of frames; what is behind it is left out.

    Errors:
        ValueError: The file has another ending.
    """
    out = run.folder / name if out is None else out
    if out.suffix and out.suffix.lower() != ".wav" and not out.is_dir():
        raise ValueError(f"{out}: expected a WAV file or a folder for sound; try {out.with_suffix('.wav')}")
    cut = [row if lengths is None else row[:size] for row, size in zip(rows, lengths or [0] * len(rows), strict=True)]
    try:
        sounds, rate = heard(run, cut)
    except ValueError as error:
        print(f"no WAV files: {error}", file=sys.stderr)
    else:
        _save(sounds, rate, out, names)
        cut = cut if run.spec.kind == "frames" else _frames(sounds, rate)
    picture = out.with_suffix(".png") if out.suffix else out / f"{name}.png"
    if cut[0].dim() == 2:
        picture.parent.mkdir(parents=True, exist_ok=True)
        save_picture(magnified(tiles(spectrograms(_together(cut)), across)), picture)


def heard(run: Run, rows: Sequence[Tensor], samples: int = 0) -> tuple[list[Tensor], int]:
    """Examples as samples in [-1, 1], and how many there are in a second.

    Args:
        run: Whose they are.
        rows: Each without padding: levels (T,), or log-mel frames (T, bands), which are turned into sound by the
            algorithm of Griffin and Lim.
        samples: How many frames were made of, where that is known.

    Errors:
        ValueError: The data do not say how they were made from sound.
    """
    data = run.recipe.data
    if not (run.spec.rate or isinstance(data, Sounds)) or (run.spec.kind == "frames" and not isinstance(data, Sounds)):
        raise ValueError(f"{data.name()} data do not say how they were made from sound")
    rate = run.spec.rate or run.splits().spec.rate  # older runs have not recorded it
    if run.spec.kind == "wave":
        return [expand(row, run.spec.vocabulary) for row in rows], rate
    assert isinstance(data, Sounds)
    return [sound_of(row, rate, data.window, data.hop, samples) for row in rows], rate


def save_spectrograms(sounds: Sequence[Tensor], rate: int, across: int, path: Path) -> None:
    """Write a PNG of the spectrograms of sounds, so many in a row."""
    save_picture(magnified(tiles(spectrograms(_together(_frames(sounds, rate))), across)), path)


def _save(sounds: Sequence[Tensor], rate: int, out: Path, names: Sequence[str]) -> None:
    if not out.suffix or out.is_dir():
        out.mkdir(parents=True, exist_ok=True)
        for sound, name in zip(sounds, names, strict=True):
            write_bytes(out / f"{name}.wav", wav(sound.numpy(), rate))
        print(f"{out}: {len(sounds)} WAV files")
        return
    pause = torch.zeros(round(PAUSE * rate))
    whole = torch.cat([piece for sound in sounds for piece in (sound, pause)][:-1])
    write_bytes(out, wav(whole.numpy(), rate))
    print(out)


def _frames(sounds: Sequence[Tensor], rate: int) -> list[Tensor]:
    """Log-mel frames for a picture, all of one window, which fits the longest."""
    window = max(16, min(512, max(map(len, sounds)) // 16 * 2))
    return [log_mel(sound, rate, min(40, window // 4), window, window // 4) for sound in sounds]


def _together(frames: Sequence[Tensor]) -> np.ndarray:
    """Frames (N, T, bands), NaN behind the end of each."""
    return torch.nn.utils.rnn.pad_sequence(list(frames), batch_first=True, padding_value=torch.nan).numpy()
