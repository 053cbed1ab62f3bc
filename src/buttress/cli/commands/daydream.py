"""buttress daydream RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["daydream"]


def daydream(
    run: Path,
    count: int = 8,
    steps: int = 10,
    out: Path | None = None,
    seed: int = 0,
    drawn: bool = False,
    temperature: float = 1.0,
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Wander from held-out examples to what the prior expects beside them, for a run with the associative prior.

    Each step encodes an example, takes the likeliest z beside its code, decodes it, and encodes what came of that.

    Args:
        run: Folder of the run.
        count: How many held-out examples to begin with, one a row.
        steps: Steps from each.
        out: File to write; without it images go to daydream.png in the run's folder, and the rest is printed. Of sound
            a WAV file, or a folder (daydream in the run's folder).
        seed: Seed of all draws, and of which examples.
        drawn: Draw z from p(z|c) instead of taking its mode.
        temperature: Temperature of p(x|z): 1 draws from it, 0 takes the likeliest values.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: The run has another prior.

    Example:
        On the command line::

            buttress daydream runs/latest --count 8 --steps 12
            buttress daydream runs/latest --drawn true --temperature 0.5
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.daydream import daydreams
    from buttress.experiments.examples import lengths_of, some_held_out
    from buttress.experiments.present import Marks, check_out, present

    opened = open_run(run, data, other_data, needs_data=True)
    check_out(opened, out)
    raw = some_held_out(opened, count, seed)
    found = daydreams(opened, raw, steps, seed, drawn, temperature)
    rows = [(str(step), str(begin)) for begin in range(1, len(raw) + 1) for step in range(steps + 1)]
    marks = Marks(("step", "daydream"), rows)
    present(opened, found.flatten(0, 1), out, "daydream", steps + 1, marks, lengths_of(opened, raw, steps + 1))
