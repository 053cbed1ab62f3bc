"""buttress abx RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["abx"]


def abx(
    run: Path,
    /,
    speaker: str = "",
    context: bool = False,
    most: int = 10,
    seed: int = 0,
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Tell whether sounds of one phone are closer to each other than to another phone: ABX errors of codes of sound.

    The error is 50 % where a representation says nothing of the phone, and 0 where it names it. Across speakers, what a
    representation says of the speaker stands in its way; within a speaker it does not. Held-out recordings are used.

    Args:
        run: Folder of a run on sound whose data say what is said when, with codes or vectors at every place.
        speaker: The column that says who speaks; empty for the first one.
        context: Compare sounds between the same neighbours alone, as the challenges do: needs much speech.
        most: Sounds of a phone and speaker (and context), at most, drawn at random.
        seed: Seed of that draw.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: The data do not say what is said when or who speaks, or z has no places in time.

    Example:
        On the command line::

            buttress train speech/ --data.alignment phones.csv --remedies speech_codes:stride=4 --out runs/speech
            buttress abx runs/speech
    """
    from rich.console import Console

    from buttress.cli.opening import open_run
    from buttress.experiments.abx import judge
    from buttress.report.abx import abx_table

    if most < 2:
        raise ValueError(f"--most {most}: wanted 2 or more sounds, as A and X are of one phone")
    Console().print(
        abx_table(
            [
                (one.name, one.across, one.within)
                for one in judge(open_run(run, data, other_data), speaker, context, most, seed)
            ]
        )
    )
