"""−ELBO of each arm over training, above the true NLL, from the files of ``buttress paper semi_amortized``.

A line a seed. An arm with nothing to learn is a broken line at its one number. Beside each name stands the median over
seeds at the end.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from buttress.report.drawing import INK, WIDTH, Style, name_lines, new_axes, set_range, write_png
from buttress.report.results import Curve

__all__ = ["PICTURE", "draw_figure", "write_figure"]

PICTURE = "nelbo.png"
LOOKS = {"VAE": Style("arm-0", "o"), "SVI": Style("arm-2", "D"), "SA-VAE": Style("arm-1", "s")}


def write_figure(folder: str | Path) -> Path:
    """Draw the experiment in ``folder`` there, on white ground; the picture's path.

    Errors:
        FileNotFoundError: There is no finished experiment.
    """
    folder = Path(folder)
    write_png(draw_figure(*read(folder)), folder / PICTURE)
    return folder / PICTURE


def read(folder: Path) -> tuple[dict[str, dict[str, Curve]], dict[str, Any]]:
    """Arm -> seed -> −ELBO over steps; and everything else that was written down."""
    result = json.loads((folder / "semi_amortized.json").read_text(encoding="utf-8"))
    points: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with (folder / "nelbo.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            look = (float(row["step"]), float(row["nelbo"]))
            points.setdefault(row["arm"], {}).setdefault(row["seed"], []).append(look)
    return {
        arm: {seed: (np.array(looks)[:, 0], np.array(looks)[:, 1]) for seed, looks in seeds.items()}
        for arm, seeds in points.items()
    }, result


def draw_figure(arms: dict[str, dict[str, Curve]], result: dict[str, Any]) -> Figure:
    """The picture."""
    figure, (ax,) = new_axes(3.6, 1.15 * WIDTH)
    figure.patch.set_visible(True)
    figure.patch.set_facecolor("white")
    last = max(float(x[-1]) for seeds in arms.values() for x, _ in seeds.values())
    truth = result["truth"]["nll"]
    every: list[Curve] = [(np.array([last]), np.array([truth]))]
    named: dict[str, Style] = {}
    for arm, seeds in arms.items():
        idle = all(len(x) == 1 for x, _ in seeds.values())
        lines = [(np.array([0.0, last]), np.repeat(y, 2)) if idle else (x, y) for x, y in seeds.values()]
        for x, y in lines:
            ax.plot(
                x, y, color=LOOKS[arm].color, lw=1.2, ls="--" if idle else "-",
                marker=None if idle else LOOKS[arm].marker, ms=LOOKS[arm].size(3.5), alpha=0.85,
            )  # fmt: skip
        every += lines
        end = float(np.median([run["nelbo"] for run in result["runs"] if run["arm"] == arm]))
        named[f"{arm} {end:.2f}"] = LOOKS[arm]
    ax.axhline(truth, color=INK, lw=1.4)
    named[f"true NLL {truth:.2f}"] = Style("ink", "")
    set_range(ax, every)
    ax.set(xlabel="training step of the encoder", ylabel="−ELBO on held-out sentences, nats")
    name_lines(figure, list(named), list(named.values()))
    return figure
