"""The posterior-mean space of He et al. 2019, from the files of ``buttress paper lagging_inference``.

On the left the way of every arm during training: mean size of the true posterior means across, of the encoder's means
upwards. On the diagonal the encoder is right; a model whose z is in use but whose encoder lags moves along the bottom.
On the right some moments of it, a point a sentence.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from buttress.report.drawing import INK, LINE, SOFT, Style, dress, styles

__all__ = ["PICTURES", "draw_figure", "write_figure"]

PICTURES = ("posterior_means.svg", "posterior_means.png")
MOMENTS = 4
"""Panels of scattered sentences for each arm, at most."""
Look: TypeAlias = dict[str, Any]


def write_figure(folder: str | Path) -> Path:
    """Draw the experiment in ``folder`` there, as SVG and PNG on white ground; the SVG's path.

    Errors:
        FileNotFoundError: There is no finished experiment.
    """
    folder = Path(folder)
    figure = draw_figure(read(folder))
    FigureCanvasAgg(figure).print_png(folder / PICTURES[1])  # first, for the SVG sets another resolution
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "buttress"}):
        FigureCanvasSVG(figure).print_svg(folder / PICTURES[0], metadata={"Date": None})
    return folder / PICTURES[0]


def read(folder: Path) -> dict[str, list[list[Look]]]:
    """Arm -> for every seed what was seen, in the order of steps."""
    arms: dict[str, list[list[Look]]] = {}
    for run in json.loads((folder / "lagging_inference.json").read_text(encoding="utf-8"))["runs"]:
        files = sorted((folder / run["folder"] / "means").glob("*.json"))
        arms.setdefault(run["arm"], []).append([json.loads(path.read_text(encoding="utf-8")) for path in files])
    return arms


def draw_figure(arms: dict[str, list[list[Look]]]) -> Figure:
    """The way of every arm, and moments of the first seed of each."""
    looks, chosen = styles(arms), {name: _moments(seeds[0]) for name, seeds in arms.items()}
    columns = max(map(len, chosen.values()))
    figure = Figure((4.3 + 1.75 * columns, 4.3), dpi=144, layout=ConstrainedLayoutEngine(h_pad=0.09))
    grid = figure.add_gridspec(len(arms), columns + 1, width_ratios=[2.3, *[1] * columns])
    way = figure.add_subplot(grid[:, 0])
    _ways(way, arms, looks)
    reach = 1.05 * max(0.5, *(_sizes(look).max() for looks_of in chosen.values() for look in looks_of))
    for row, (name, moments) in enumerate(chosen.items()):
        for column, look in enumerate(moments):
            ax = figure.add_subplot(grid[row, column + 1])
            _scatter(ax, look, looks[name], reach)
            ax.set_title(f"{name}, step {look['step']}", size=9, color=looks[name].color, parse_math=False)
            ax.tick_params(labelbottom=row == len(arms) - 1, labelleft=column == 0)
    figure.supxlabel("mean of the model's own posterior p(z|x), on a grid", size=10, color=SOFT)
    figure.supylabel("mean of the encoder's q(z|x)", size=10, color=SOFT)
    figure.patch.set_visible(True)
    figure.patch.set_facecolor("white")
    return figure


def _moments(seen: list[Look]) -> list[Look]:
    """Some looks, later ones further apart: most happens early."""
    last = seen[-1]["step"]
    wanted = [last / 2**i for i in reversed(range(MOMENTS))]
    places = {min(range(len(seen)), key=lambda i: abs(seen[i]["step"] - step)) for step in wanted}
    return [seen[i] for i in sorted(places)]


def _sizes(look: Look) -> Float[np.ndarray, "2 N"]:
    return np.abs(np.array([look["true"], look["encoder"]], dtype=float))


def _ways(ax: Axes, arms: dict[str, list[list[Look]]], looks: dict[str, Style]) -> None:
    """A line a seed with a point a look, and where each ended."""
    dress(ax)
    reach = 0.05
    for name, seeds in arms.items():
        for number, seen in enumerate(seeds):
            x, y = np.array([_sizes(look).mean(1) for look in seen]).T
            reach = max(reach, 1.08 * float(x.max()), 1.08 * float(y.max()))
            color, marker = looks[name].color, looks[name].marker
            ax.plot(x, y, color=color, lw=0.7, marker=".", ms=4, alpha=0.6, label=None if number else name)
            ax.plot(x[-1:], y[-1:], marker, color=color, ms=8, mec="white", zorder=3)
    _diagonal(ax, 0, reach)
    ax.text(0.9 * reach, 0.915 * reach, "encoder = model", color=SOFT, size=9, ha="right", rotation=45,
            rotation_mode="anchor", va="bottom", in_layout=False)  # fmt: skip
    ax.set(xlim=(-0.02 * reach, reach), ylim=(-0.02 * reach, reach), box_aspect=1)
    ax.set_title("mean |mean| over sentences at every look", size=10, color=INK)
    ax.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")


def _scatter(ax: Axes, look: Look, style: Style, reach: float) -> None:
    """A point a sentence."""
    dress(ax)
    _diagonal(ax, -reach, reach)
    ax.plot(look["true"], look["encoder"], ".", color=style.color, ms=3, alpha=0.55, mew=0)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), box_aspect=1)


def _diagonal(ax: Axes, low: float, high: float) -> None:
    ax.plot([low, high], [low, high], color=LINE, lw=1, zorder=0)
