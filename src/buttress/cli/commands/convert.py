"""buttress convert RUN FILES --to SPEAKER."""

from __future__ import annotations

from pathlib import Path

__all__ = ["convert"]


def convert(
    run: Path,
    files: str,
    /,
    to: str = "",
    out: Path | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> None:
    """Say what is said in recordings with the voice of another: the same codes, decoded for another speaker.

    Args:
        run: Folder of a run on sound whose decoder reads a speaker and whose posterior does not (speech_codes).
        files: A sound file, several with commas between, or a folder of them.
        to: The speaker, by name or number; of a model that reads more, such as speaker=anna,label=3.
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
    """
    from buttress.cli.opening import open_run
    from buttress.data.reading import sound
    from buttress.data.reading.folders import listing
    from buttress.experiments.convert import convert as converted
    from buttress.experiments.convert import save_converted
    from buttress.runtime.safe_files import expanded

    named = [expanded(name.strip()) for name in files.split(",") if name.strip()]
    found = [file for path in named for file in (listing(path, sound.ENDINGS).files if path.is_dir() else [path])]
    missing = [file for file in found if not file.is_file()]
    if missing or not found or not to:
        raise ValueError(
            f"{missing[0]}: there is no such file or folder; try another path"
            if missing
            else f"{files!r}: wanted sound files or a folder of them, and the speaker with --to, such as --to anna"
        )
    opened = open_run(run, needs_data=False)
    save_converted(converted(opened, found, to, seed, temperature), out or run / "converted", to)
