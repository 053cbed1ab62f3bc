"""What codes stand for: a picture of labels by codes, and a table with a row for each code."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from buttress.quality.code_labels import CodeLabels
from buttress.report.drawing import new_axes, write_png
from buttress.runtime.atomic_write import write_text

__all__ = ["write_code_labels"]


def write_code_labels(found: CodeLabels, names: Sequence[str], table: Path, picture: Path) -> None:
    """Write both.

    In the picture a column is a code, as wide as all others and beside those of the same label, a row a label, and dark
    what share of the code's places have it.

    Args:
        found: Codes and labels of the same places.
        names: Of the labels.
        table: A .csv file: the code, its label, how many places it has, and the share of them with that label.
        picture: A .png file.
    """
    rows = sorted(found.rows(names), key=lambda row: (names.index(row[1]), -row[3]))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["code", "label", "places", "purity"])
    writer.writerows([code, label, count, f"{purity:.4f}"] for code, label, count, purity in rows)
    write_text(table, text.getvalue())
    counts = found.table[[row[0] for row in rows]].double().numpy()
    order = sorted(range(len(names)), key=lambda i: _first(rows, names[i]))
    order = [i for i in order if counts[:, i].any()]
    share = (counts / counts.sum(1, keepdims=True)).T[order]
    figure, (ax,) = new_axes(1.2 + 0.17 * len(order), 8.0)
    mesh = ax.pcolormesh(share, vmin=0, vmax=1, cmap="Blues", rasterized=True)
    ax.grid(False)
    ax.invert_yaxis()
    ax.set_yticks(np.arange(len(order)) + 0.5, [names[i] for i in order], fontsize=8)
    ax.set(xlabel=f"code ({len(rows)} in use), by the label it stands for", xticks=[])
    bar = figure.colorbar(mesh, ax=ax, pad=0.02, aspect=30)
    bar.set_label("share of the code's places")
    write_png(figure, picture)


def _first(rows: Sequence[tuple[int, str, int, float]], name: str) -> int:
    """Where the first code that stands for a label is; behind all where none does."""
    return next((i for i, row in enumerate(rows) if row[1] == name), len(rows))
