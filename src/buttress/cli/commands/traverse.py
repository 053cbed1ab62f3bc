"""buttress traverse RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["traverse"]


def traverse(
    run: Path,
    dims: tuple[int, ...] = (),
    most: int = 16,
    steps: int = 9,
    width: float = 2.0,
    example: int | None = None,
    out: Path | None = None,
    seed: int = 0,
    mean: bool = True,
    temperature: float = 1.0,
    given: str = "",
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Move each dimension of z by itself (or each code), and show what becomes of x, as one labelled picture.

    Args:
        run: Folder of the run.
        dims: Which dimensions, such as 0,3,5; none for those of the largest rate, as the last diagnosis measured it.
        most: How many of these, at most.
        steps: Points of each.
        width: How far to move to either side, in standard deviations of the prior.
        example: Number of the held-out example whose z is moved; none for the mean of the prior.
        out: File to write; without it images go to traversal.png in the run's folder, and the rest is printed. Of sound
            a WAV file, or a folder (traversal in the run's folder).
        seed: Seed of all draws.
        mean: Show means of p(x|z) where the decoder has such; else x is drawn with the same random numbers throughout.
        temperature: Temperature of p(x|z): 1 draws from it, 0 takes the likeliest values.
        given: Of a conditional model, what is given throughout, such as label=3.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: There is no such dimension or example.

    Example:
        On the command line::

            buttress traverse runs/latest
            buttress traverse runs/latest --dims 0,3 --width 3 --example 12 --out traversal.png
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.conditions import given_for, override
    from buttress.experiments.examples import latent_of, one_held_out, posterior_of, seeded
    from buttress.experiments.present import check_out, present_traversal
    from buttress.experiments.traversal import by_rate, traversal

    opened = open_run(run, data, other_data, needs_data=example is not None)
    check_out(opened, out)
    known, start = given_for(opened, given, 1, seed), None
    if example is not None:
        raw = override(opened, one_held_out(opened, example), given)
        with seeded(seed):
            known, start = raw.given, latent_of(posterior_of(opened, raw, seed), mean=True)[0]
    chosen = dims or by_rate(opened)[: max(1, most)]
    found = traversal(opened, chosen, steps, width, start, seed, mean, temperature, known)
    present_traversal(opened, found, out)
