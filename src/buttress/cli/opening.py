"""A run, opened with its data where they are now."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

__all__ = ["open_run", "unfinished"]


def open_run(folder: Path, data: str | None = None, other_data: bool = False, needs_data: bool = True) -> Any:
    """The run in a folder; where its training is not over, that is told on stderr.

    Args:
        folder: Where it lies.
        data: Where its data are now; None where they were.
        other_data: Whether to accept other data than it was trained on.
        needs_data: Whether the data will be read; it is then said at once where they are missing.

    Errors:
        FileNotFoundError: There is no run.
        ValueError: Other data than it was trained on, or none where they were.

    Example:
        For a run whose photographs were moved to another disk::

            open_run(Path("runs/photos-1"), "/mnt/photos").held_out()
    """
    from buttress.data.opened import opened
    from buttress.experiments.inputs import moved
    from buttress.training.run import Run

    run = Run.load(folder, other_data=other_data)
    if note := unfinished(run):
        print(f"buttress: {note}", file=sys.stderr)
    if data is not None:
        run.use(opened(moved(run.recipe.data, data, run.spec.rate)))
        return run
    path = getattr(run.recipe.data, "path", None)
    if needs_data and isinstance(path, str) and Path(path).is_absolute() and not Path(path).exists():
        raise ValueError(f"{folder}: its data were at {path} and are not there now; give their new place with --data")
    return run


def unfinished(run: Any) -> str:
    """What to know of a run that was interrupted, or is in training; empty for one that is over.

    Args:
        run: With its ``folder``, ``progress`` and ``recipe``.
    """
    done, steps = run.progress, run.recipe.training.steps
    if done.finished or not done.step:  # earlier versions did not record it
        return ""
    return (
        f"{run.folder}: training is not finished: these are the weights of step {done.step:,} of {steps:,}; "
        f"buttress train --resume --out {run.folder} goes on with it"
    )
