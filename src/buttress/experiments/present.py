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
from torch import Tensor

from buttress.core import DataSpec
from buttress.data.reading.tokens import decode
from buttress.experiments.picture_files import labelled, magnified, save_picture
from buttress.experiments.present_sound import present_sound
from buttress.experiments.traversal import Traversal
from buttress.nn.mel import expand
from buttress.report.examples import pixels
from buttress.report.pictures import tiles
from buttress.runtime.atomic_write import check_place, write_text
from buttress.training.run import Run

__all__ = ["Marks", "check_out", "present", "present_traversal", "shortest", "shown"]


def shown(spec: DataSpec, x: Tensor) -> Any:
    """Examples x of shape (..., *x) as what people read: strings for sentences, the numbers themselves otherwise.

    Symbols without order, of which images of codes are made, become greys as far apart as there is room; real numbers
    become levels from 0 to 255, the smallest of the training data black and the largest white. Levels of sound become
    its samples, in [-1, 1].
    """
    if spec.kind == "wave":
        return expand(x, spec.vocabulary)
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
    """What stands beside examples that are shown as lines, rows or sounds.

    Args:
        heads: What the two are called.
        rows: Two words for each example.
        group: Which of the two those that belong together share.
    """

    heads: tuple[str, str]
    rows: Sequence[tuple[str, str]]
    group: int = 1

    def label(self, i: int) -> str:
        """What stands before a line: the word that tells it from those of its group, or both."""
        return self.rows[i][0] if self.group else " ".join(self.rows[i])

    def files(self) -> list[str]:
        """What to call a file of each, those of a group side by side."""
        pairs = [row[::-1] if self.group else row for row in self.rows]
        return ["_".join(pair).replace(" ", "-") for pair in pairs]


def check_out(run: Run, out: Path | None) -> None:
    """Refuse a file that :func:`present` could not write; call it before the work.

    Errors:
        ValueError: ``out`` is a folder, or lies in none.
        OSError: The folder cannot be written.
    """
    if out is None or run.spec.kind in ("wave", "frames"):  # sound makes its folder
        return
    if out.is_dir():
        raise ValueError(f"{out} is a folder, wanted a file to write; try {out / 'samples.png'}")
    check_place(out)


def present(
    run: Run,
    rows: Tensor,
    out: Path | None,
    name: str,
    across: int,
    marks: Marks | None = None,
    lengths: Sequence[int] | None = None,
) -> None:
    """Show examples: sentences as lines, tables as CSV, images as a PNG of tiles, sound as WAV files and a PNG.

    Args:
        run: Whose examples they are.
        rows: The examples, shape (N, *x).
        out: The file to write; of sound a WAV file, or a folder of one for each example. None prints, or writes images
            and sound into the run's folder.
        name: What they are, such as "samples": the name of that file.
        across: Images in a row of the picture.
        marks: What stands beside sentences and rows, and in the names of WAV files.
        lengths: True length of each example, of frames.

    Errors:
        ValueError: ``out`` is a folder, or its ending is of no file that can be written.
    """
    if run.spec.kind in ("wave", "frames"):
        names = [f"{i:02d}" for i in range(1, len(rows) + 1)] if marks is None else marks.files()
        present_sound(run, rows, out, name, across, names, lengths)
        return
    check_out(run, out)
    if run.spec.kind == "image":
        canvas = tiles(pixels(shown(run.spec, rows).float().numpy()), across)
        save_picture(magnified(canvas), out or run.folder / f"{name}.png")
    elif out is None:
        sys.stdout.write(_written(run.spec, rows, marks))
    else:
        write_text(out, _written(run.spec, rows, marks))
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
        rows = [(name, at) for name in found.rows for at in found.columns]
        present(run, flat, out, "traversal", across, Marks(("dimension", "value"), rows, group=0))
        return
    canvas = magnified(tiles(pixels(shown(run.spec, flat).float().numpy()), across))
    save_picture(labelled(canvas, found.titles, found.columns), out or run.folder / "traversal.png")


def _written(spec: DataSpec, rows: Tensor, marks: Marks | None) -> str:
    if spec.kind == "text":
        return "".join(_lines(decode(spec, rows), marks))
    names = spec.columns or tuple(f"x{i}" for i in range(rows.shape[1]))  # arrays have none
    cells = [[cell(spec, i, value) for i, value in enumerate(row)] for row in rows.tolist()]
    if marks is not None:
        names, cells = (*marks.heads, *names), [[*m, *c] for m, c in zip(marks.rows, cells, strict=True)]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([names, *cells])
    return file.getvalue()


def _lines(sentences: Sequence[str], marks: Marks | None) -> Iterator[str]:
    """Sentences, each behind its mark, with a blank line where others begin."""
    if marks is None:
        yield from (f"{sentence}\n" for sentence in sentences)
        return
    labels, before = [marks.label(i) for i in range(len(sentences))], marks.rows[0][marks.group]
    for sentence, label, row in zip(sentences, labels, marks.rows, strict=True):
        yield f"{'' if row[marks.group] == before else chr(10)}{label:<{max(map(len, labels))}}  {sentence}\n"
        before = row[marks.group]


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
