"""Whose folder it is: locked by the process that trains there, and created for one recipe."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from buttress.core.recipe import Recipe
from buttress.core.registry import to_plain
from buttress.runtime.atomic_write import check_name, sweep, write_text
from buttress.runtime.safe_files import regular
from buttress.training.differences import differences, lengthened
from buttress.training.folder import LOCK, PROGRESS, RECIPE, WRITTEN_UNDER_LOCK
from buttress.training.progress import Progress

__all__ = ["belongs_to", "create", "lock", "refuse_file", "release"]

fcntl: Any = None
with suppress(ImportError):  # not on Windows
    fcntl = importlib.import_module("fcntl")


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """While this lasts, no other process may train in the folder; where the system has no locks, nothing is checked.

    What is locked is a file that is locked before anything else is written, and that stays with what is written. Where
    an error ends it before there is anything new, the file goes again, and so do the folders that were made for it.

    Errors:
        ValueError: Another process is training there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, lock(Path(folder)):
        ...     with lock(Path(folder)):
        ...         pass
        Traceback (most recent call last):
        ValueError: another process is training in ...; wait for it, or choose another folder
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    before = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    with _locked(folder) as new:
        for name in WRITTEN_UNDER_LOCK if fcntl is not None else ():  # left behind by one that was killed in between
            sweep(folder / name)
        try:
            yield
        except BaseException:
            if new:
                _leave_nothing(folder, before, made)
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder; whether its file is new."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if known := (folder / LOCK).exists():
            regular(folder / LOCK)
        try:
            file = (folder / LOCK).open("ab")
        except FileNotFoundError:  # whoever made the folder had to leave nothing, just now
            continue
        with file:  # the lock ends with the process, however it ends
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"another process is training in {folder}; wait for it, or choose another folder"
                ) from error
            if fcntl is not None and not _is_at(folder / LOCK, os.fstat(file.fileno())):  # removed in between
                continue
            yield not known
            return


def _is_at(path: Path, stat: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), stat)
    except FileNotFoundError:
        return False


def _leave_nothing(folder: Path, before: set[str], made: Sequence[Path]) -> None:
    """Remove a lock file that is all there is besides what was there before, and the folders that were made for it.

    Call it under the lock, so that no other process has begun to write there.
    """
    if fcntl is None or {path.name for path in folder.iterdir()} != before | {LOCK}:
        return
    (folder / LOCK).unlink()
    with suppress(OSError):  # a parent that another process has put something into stays
        for path in made:
            path.rmdir()


def create(folder: Path, recipe: Recipe, resume: bool, init: str = "") -> tuple[Recipe, bool]:
    """Make the folder this recipe's, or find that it already is.

    Call it inside :func:`lock`. Errors are those of :func:`belongs_to`.

    Args:
        folder: Where the run lives.
        recipe: What is to be trained.
        resume: Whether the folder may hold the run already.
        init: The folder of a run whose weights a new one begins with.

    Returns:
        The recipe to train by, and whether the run is new.

    Example:
        >>> import tempfile
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [create(Path(folder), recipe, resume)[1] for resume in (False, True)]
        [True, False]
    """
    held = belongs_to(folder, recipe, resume, longer=True)
    if held is not None:
        return held, False
    (folder / PROGRESS).unlink(missing_ok=True)
    if init:  # before the recipe, so that no run begins with other weights than these
        Progress(init=init).write(folder)
    write_text(folder / RECIPE, recipe.to_yaml())
    return recipe, True


def belongs_to(folder: Path, recipe: Recipe, resume: bool, longer: bool = False) -> Recipe | None:
    """The recipe of the run in the folder, which is this one; None where the folder is free. Nothing is written.

    Its data may lie at another place: the path is then that of ``recipe``.

    Args:
        folder: Where a run is to live.
        recipe: What is to be trained.
        resume: Whether the folder may hold the run already.
        longer: Accept more steps than the run there has; see :func:`buttress.training.differences.lengthened`.

    Errors:
        ValueError: It is a file; it holds a run and ``resume`` is False; or another recipe's run; or something that is
            no run.

    Example:
        >>> import tempfile
        >>> from dataclasses import replace
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recipe.save(f"{folder}/recipe.yaml")
        ...     belongs_to(Path(folder), replace(recipe, training=replace(recipe.training, steps=9)), resume=True)
        Traceback (most recent call last):
        ValueError: ... holds a run of another recipe: training.steps is 2000 there and 9 here. Resume with ...
    """
    refuse_file(folder)
    path = folder / RECIPE
    names = [p.name for p in folder.iterdir()] if folder.exists() else []
    if RECIPE not in names:
        if found := [name for name in names if not name.startswith(".") and name != PROGRESS]:
            raise ValueError(f"{folder} holds {found[0]!r} but no run; choose another folder, or an empty one")
        return None
    if not resume:
        raise ValueError(f"{folder} holds a run already; continue it (--resume, resume=True) or choose another folder")
    held = _moved(Recipe.load(path), recipe)
    different = differences(to_plain(held), to_plain(recipe))
    if not different:
        return held
    if longer and (extended := lengthened(held, recipe)) is not None:
        return extended
    raise ValueError(
        f"{folder} holds a run of another recipe: {'; '.join(different)}. Resume with the recipe in {path}, or choose "
        "another folder"
    )


def _moved(held: Recipe, recipe: Recipe) -> Recipe:
    """The recipe of a run with its data at another place, where that is all that differs in them.

    Whether they are the same data is seen once they are opened, by their fingerprint.
    """
    there = getattr(recipe.data, "path", None)
    same = there is not None and type(held.data) is type(recipe.data) and held.data.replace(path=there) == recipe.data
    return replace(held, data=recipe.data) if same else held


def refuse_file(folder: Path) -> None:
    """Refuse a path that cannot become a folder: it or a part of it is a file, or its name cannot be written down.

    Example:
        >>> refuse_file(Path(__file__) / "run")
        Traceback (most recent call last):
        ValueError: ... is a file, wanted a folder to write into; choose another one
    """
    check_name(folder)
    if (found := next((p for p in (folder, *folder.parents) if p.exists()), None)) and not found.is_dir():
        raise ValueError(f"{found} is a file, wanted a folder to write into; choose another one")


def release(folder: Path) -> None:
    """Undo :func:`create`, so that the folder can be another recipe's: nothing was trained.

    Example:
        >>> import tempfile
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = create(Path(folder), recipe, resume=False)
        ...     release(Path(folder))
        ...     belongs_to(Path(folder), recipe, resume=False) is None
        True
    """
    (folder / RECIPE).unlink()
    (folder / PROGRESS).unlink(missing_ok=True)
