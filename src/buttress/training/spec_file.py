"""``spec.yaml`` and the files beside it: what a run knows about its data, and whether data are these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
import yaml
from torch import Tensor

from buttress.core import Column, DataSpec, Kind, Layout, Splits
from buttress.core.registry import load, to_plain
from buttress.runtime.atomic_write import write_text
from buttress.runtime.one_line import one_line
from buttress.runtime.safe_files import read_text
from buttress.training import checkpoint
from buttress.training.differences import differences
from buttress.training.fingerprint import fingerprint
from buttress.training.folder import NOTES, SITES, SPEC, TOKENIZER

__all__ = ["OtherData", "SpecFile", "check_same_data", "data_differences", "load_spec", "save_spec"]

MEASURED = ("categories", "words", "missing", "offset", "levels", "span", "rate", "hop")
"""Fields of :class:`buttress.core.DataSpec` that are written as they are."""


class OtherData(ValueError):
    """The data are not those that a run was trained on; the message says in what they differ."""


@dataclass(frozen=True)
class SpecFile:
    """What ``spec.yaml`` holds.

    Args:
        kind: See :class:`buttress.core.DataSpec`, as for the next three.
        shape: Of one example.
        vocabulary: Number of token ids or symbols.
        columns: Names of a table's columns.
        train: Number of training examples.
        held_out: Number of held-out examples.
        files: What else belongs to it; None where the folder was written before this was recorded.
        given: The conditions of every example.
        categories: See :class:`buttress.core.DataSpec`, as for the next six.
        words: Names of the categories of each column.
        missing: Whether numbers of a table may be missing.
        offset: What was subtracted from the stored values.
        levels: Number of grey levels.
        span: Smallest and largest value of images.
        rate: Samples a second of sound; 0 where it was not yet recorded.
        hop: Samples from one place of sound to the next; 0 where it was not yet recorded.
        fingerprint: Of the data, see :mod:`buttress.training.fingerprint`; empty where it was not yet recorded.
    """

    kind: Kind
    shape: tuple[int, ...]
    vocabulary: int = 0
    columns: tuple[str, ...] = ()
    train: int = 0
    held_out: int = 0
    files: tuple[str, ...] | None = None
    given: tuple[Column, ...] = ()
    categories: tuple[int, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    missing: bool = False
    offset: tuple[float, ...] = ()
    levels: int | None = None
    span: tuple[float, float] | None = None
    rate: int = 0
    hop: int = 0
    fingerprint: str = ""

    @property
    def layout(self) -> Layout:
        """What one example is made of."""
        if self.kind == "image":
            channels, height, width = self.shape
            return Layout.image(channels, height, width, self.vocabulary)
        if self.kind == "frames":
            return Layout.frames(self.shape[1], self.shape[0])
        if self.kind == "table":
            return Layout.table(self.shape[0])
        make = Layout.text if self.kind == "text" else lambda levels, longest: Layout.wave(longest, levels)
        return make(self.vocabulary, self.shape[0])

    @classmethod
    def of(cls, splits: Splits) -> Self:
        """What is written of data."""
        spec = splits.spec
        files = tuple(name for name, held in ((SITES, _sites(spec)), (TOKENIZER, spec.tokenizer)) if held)
        sizes = (len(splits.train), len(splits.held_out))
        plain = (spec.kind, spec.shape, spec.vocabulary, spec.columns, *sizes, files, spec.given)
        return cls(*plain, **_measured(spec), fingerprint=fingerprint(splits))

    @property
    def needed(self) -> tuple[str, ...]:
        """The files without which it is incomplete. All numbers had mean and std before this was recorded."""
        if self.files is None:
            return () if self.vocabulary else (SITES,)
        return self.files


def _measured(spec: DataSpec | SpecFile) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in MEASURED}


def _sites(spec: DataSpec) -> dict[str, Tensor]:
    return {name: value for name, value in (("mean", spec.mean), ("std", spec.std)) if value is not None}


def save_spec(folder: Path, splits: Splits) -> None:
    """Write what the parts must know about the data, and the notes for people.

    Example:
        >>> import tempfile
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_spec(Path(folder), LinearGaussianData(dim=3, n=50).open())
        ...     sorted(path.name for path in Path(folder).iterdir()), load(SpecFile, Path(folder, SPEC)).train
        (['notes.txt', 'spec.safetensors', 'spec.yaml'], 45)
    """
    spec = splits.spec
    if tensors := _sites(spec):
        checkpoint.save(folder / SITES, tensors)
    if spec.tokenizer is not None:
        write_text(folder / TOKENIZER, spec.tokenizer)
    write_text(folder / NOTES, "".join(f"{one_line(note)}\n" for note in splits.notes))
    write_text(folder / SPEC, yaml.safe_dump(to_plain(SpecFile.of(splits)), sort_keys=False, allow_unicode=True))


def load_spec(folder: Path) -> DataSpec:
    """What the parts must know about the data.

    Errors:
        FileNotFoundError: The folder holds no run, or one that was killed before its data had been read; or a file
            that belongs to it is gone.
        ValueError: A file is damaged, or not that of this run.

    Example:
        >>> import tempfile
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> splits = LinearGaussianData(dim=3, n=50).open()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_spec(Path(folder), splits)
        ...     spec = load_spec(Path(folder))
        >>> spec.shape, spec.columns, bool((spec.mean == splits.spec.mean).all())
        ((3,), ('x0', 'x1', 'x2'), True)
    """
    if not (folder / SPEC).is_file():
        found = f"holds no trained run (no {SPEC})" if folder.is_dir() else "is no folder, wanted that of a trained run"
        raise FileNotFoundError(f"{folder} {found}; train one there first")
    spec = load(SpecFile, folder / SPEC)
    for name in spec.needed:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name} is missing, and the run in {folder} can't be read without it; go back to a copy of "
                "it, or train again"
            )
    sites = _load_sites(folder / SITES, spec.layout.moments_shape) if (folder / SITES).exists() else {}
    text = _load_tokenizer(folder)
    plain = (spec.layout, sites.get("mean"), sites.get("std"), spec.columns, text, spec.given)
    return DataSpec(*plain, **_measured(spec))


def _load_tokenizer(folder: Path) -> str | None:
    path = folder / TOKENIZER
    return read_text(path) if path.exists() else None


def _load_sites(path: Path, shape: tuple[int, ...]) -> dict[str, Tensor]:
    sites = checkpoint.load(path)
    for name, value in sites.items():
        if name not in ("mean", "std") or not isinstance(value, Tensor) or value.shape != shape:
            raise ValueError(
                f"{path}: wanted mean and std of shape {shape} ({SPEC}), but it holds another {name!r}; it is not that "
                "of this run, go back to a copy of it, or train again"
            )
    return sites


def data_differences(folder: Path, splits: Splits) -> list[str]:
    """In what data differ from those that the run in a folder began with, in words.

    Runs that recorded no fingerprint are compared by size, shape, columns, tokenizer, mean and standard deviation.

    Example:
        >>> import tempfile
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_spec(Path(folder), LinearGaussianData(n=50).open())
        ...     for other in (LinearGaussianData(n=60), LinearGaussianData(n=50, seed=1)):
        ...         print(data_differences(Path(folder), other.open()))
        ['train is 45 there and 54 here', 'held_out is 5 there and 6 here']
        ['their values differ']
    """
    if not (folder / SPEC).is_file():
        return []
    old, new = load(SpecFile, folder / SPEC), SpecFile.of(splits)
    if not old.fingerprint:  # written before these were measured
        old = replace(old, levels=new.levels, span=new.span, given=old.given or new.given)
    old = replace(old, rate=old.rate or new.rate, hop=old.hop or new.hop)  # not always recorded
    different = differences(to_plain(replace(old, files=new.files, fingerprint=new.fingerprint)), to_plain(new))
    if not different and _load_tokenizer(folder) != splits.spec.tokenizer:
        different = ["the vocabulary holds other words"]
    if not different and not _same_values(folder, old, new, splits.spec):
        different = ["their values differ"]
    return different


def _same_values(folder: Path, old: SpecFile, new: SpecFile, spec: DataSpec) -> bool:
    """Whether the fingerprint is the same, and mean and std up to rounding, which other processors do otherwise."""
    sites = _load_sites(folder / SITES, old.layout.moments_shape) if (folder / SITES).exists() else {}
    scale = 1 if spec.std is None else spec.std.abs().mean().item()
    close = (torch.allclose(sites[k], v, rtol=1e-4, atol=1e-4 * scale) for k, v in _sites(spec).items() if k in sites)
    return (not old.fingerprint or old.fingerprint == new.fingerprint) and all(close)


def check_same_data(folder: Path, splits: Splits, advice: str) -> None:
    """Refuse data other than those that the run in a folder began with.

    Args:
        folder: Of the run.
        splits: The data, opened.
        advice: What to try, for the error.

    Errors:
        OtherData: Their shape, sizes, columns, vocabulary or values differ.
    """
    if different := data_differences(folder, splits):
        raise OtherData(f"the data changed since the run in {folder} began: {'; '.join(different)}. {advice}")
