"""The course of a training run: made ready, carried out, and explained where it ends early."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from buttress.algorithms.descent import NonFinite
from buttress.core import Splits
from buttress.core.recipe import Recipe
from buttress.data.opened import opened, tell
from buttress.runtime.atomic_write import write_text
from buttress.training import checkpoint
from buttress.training.check import check
from buttress.training.fit import fit, fit_together
from buttress.training.folder import RECIPE, STATE
from buttress.training.held_out import with_division
from buttress.training.lock import create, release
from buttress.training.precision import chosen
from buttress.training.progress import Progress
from buttress.training.spec_file import check_same_data, save_spec
from buttress.training.stop import Stop

__all__ = ["carry_out", "finished", "prepare"]


def prepare(
    recipe: Recipe, folder: Path, resume: bool, init: str | Path | None, devices: int, progress: bool
) -> tuple[Recipe, Splits]:
    """Make a folder ready for training: whose it is, its data, and what would fail later. Call it inside ``lock``.

    Args:
        recipe: What is to be trained.
        folder: Where the run lives.
        resume: Whether the folder may hold the run already.
        init: The folder of a run whose weights a new one begins with.
        devices: Processes that are to share each batch.
        progress: Whether to print what a person should know.

    Returns:
        The recipe to train by, and its data.

    Errors:
        ValueError: As of :func:`buttress.training.run.train`; a new folder is then free again.
    """
    own, new = create(folder, recipe, resume, "" if init is None else str(Path(init).resolve()))
    try:
        splits = opened(own.data)
        check_same_data(folder, splits, "Train a new run in another folder, or bring the data back")
        _check_version(folder)
        said = check(own, splits, devices, Progress.read(folder).init)
        own, choice = chosen(own, splits)
    except BaseException:
        if new:
            release(folder)
        raise
    splits = with_division(splits, own.training.validation)
    write_text(folder / RECIPE, own.to_yaml())  # which may have more steps than before
    save_spec(folder, splits)
    if progress:
        tell(splits)
        _tell_course(recipe, own, "; ".join(filter(None, [said, choice])))
    return own, splits


def _check_version(folder: Path) -> None:
    """Refuse the training state of an earlier version before anything is written."""
    path = folder / STATE
    algorithm = checkpoint.load(path).get("algorithm") if path.exists() else None
    if isinstance(algorithm, dict) and "_extra_state" not in algorithm:
        raise ValueError(
            f"{path}: the training state of an earlier version, which this one can't continue; begin a new run with "
            f"its weights (--init {folder}, init=)"
        )


def finished(folder: Path, recipe: Recipe) -> bool:
    """Whether the run in a folder needs no more steps to be one of this recipe.

    Errors:
        ValueError: More steps are wanted, and early stopping has ended it.
    """
    done = Progress.read(folder)
    done.total = done.total or Recipe.load(folder / RECIPE).training.steps
    if done.finished and done.out_of_patience and not done.finished_at(recipe.training.steps):
        raise ValueError(
            f"the run in {folder} ended at step {done.step} by early stopping (training.patience is "
            f"{recipe.training.patience}), and more steps would end there too; try a new run that begins with its "
            "weights (--init, init=)"
        )
    return done.finished_at(recipe.training.steps)


def _tell_course(asked: Recipe, recipe: Recipe, said: str) -> None:
    """Print on stderr what a person should know about how the run begins or continues."""
    if said:
        print(f"training: {said}", file=sys.stderr)
    if asked.objective != recipe.objective:
        print(
            f"training: the schedules stay as the run began with them ({recipe.objective}), though for "
            f"{recipe.training.steps} steps from the start they would be others ({asked.objective})",
            file=sys.stderr,
        )


def carry_out(recipe: Recipe, splits: Splits, folder: Path, devices: int, **wishes: Any) -> None:
    """Make the steps, in one process or several.

    Args:
        recipe: What to train.
        splits: The data, opened.
        folder: Where the run lives.
        devices: Processes that share each batch.
        wishes: Further arguments of :func:`buttress.training.fit.fit`.

    Errors:
        NonFinite: A tensor became NaN or infinite.
        KeyboardInterrupt: Ctrl-C stopped it.
        SystemExit: Another signal stopped it.
    """
    stop = Stop()
    try:
        if devices == 1:
            fit(recipe, splits, folder, stop, **wishes)
        else:
            fit_together(recipe, folder, stop, devices, **wishes)
    except NonFinite as error:
        raise NonFinite(f"{error}. {_advice(recipe, folder)}") from error
    if not (done := Progress.read(folder)).finished:
        message = f"stopped at step {done.step} of {recipe.training.steps} and saved; go on with --resume (resume=True)"
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt(message)
        print(f"buttress: {folder}: {message}", file=sys.stderr)
        raise SystemExit(128 + stop.signal)


def _advice(recipe: Recipe, folder: Path) -> str:
    settings, done = recipe.training, Progress.read(folder)
    kept = f"The checkpoint of step {done.step} is kept" if done.step else "No checkpoint had been made yet"
    bf16 = ", or precision 32-true" if settings.precision != "32-true" else ""
    return (
        f"{kept}. Try a learning_rate below {settings.learning_rate}, or a clip below {settings.clip} (in training)"
        f"{bf16}, and look for extreme values in the data"
    )
