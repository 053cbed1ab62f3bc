"""Figures of ``kim2018_factor``: the plane of reconstruction error and score, and traversals of three arms."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from buttress.report.drawing import INK, SOFT, name_lines, new_axes, styles, write_png

__all__ = ["draw"]

TITLES = {
    "factor_vae_score": "FactorVAE score",
    "mutual_information_gap": "mutual information gap",
    "disentanglement": "disentanglement (DCI)",
}
STEPS, WIDTH = 9, 2.0
"""Points of each traversal, and how far it goes, in standard deviations of the prior."""


def draw(folder: Path) -> list[Path]:
    """Write the figures of a finished experiment into its folder; their paths."""
    plain = json.loads((folder / "result.json").read_text("utf-8"))
    runs = plain["runs"]
    return [_plane(runs, folder / "plane.png"), _traversals(folder, runs, folder / "traversals.png")]


def _plane(runs: list[dict[str, Any]], path: Path) -> Path:
    """A point for each run, larger ones for means over seeds, and the line of VAE and beta-VAE through these."""
    arms: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        arms[run["arm"]].append(run)
    looks = styles(arms)
    figure, axes = new_axes(3.4, width=9.4, columns=len(TITLES))
    for ax, (name, title) in zip(axes, TITLES.items(), strict=True):
        means = {}
        for arm, found in arms.items():
            x, y = (np.array([run[of] for run in found], dtype=float) for of in ("distortion", name))
            look = looks[arm]
            ax.plot(x, y, ls="", marker=look.marker, color=look.color, ms=look.size(5), alpha=0.45, mew=0)
            means[arm] = (x.mean(), y.mean())
            ax.plot(*means[arm], ls="", marker=look.marker, color=look.color, ms=look.size(10), mec="white", mew=0.8)
        line = [means[arm] for arm in arms if not arm.startswith("FactorVAE")]
        ax.plot(*zip(*sorted(line), strict=True), color=SOFT, lw=1, zorder=1)
        ax.set(xlabel="reconstruction error, nats", ylabel=title)
    name_lines(figure, list(arms), [looks[arm] for arm in arms], line=False)
    write_png(figure, path)
    return path


def _traversals(folder: Path, runs: list[dict[str, Any]], path: Path) -> Path:
    """One picture side by side for the VAE, the strongest beta-VAE and the strongest FactorVAE, of the first seed."""
    seed = min(run["seed"] for run in runs)
    first = [run for run in runs if run["seed"] == seed]
    chosen = [[run for run in first if run["arm"].startswith(kind)][-1] for kind in ("VAE", "β-VAE", "FactorVAE")]
    sheets = [_sheet(folder / run["folder"], run["arm"]) for run in chosen]
    width, height = sum(s.width + 16 for s in sheets) - 16, max(s.height for s in sheets)
    picture = Image.new("RGB", (width, height), "white")
    left = 0
    for sheet in sheets:
        picture.paste(sheet, (left, 0))
        left += sheet.width + 16
    picture.save(path, optimize=True)
    return path


def _sheet(run: Path, arm: str) -> Image.Image:
    """The traversal of one run with its name on top."""
    from buttress.diagnostics.evidence import Evidence
    from buttress.experiments.picture_files import labelled
    from buttress.experiments.present import shown
    from buttress.experiments.traversal import by_rate, title, traversal
    from buttress.report.examples import pixels
    from buttress.report.pictures import tiles
    from buttress.training.run import Run

    opened: Run = Run.load(run)
    scored = json.loads((run / "factors.json").read_text("utf-8"))
    dims = by_rate(opened)
    found = traversal(opened, dims, STEPS, WIDTH)
    flat = pixels(shown(opened.spec, found.x.flatten(0, 1)).float().numpy())
    canvas = tiles(flat, STEPS).repeat(2, 0).repeat(2, 1)
    groups = replace(Evidence.load(run / "evidence.json").groups, followed=tuple(scored["followed"]))  # of all images
    sheet = Image.fromarray(labelled(canvas, [title(groups, dim) for dim in dims], found.columns)).convert("RGB")
    whole = Image.new("RGB", (sheet.width, sheet.height + 22), "white")
    whole.paste(sheet, (0, 22))
    name = arm.replace("β", "beta")  # which the font does not have
    ImageDraw.Draw(whole).text((whole.width / 2, 4), name, INK, ImageFont.load_default(15), anchor="ma")
    return whole
