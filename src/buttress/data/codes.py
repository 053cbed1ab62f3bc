"""The codes of a finished run as data: images of symbols, for a second model over what the first one says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from buttress.core import Data, DataSpec, Examples, Layout, Splits
from buttress.data.reading.memory import Array, NpyWriter, Rows, cached, file_key

__all__ = ["Codes"]

BATCH = 200
"""Examples encoded at once."""


@dataclass(frozen=True)
class Codes(Data):
    """What a run with discrete latents says about its own training and held-out examples.

    An example is a map of codes, int32 (slots, H', W'), or (1, 1, slots) where the run has codes for whole examples
    alone. The codes are made once, into the cache (see :func:`buttress.data.reading.memory.cache_dir`), and read from
    there, so that memory does not grow with the data. The division into training and held-out examples is that of
    the run, and so are the labels. ``spec.vocabulary`` is the number of codewords.

    Args:
        path: Folder of the run.
        seed: Of the noise with which its data is observed, where it is.

    Errors:
        ValueError: The run is not finished, or its z is made of real numbers.

    Example:
        On the command line, a model of codes and then one over what its codes say::

            buttress train mnist5k --remedies vector_quantized --out runs/codes
            buttress train runs/codes --out runs/second
    """

    path: str
    seed: int = 0

    @classmethod
    def tiny(cls) -> tuple[Codes, ...]:
        """None: codes need a run."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        from buttress.training.folder import RECIPE, WEIGHTS  # training imports data, so not at the top
        from buttress.training.run import Run

        run = Run.load(self.path)
        space = run.model.inference.space
        if space.classes is None:
            raise ValueError(f"{self.path}: z of this run is made of real numbers, wanted codes; try another run")
        if not run.progress.finished:
            raise ValueError(f"{self.path}: this run is not finished; try going on with it (--resume)")
        splits = run.splits()
        key = ("codes", 1, file_key(run.folder / WEIGHTS), (run.folder / RECIPE).read_text("utf-8"), self.seed)
        folder = cached(key, partial(_encode, run.model, splits, self.seed))
        train, held_out = (CodeExamples(Rows(folder / name)) for name in FILES)
        channels, height, width = _shape(space.shape)
        spec = DataSpec(Layout.image(channels, height, width, space.classes))
        notes = (f"codes of the run {self.path}", *splits.notes)
        return Splits(train, held_out, spec, notes, splits.labels, factors=splits.factors)


FILES = ("train.npy", "held_out.npy")


class CodeExamples(Examples):
    """Maps of codes in a .npy file."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """See :class:`buttress.core.Examples`."""
        return torch.from_numpy(self.rows.take(index[rows].numpy()))


def _shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The image's shape for codes of this one: (H', W', slots) -> (slots, H', W'), anything else a row."""
    if len(shape) == 3:
        return shape[2], shape[0], shape[1]
    return 1, 1, torch.Size(shape).numel()


def _encode(model: Any, splits: Splits, seed: int, folder: Path) -> None:
    """Write the codes of all examples, in their order."""
    shape = _shape(model.inference.space.shape)
    for number, (name, examples) in enumerate(zip(FILES, (splits.train, splits.held_out), strict=True)):
        with NpyWriter(folder / name, shape, np.int32) as file:
            for codes in _codes(model, examples, seed + number):
                file.append(codes)


@torch.no_grad()
def _codes(model: Any, examples: Examples, seed: int) -> Iterator[Array]:
    for index in torch.arange(len(examples)).split(BATCH):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed * 1_000_003 + int(index[0]))
            codes = model.posterior(model.observe(examples.batch(index))).sample()
        rows = codes.movedim(-1, 1) if codes.dim() == 4 else codes.reshape(len(codes), 1, 1, -1)
        yield rows.to(torch.int32).numpy()
