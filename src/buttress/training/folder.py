"""The folder of a run: which files there are, and how far the run is.

======================  ==========================================================================================
``recipe.yaml``         the recipe
``spec.yaml``           what the parts know about the data, and which files belong to it: ``spec.safetensors`` (mean
                        and std of each site) and ``tokenizer.json``, where there are such
``notes.txt``           what a person should know about the data: what was set aside, how it was split
``metrics.csv``         see :mod:`buttress.training.metrics`; the same curves in ``tensorboard/``
``state.safetensors``   the latest checkpoint, from which a run resumes
``weights.safetensors`` the model: the best by held-out ELBO where training has a ``patience``, else the latest
``progress.json``       how far it is, how long it took, and whether it is finished
``.lock``               held by the process that trains there; empty, and never replaced
``evidence.json``       the diagnosis
======================  ==========================================================================================
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import yaml
from torch import Tensor

from buttress.core import Column, DataSpec, Kind, Layout, Splits
from buttress.core.recipe import Recipe
from buttress.core.registry import from_plain, load, to_plain
from buttress.runtime.atomic_write import sweep, write_text
from buttress.training import checkpoint

__all__ = [
    "EVIDENCE",
    "METRICS",
    "RECIPE",
    "STATE",
    "WEIGHTS",
    "Progress",
    "alone",
    "claim",
    "claimed",
    "differences",
    "give_up",
    "load_spec",
    "same_data",
    "save_spec",
]

fcntl: Any = None
with suppress(ImportError):  # not on Windows
    fcntl = importlib.import_module("fcntl")

RECIPE, SPEC, SITES, TOKENIZER = "recipe.yaml", "spec.yaml", "spec.safetensors", "tokenizer.json"
METRICS, STATE, WEIGHTS, PROGRESS = "metrics.csv", "state.safetensors", "weights.safetensors", "progress.json"
EVIDENCE, NOTES, LOCK = "evidence.json", "notes.txt", ".lock"
MEASURED = ("categories", "words", "missing", "offset", "levels", "span")
"""Fields of :class:`buttress.core.DataSpec` that are written as they are."""
UNDER_LOCK = (RECIPE, SPEC, SITES, TOKENIZER, NOTES, STATE, WEIGHTS, PROGRESS)
"""What only the process that trains writes, or replaces as a whole."""


@dataclass
class Progress:
    """How far a run is.

    Args:
        step: Steps made.
        finished: Whether it needs no more.
        stopped: The signal that stopped it early, 0 for none.
        best_elbo: The best held-out ELBO seen, in nats.
        best_step: When that was.
        failures: Validations in a row without a better one.
        out_of_patience: Whether these were too many.
        seconds: Spent on training, over all resumptions.

    Example:
        >>> progress = Progress()
        >>> for progress.step, elbo in ((200, -90.0), (400, -80.0), (600, -85.0)):
        ...     better = progress.judge(elbo, settled=True, patience=1)
        >>> better, progress.best_step, progress.best_elbo, progress.out_of_patience
        (False, 400, -80.0, True)
    """

    step: int = 0
    finished: bool = False
    stopped: int = 0
    best_elbo: float = -math.inf
    best_step: int = 0
    failures: int = 0
    out_of_patience: bool = False
    seconds: float = 0.0

    def judge(self, elbo: float, settled: bool, patience: int | None) -> bool:
        """Hear a held-out ELBO; whether it is the best. Patience is lost only once the objective has settled."""
        better = elbo > self.best_elbo
        if better:
            self.best_elbo, self.best_step, self.failures = elbo, self.step, 0
        elif settled:
            self.failures += 1
        self.out_of_patience = patience is not None and self.failures >= patience
        return better

    def state_dict(self) -> dict[str, Any]:
        """What belongs to the state: not the clock, nor who stopped it, for they differ between equal runs."""
        return {k: v for k, v in asdict(self).items() if k not in ("seconds", "stopped")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        vars(self).update(state)

    def write(self, folder: Path) -> None:
        """Write ``progress.json``."""
        write_text(folder / PROGRESS, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``progress.json``; where there is none, the run has made no step.

        Errors:
            ValueError: The file is damaged.
        """
        path = folder / PROGRESS
        if not path.is_file():
            return cls()
        known = [f.name for f in fields(cls)]
        try:
            plain = json.loads(path.read_bytes())
            if isinstance(plain, dict):
                plain = {k: v for k, v in plain.items() if k in known}
            return from_plain(cls, plain, "it")
        except ValueError as error:
            raise ValueError(
                f"{path}: damaged ({error}); delete it, and --resume goes on from the last checkpoint"
            ) from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While this lasts, no other process may train in the folder; where the system knows no locks, nothing is checked.

    What is locked is a file that nobody replaces or removes, and it is locked before anything else is written.

    Errors:
        ValueError: Another process is training there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, alone(Path(folder)):
        ...     with alone(Path(folder)):
        ...         pass
        Traceback (most recent call last):
        ValueError: another process is training in ...; wait for it, or choose another folder
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as file:  # the lock ends with the process, however it ends
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another process is training in {folder}; wait for it, or choose another folder"
            ) from error
        for name in UNDER_LOCK if fcntl is not None else ():  # left behind by one that was killed while it wrote
            sweep(folder / name)
        yield


