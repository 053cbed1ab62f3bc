"""Examples that people point at: a sentence they type, a picture, a row of a file, all of a file."""

from __future__ import annotations

import heapq
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from buttress.core import Batch, Data, DataSpec, Examples, Splits
from buttress.data.opened import opened
from buttress.data.reading import corpus
from buttress.data.reading.open_picture import open_picture
from buttress.data.reading.pictures import ENDINGS, Pictures, decode_all
from buttress.data.reading.tidy import Tidy
from buttress.data.reading.tokens import TokenEncoder
from buttress.data.sentences import Sentences
from buttress.runtime.safe_files import expanded
from buttress.training.run import Run

__all__ = ["Row", "moved", "named", "other_rows", "typed", "value_of"]

BATCH = 256
Row = tuple[str, Batch]
"""The name of a row (its file, and its line or number there), and the stored example, a batch of one."""


def moved(data: Data, path: str, rate: int = 0) -> Data:
    """The same data at another place.

    Args:
        data: What a run was trained on.
        path: The other place; several with commas between.
        rate: Samples a second of the run's sound, to which sound files in another folder are resampled where the data
            say nothing of it; 0 for what is no sound.

    Errors:
        ValueError: The data come with buttress, and lie at no place; or the path is empty.

    Example:
        >>> from buttress.data.table import Table
        >>> moved(Table("/old/flowers.csv", label="kind"), "/new/flowers.csv").path
        '/new/flowers.csv'
    """
    if not hasattr(data, "path"):
        raise ValueError(
            f"--data {path}: {data.name()} data come with buttress and are at no other place; leave it out"
        )
    if not path.strip():
        raise ValueError("--data is empty, wanted the place where the data are now")
    places = tuple(os.path.abspath(expanded(p)) if expanded(p).exists() else p for p in path.split(","))
    there: Data = data.replace(path=places[0] if len(places) == 1 else places)
    unsaid = rate and getattr(there, "rate", rate) is None and os.path.isdir(places[0])
    return there.replace(rate=rate) if unsaid else there


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
    if number.isdecimal() and expanded(path).is_file():
        return _row(run, path, int(number))
    if run.spec.kind == "text":
        return _tokens(run, [written])[0]
    x = _picture(run, expanded(written)) if run.spec.kind == "image" else _numbers(run, written)
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
        str(path), 1, lambda _: str(path), lambda _: open_picture(path), (size[0], size[1]), color=channels == 3
    )
    with tempfile.TemporaryDirectory() as folder:
        decode_all(one, Path(folder))
        pixels = torch.from_numpy(np.load(Path(folder) / "images.npy"))[0]
    if run.spec.levels == 0 and run.spec.span is not None and pixels.dtype == torch.uint8:
        low, high = run.spec.span  # the run's own are real numbers, of which these are black and white
        return low + pixels / 255 * (high - low)
    return pixels.float() if run.spec.levels == 0 else pixels


def _numbers(run: Run, written: str) -> Tensor:
    names = run.spec.columns or tuple(f"x{i}" for i in range(run.spec.shape[0]))
    cells = [cell.strip() for cell in written.split(",")]
    try:
        values = [value_of(run.spec, i, cell) for i, cell in enumerate(cells)] if len(cells) == len(names) else []
    except ValueError:
        values = []
    if not values:
        what = "numbers or words" if any(run.spec.words) else "numbers"
        raise ValueError(
            f"{written!r}: expected {len(names)} {what} with commas between ({', '.join(names)}), or FILE:NUMBER for a "
            "row of a file"
        )
    return torch.tensor(values)


