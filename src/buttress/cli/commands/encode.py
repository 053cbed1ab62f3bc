"""buttress encode RUN [DATA]."""

from __future__ import annotations

from pathlib import Path

__all__ = ["encode"]


def encode(
    run: Path,
    data_: str | None = None,
    /,
    out: Path | None = None,
    drawn: bool = False,
    seed: int = 0,
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Write the latents (or codes) of every example, with labels and the row each comes from.

    A .npy file holds the latents alone, and a .csv file beside it says which row each is; .parquet holds both.

    Args:
        run: Folder of the run.
        data_: Other data of the same kind, all of which are encoded; without it, the data of the run, first those it
            was trained on and then those held out.
        out: File to write, .npy or .parquet; without it latents.npy in the run's folder.
        drawn: Draw z from q(z|x) instead of taking its mean.
        seed: Seed of all draws.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: Another ending, or data that the run cannot read.

    Example:
        On the command line::

            buttress encode runs/latest --out latents.parquet
            buttress encode runs/latest photos/ --out photos.npy
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.encode import encoded, write_latents
    from buttress.runtime.atomic_write import check_place

    opened = open_run(run, data, other_data, needs_data=data_ is None)
    if opened.model.space.classes == 1:
        raise ValueError(f"{run}: this model has no z to encode; wanted one with a posterior other than none")
    out = out or run / "latents.npy"
    check_place(out)
    count, width = write_latents(encoded(opened, data_, drawn, seed), out)
    what = "codes" if opened.model.space.classes else "numbers"
    print(f"{out}: z of {count} examples, {width} {what} each")
    if out.suffix.lower() == ".npy":
        print(f"{out.with_suffix('.csv')}: which example each row is")
