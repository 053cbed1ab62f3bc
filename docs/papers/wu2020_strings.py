"""Strings of four spoken digits of one speaker, of the Free Spoken Digit Dataset, as folders of WAV files with tables.

    python docs/papers/wu2020_strings.py ARCHIVE FOLDER [SPEAKER SPEAKER]

ARCHIVE is a .npz of int16 at 8 kHz: ``audio``, ``offsets``, ``digit``, ``speaker`` and ``speaker_names``. FOLDER gets
``others``, two speakers (lucas and theo unless they are named), ``known``, all the rest at three speeds, each of which
counts as a speaker, and for each a table of who speaks and one of which digit is said when.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import soundfile

from buttress.data.reading.resample import resampled

RATE, LONGEST, LOUD = 8000, 1.9, 30.0
"""Samples a second, seconds of a string at most, and decibels below the loudest moment at which an end is silence."""
WINDOW = 80
OTHERS = ("lucas", "theo")


def trimmed(sound: np.ndarray) -> np.ndarray:
    """Without the silence at both ends."""
    blocks = np.abs(sound[: len(sound) // WINDOW * WINDOW].reshape(-1, WINDOW)).max(1)
    loud = np.flatnonzero(blocks > blocks.max() * 10 ** (-LOUD / 20))
    return sound[loud[0] * WINDOW : (loud[-1] + 1) * WINDOW]


def write(
    folder: Path, name: str, digits: dict, speakers: list[str], speeds: list[float], passes: int, share: float
) -> None:
    """One set of strings: training ones in ``train``, others of other recordings in ``test``."""
    rows, said = [], []
    for speaker in speakers:
        for speed in speeds:
            called = speaker if speed == 1 else f"{speaker}_{speed:g}"
            sounds = [(d, np.concatenate(list(resampled([s], round(RATE * speed), RATE)))) for d, s in digits[speaker]]
            order = np.random.default_rng(0).permutation(len(sounds))
            held = round(share * len(sounds))
            for side, mine in {"test": order[:held], "train": order[held:]}.items():
                for turn in range(passes):
                    mixed = np.random.default_rng(1 + turn).permutation(mine)
                    for at in range(0, len(mixed) - 3, 4):
                        four = [sounds[i] for i in mixed[at : at + 4]]
                        ends = np.cumsum([0, *(len(s) for _, s in four)]) / RATE
                        if ends[-1] > LONGEST:
                            continue
                        file = f"{side}/{called}_{turn}_{at // 4:03d}.wav"
                        (folder / name / side).mkdir(parents=True, exist_ok=True)
                        soundfile.write(
                            folder / name / file, np.concatenate([s for _, s in four]), RATE, subtype="PCM_16"
                        )
                        rows.append((file, called))
                        said += [(file, *ends[i : i + 2], d) for i, (d, _) in enumerate(four)]
    for kind, head, lines in (
        ("table", ("file", "speaker"), rows),
        ("digits", ("file", "start", "end", "label"), said),
    ):
        with (folder / f"{name}_{kind}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([head, *lines])
    print(name, len(rows), "strings,", sum(r[0].startswith("test") for r in rows), "held out")


def main(archive: str, folder: str, *others: str) -> None:
    """Read the archive and write both sets."""
    data = np.load(archive)
    spoken = np.split(data["audio"].astype(np.float32) / 32768, data["offsets"][1:-1])
    names = data["speaker_names"].tolist()
    digits = {
        name: [(int(data["digit"][i]), trimmed(spoken[i])) for i in np.flatnonzero(data["speaker"] == number)]
        for number, name in enumerate(names)
    }
    others = others or OTHERS
    write(Path(folder), "known", digits, [name for name in names if name not in others], [0.87, 1.0, 1.15], 1, 0.1)
    write(Path(folder), "others", digits, list(others), [1.0], 3, 0.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
