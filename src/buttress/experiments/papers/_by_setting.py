"""Two figures of experiments: numbers over a setting, and a number over training, each with a mark or line a seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from buttress.report.drawing import Style, name_lines, new_axes, plot_steps, write_png
from buttress.report.results import load_run

__all__ = ["write_by_arm", "write_by_setting", "write_course", "write_plane"]


def write_by_setting(folder: Path, setting: str, label: str, panels: Sequence[tuple[str, str]]) -> Path:
    """Draw a panel for each number of ``result.json`` over a setting of its runs; the line goes through medians.

    Args:
        folder: Of the experiment; the picture ``by_SETTING.png`` goes there.
        setting: A number that every run has.
        label: Of the setting, under each panel.
        panels: The name of a number, and what is written beside it.
    """
    runs = json.loads((folder / "result.json").read_text("utf-8"))["runs"]
    values = sorted({run[setting] for run in runs})
    figure, axes = new_axes(2.8, 2.9 * len(panels), columns=len(panels))
    for ax, (name, title) in zip(axes, panels, strict=True):
        places = np.arange(len(values))
        ax.plot(places, [np.median([r[name] for r in runs if r[setting] == v]) for v in values], color="#0072b2")
        ax.plot([values.index(r[setting]) for r in runs], [r[name] for r in runs], "o", color="#0072b2", alpha=0.5)
        ax.set_xticks(places, [f"{value:g}" for value in values])
        ax.set(xlabel=label, ylabel=title)
        ax.margins(x=0.15)
    write_png(figure, path := folder / f"by_{setting}.png")
    return path


def write_by_arm(folder: Path, names: Mapping[str, str], panels: Sequence[tuple[str, str]]) -> Path:
    """Draw a panel for each number of ``result.json``, a row an arm that was run and a mark a seed, into ``arms.png``.

    Args:
        folder: Of the experiment.
        names: Arm -> what it is called in the picture.
        panels: The name of a number, and what is written under it.
    """
    runs = json.loads((folder / "result.json").read_text("utf-8"))["runs"]
    ran = {run["arm"] for run in runs}
    names = {arm: name for arm, name in names.items() if arm in ran}
    figure, axes = new_axes(0.9 + 0.3 * len(names), 1.6 + 2.4 * len(panels), columns=len(panels))
    for first, (ax, (name, title)) in enumerate(zip(axes, panels, strict=True)):
        for row, arm in enumerate(names):
            found = [run[name] for run in runs if run["arm"] == arm and run.get(name) is not None]
            ax.plot(found, [row] * len(found), "o", color="#0072b2", alpha=0.6)
        ax.set_yticks(range(len(names)), [] if first else list(names.values()))
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel(title)
        ax.margins(x=0.12)
    write_png(figure, path := folder / "arms.png")
    return path


def write_plane(folder: Path, names: Mapping[str, str], across: tuple[str, str], up: tuple[str, str]) -> Path:
    """Draw a number of ``result.json`` against another, a mark a run and a colour an arm, into ``plane.png``.

    Args:
        folder: Of the experiment.
        names: Arm -> what it is called in the picture.
        across: The name of one number, and what is written under it.
        up: The name of the other, and what is written beside it.
    """
    runs = json.loads((folder / "result.json").read_text("utf-8"))["runs"]
    figure, (ax,) = new_axes(3.4, 5.0)
    looks = {arm: Style(f"arm-{i}", "") for i, arm in enumerate(names)}
    for run in runs:
        ax.plot(run[across[0]], run[up[0]], "o", color=looks[run["arm"]].color, alpha=0.7)
    ax.set(xlabel=across[1], ylabel=up[1])
    name_lines(figure, list(names.values()), list(looks.values()))
    write_png(figure, path := folder / "plane.png")
    return path


def write_course(folder: Path, names: Mapping[str, str], column: str, label: str) -> Path:
    """Draw a number on held-out data over training, a colour an arm and a line a run, into ``course.png``.

    Args:
        folder: Of the experiment.
        names: Arm -> what it is called in the picture.
        column: Of ``metrics.csv``.
        label: Beside the picture.
    """
    runs = json.loads((folder / "result.json").read_text("utf-8"))["runs"]
    figure, (ax,) = new_axes(3.4, 7.0)
    looks = {arm: Style(f"arm-{i}", "") for i, arm in enumerate(names)}
    for run in runs:
        metrics = load_run(folder / run["folder"]).metrics
        curve = None if metrics is None else metrics.curve("held_out", column)
        if curve is not None and run["arm"] in looks:
            plot_steps(ax, curve, looks[run["arm"]].color, 1.2)
    ax.set_ylabel(label)
    name_lines(figure, list(names.values()), list(looks.values()))
    write_png(figure, path := folder / "course.png")
    return path
