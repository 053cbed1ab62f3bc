"""The figures of the trial of Lucas et al. 2019."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from buttress.diagnostics.evidence import Evidence
from buttress.report.drawing import Style, name_lines, new_axes, plot_steps, write_png
from buttress.report.results import load_run
from buttress.report.units import draw_collapsed_share

__all__ = ["annealing", "collapse", "elbos"]


def _runs(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "result.json").read_text("utf-8"))["runs"]
    return found


def elbos(folder: Path) -> Path:
    """ELBO over the variance: fixed, tuned alone after training, learned from there; a mark a seed."""
    runs = _runs(folder)
    series = {
        "fixed": ("fixed-", "elbo"),
        "tuned alone, afterwards": ("fixed-", "tuned_elbo"),
        "learned": ("learned-", "elbo"),
    }  # fmt: skip
    looks = [Style(f"arm-{i}", "o") for i in range(len(series))]
    figure, (ax,) = new_axes(3.4, 7.0)
    for look, (start, name) in zip(looks, series.values(), strict=True):
        points = [
            (float(run["arm"].removeprefix(start)), run[name])
            for run in runs
            if run["arm"].startswith(start) and name in run
        ]
        at = sorted({variance for variance, _ in points}, reverse=True)
        ax.plot(at, [np.median([y for x, y in points if x == v]) for v in at], color=look.color, lw=1.2)
        ax.plot(*zip(*points, strict=True), "o", color=look.color, alpha=0.6, ms=5)
    ax.set(xscale="log", xlabel="variance of p(x|z), fixed or at the start", ylabel="ELBO, nats")
    ax.invert_xaxis()
    name_lines(figure, list(series), looks)
    write_png(figure, path := folder / "elbos.png")
    return path


def collapse(folder: Path, places: Sequence[str]) -> Path:
    """The share of latent groups that is collapsed, over epsilon; a line a run."""
    figure, (ax,) = new_axes(3.4, 7.0)
    looks = [Style(f"arm-{i}", "") for i in range(len(places))]
    for look, place in zip(looks, places, strict=True):
        for run in _runs(folder):
            if run["arm"] == place:
                groups = Evidence.load(folder / run["folder"] / "evidence.json").groups
                draw_collapsed_share(ax, np.array(groups.critical_rate, dtype=float), look.color)
    name_lines(figure, [place.replace("weak", "fixed-1") for place in places], looks)
    write_png(figure, path := folder / "collapse.png")
    return path


def annealing(folder: Path) -> Path:
    """Active units over training with and without annealing, a line a run."""
    names = {"weak": "full ELBO", "weak, annealed": "annealed"}
    looks = {arm: Style(f"arm-{i}", "") for i, arm in enumerate(names)}
    figure, (ax,) = new_axes(3.0, 7.0)
    for run in _runs(folder):
        if run["arm"] in names and (metrics := load_run(folder / run["folder"]).metrics) is not None:
            curve = metrics.curve("held_out", "active_units")
            if curve is not None:
                plot_steps(ax, curve, looks[run["arm"]].color, 1.2)
    ax.set_ylabel("active units")
    name_lines(figure, list(names.values()), list(looks.values()))
    write_png(figure, path := folder / "annealing.png")
    return path
