"""Where a run goes that names no folder: the next free ``runs/NAME-1``, with ``runs/latest`` a link to the newest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from buttress.core import Data

__all__ = ["LATEST", "folder_for", "latest"]

LATEST = Path("runs/latest")


def folder_for(data: Data, out: Path | None, resume: bool) -> Path:
    """The folder of a run.

    Args:
        data: What it is trained on, which names it.
        out: The folder that was asked for; None for the newest run where it is resumed, or else the next free one.
        resume: Whether a run is to be resumed.

    Example:
        >>> from buttress.data.table import Table
        >>> str(folder_for(Table("/data/flowers of 2024.csv"), None, resume=False))
        'runs/flowers_of_2024-1'
    """
    if out is not None:
        return out
    if resume and LATEST.exists():
        return LATEST.parent / os.readlink(LATEST) if LATEST.is_symlink() else LATEST
    path = getattr(data, "path", None)
    first = path[0] if isinstance(path, tuple) else path
    name = re.sub(r"[^\w.-]+", "_", re.sub(r"\..*", "", Path(first).name) if first else data.name()).strip("._")
    return next(folder for i in count(1) if not (folder := LATEST.parent / f"{name or data.name()}-{i}").exists())


@contextmanager
def latest(folder: Path) -> Iterator[None]:
    """While this lasts and afterwards ``runs/latest`` leads to a run; not where nothing came of it.

    A run elsewhere than in ``runs``, and a ``runs/latest`` that is no link, are left alone.
    """
    before = os.readlink(LATEST) if LATEST.is_symlink() else None
    if folder.parent != LATEST.parent or folder == LATEST or (LATEST.exists() and before is None):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    _link(folder.name)
    try:
        yield
    finally:
        if not (folder / "recipe.yaml").exists():
            _link(before)
            with suppress(OSError):  # holds something
                (folder / ".lock").unlink(missing_ok=True)
                folder.rmdir()


def _link(name: str | None) -> None:
    """Let ``runs/latest`` lead to a folder beside it, at once; None removes it."""
    if name is None:
        LATEST.unlink(missing_ok=True)
        return
    scratch = LATEST.with_name(f".latest.{os.getpid()}")
    with suppress(OSError):  # a system without links
        scratch.unlink(missing_ok=True)
        scratch.symlink_to(name)
        scratch.replace(LATEST)
