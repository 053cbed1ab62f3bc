"""Sound files, decoded once into the cache a block at a time, mixed down and resampled where they must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from buttress.data.reading.memory import Array, NpyWriter, cached, file_key
from buttress.data.reading.recordings import FULL_SCALE, Recordings, Track, load, said_of, save
from buttress.data.reading.resample import resampled
from buttress.runtime.safe_files import open_regular, regular

__all__ = ["ENDINGS", "decoded"]

ENDINGS = (".wav", ".flac", ".ogg")
BLOCK = 2**16
"""Samples decoded at a time."""
UNKNOWN = 2**31 - 1
"""Bytes that the header of a WAV file announces, at least, where it was written before they were known."""
_VERSION = 4  # of what is in the cache


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


def decoded(files: Sequence[Path], rate: int | None, trim: float) -> Recordings:
    """The recordings in files.

    Args:
        files: In the order of the examples.
        rate: Samples a second that are wanted: files of another rate are resampled. None for that of the first file,
            which all must have.
        trim: Decibels below the loudest moment at which the ends of a recording are silence; 0 keeps them.

    Errors:
        ValueError: A file is damaged or has another rate, or none holds a sample; names the file and what to try.
    """
    key = ("sounds", _VERSION, tuple(file_key(file) for file in files), rate, trim)
    folder = cached(key, partial(_decode, files, rate, trim))
    return load(folder, folder / "samples.npy")


def _decode(files: Sequence[Path], rate: int | None, trim: float, folder: Path) -> None:
    soundfile = library()
    tracks: list[tuple[int, str, Track]] = []
    mixed: list[str] = []
    others: list[str] = []
    short: list[str] = []
    with NpyWriter(folder / "samples.npy", (), np.int16) as out:
        for number, file in enumerate(files):
            try:
                with soundfile.SoundFile(regular(file)) as sound:
                    wanted = rate or _same_rate(sound, tracks, file)
                    tracks.append((number, str(file), track := Track(wanted)))
                    for block in resampled(_blocks(sound, file), sound.samplerate, wanted):
                        samples = np.clip(np.round(block * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
                        out.append(samples)
                        track.add(samples)
                    short += [str(file)] * _cut_off(file)
                    mixed += [str(file)] * (sound.channels > 1)
                    others += [str(file)] * (sound.samplerate != wanted)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                raise ValueError(f"{file}: not readable as sound ({error}); try removing or replacing it") from error
    what = {
        "have several channels, which were averaged": mixed,
        f"were resampled to {wanted} samples a second": others,
        "end before their headers say, as if cut off in copying": short,
    }
    save(
        folder,
        tracks,
        wanted,
        trim,
        (note for said, names in what.items() for note in said_of(names, len(files), said)),
    )


def _cut_off(file: Path) -> bool:
    """Whether a WAV file is shorter than its header says; headers written before the end was known say 2 GB or more."""
    with open_regular(file) as raw:
        head = raw.read(8)
    said = int.from_bytes(head[4:], "little") + 8
    return head[:4] == b"RIFF" and file.stat().st_size < said < UNKNOWN


def _same_rate(sound: Any, tracks: list[tuple[int, str, Track]], file: Path) -> int:
    found = int(sound.samplerate)
    if tracks and found != (rate := tracks[0][2].rate):
        raise ValueError(
            f"{file}: {found} samples a second, and the others have {rate}; try --data.rate {rate}, which resamples it"
        )
    return found


def _blocks(sound: Any, file: Path) -> Iterator[Array]:
    """The samples of a file in [-1, 1], the mean of its channels."""
    for block in sound.blocks(BLOCK, dtype="float32", always_2d=True):
        if not np.isfinite(block).all():
            raise ValueError(f"{file}: holds samples that are no finite numbers; try removing or replacing it")
        yield block[:, 0] if block.shape[1] == 1 else block.mean(1)
