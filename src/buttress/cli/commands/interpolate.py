"""buttress interpolate RUN."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["interpolate"]


def interpolate(
    run: Path,
    count: int = 8,
    steps: int = 10,
    from_: str | None = None,
    to: str | None = None,
    out: Path | None = None,
    seed: int = 0,
    mean: bool | None = None,
    temperature: float = 1.0,
    given: str = "",
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Walk in z from held-out examples to others, or between two of your own, and decode on the way.

    All of a walk is drawn with the same random numbers, so that neighbours differ by z alone.

    Args:
        run: Folder of the run.
        count: How many walks, where --from and --to name no ends.
        steps: Points of each, the ends included.
        from_: Where to begin: a sentence, a picture's file, numbers with commas between, or FILE:NUMBER for a row (or
            line) of a file.
        to: Where to end, in the same way.
        out: File to write; without it images go to interpolations.png in the run's folder, and the rest is printed. Of
            sound a WAV file, or a folder (interpolations in the run's folder).
        seed: Seed of all draws, and of which examples.
        mean: Draw no z and no x: walk between means of q(z|x), and show means of p(x|z), as is done with images under
            a Gaussian unless this says no. An autoregressive decoder (recurrent, pixelcnn, ...) has no such
            mean: its x is drawn, with the same random numbers all along a walk.
        temperature: Temperature of p(x|z): 1 draws from it, 0 takes the likeliest values.
        given: Of a conditional model, what to give all along every walk, such as label=3; else what its beginning has.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: Only one end is given, or an end that does not fit the run's data.

    Example:
        On the command line::

            buttress interpolate runs/latest --count 4 --steps 12
            buttress interpolate runs/latest --from "the food was good" --to "i will never come back" --temperature 0
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.conditions import override
    from buttress.experiments.examples import interpolations, lacks_mean, lengths_of, means_wanted, some_held_out
    from buttress.experiments.inputs import typed
    from buttress.experiments.present import Marks, check_out, present

    if (from_ is None) != (to is None):
        raise ValueError(f"expected --from and --to together, found only --{'to' if from_ is None else 'from'}")
    opened = open_run(run, data, other_data, needs_data=from_ is None)
    check_out(opened, out)
    if mean and (why := lacks_mean(opened)):
        print(why, file=sys.stderr)
    if from_ is not None and to is not None:
        begin, end = typed(opened, from_), typed(opened, to)
    else:
        raw = some_held_out(opened, 2 * count, seed)
        half = len(raw) // 2
        begin, end = raw.take(slice(half)), raw.take(slice(half, 2 * half))
    begin, end = override(opened, begin, given), override(opened, end, given)
    found = interpolations(opened, begin, end, steps, seed, means_wanted(opened, mean, temperature), temperature)
    ways = range(1, len(begin) + 1)
    marks = Marks(("position", "walk"), [(f"{i / (steps - 1):.2f}", str(way)) for way in ways for i in range(steps)])
    present(opened, found.flatten(0, 1), out, "interpolations", steps, marks, lengths_of(opened, begin, steps))
