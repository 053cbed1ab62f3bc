"""How z lies over held-out data, saved with a run as ``latent.json``: a map of z, and how often each code is taken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from buttress.runtime.atomic_write import write_text
from buttress.runtime.plain_data import load_json

__all__ = ["LatentView", "load_latent", "save_latent"]

FORMAT = 1


@dataclass(frozen=True)
class LatentView:
    """What a page shows of z over held-out examples.

    Args:
        points: Two coordinates for each of N examples, empty where there is no map.
        axes: What the two coordinates are.
        labels: The label of each example, empty where there are none.
        codes: How often each of the K codes is taken, for each slot of a place; empty where z is real.

    Example:
        >>> LatentView(codes=((3, 1),)).points
        ()
    """

    points: Sequence[Sequence[float]] = ()
    axes: Sequence[str] = ()
    labels: Sequence[str] = ()
    codes: Sequence[Sequence[int]] = ()


def save_latent(folder: str | Path, view: LatentView) -> Path:
    """Write ``latent.json`` into a run's folder; gives the file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_latent(folder, LatentView(codes=((3, 1),)))
        ...     load_latent(Path(folder) / "latent.json").codes
        [[3, 1]]
    """
    path = Path(folder) / "latent.json"
    write_text(path, json.dumps({"format": FORMAT, **asdict(view)}, ensure_ascii=False))
    return path


def load_latent(path: Path) -> LatentView:
    """The contents of a ``latent.json``.

    Errors:
        ValueError: The file is not one that :func:`save_latent` wrote.
    """
    plain = load_json(path)
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        raise ValueError(f"expected format {FORMAT}; diagnose the run again with this version")
    view = LatentView(**plain)
    if view.points and np.array(view.points, dtype=float).shape[1:] != (2,):
        raise ValueError("expected two coordinates for each point")
    return view
