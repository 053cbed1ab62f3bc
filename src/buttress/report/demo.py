"""Models before and after the remedies that their diagnosis advised: a page with pictures, and a table.

Made from the folder that :mod:`buttress.experiments.collapses` leaves: ``demo.json`` and the runs it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from buttress.report import curves
from buttress.report.drawing import styles
from buttress.report.gallery import before_and_after
from buttress.report.numbers import nats, plus_minus
from buttress.report.page import render
from buttress.report.pictures import tiles
from buttress.report.results import ArmResult, RunResult, load_run
from buttress.report.run import sentence
from buttress.runtime.atomic_write import replace_file, write_text
from buttress.runtime.plain_data import load_json

__all__ = ["demo_lines", "demo_table", "markdown_demo", "write_demo"]

SHOWN = {"elbo": "−ELBO", "rate": "rate", "mutual_information": "information", "worth_shuffled": "worth of z"}
"""Estimates in the table, in nats per example."""
ACROSS = 12
"""Images side by side in a picture."""
CURED = {"yes": "cured", "at a price": "cured, at a price in −ELBO", "no": "not cured"}


@dataclass(frozen=True, eq=False)
class Treated:
    """One model and its runs.

    Args:
        name: Of its folder.
        title: What it is.
        about: How it is made.
        runs: By remedy, "none" first: what was measured.
        outcomes: By remedy, whether it cured.
    """

    name: str
    title: str
    about: str
    runs: dict[str, RunResult]
    outcomes: dict[str, str]

    @property
    def last(self) -> str:
        """The remedy that was tried last; "none" where none was advised."""
        return list(self.runs)[-1]


def write_demo(folder: str | Path) -> Path:
    """Write ``report.html``, ``demo.md`` and a picture of each model of images into the folder; gives the page.

    Errors:
        ValueError: ``demo.json`` is missing or damaged.
    """
    folder = Path(folder)
    treated = _treated(folder)
    models = [_model(one) for one in treated]
    for one in treated:
        _draw(one, folder / f"{one.name}.png")
    page = folder / "report.html"
    write_text(page, render("demo.html.j2", title="Three collapses, three cures", models=models))
    write_text(folder / "demo.md", markdown_demo(folder) + "\n")
    return page


def _draw(one: Treated, path: Path) -> None:
    """Held-out images, and below them what the decoder made of their z before and after."""
    sides = [one.runs[name].examples for name in dict.fromkeys(("none", one.last))]
    first = sides[0]
    if first is None or first.kind != "image" or first.originals is None:
        return
    made = [side.mean_reconstructions for side in sides if side is not None]
    rows = [rows[:ACROSS] for rows in (first.originals, *made) if rows is not None]
    canvas = tiles(np.concatenate(rows), ACROSS)
    picture = Image.fromarray(canvas, "RGBA").resize(
        (canvas.shape[1] * 2, canvas.shape[0] * 2), Image.Resampling.NEAREST
    )
    replace_file(path, lambda scratch: picture.save(scratch, "PNG", optimize=True))


def _treated(folder: Path) -> list[Treated]:
    path = folder / "demo.json"
    try:
        told = load_json(path)["models"]
        return [
            Treated(
                one["name"],
                one["title"],
                one["about"],
                {arm: load_run(folder / one["name"] / arm) for arm in ("none", *(t["remedy"] for t in one["tried"]))},
                {t["remedy"]: t["cured"] for t in one["tried"]},
            )
            for one in told
        ]
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: missing or damaged ({type(error).__name__}: {error}); run the demo again") from error


def _model(one: Treated) -> dict[str, Any]:
    """What the page shows of a model."""
    arms = [ArmResult(name, (run,)) for name, run in one.runs.items()]
    shown = {"none": "Before", one.last: f"After: {one.last}"} if one.outcomes else {"none": "Before"}
    return {
        "title": one.title,
        "about": one.about,
        "why": _why(one.runs["none"]),
        "tried": [(name, CURED[how]) for name, how in one.outcomes.items()],
        "sides": [_side(title, one.runs[name]) for name, title in shown.items()],
        "looks": styles(one.runs),
        "curves": curves.arm_curves(arms, "mutual_information", "information in z, nats"),
        "name": one.name,
        "rows": _rows(one),
    }


def _side(title: str, run: RunResult) -> dict[str, Any]:
    return {"title": title, "state": run.state, "sentence": sentence(run), "part": before_and_after(run.examples)}


def _why(run: RunResult) -> dict[str, Any]:
    """The first cause that was found, and its reasons."""
    found = [one for one in run.evidence.verdict.findings if one.holds] if run.evidence else []
    return {"cause": found[0].cause, "reasons": found[0].reasons[:1]} if found else {"cause": None, "reasons": ()}


def _rows(one: Treated) -> list[list[str]]:
    """A row for each run: the remedy, the numbers, the verdict."""
    return [
        [
            name,
            *(_number(run, key) for key in SHOWN),
            f"{run.state}{f' ({cause})' if (cause := _why(run)['cause']) and run.state != 'used' else ''}",
        ]
        for name, run in one.runs.items()
    ]


def _number(run: RunResult, name: str) -> str:
    found = run.estimate(name)
    value = None if found.value is None else -found.value if name == "elbo" else found.value
    if name == "mutual_information" and run.at_ceiling:
        return f"≥ {nats(value)}"
    large = value is not None and abs(value) >= 1000
    return plus_minus(value, found.error, 0) if large else plus_minus(value, found.error)


def demo_lines(folder: str | Path) -> list[str]:
    """What was found of each model and what cured it, a line or two each, for a terminal."""
    lines = []
    for one in _treated(Path(folder)):
        why = _why(one.runs["none"])
        lines.append(f"{one.title}: {one.runs['none'].state}, {why['cause'] or 'cause not known'}")
        lines += [f"  {reason}" for reason in why["reasons"]]
        lines += [f"  {name}: {CURED[how]}" for name, how in one.outcomes.items()]
    return lines


def demo_table(folder: str | Path) -> Table:
    """All runs, for a terminal."""
    table = Table(title="held-out data, nats per example", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.show_edge = table.pad_edge = False
    for title in ("model", "remedy"):
        table.add_column(title, overflow="fold")
    for title in SHOWN.values():
        table.add_column(title, justify="right")
    table.add_column("z")
    for one in _treated(Path(folder)):
        for i, row in enumerate(_rows(one)):
            table.add_row(*(Text(cell) for cell in ("" if i else one.name, *row)))
    return table


def markdown_demo(folder: str | Path) -> str:
    """The same table in Markdown."""
    head = ["model", "remedy", *SHOWN.values(), "verdict"]
    marks = [":--", ":--", *["--:"] * len(SHOWN), ":--"]
    rows = [
        ["" if i else one.name, f"`{row[0]}`", *row[1:]]
        for one in _treated(Path(folder))
        for i, row in enumerate(_rows(one))
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows)).replace("| :--", "|:--")
