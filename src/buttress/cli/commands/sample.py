"""buttress sample RUN."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["sample"]


def sample(
    run: Path, count: int = 64, out: Path | None = None, seed: int = 0, codes: Literal["prior", "uniform"] = "prior"
) -> None:
    """Draw new examples: z from the prior, x from the decoder.

    Args:
        run: Folder of the run.
        count: How many.
        out: File to write; without it images go to samples.png in the run's folder, and the rest is printed.
        seed: Of all draws.
        codes: Where a z made of codes comes from: the model's prior, or chance, to see what the prior has learned.

    Example:
        On the command line::

            buttress sample runs/latest --count 100 --out samples.png
    """
    from buttress.experiments.showcase import present
    from buttress.training.run import Run

    opened = Run.load(run)
    rows = opened.sample(count, seed, uniform=codes == "uniform")
    present(opened, rows, out, "samples", across=max(1, round(count**0.5)))
