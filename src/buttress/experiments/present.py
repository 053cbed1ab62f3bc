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
from PIL import Image
from torch import Tensor

from buttress.core import DataSpec
from buttress.data.reading.tokens import decode
from buttress.report.examples import pixels
from buttress.report.pictures import tiles
from buttress.training.run import Run

__all__ = ["Marks", "magnified", "present", "shortest", "shown"]

WIDE = 600
"""Pixels across a picture, at least: what one sees without a magnifying glass."""


def shown(spec: DataSpec, x: Tensor) -> Any:
    """Examples x of shape (..., *x) as what people read: strings for sentences, the numbers themselves otherwise.

    Symbols without order, of which images of codes are made, become greys as far apart as there is room; fractions of
    white become levels up to 255, whatever a density without bounds draws beyond 1.
    """
    if spec.kind == "image" and spec.vocabulary:
        return (x * 255 / (spec.vocabulary - 1)).round()
    if spec.kind == "image" and spec.mean is not None and spec.mean.max() <= 1:
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
        out = out or run.folder / f"{name}.png"
        canvas = tiles(pixels(shown(run.spec, rows).float().numpy()), across)
        try:
            Image.fromarray(magnified(canvas), "RGBA").save(out)
        except (ValueError, KeyError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            png = out.with_suffix(".png")
            raise ValueError(f"{out}: no such picture can be written ({error}); try {png}") from error
    elif out is None:
        sys.stdout.write(_written(run.spec, rows, marks))
    else:
        out.write_text(_written(run.spec, rows, marks), encoding="utf-8", newline="")
    if out is not None:
        print(out)


def magnified(canvas: UInt8[np.ndarray, "Y X 4"]) -> UInt8[np.ndarray, "Y2 X2 4"]:
    """A picture of at least :data:`WIDE` pixels, every pixel made a square."""
    factor = math.ceil(WIDE / canvas.shape[1])
    return canvas.repeat(factor, 0).repeat(factor, 1)


def _written(spec: DataSpec, rows: Tensor, marks: Marks | None) -> str:
    if spec.kind == "text":
        return "".join(_lines(decode(spec, rows), marks))
    names = spec.columns or tuple(f"x{i}" for i in range(rows.shape[1]))  # arrays have none
    cells = [[shortest(value) for value in row] for row in rows.tolist()]
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


def shortest(value: float) -> str:
    """A number of 32 bits by the fewest digits that tell it from all others.

    Example:
        >>> shortest(65.0999984741211), shortest(-3.0), shortest(1e-7)
        ('65.1', '-3', '1e-07')
    """
    return str(np.float32(value)).removesuffix(".0")
