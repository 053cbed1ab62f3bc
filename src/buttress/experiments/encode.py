"""The latents of examples, with where each comes from, as files that other programs read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from buttress.core import PAD, Batch, Splits
from buttress.experiments.examples import latent_of, posterior_of, seeded
from buttress.experiments.inputs import Row, named, other_rows
from buttress.runtime.atomic_write import replace_file, write_text
from buttress.training.run import Run

__all__ = ["EncodedRows", "encoded", "write_latents"]

BATCH = 256


@dataclass(frozen=True)
class EncodedRows:
    """The latents of a few examples.

    Args:
        z: Latents (N, ...), real numbers or codes.
        split: "train" or "held_out"; "data" for other data.
        rows: Names of the rows they come from.
        labels: Their class labels; None where there are none.
    """

    z: Tensor
    split: str
    rows: list[str]
    labels: list[int] | None = None


def encoded(run: Run, path: str | None = None, drawn: bool = False, seed: int = 0) -> Iterator[EncodedRows]:
    """The latents of all of a run's data, or of other data, a batch at a time.

    Args:
        run: The run; q(z|x) is the one that its algorithm trains the model for.
        path: A file or folder with other data of the same kind.
        drawn: Draw z ~ q(z|x); else its mean, where it has one.
        seed: Of all draws, those of observing x among them.

    Errors:
        ValueError: The other data do not fit the run.
    """
    if path is not None:
        yield from _batches(run, "data", other_rows(run, path), drawn, seed)
        return
    splits = run.splits()
    for split in ("train", "held_out"):
        yield from _with_labels(_batches(run, split, named(getattr(splits, split)), drawn, seed), splits)


def _batches(run: Run, split: str, rows: Iterator[Row], drawn: bool, seed: int) -> Iterator[EncodedRows]:
    number = 0
    while block := list(islice(rows, BATCH)):
        batch = _together([one for _, one in block])
        with seeded(seed, number):
            z = latent_of(posterior_of(run, batch, seed), mean=not drawn)
        labels = batch.given["label"].tolist() if "label" in batch.given else None
        yield EncodedRows(z, split, [name for name, _ in block], labels)
        number += 1


def _together(ones: Sequence[Batch]) -> Batch:
    """Batches of one as one batch; sentences are padded to the longest."""

    def padded(rows: list[Tensor]) -> Tensor:
        return pad_sequence(rows, batch_first=True, padding_value=PAD) if rows[0].dim() else torch.stack(rows)

    given = {name: padded([one.given[name][0] for one in ones]) for name in ones[0].given}
    return Batch(padded([one.x[0] for one in ones]), given)


def _with_labels(batches: Iterator[EncodedRows], splits: Splits) -> Iterator[EncodedRows]:
    """With the labels of held-out examples, which data keep also where no label is a condition."""
    start = 0
    for found in batches:
        if found.split == "held_out" and found.labels is None and splits.labels is not None:
            labels = splits.labels[start : start + len(found.rows)].tolist()
            found = EncodedRows(found.z, found.split, found.rows, labels)
            start += len(found.rows)
        yield found


def write_latents(batches: Iterable[EncodedRows], out: Path) -> tuple[int, int]:
    """Write latents to a .parquet file, or to a .npy file and a .csv file beside it; how many, and their width.

    Errors:
        ValueError: Another ending, or nothing to write.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     batch = EncodedRows(torch.tensor([[0.5, 1.0]]), "held_out", ["a.csv, line 2"], [3])
        ...     write_latents([batch], Path(folder, "z.parquet"))
        ...     pq.read_table(f"{folder}/z.parquet").to_pylist()
        (1, 2)
        [{'split': 'held_out', 'row': 'a.csv, line 2', 'label': 3, 'z0': 0.5, 'z1': 1.0}]
    """
    write = {".npy": _write_npy, ".parquet": _write_parquet}.get(out.suffix.lower())
    if write is None:
        raise ValueError(f"{out}: expected a file ending in .npy or .parquet; try {out.with_suffix('.parquet')}")
    if not out.parent.is_dir():
        raise ValueError(f"{out.parent} is not a folder, so {out.name} cannot be written there; make it first")
    size: tuple[int, int] = (0, 0)

    def counted(found: Iterable[EncodedRows]) -> Iterator[EncodedRows]:
        nonlocal size
        for one in found:
            size = (size[0] + len(one.rows), one.z[0].numel())
            yield one

    write(counted(batches), out)
    return size


def _write_parquet(batches: Iterable[EncodedRows], out: Path) -> None:
    def write(scratch: Path) -> None:
        writer: Any = None
        for found in batches:
            table = _table(found)
            writer = writer or pq.ParquetWriter(scratch, table.schema)
            writer.write_table(table)
        writer.close()

    replace_file(out, write)


def _table(found: EncodedRows) -> Any:
    flat = found.z.flatten(1).numpy()
    flat = flat.astype(np.int32) if not found.z.is_floating_point() else flat.astype(np.float32)
    labels = pa.array(found.labels if found.labels is not None else [None] * len(found.rows), pa.int64())
    columns = {"split": [found.split] * len(found.rows), "row": found.rows, "label": labels}
    return pa.table({**columns, **{f"z{i}": flat[:, i] for i in range(flat.shape[1])}})


def _write_npy(batches: Iterable[EncodedRows], out: Path) -> None:
    """The latents in their own shape; memory holds all of them."""
    found = list(batches)
    z = torch.cat([one.z for one in found]).numpy()
    z = z.astype(np.float32 if z.dtype.kind == "f" else np.int32)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["split", "row", "label"])
    for one in found:
        labels: Sequence[object] = one.labels or [""] * len(one.rows)
        writer.writerows(zip([one.split] * len(one.rows), one.rows, labels, strict=True))
    write_text(out.with_suffix(".csv"), text.getvalue())

    def write(scratch: Path) -> None:
        with scratch.open("wb") as file:
            np.save(file, z)

    replace_file(out, write)
