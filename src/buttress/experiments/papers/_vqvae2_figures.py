"""The figures of :mod:`buttress.experiments.papers.razavi2019_vqvae2`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from buttress.experiments.papers._vqvae2_judge import SHARES

__all__ = ["levels", "rejection", "samples"]

ARMS = {
    "real": "real",
    "coarse": "one level, small map",
    "one": "one level, large map",
    "two": "two levels",
    "three": "three levels",
    "dcgan": "DCGAN",
}
"""What the arms are called in figures."""
SHOWN = 4


def samples(folder: Path, seed: int) -> Path:
    """Samples of every arm, a column a class; of two levels also the quarter that a classifier is surest of."""
    figure = Figure((9, 8.2), dpi=110, layout="constrained")
    rows = [(arm, "samples", title) for arm, title in ARMS.items()]
    rows.insert(4, ("two", "best", "two levels, surest part"))
    axes = figure.subplots((len(rows) + 1) // 2, 2)
    for ax in axes.flat[len(rows) :]:
        ax.remove()
    for ax, (arm, kind, title) in zip(axes.flat, rows, strict=False):
        known = np.load(folder / "judged" / f"{arm}-{seed}.npz")[kind]
        _tiles(ax, known[:, :SHOWN].swapaxes(0, 1))
        ax.set_title(title, size=10)
    return _saved(figure, folder / "samples.png")


def rejection(folder: Path, measured: dict[str, list[dict[str, Any]]]) -> Path:
    """Recall against precision as fewer samples are kept, a line a seed."""
    figure = Figure((5.5, 4.2), dpi=110, layout="constrained")
    ax = figure.add_subplot()
    for number, (arm, title) in enumerate(ARMS.items()):
        for seed, found in enumerate(measured[arm]):
            x, y = ([found[f"{name}{kept}"] for kept in SHARES] for name in ("recall", "precision"))
            ax.plot(x, y, "-", color=f"C{number}", lw=1, label=None if seed else title)
            ax.plot(x[0], y[0], "o", color=f"C{number}", ms=5)
    ax.set(xlabel="recall", ylabel="precision", title="point: all samples; line: rejection")
    ax.legend(frameon=False, fontsize=8)
    return _saved(figure, folder / "rejection.png")


def levels(folder: Path, seed: int) -> Path:
    """Images, reconstructions, and images with a level of another one, for two levels and three."""
    figure = Figure((8, 5.6), dpi=110, layout="constrained")
    axes = figure.subplots(2, 1)
    for ax, arm in zip(axes, ("two", "three"), strict=True):
        known = np.load(folder / "judged" / f"{arm}-{seed}.npz")["levels"]
        _tiles(ax, known.reshape(4, -1, *known.shape[1:]))
        size = known.shape[2]
        names = ["image", "reconstruction", "bottom of its\nleft neighbour", "upper levels of its\nleft neighbour"]
        ax.set_yticks([(row + 0.5) * size for row in range(4)], names, size=8)
        ax.tick_params(left=False)
        ax.set_title(ARMS[arm], size=10)
    return _saved(figure, folder / "levels.png")


def _tiles(ax: Any, images: np.ndarray) -> None:
    """Images (rows, columns, C, H, W) as one picture."""
    rows, columns, channels, height, width = images.shape
    flat = images.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    ax.imshow(flat.squeeze(-1) if channels == 1 else flat, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE).save(path, optimize=True)  # a third of the size
    return path