def value_of(spec: DataSpec, column: int, cell: str) -> float:
    """What a model reads for a cell of a table: the inverse of :func:`buttress.experiments.present.cell`.

    Errors:
        ValueError: It is no finite number, or no word of the column; or it is empty, and the data lack no value.

    Example:
        >>> from buttress.core import Layout
        >>> spec = DataSpec(Layout.table(2), words=((), ("Rome", "Oslo")), offset=(1.7e12, 0.0))
        >>> value_of(spec, 0, "1700000000010.5"), value_of(spec, 1, "Oslo")
        (10.5, 1.0)
    """
    if spec.words and spec.words[column]:
        return float(spec.words[column].index(cell))
    if not cell and spec.missing:
        return float("nan")
    value = float(cell) - (spec.offset[column] if spec.offset else 0.0)
    if not np.isfinite(value):
        raise ValueError(f"{cell!r} is not finite")
    return value


def _tokens(run: Run, texts: list[str]) -> list[Batch]:
    """Sentences in the words of the run, whatever words another text has."""
    if run.spec.tokenizer is None:
        raise ValueError("the run has no tokenizer for typed sentences; its data were made and not read")
    data = run.recipe.data
    tidy = data.tidy() if isinstance(data, Sentences) else Tidy()
    ids, lengths = TokenEncoder(Tokenizer.from_str(run.spec.tokenizer))(tidy(texts))
    rows = torch.from_numpy(ids.astype(np.int64)).split(lengths.tolist())
    return [Batch(row[None], {"lengths": torch.tensor([len(row)])}) for row in rows]


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
    there = _opened_whole(run.recipe.data, path, run.spec)
    for what, mine, found in (
        ("shape", run.spec.shape, there.spec.shape),
        ("columns", run.spec.columns, there.spec.columns),
    ):
        if mine != found:
            raise ValueError(f"{path}: expected examples of {what} {mine}, as the run was trained on, found {found}")
    for name, batch in heapq.merge(named(there.train), named(there.held_out), key=_order):
        yield name, batch.with_x(_translated(batch.x, there.spec, run.spec, name))


def _translated(x: Tensor, found: DataSpec, mine: DataSpec, name: str) -> Tensor:
    """A row of another file in the codes and with the offset of the run; x as it is where both are the same."""
    if not x.is_floating_point() or (found.words, found.offset) == (mine.words, mine.offset):
        return x
    theirs, own = (torch.tensor(spec.offset or 0.0, dtype=torch.float64) for spec in (found, mine))
    moved = (x.double() + theirs - own).to(x.dtype)
    for i, words in enumerate(mine.words):
        if words and not x[0, i].isnan():
            there = found.words[i] if found.words else ()
            word = there[int(x[0, i])] if there else f"{x[0, i]:g}"
            if word not in words:
                raise ValueError(f"{name}: column {mine.columns[i]!r} holds {word!r}, which the run has not seen")
            moved[0, i] = words.index(word)
    return moved


def _order(row: Row) -> Any:
    """Where a row stands in its file, or its name."""
    number = re.search(r"(?:row|line) (\d+)(?: \(from 0\))?$", row[0])
    return int(number[1]) if number else row[0]


def _opened_whole(data: Data, path: str, spec: DataSpec) -> Splits:
    """Another file, none of which is held out by name; copies may be on both sides, and labels may be missing."""
    part: Any = moved(data, path, spec.rate)
    part = replace(part, columns=spec.columns) if hasattr(part, "columns") else part
    apart = {name: None for name in ("held_out_key", "held_out_path") if hasattr(part, name)}
    part = replace(part, **apart, **({"split": "seed"} if hasattr(part, "split") else {}))
    labels: dict[str, Any] = {
        name: None
        for name in ("label", "labels_key", "factors_key", "table", "alignment")
        if getattr(part, name, None) is not None
    }
    labels |= {"factor_names": ()} if "factors_key" in labels else {}
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
    data = run.recipe.data
    part = data if isinstance(data, Sentences) else Sentences(path)
    source = part.files(corpus.several(path))
    for block in source.blocks():
        rows = zip(block.numbers.tolist(), block.texts, strict=True)
        kept = [(number, text) for number, text in rows if text.strip()]
        for (number, _), ids in zip(kept, _tokens(run, [text for _, text in kept]), strict=True):
            yield source.name(number), ids