def claim(folder: Path, recipe: Recipe, resume: bool) -> bool:
    """Make the folder this recipe's, or find that it already is; whether it was made so just now.

    Call it inside :func:`alone`. Errors are those of :func:`claimed`.

    Example:
        >>> import tempfile
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     claim(Path(folder), recipe, resume=False), claim(Path(folder), recipe, resume=True)
        (True, False)
    """
    if claimed(folder, recipe, resume):
        return False
    write_text(folder / RECIPE, recipe.to_yaml())
    return True


def claimed(folder: Path, recipe: Recipe, resume: bool) -> bool:
    """Whether the folder is this recipe's already, and not free. Nothing is written.

    Errors:
        ValueError: It is a file; it holds a run and ``resume`` is False; or another recipe's run; or something that is
            no run.

    Example:
        >>> import tempfile
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recipe.save(f"{folder}/recipe.yaml")
        ...     claimed(Path(folder), replace(recipe, training=replace(recipe.training, steps=9)), resume=True)
        Traceback (most recent call last):
        ValueError: ... holds a run of another recipe: training.steps is 2000 there and 9 here. Resume with ...
    """
    refuse_file(folder)
    path = folder / RECIPE
    names = [p.name for p in folder.iterdir()] if folder.exists() else []
    if RECIPE not in names:
        if found := [name for name in names if not name.startswith(".")]:
            raise ValueError(f"{folder} holds {found[0]!r} but no run; choose another folder, or an empty one")
        return False
    if not resume:
        raise ValueError(
            f"{folder} holds a run already; go on with it (--resume, resume=True) or choose another folder"
        )
    if different := differences(to_plain(Recipe.load(path)), to_plain(recipe)):
        raise ValueError(
            f"{folder} holds a run of another recipe: {'; '.join(different)}. Resume with the recipe in {path}, or "
            "choose another folder"
        )
    return True


def refuse_file(folder: Path) -> None:
    """Refuse a path that cannot become a folder, because it or a part of it is a file."""
    if (found := next((p for p in (folder, *folder.parents) if p.exists()), None)) and not found.is_dir():
        raise ValueError(f"{found} is a file, wanted a folder to write into; choose another one")


def give_up(folder: Path) -> None:
    """Undo a claim, so that the folder can be another recipe's: nothing was trained.

    Example:
        >>> import tempfile
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = claim(Path(folder), recipe, resume=False)
        ...     give_up(Path(folder))
        ...     claimed(Path(folder), recipe, resume=False)
        False
    """
    (folder / RECIPE).unlink()


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """What differs between two recipes as plain data.

    Example:
        >>> differences({"training": {"steps": 1}}, {"training": {"steps": 2}})
        ['training.steps is 1 there and 2 here']
    """
    if isinstance(old, dict) and isinstance(new, dict) and old.get("name") == new.get("name"):
        keys = dict.fromkeys([*old, *new])
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{where}.{k}" if where else k)]
    if isinstance(old, dict) and isinstance(new, dict):
        old, new = old.get("name"), new.get("name")
    return [] if old == new else [f"{where} is {old} there and {new} here"]


