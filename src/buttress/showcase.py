"""What a run makes, for people to look at: samples, reconstructions and interpolations as pictures, lines or tables."""

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
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from buttress.data.tokens import decode
from buttress.families import is_uniform
from buttress.parts import DataSpec
from buttress.report.examples import pixels, save_examples
from buttress.report.pictures import tiles
from buttress.training.run import Run

__all__ = ["Marks", "as_observed", "present", "save_run_examples", "shown", "some_held_out"]

WIDE = 600
"""Pixels across a picture, at least: what one sees without a magnifying glass."""


def some_held_out(run: Run, count: int, seed: int = 0) -> Tensor:
    """``count`` stored held-out examples, drawn without replacement."""
    if count < 1:
        raise ValueError(f"got a count of {count}, wanted at least 1")
    examples = run.splits().held_out
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    return examples.batch(order[:count].sort().values)


def as_observed(run: Run, raw: Tensor, seed: int = 0) -> Tensor:
    """Stored examples as the model sees them, binarised with the noise of ``seed``."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return run.model.observe(raw)


def shown(spec: DataSpec, x: Tensor) -> Any:
    """Examples x of shape (..., *x) as what people read: strings for sentences, the numbers themselves otherwise.

    Symbols without order, of which images of codes are made, become greys as far apart as there is room.
    """
    if spec.kind == "image" and spec.vocabulary:
        return (x * 255 / (spec.vocabulary - 1)).round()
    if spec.kind != "text":
        return x
    if x.dim() > 2:
        return [shown(spec, row) for row in x]
    return decode(spec, x)


def save_run_examples(run: Run, count: int = 32, ways: int = 6, seed: int = 0) -> Path:
    """Write into a run's folder what its report shows.

    Args:
        run: The run.
        count: Samples, and held-out examples with their reconstructions.
        ways: Interpolations, from one held-out example to another.
        seed: Of all draws.
    """
    raw = some_held_out(run, max(count, 2 * ways), seed)
    ways = min(ways, len(raw) // 2)
    between = run.interpolate(raw[:ways], raw[ways : 2 * ways], steps=10, seed=seed).transpose(0, 1)
    spec = run.spec
    return save_examples(
        run.folder,
        spec.kind,
        samples=shown(spec, run.sample(count, seed)),
        originals=shown(spec, as_observed(run, raw[:count], seed)),
        reconstructions=shown(spec, run.reconstruct(raw[:count], seed)),
        interpolations=shown(spec, between),
        columns=spec.columns,
        uniform_samples=shown(spec, run.sample(count, seed, uniform=True)) if _learned_codes(run) else None,
    )


def _learned_codes(run: Run) -> bool:
    """Whether z is made of codes and the prior has learned which go together."""
    return run.model.space.classes is not None and not is_uniform(run.model.prior())


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
    """
    if run.spec.kind == "image":
        out = out or run.folder / f"{name}.png"
        canvas = tiles(pixels(shown(run.spec, rows).float().numpy()), across)
        Image.fromarray(magnified(canvas), "RGBA").save(out)
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
