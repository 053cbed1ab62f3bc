"""Examples as people read them: a picture of tiles, lines, or a table."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from buttress.core import DataSpec
from buttress.data.reading.tokens import decode
from buttress.experiments.traversal import Traversal
from buttress.report.examples import pixels
from buttress.report.pictures import tiles
from buttress.training.run import Run

__all__ = ["Marks", "labelled", "magnified", "present", "present_traversal", "save_picture", "shortest", "shown"]

WIDE = 600
"""Pixels across a picture, at least: what one sees without a magnifying glass."""


def shown(spec: DataSpec, x: Tensor) -> Any:
    """Examples x of shape (..., *x) as what people read: strings for sentences, the numbers themselves otherwise.

    Symbols without order, of which images of codes are made, become greys as far apart as there is room; real numbers
    become levels from 0 to 255, the smallest of the training data black and the largest white.
    """
    if spec.kind == "image" and spec.vocabulary:
        return (x * 255 / (spec.vocabulary - 1)).round()
    if spec.kind == "image" and spec.levels == 0 and spec.span is not None:
        low, high = spec.span
        return (x - low) * (255 / (high - low))
    if spec.kind == "image" and spec.levels is None and spec.mean is not None and spec.mean.max() <= 1:
        return x * 255
    if spec.kind != "text":
        return x
    if x.dim() > 2:
        return [shown(spec, row) for row in x]
    return decode(spec, x)


@dataclass(frozen=True)
class Marks:
    """What stands beside examples that are shown as lines or rows.

    Args:
        heads: What the two are called.
        rows: What each example is, and the number of those it belongs with.
    """

    heads: tuple[str, str]
    rows: Sequence[tuple[str, int]]


def present(run: Run, rows: Tensor, out: Path | None, name: str, across: int, marks: Marks | None = None) -> None:
    """Show examples: sentences as lines, tables as CSV, images as a PNG of tiles.

    Args:
        run: Whose examples they are.
        rows: The examples, shape (N, *x).
        out: The file to write; None prints, or writes images into the run's folder.
        name: What they are, such as "samples": the name of that file.
        across: Images in a row of the picture.
        marks: What stands beside sentences and rows.

    Errors:
        ValueError: ``out`` is a folder, or its ending is of no picture that can be written.
    """
    if out is not None and out.is_dir():
        raise ValueError(f"{out} is a folder, wanted a file to write; try {out / 'samples.png'}")
    if run.spec.kind == "image":
        canvas = tiles(pixels(shown(run.spec, rows).float().numpy()), across)
        save_picture(magnified(canvas), out or run.folder / f"{name}.png")
    elif out is None:
        sys.stdout.write(_written(run.spec, rows, marks))
    else:
        out.write_text(_written(run.spec, rows, marks), encoding="utf-8", newline="")
        print(out)


def present_traversal(run: Run, found: Traversal, out: Path | None) -> None:
    """Show a traversal: images as a picture whose rows and columns are labelled, the rest as :func:`present` does.

    Args:
        run: Whose it is.
        found: What to show.
        out: As in :func:`present`.
    """
    flat, across = found.x.flatten(0, 1), len(found.columns)
    if run.spec.kind != "image" or (out is not None and out.is_dir()):
        rows = [(f"{name} {at}", i) for i, name in enumerate(found.rows) for at in found.columns]
        present(run, flat, out, "traversal", across, Marks(("moved", "dimension"), rows))
        return
    canvas = magnified(tiles(pixels(shown(run.spec, flat).float().numpy()), across))
    save_picture(labelled(canvas, found.rows, found.columns), out or run.folder / "traversal.png")


def save_picture(canvas: UInt8[np.ndarray, "Y X 4"], out: Path) -> None:
    """Write a picture and print where it is.

    Errors:
        ValueError: The ending is of no picture that can be written.
    """
    try:
        Image.fromarray(canvas, "RGBA").save(out)
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        png = out.with_suffix(".png")
        raise ValueError(f"{out}: no such picture can be written ({error}); try {png}") from error
    print(out)


def labelled(
    canvas: UInt8[np.ndarray, "Y X 4"], rows: Sequence[str], columns: Sequence[str]
) -> UInt8[np.ndarray, "Y2 X2 4"]:
    """A sheet of tiles on white, with a name to the left of each row and above each column."""
    font = ImageFont.load_default(14)
    left, top = 12 + max(round(font.getlength(name)) for name in rows), 24
    height, width = canvas.shape[:2]
    picture = Image.new("RGBA", (left + width, top + height), "white")
    picture.paste(Image.fromarray(canvas, "RGBA"), (left, top), Image.fromarray(canvas, "RGBA"))
    pen = ImageDraw.Draw(picture)
    for i, name in enumerate(rows):
        pen.text((left - 6, top + (i + 0.5) * height / len(rows)), name, "black", font, anchor="rm")
    for i, name in enumerate(columns):
        pen.text((left + (i + 0.5) * width / len(columns), top - 6), name, "black", font, anchor="ms")
    return np.asarray(picture)


def magnified(canvas: UInt8[np.ndarray, "Y X 4"]) -> UInt8[np.ndarray, "Y2 X2 4"]:
    """A picture of at least :data:`WIDE` pixels, every pixel made a square."""
    factor = math.ceil(WIDE / canvas.shape[1])
    return canvas.repeat(factor, 0).repeat(factor, 1)


def _written(spec: DataSpec, rows: Tensor, marks: Marks | None) -> str:
    if spec.kind == "text":
        return "".join(_lines(decode(spec, rows), marks))
    names = spec.columns or tuple(f"x{i}" for i in range(rows.shape[1]))  # arrays have none
    cells = [[cell(spec, i, value) for i, value in enumerate(row)] for row in rows.tolist()]
    if marks is not None:
        names, cells = (*marks.heads, *names), [[*map(str, m), *c] for m, c in zip(marks.rows, cells, strict=True)]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([names, *cells])
    return file.getvalue()


def _lines(sentences: Sequence[str], marks: Marks | None) -> Iterator[str]:
    """Sentences, each behind its mark, with a blank line where others begin."""
    if marks is None:
        yield from (f"{sentence}\n" for sentence in sentences)
        return
    width, before = max(len(label) for label, _ in marks.rows), marks.rows[0][1]
    for sentence, (label, group) in zip(sentences, marks.rows, strict=True):
        yield f"{'' if group == before else chr(10)}{label:<{width}}  {sentence}\n"
        before = group


def cell(spec: DataSpec, column: int, value: float) -> str:
    """A value of a table as its file has it: a word, a number, or nothing where it is missing.

    Example:
        >>> from buttress.core import Layout
        >>> spec = DataSpec(Layout.table(2), words=((), ("Rome", "Oslo")), offset=(1.7e12, 0.0))
        >>> cell(spec, 0, 10.5), cell(spec, 1, 1.0), cell(spec, 0, float("nan"))
        ('1700000000010.5', 'Oslo', '')
    """
    if math.isnan(value):
        return ""
    if spec.words and spec.words[column]:
        return spec.words[column][round(value)]
    if spec.offset and spec.offset[column]:
        return f"{value + spec.offset[column]:.15g}"
    return shortest(value)


def shortest(value: float) -> str:
    """A number of 32 bits by the fewest digits that tell it from all others.

    Example:
        >>> shortest(65.0999984741211), shortest(-3.0), shortest(1e-7)
        ('65.1', '-3', '1e-07')
    """
    return str(np.float32(value)).removesuffix(".0")
