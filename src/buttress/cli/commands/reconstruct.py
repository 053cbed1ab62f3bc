"""buttress reconstruct RUN."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["reconstruct"]


def reconstruct(
    run: Path,
    count: int = 16,
    out: Path | None = None,
    seed: int = 0,
    mean: bool | None = None,
    temperature: float = 1.0,
    draws: int = 1,
    given: str = "",
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Show held-out examples, each followed by its reconstruction x -> z -> x.

    Several draws of x from one z show what z encodes: what they have in common. The rest the decoder makes up.

    Args:
        run: Folder of the run.
        count: How many.
        out: File to write; without it images go to reconstructions.png in the run's folder, and the rest is printed. Of
            sound a WAV file, or a folder (reconstructions in the run's folder).
        seed: Seed of all draws, and of which examples.
        mean: Draw no z and no x: take the means of q(z|x) and p(x|z), as is done with images under a Gaussian unless
            this says no. An autoregressive decoder (recurrent, pixelcnn, ...) has no such mean: its x is drawn.
        temperature: Temperature of p(x|z): 1 draws from it, 0 takes the likeliest values.
        draws: Times x is drawn from the one z of each example.
        given: Of a conditional model, what to give in place of what the examples have, such as label=3.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Example:
        On the command line::

            buttress reconstruct runs/latest --count 32 --out pairs.png
            buttress reconstruct runs/latest --count 8 --draws 4

    Errors:
        ValueError: Several draws of what is not drawn, or less than one.
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.conditions import override
    from buttress.experiments.examples import (
        as_observed,
        drawn_again,
        lacks_mean,
        lengths_of,
        means_wanted,
        reconstructed,
        side_by_side,
        some_held_out,
    )
    from buttress.experiments.present import Marks, check_out, present

    if draws < 1 or (mean and draws > 1):
        raise ValueError(
            f"got {draws} draws{' of means' if mean else ''}, wanted at least 1, and several only without --mean"
        )
    opened = open_run(run, data, other_data)
    check_out(opened, out)
    if mean and (why := lacks_mean(opened)):
        print(why, file=sys.stderr)
    raw = override(opened, some_held_out(opened, count, seed), given)
    if draws > 1:
        shown, labels = drawn_again(opened, raw, draws, seed, temperature), [f"draw {i + 1}" for i in range(draws)]
    else:
        means = means_wanted(opened, mean, temperature)
        ways = [as_observed(opened, raw.x, seed), reconstructed(opened, raw, seed, means, temperature)]
        shown, labels = side_by_side(opened.spec, ways), ["reconstruction"]
    rows = [(which, str(i)) for i in range(1, len(raw) + 1) for which in ("original", *labels)]
    across = 8 if draws == 1 else 1 + draws
    marks, lengths = Marks(("which", "example"), rows), lengths_of(opened, raw, shown.shape[1])
    present(opened, shown.flatten(0, 1), out, "reconstructions", across, marks, lengths)
