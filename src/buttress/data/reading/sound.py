"""Sound files as one flat array of samples, decoded once into the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from buttress.data.reading.memory import Array, NpyWriter, write_json
from buttress.runtime.safe_files import regular

__all__ = ["ENDINGS", "RATE", "decode_all"]

ENDINGS = (".wav", ".flac", ".ogg")
RATE = "rate.json"
CLIPPED = 0.01
"""Share of samples at full scale from which on a file is said to be clipped."""
BLOCK = 2**16
"""Samples decoded at a time."""


def library() -> Any:
    """The library that reads sound.

    Errors:
        ValueError: It is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise ValueError(
            "reading sound needs the soundfile package, which is not installed; try pip install 'buttress[audio]'"
        ) from error
    return soundfile


def decode_all(files: Sequence[Path], rate: int | None, folder: Path) -> None:
    """Write ``samples.npy`` (int16, all files one after the other), ``lengths.npy``, ``kept.npy`` and notes.

    Args:
        files: In the order of the examples; those without a sample are set aside with a note.
        rate: Samples a second that every file must have; None for that of the first.
        folder: Where to write.

    Errors:
        ValueError: A file is damaged or has another rate, or none holds a sample; names the file and what to try.
    """
    soundfile, lengths, kept, notes = library(), [], [], []
    mixed = clipped = 0
    with NpyWriter(folder / "samples.npy", (), np.int16) as out:
        for number, file in enumerate(files):
            try:
                with soundfile.SoundFile(regular(file)) as sound:
                    rate = _same_rate(sound, rate, file)
                    count, loud = 0, 0
                    for block in sound.blocks(BLOCK, dtype="int16", always_2d=True):
                        mono = block[:, 0] if block.shape[1] == 1 else block.mean(1).astype(np.int16)
                        out.append(mono)
                        count, loud = count + len(mono), loud + int((np.abs(mono.astype(np.int32)) >= 32767).sum())
                    mixed += sound.channels > 1
            except (soundfile.LibsndfileError, RuntimeError) as error:
                raise ValueError(f"{file}: not readable as sound ({error}); try removing or replacing it") from error
            clipped += loud > CLIPPED * max(1, count)
            if count:
                lengths.append(count)
                kept.append(number)
    if not lengths:
        raise ValueError(f"{files[0].parent}: no file holds a sample of sound; try other files")
    if len(kept) < len(files):
        notes.append(f"{len(files) - len(kept)} of {len(files)} sound files are empty and were set aside")
    if mixed:
        notes.append(f"{mixed} of {len(files)} sound files have several channels, which were averaged")
    if clipped:
        notes.append(f"{clipped} of {len(files)} sound files are clipped (1 % of samples or more at full scale)")
    np.save(folder / "lengths.npy", np.array(lengths, np.int64))
    np.save(folder / "kept.npy", np.array(kept, np.int64))
    write_json(folder / RATE, {"rate": rate, "notes": notes})


def _same_rate(sound: Any, rate: int | None, file: Path) -> int:
    found = int(sound.samplerate)
    if rate is not None and found != rate:
        raise ValueError(
            f"{file}: {found} samples a second, and the others have {rate}; resample it (sox IN -r {rate} OUT), or "
            "keep files of one rate in the folder"
        )
    return found


def starts(lengths: Array) -> Array:
    """Where each file begins in the flat array."""
    return np.concatenate([[0], np.cumsum(lengths)[:-1]])
