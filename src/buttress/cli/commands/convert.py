"""buttress convert RUN FILES --to SPEAKER, or --to_sound FILE."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["convert"]


def convert(
    run: Path,
    files: str,
    /,
    to: str = "",
    to_sound: Path | None = None,
    out: Path | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> None:
    """Say what is said in recordings with the voice of another: the same codes, decoded for another speaker.

    Args:
        run: Folder of a run on sound whose decoder reads a speaker and whose posterior does not (speech_codes), or
            whose z tells who speaks (one_shot_conversion).
        files: A sound file, several with commas between, or a folder of them.
        to: The speaker, by name or number; of a model that reads more, such as speaker=anna,label=3.
        to_sound: A recording of the speaker, of one_shot_conversion; the speaker need not be one of the training data.
        out: Folder for a WAV file each and a picture of spectrograms, each recording above its conversion; without it
            converted in the run's folder.
        temperature: Temperature of p(x|z): 1 draws from it, 0 takes the likeliest values.
        seed: Seed of all draws.

    Errors:
        ValueError: No file or no speaker is named, or the run cannot convert.

    Example:
        On the command line::

            buttress train speech/ --data.form wave --remedies speech_codes:speaker=label --out runs/speech
            buttress convert runs/speech hello.wav --to anna
            buttress train speech/ --remedies one_shot_conversion --out runs/voices
            buttress convert runs/voices hello.wav --to_sound stranger.wav
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.convert import convert as converted
    from buttress.experiments.convert import save_converted
    from buttress.runtime.safe_files import expanded

    if not (to or to_sound):
        raise ValueError(
            "wanted the speaker with --to, such as --to anna, or a recording of the speaker with --to_sound"
        )
    names = [name.strip() for name in files.split(",") if name.strip()]
    whole = bool(names) and os.path.exists(expanded(files))  # a name may hold commas itself
    named = [expanded(files)] if whole else [expanded(name) for name in names]
    found = [file for path in named for file in _recordings(path)]
    target = None if to_sound is None else expanded(to_sound)
    if target is not None and not target.is_file():
        raise ValueError(f"{target}: there is no such file; --to_sound wants one recording of the speaker")
    if not found:
        raise ValueError(f"{files!r}: wanted sound files, or a folder of them")
    opened = open_run(run, needs_data=False)
    made = converted(opened, found, to, seed, temperature, target)
    save_converted(made, out or run / "converted", to or (target.stem if target else ""))


def _recordings(path: Path) -> list[Path]:
    """The sound file of this name, or those in the folder of this name."""
    from buttress.data.reading import sound
    from buttress.data.reading.folders import listing

    if not path.exists():
        raise ValueError(f"{path}: there is no such file or folder; try another path")
    found = listing(path, sound.ENDINGS).files if path.is_dir() else [path]
    if not found:
        raise ValueError(f"{path}: no sound files ({', '.join(sound.ENDINGS)}) in this folder; try another one")
    return list(found)
