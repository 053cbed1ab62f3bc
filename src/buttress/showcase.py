"""What a run makes, for people to look at: samples, reconstructions and interpolations as pictures, lines or tables."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any, TextIO

import torch
from PIL import Image
from torch import Tensor

from buttress.data.tokens import decode
from buttress.families import is_uniform
from buttress.parts import DataSpec
from buttress.report.examples import pixels, save_examples
from buttress.report.pictures import tiles
from buttress.training.run import Run

__all__ = ["as_observed", "present", "save_run_examples", "shown", "some_held_out"]


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


def present(run: Run, rows: Tensor, out: Path | None, across: int) -> None:
    """Show examples: sentences as lines, tables as CSV, images as a PNG of tiles.

    Args:
        run: Whose examples they are.
        rows: The examples, shape (N, *x).
        out: The file to write; None prints, or for images writes ``samples.png`` into
            the run's folder.
        across: Images in a row of the picture.

    Errors:
        ValueError: ``out`` is a folder, or its ending is of no picture that can be written.
    """
    if out is not None and out.is_dir():
        raise ValueError(f"{out} is a folder, wanted a file to write; try {out / 'samples.png'}")
    if run.spec.kind == "image":
        out = out or run.folder / "samples.png"
        picture = Image.fromarray(tiles(pixels(shown(run.spec, rows).float().numpy()), across), "RGBA")
        try:
            picture.save(out)
        except (ValueError, KeyError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            png = out.with_suffix(".png")
            raise ValueError(f"{out}: no such picture can be written ({error}); try {png}") from error
    elif out is None:
        _write(run.spec, rows, sys.stdout)
    else:
        with out.open("w", encoding="utf-8", newline="") as file:
            _write(run.spec, rows, file)
    if out is not None:
        print(out)


def _write(spec: DataSpec, rows: Tensor, file: TextIO) -> None:
    if spec.kind == "text":
        file.writelines(f"{line}\n" for line in decode(spec, rows))
    else:
        csv.writer(file, lineterminator="\n").writerows([spec.columns, *rows.tolist()])
