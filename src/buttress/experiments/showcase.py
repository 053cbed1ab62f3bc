"""What a run makes, for people to look at: samples, reconstructions and interpolations as pictures, lines or tables."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.distributions import Distribution

from buttress.core import DataSpec
from buttress.data.reading.tokens import decode
from buttress.distributions.inspect import is_uniform, mean_of
from buttress.distributions.sites import Sites
from buttress.report.examples import pixels, save_examples
from buttress.report.pictures import tiles
from buttress.runtime.randomness import check_seed, seed_step
from buttress.training.run import Run, between

__all__ = [
    "Marks", "as_observed", "drawn_again", "present", "reconstructed", "save_run_examples", "shown", "side_by_side",
    "some_held_out", "walks",
]  # fmt: skip

WIDE = 600
"""Pixels across a picture, at least: what one sees without a magnifying glass."""


def some_held_out(run: Run, count: int, seed: int = 0) -> Tensor:
    """``count`` stored held-out examples, drawn without replacement."""
    if count < 1:
        raise ValueError(f"got a count of {count}, wanted at least 1")
    check_seed(seed)
    examples = run.splits().held_out
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    return examples.batch(order[:count].sort().values)


def as_observed(run: Run, raw: Tensor, seed: int = 0) -> Tensor:
    """Stored examples as the model sees them, binarised with the noise of ``seed``."""
    check_seed(seed)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return run.model.observe(raw)


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


def save_run_examples(run: Run, count: int = 32, ways: int = 6, seed: int = 0, rows: int = 8) -> Path:
    """Write into a run's folder what its report shows.

    Args:
        run: The run.
        count: Samples, and held-out examples with their reconstructions.
        ways: Interpolations, from one held-out example to another.
        seed: Of all draws.
        rows: Held-out examples of which one z is decoded several times.
    """
    raw = some_held_out(run, max(count, 2 * ways), seed)
    ways = min(ways, len(raw) // 2)
    spread = raw[torch.linspace(0, len(raw) - 1, min(rows, len(raw))).long()]  # stored data may be sorted by class
    spec, other = run.spec, seed + 1  # of the same seed a decoder that ignores z would draw the same x twice
    return save_examples(
        run.folder,
        spec.kind,
        samples=shown(spec, run.sample(count, other)),
        originals=shown(spec, as_observed(run, raw[:count], seed)),
        reconstructions=shown(spec, run.reconstruct(raw[:count], seed)),
        interpolations=shown(spec, walks(run, raw[:ways], raw[ways : 2 * ways], steps=8, seed=seed)),
        columns=spec.columns,
        words=spec.words,
        offset=spec.offset if spec.kind == "table" else (),
        uniform_samples=shown(spec, run.sample(count, other, uniform=True)) if _learned_codes(run) else None,
        draws=shown(spec, drawn_again(run, spread, seed=other)),
    )


def _learned_codes(run: Run) -> bool:
    """Whether z is made of codes and the prior has learned which go together."""
    return run.model.space.classes is not None and not is_uniform(run.model.prior())


def reconstructed(run: Run, raw: Tensor, seed: int = 0, mean: bool = False) -> Tensor:
    """Stored examples -> z -> x: drawn, or with means where there are such.

    Args:
        run: The run.
        raw: Stored examples.
        seed: Of all draws.
        mean: Take the mean of q(z|x), and that of p(x|z) too where the decoder has one.
    """
    if not mean:
        return run.reconstruct(raw, seed)
    with _seeded(seed):
        p = run.model.decode(_latent(run.asked(seed), run.model.observe(raw), mean))
        return p.sample() if (middle := center(p)) is None else middle


def drawn_again(run: Run, raw: Tensor, times: int = 4, seed: int = 0) -> Tensor:
    """Each of B examples, and then ``times`` draws of x from one and the same z, shape (B, 1 + times, *x).

    What all draws of a row share, z has told the decoder; what differs between them is the decoder's own.

    Args:
        run: The run.
        raw: Stored examples; z ~ q(z|x) is drawn once for each.
        times: Draws of x ~ p(x|z) from it.
        seed: Of all draws.

    Errors:
        ValueError: Less than one draw.
    """
    if times < 1:
        raise ValueError(f"got {times} draws of each z, wanted at least 1")
    with _seeded(seed):
        x = run.model.observe(raw)
        p: Any = run.model.decode(_latent(run.asked(seed), x, mean=False))
        return side_by_side(run.spec, [x, *p.sample((times,))])


def side_by_side(spec: DataSpec, ways: Sequence[Tensor]) -> Tensor:
    """Several tensors of B examples as one of shape (B, len(ways), *x); sentences are padded to the longest."""
    if spec.kind == "text":
        width = max(x.shape[1] for x in ways)
        ways = [torch.nn.functional.pad(x, (0, width - x.shape[1])) for x in ways]
    return torch.stack(list(ways), 1)


def walks(run: Run, raw_a: Tensor, raw_b: Tensor, steps: int, seed: int = 0, mean: bool = False) -> Tensor:
    """Examples on the way from each of B examples to another, shape (B, steps, ...).

    As :meth:`buttress.training.run.Run.interpolate`, but all x of a walk are drawn with the same random numbers, so
    that neighbours differ by z alone.

    Args:
        run: The run.
        raw_a: Stored examples where the walks begin.
        raw_b: Stored examples where they end.
        steps: Points of each, the ends included.
        seed: Of all draws.
        mean: As in :func:`reconstructed`.

    Errors:
        ValueError: Less than two steps, or more ends than beginnings.
    """
    if steps < 2 or len(raw_a) != len(raw_b):
        raise ValueError(
            f"got {len(raw_a)} and {len(raw_b)} examples and {steps} steps; wanted as many ends as beginnings, and at "
            "least 2 steps"
        )
    with _seeded(seed):
        model = run.asked(seed)
        a, b = (_latent(model, run.model.observe(raw), mean) for raw in (raw_a, raw_b))
        p: Any = run.model.decode(between(a, b, torch.linspace(0, 1, steps)))
        middle = center(p) if mean else None
        return (p.sample_along() if middle is None else middle).transpose(0, 1)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draws from ``seed``, no gradients; the global random state is as it was afterwards."""
    check_seed(seed)
    with torch.random.fork_rng([]), torch.no_grad():
        seed_step(seed, 0)
        yield


def _latent(model: Any, x: Tensor, mean: bool) -> Tensor:
    """z of each x: drawn from q(z|x), or its mean where that is wanted and there is one."""
    q = model.posterior(x)
    middle = mean_of(q) if mean else None
    drawn: Tensor = q.sample() if middle is None else middle
    return drawn


def center(p: Distribution) -> Tensor | None:
    """The mean of p(x|z), or its likeliest symbols; None where places hang on one another, as all that are drawn do."""
    if not isinstance(p, Sites):
        return None
    return p.mode if p.likelihood.symbols else p.mean


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
