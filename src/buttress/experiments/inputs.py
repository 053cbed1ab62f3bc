"""Examples that people point at: a sentence they type, a picture, a row of a file, all of a file."""

from __future__ import annotations

import heapq
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from buttress.core import Batch, Data, Examples, Splits
from buttress.data.opened import opened
from buttress.data.reading import corpus
from buttress.data.reading.pictures import ENDINGS, Pictures, decode_all
from buttress.data.reading.tokens import encode
from buttress.training.run import Run

__all__ = ["Row", "moved", "named", "other_rows", "typed"]

BATCH = 256
Row = tuple[str, Batch]
"""The name of a row (its file, and its line or number there), and the stored example, a batch of one."""


def moved(data: Data, path: str) -> Data:
    """The same data at another place.

    Errors:
        ValueError: The data come with buttress, and lie at no place.

    Example:
        >>> from buttress.data.table import Table
        >>> moved(Table("/old/flowers.csv", label="kind"), "/new/flowers.csv").path
        '/new/flowers.csv'
    """
    if not hasattr(data, "path"):
        raise ValueError(
            f"--data {path}: {data.name()} data come with buttress and are at no other place; leave it out"
        )
    places = tuple(str(Path(p).expanduser().resolve()) if Path(p).expanduser().exists() else p for p in path.split(","))
    there: Data = data.replace(path=places[0] if len(places) == 1 else places)
    return there


def typed(run: Run, written: str) -> Batch:
    """One stored example from what a person wrote.

    Args:
        run: The run that is to read it.
        written: A sentence; numbers with commas between; a picture's file; or ``FILE:NUMBER``, a row of a file by the
            line or row number that buttress names it by.

    Errors:
        ValueError: It is none of these, or does not fit the run's data.
    """
    path, _, number = written.rpartition(":")
    if number.isdecimal() and Path(path).expanduser().is_file():
        return _row(run, path, int(number))
    if run.spec.kind == "text":
        return _tokens(run, [written])[0]
    x = _picture(run, Path(written).expanduser()) if run.spec.kind == "image" else _numbers(run, written)
    return Batch(x[None])


def _row(run: Run, path: str, number: int) -> Batch:
    wanted = re.compile(rf"(?:row|line) {number}\b")
    for name, x in other_rows(run, path):
        if wanted.search(name.rpartition(", ")[2]):
            return x
    raise ValueError(f"{path}: there is no row or line {number} in it that can be used; try another number")


def _picture(run: Run, path: Path) -> Tensor:
    if path.suffix.lower() not in ENDINGS or not path.is_file():
        raise ValueError(
            f"{path}: expected a picture's file ({', '.join(ENDINGS)}), or FILE:NUMBER for a row of an array"
        )
    channels, *size = run.spec.shape
    one = Pictures(
        str(path), 1, lambda _: str(path), lambda _: Image.open(path), (size[0], size[1]), color=channels == 3
    )
    with tempfile.TemporaryDirectory() as folder:
        decode_all(one, Path(folder))
        pixels = torch.from_numpy(np.load(Path(folder) / "images.npy"))[0]
    mean = run.spec.mean
    return pixels / 255 if mean is not None and mean.max() <= 1 else pixels  # the run's own are fractions of white


def _numbers(run: Run, written: str) -> Tensor:
    names = run.spec.columns or tuple(f"x{i}" for i in range(run.spec.shape[0]))
    try:
        values = [float(word) for word in written.split(",")]
    except ValueError:
        values = []
    if len(values) != len(names) or not np.isfinite(values).all():
        raise ValueError(
            f"{written!r}: expected {len(names)} numbers with commas between ({', '.join(names)}), or FILE:NUMBER for "
            "a row of a file"
        )
    return torch.tensor(values)


def _tokens(run: Run, texts: list[str]) -> list[Batch]:
    """Sentences in the words of the run, whatever words another text has."""
    data: Any = run.recipe.data
    if run.spec.tokenizer is None:
        raise ValueError("the run has no tokenizer for typed sentences; its data were made and not read")
    texts = [" ".join(text.lower().split() if getattr(data, "lower", False) else text.split()) for text in texts]
    found = encode(Tokenizer.from_str(run.spec.tokenizer), texts)
    return [Batch(torch.tensor([ids]), {"lengths": torch.tensor([len(ids)])}) for ids in found]


def other_rows(run: Run, path: str) -> Iterator[Row]:
    """Every example of a file or folder that is read as the run's data were.

    Args:
        run: The run that is to read them.
        path: A file or folder of the same kind as the run's data.

    Errors:
        ValueError: Nothing of the kind is there, or its examples are shaped otherwise than the run's.
    """
    if run.spec.kind == "text":
        yield from _lines(run, path)
        return
    there = _opened_whole(run.recipe.data, path)
    for what, mine, found in (
        ("shape", run.spec.shape, there.spec.shape),
        ("columns", run.spec.columns, there.spec.columns),
    ):
        if mine != found:
            raise ValueError(f"{path}: expected examples of {what} {mine}, as the run was trained on, found {found}")
    yield from heapq.merge(named(there.train), named(there.held_out), key=_order)


def _order(row: Row) -> Any:
    """Where a row stands in its file, or its name."""
    number = re.search(r"(?:row|line) (\d+)(?: \(from 0\))?$", row[0])
    return int(number[1]) if number else row[0]


def _opened_whole(data: Data, path: str) -> Splits:
    """Another file, none of which is held out by name; copies may be on both sides, and labels may be missing."""
    part: Any = moved(data, path)
    apart = {name: None for name in ("held_out_key", "held_out_path") if hasattr(part, name)}
    part = replace(part, **apart, **({"split": "seed"} if hasattr(part, "split") else {}))
    labels = {name: None for name in ("label", "labels_key") if getattr(part, name, None) is not None}
    try:
        return opened(part)
    except ValueError:
        if not labels:
            raise
        return opened(replace(part, **labels))


def named(examples: Examples) -> Iterator[Row]:
    """Examples one by one, each with the name of its row.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> name, one = next(named(LinearGaussianData(dim=3, n=50).open().held_out))
        >>> name.partition(", ")[2].startswith("row "), one.x.shape
        (True, torch.Size([1, 3]))
    """
    where = getattr(examples, "where", "row {}".format)
    for index in torch.arange(len(examples)).split(BATCH):
        batch = examples.read(index)
        for row, position in enumerate(index.tolist()):
            yield where(position), batch.take(slice(row, row + 1))


def _lines(run: Run, path: str) -> Iterator[Row]:
    data: Any = run.recipe.data
    source = corpus.of_files(corpus.several(path), getattr(data, "encoding", "utf-8"), getattr(data, "lower", False))
    lines = ((number, text) for number, text in source.read() if text)
    while block := list(islice(lines, BATCH)):
        for (number, _), ids in zip(block, _tokens(run, [text for _, text in block]), strict=True):
            yield source.name(number), ids
