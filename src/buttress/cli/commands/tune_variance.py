"""buttress tune_variance RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["tune_variance"]


def tune_variance(
    run: Path, out: Path | None = None, seed: int = 0, data: str | None = None, other_data: bool = False
) -> None:
    """Set the variance of a run's Gaussian likelihood to its optimum and leave the networks as they are.

    A variance that was fixed by hand costs more ELBO than a collapsed z does, and makes models look worse than they
    are. This tells how much of it is the variance alone: the new one is the mean square of what the decoder leaves
    unexplained of the training data. The result is a run of its own, which can be diagnosed and compared.

    Args:
        run: Folder of the run.
        out: Folder of the new run; none for that of the run with -tuned behind it.
        seed: Seed of all draws.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: The likelihood is not Gaussian, or has a variance for every site.

    Example:
        On the command line::

            buttress tune_variance runs/latest --out runs/tuned
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.tune_variance import tune_variance as tuned

    place = run.resolve()
    found = tuned(open_run(run, data, other_data), out or place.with_name(f"{place.name}-tuned"), seed)
    print(f"variance: {found.variance_before:.4g} -> {found.variance:.4g}, from {found.examples:,} training examples")
    if found.constant:
        print(f"left out, because they are constant: {', '.join(found.constant)}")
    print(f"ELBO, nats per held-out example: {found.before} -> {found.after}; gain {found.gain}")
    if found.log_units:
        print(f"of the scaled variable (grey levels in [0, 1], standardised columns) it is {found.log_units:.1f} more")
    print(f"new run: {found.run.folder}")