@dataclass(frozen=True)
class Spec:
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
        categories: See :class:`buttress.core.DataSpec`, as for the rest.
        words: Names of the categories of each column.
        missing: Whether numbers of a table may be missing.
        offset: What was subtracted from the stored values.
        levels: Number of grey levels.
        span: Smallest and largest value of images.
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
        sizes = len(splits.train), len(splits.held_out)
        measured = {name: getattr(spec, name) for name in MEASURED}
        return cls(spec.kind, spec.shape, spec.vocabulary, spec.columns, *sizes, files, spec.given, **measured)

    @property
    def needed(self) -> tuple[str, ...]:
        """The files without which it is not whole. All numbers but symbols had mean and std before it was recorded."""
        if self.files is None:
            return () if self.vocabulary else (SITES,)
        return self.files


def _sites(spec: DataSpec) -> dict[str, Tensor]:
    return {name: value for name, value in (("mean", spec.mean), ("std", spec.std)) if value is not None}


def save_spec(folder: Path, splits: Splits) -> None:
    """Write what the parts must know about the data, and the notes for people.

    Example:
        >>> import tempfile
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_spec(Path(folder), LinearGaussianData(dim=3, n=50).open())
        ...     sorted(path.name for path in Path(folder).iterdir()), load(Spec, Path(folder, SPEC)).train
        (['notes.txt', 'spec.safetensors', 'spec.yaml'], 45)
    """
    spec = splits.spec
    if tensors := _sites(spec):
        checkpoint.save(folder / SITES, tensors)
    if spec.tokenizer is not None:
        write_text(folder / TOKENIZER, spec.tokenizer)
    write_text(folder / NOTES, "".join(f"{note}\n" for note in splits.notes))
    write_text(folder / SPEC, yaml.safe_dump(to_plain(Spec.of(splits)), sort_keys=False, allow_unicode=True))


def _lacks(folder: Path) -> str:
    return f"holds no trained run (no {SPEC})" if folder.is_dir() else "is no folder, wanted that of a trained run"


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
        raise FileNotFoundError(f"{folder} {_lacks(folder)}; train one there first")
    spec = load(Spec, folder / SPEC)
    for name in spec.needed:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name} is gone, without which the run in {folder} means nothing; go back to a copy of it, "
                "or train again"
            )
    sites = _load_sites(folder / SITES, spec.shape) if (folder / SITES).exists() else {}
    text = (folder / TOKENIZER).read_text(encoding="utf-8") if (folder / TOKENIZER).exists() else None
    measured = {name: getattr(spec, name) for name in MEASURED}
    return DataSpec(spec.layout, sites.get("mean"), sites.get("std"), spec.columns, text, spec.given, **measured)


def _load_sites(path: Path, shape: tuple[int, ...]) -> dict[str, Tensor]:
    sites = checkpoint.load(path)
    for name, value in sites.items():
        if name not in ("mean", "std") or not isinstance(value, Tensor) or value.shape != shape:
            raise ValueError(
                f"{path}: wanted mean and std of shape {shape} ({SPEC}), but it holds another {name!r}; it is not that "
                "of this run, go back to a copy of it, or train again"
            )
    return sites


def same_data(folder: Path, splits: Splits) -> None:
    """Refuse to go on with data other than the run began with.

    Errors:
        ValueError: Its shape, size, vocabulary or columns differ.

    Example:
        >>> import tempfile
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_spec(Path(folder), LinearGaussianData(n=50).open())
        ...     same_data(Path(folder), LinearGaussianData(n=60).open())
        Traceback (most recent call last):
        ValueError: the data changed since the run in ... began: train is 45 there and 54 here; held_out is 5 ...
    """
    if not (folder / SPEC).is_file():
        return
    old, new = load(Spec, folder / SPEC), Spec.of(splits)
    if old.levels is None:  # written before this was measured
        old = replace(old, levels=new.levels, span=new.span, given=old.given or new.given)
    if different := differences(to_plain(replace(old, files=new.files)), to_plain(new)):
        raise ValueError(f"the data changed since the run in {folder} began: {'; '.join(different)}. Train a new one")
