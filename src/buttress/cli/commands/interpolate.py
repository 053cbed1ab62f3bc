"""buttress interpolate RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["interpolate"]


def interpolate(
    run: Path, count: int = 8, steps: int = 10, out: Path | None = None, seed: int = 0, mean: bool = False
) -> None:
    """Walk in z from held-out examples to others, and decode on the way.

    All of a walk is drawn with the same random numbers, so that neighbours differ by z alone.

    Args:
        run: Folder of the run.
        count: How many walks.
        steps: Points of each, the ends included.
        out: File to write; without it images go to interpolations.png in the run's folder, and the rest is printed.
        seed: Of all draws, and of which examples.
        mean: Draw no z and no x: walk between means of q(z|x), and show means of p(x|z). A decoder that goes from place
            to place (recurrent, pixelcnn, pixelsnail) has no such mean: its x is drawn, with the same random numbers
            all along a walk.

    Example:
        On the command line::

            buttress interpolate runs/latest --count 4 --steps 12
    """
    from buttress.experiments.showcase import Marks, present, some_held_out, walks
    from buttress.training.run import Run

    opened = Run.load(run)
    raw = some_held_out(opened, 2 * count, seed)
    half = len(raw) // 2
    found = walks(opened, raw[:half], raw[half : 2 * half], steps, seed, mean)
    marks = Marks(("position", "walk"), [(f"{i / (steps - 1):.2f}", w + 1) for w in range(half) for i in range(steps)])
    present(opened, found.flatten(0, 1), out, "interpolations", across=steps, marks=marks)
