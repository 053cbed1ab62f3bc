"""buttress interpolate RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["interpolate"]


def interpolate(run: Path, count: int = 8, steps: int = 10, out: Path | None = None, seed: int = 0) -> None:
    """Walk in z from held-out examples to others, and decode on the way.

    Args:
        run: Folder of the run.
        count: How many walks.
        steps: Points of each, the ends included.
        out: File to write; sentences and tables are printed where it is missing.
        seed: Of all draws, and of which examples.

    Example:
        On the command line::

            buttress interpolate runs/latest --count 4 --steps 12
    """
    from buttress.showcase import present, some_held_out
    from buttress.training.run import Run

    opened = Run.load(run)
    raw = some_held_out(opened, 2 * count, seed)
    half = len(raw) // 2
    walks = opened.interpolate(raw[:half], raw[half : 2 * half], steps, seed)
    present(opened, walks.transpose(0, 1).flatten(0, 1), out, across=steps)
