"""Where a run goes that nobody named a folder for: the next free one, and a link to the newest."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path

from buttress.core import Data

__all__ = ["LATEST", "next_free", "point_latest"]

LATEST = "latest"
"""The link to the newest run."""


def next_free(data: Data, under: str | Path = "runs") -> Path:
    """The first folder ``under/NAME-1``, ``under/NAME-2`` ... that does not exist yet, NAME being that of the data.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> next_free(LinearGaussianData(), under="no/such/folder").as_posix()
        'no/such/folder/linear_gaussian-1'
    """
    name = _name(data)
    return next(path for i in itertools.count(1) if not (path := Path(under) / f"{name}-{i}").exists())


def _name(data: Data) -> str:
    """A short name of the data that is safe in paths."""
    path = getattr(data, "path", None)
    first = path[0] if isinstance(path, tuple) and path else path
    stem = Path(first).name.partition(".")[0] if isinstance(first, str) and first else data.name()
    return re.sub(r"[^\w-]+", "_", stem).strip("_-")[:40] or data.name()


def point_latest(folder: Path) -> None:
    """Let ``latest`` beside a run's folder be a link to it; where links can't be made, nothing happens."""
    link = folder.parent / LATEST
    if folder.name == LATEST or (link.exists() and not link.is_symlink()):
        return
    scratch = link.with_name(f".{LATEST}.{os.getpid()}")
    with contextlib.suppress(OSError, NotImplementedError):
        scratch.symlink_to(folder.name, target_is_directory=True)
        os.replace(scratch, link)
