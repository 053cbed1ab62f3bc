"""buttress sample RUN."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

__all__ = ["sample"]


def sample(
    run: Path,
    count: int = 64,
    out: Path | None = None,
    seed: int = 0,
    mean: bool = False,
    temperature: float = 1.0,
    codes: Literal["prior", "uniform"] = "prior",
    given: str = "",
    best_of: int = 1,
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Draw new examples: z from the prior, x from the decoder.

    Args:
        run: Folder of the run.
        count: How many.
        out: File to write; without it images go to samples.png in the run's folder, and the rest is printed. Of sound a
            WAV file, or a folder of one for each example (samples in the run's folder); log-mel frames become sound by
            the algorithm of Griffin and Lim.
        seed: Seed of all draws.
        mean: Show means of p(x|z) instead of draws. An autoregressive decoder (recurrent, pixelcnn, ...) has no
            such mean: its x is drawn, and temperature 0 is what comes closest.
        temperature: Temperature of p(x|z): 1 draws from it, below 1 more likely values, 0 the likeliest (of a sentence,
            the likeliest word at each step).
        codes: Where a z made of codes comes from: the model's prior, or chance, to see what the prior has learned.
        given: Of a conditional model, what new examples are given, such as label=3 or speaker=anna,label=2; what is not
            named is that of held-out examples at random.
        best_of: Of a model that reads a label: draw this many times as many, and keep of each class those that a
            classifier is surest of. It is trained on the run's images first, which takes seconds; samples get cleaner
            and more alike.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Example:
        On the command line::

            buttress sample runs/latest --count 100 --out samples.png
            buttress sample runs/latest --temperature 0
            buttress sample runs/latest --given label=3
            buttress sample runs/latest --given label=3 --best_of 4
    """
    from buttress.cli.opening import open_run
    from buttress.cli.watching import progress
    from buttress.experiments.conditions import given_for
    from buttress.experiments.examples import lacks_mean
    from buttress.experiments.present import check_out, present
    from buttress.experiments.surest import surest_samples

    opened = open_run(run, data, other_data, needs_data=best_of > 1)
    check_out(opened, out)
    if mean and (why := lacks_mean(opened)):
        print(why, file=sys.stderr)
    known = given_for(opened, given, count, seed)
    how = {"mean": mean, "temperature": temperature, "uniform": codes == "uniform"}
    with progress() as (_, watch):
        rows = surest_samples(opened, count, best_of, known, seed, watch, **how)
    present(opened, rows, out, "samples", across=max(1, round(count**0.5)))
