"""What a run or a comparison left in its folder, read tolerantly: whatever is absent or unreadable becomes a remark.

A run is ``recipe.yaml``, ``notes.txt``, ``metrics.csv``, ``evidence.json``, ``latent.json`` and the files of
:mod:`buttress.report.examples`.
A comparison is ``comparison.json``, which lists its arms and the run folders inside.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.thresholds import NEAR_CEILING
from buttress.diagnostics.verdict import COLLAPSED
from buttress.report.examples import ReportExamples, load_examples
from buttress.report.latent import LatentView, load_latent
from buttress.runtime.plain_data import load_json, parse_yaml
from buttress.runtime.safe_files import read_text, regular

__all__ = [
    "NOTHING",
    "ArmResult",
    "ComparisonResult",
    "Curve",
    "MetricsTable",
    "RunResult",
    "load_comparison",
    "load_run",
    "name_of",
]

NOTHING = Estimate(None, None, 0, "")
Curve = tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]  # curves shown together differ in length


@dataclass(frozen=True)
class MetricsTable:
    """The contents of ``metrics.csv``: (split, column) -> (steps, values), without the empty cells."""

    curves: Mapping[tuple[str, str], Curve]

    def curve(self, split: str, column: str) -> Curve | None:
        """Steps and values of a column, or None where it has none."""
        return self.curves.get((split, column))

    @property
    def groups(self) -> list[str]:
        """Names of the latent groups whose rates were followed on held-out data, in the order of the file."""
        return [
            column.removeprefix("rate/") for s, column in self.curves if s == "held_out" and column.startswith("rate/")
        ]


@dataclass(frozen=True, eq=False)
class RunResult:
    """Everything known about one run.

    Args:
        folder: Where it lives.
        recipe_text: ``recipe.yaml`` as it stands, "" where there is none.
        recipe: The same as plain data.
        metrics: Curves over training.
        evidence: Final numbers and verdict.
        examples: Samples, reconstructions, interpolations.
        latent: How z lies over held-out data.
        remarks: What is missing or unreadable, a sentence each.
        notes: What a person should know about the data: what was set aside, how they were divided.
    """

    folder: Path
    recipe_text: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: MetricsTable | None = None
    evidence: Evidence | None = None
    examples: ReportExamples | None = None
    latent: LatentView | None = None
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def remedies(self) -> str:
        """The remedies of the recipe, "none" where there are none."""
        found = self.recipe.get("remedies")
        return "+".join(map(str, found)) if isinstance(found, list) and found else "none"

    @property
    def prior(self) -> str:
        """The name of the recipe's prior, under which its rate is reported; "" where there is none."""
        return name_of(self.recipe.get("prior"))

    @property
    def critic(self) -> str:
        """The name of the critic that stands where the decoder stands; "" where there is a decoder."""
        found = name_of(self.recipe.get("critic"))
        return "" if found == "none" else found

    @property
    def seed(self) -> int | None:
        """The seed of the recipe."""
        training = self.recipe.get("training")
        seed = training.get("seed") if isinstance(training, dict) else None
        return seed if isinstance(seed, int) else None

    @property
    def state(self) -> str | None:
        """The state that the verdict names, None where there is no verdict."""
        return (self.evidence.verdict.state or None) if self.evidence else None

    def estimate(self, name: str) -> Estimate:
        """An estimate of the evidence; one without a value where it was not made."""
        return self.evidence.estimates.get(name, NOTHING) if self.evidence else NOTHING

    def value(self, name: str) -> float | None:
        """The value of an estimate, None where there is none."""
        return self.estimate(name).value

    @property
    def at_ceiling(self) -> bool:
        """Whether the mutual information is so near to its ceiling that it can only be read as "at least"."""
        found = self.estimate("mutual_information")
        return found.value is not None and found.ceiling is not None and found.value > found.ceiling - NEAR_CEILING


@dataclass(frozen=True, eq=False)
class ArmResult:
    """One remedy of a comparison with its runs, a seed each, and the seconds each took."""

    name: str
    runs: tuple[RunResult, ...]
    seconds: tuple[float | None, ...] = ()

    @cached_property
    def states(self) -> dict[str, int]:
        """State -> number of runs that ended in it."""
        found = [run.state for run in self.runs if run.state]
        return {state: found.count(state) for state in dict.fromkeys(found)}

    @property
    def ignores_z(self) -> bool:
        """Whether more than half of the judged runs collapsed."""
        return 2 * self.states.get(COLLAPSED, 0) > sum(self.states.values())


@dataclass(frozen=True, eq=False)
class ComparisonResult:
    """The contents of a comparison's folder.

    Args:
        folder: Where it lives.
        data: What the data are called.
        budget: What every arm was given: settings by name, or a number.
        arms: Those with a finished run, in the order they were asked for.
        left_out: Remedies that did not fit, with the reason.
        failed: Runs that did not finish, by folder, with the reason.
    """

    folder: Path
    data: str
    budget: Any
    arms: tuple[ArmResult, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def load_run(folder: str | Path) -> RunResult:
    """What a run folder holds. Nothing in it is required.

    Errors:
        FileNotFoundError: There is no such folder.
    """
    folder, remarks = Path(folder), list[str]()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; expected the folder of a run, with recipe.yaml in it")

    def attempt(name: str, read: Callable[[Path], Any], missing: str = "") -> Any:
        return _attempt(remarks, folder / name, read, missing)

    text = attempt("recipe.yaml", read_text, "its settings")
    found = {
        "recipe": (attempt("recipe.yaml", _recipe) if text else None) or {},
        "metrics": attempt("metrics.csv", _metrics, "training curves"),
        "evidence": attempt("evidence.json", Evidence.load, "a verdict; buttress diagnose writes one"),
        "examples": attempt("", load_examples),
        "latent": attempt("latent.json", load_latent),
        "notes": attempt("notes.txt", lambda path: tuple(read_text(path).splitlines())) or (),
    }
    if found["examples"] is None and not RunResult(folder, recipe=found["recipe"]).critic:
        remarks.append("There are no saved examples, so this page has no pictures; buttress diagnose saves some.")
    return RunResult(folder, text or "", **found, remarks=tuple(remarks))


def load_comparison(folder: str | Path) -> ComparisonResult:
    """What a comparison folder holds; runs it lists but that are not there come back empty, with a remark.

    Errors:
        FileNotFoundError: There is no ``comparison.json``.
        ValueError: It is not the JSON of a comparison.
    """
    path = Path(folder) / "comparison.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected the folder of a comparison")
    try:
        plain = load_json(path)
        failed = {str(run): str(why) for entry in plain["arms"] for run, why in (entry.get("failed") or {}).items()}
        arms = tuple(_arm(Path(folder), entry) for entry in plain["arms"] if entry["runs"] or not entry.get("failed"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        wanted = "expected JSON with a list 'arms' of name and runs"
        raise ValueError(f"{path}: {wanted}, got {type(error).__name__}: {error}") from error
    return ComparisonResult(
        Path(folder), str(plain.get("data") or ""), plain.get("budget"), arms, plain.get("left_out") or {}, failed
    )


def _arm(folder: Path, plain: Mapping[str, Any]) -> ArmResult:
    runs = tuple(_listed_run(folder / name) for name in plain["runs"])
    taken = [_number(s) for s in plain.get("seconds") or []][: len(runs)]
    return ArmResult(str(plain["name"]), runs, (*taken, *[None] * (len(runs) - len(taken))))


def _listed_run(folder: Path) -> RunResult:
    missing = RunResult(folder, remarks=(f"The folder {folder.name} does not exist.",))
    return load_run(folder) if folder.is_dir() else missing


def _attempt(remarks: list[str], path: Path, read: Callable[[Path], Any], missing: str) -> Any:
    """What ``read`` makes of the path; None where there is none, with a remark if anything is then ``missing``."""
    if not path.exists():
        remarks += [f"There is no {path.name}, so this page does not show {missing}."] if missing else []
        return None
    try:
        return read(path)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, csv.Error) as error:
        remarks.append(f"{path.name} is not readable ({type(error).__name__}: {error}).")
        return None


def _recipe(path: Path) -> dict[str, Any]:
    plain = parse_yaml(read_text(path), path)
    if not isinstance(plain, dict):
        raise ValueError(f"expected a mapping, got {type(plain).__name__}")
    return plain


def name_of(plain: Any) -> str:
    """What people call a part of a recipe: its name, and for data in a file, that file.

    Example:
        >>> name_of({"name": "images", "path": "/home/me/faces"}), name_of({"name": "conv"}), name_of(None)
        ('faces', 'conv', '')
    """
    if not isinstance(plain, dict) or "name" not in plain:
        return ""
    path = plain.get("path")
    first = path[0] if isinstance(path, list) and path else path
    more = f" and {len(path) - 1} more" if isinstance(path, list) and len(path) > 1 else ""
    return (Path(first).name or first) + more if isinstance(first, str) and first else str(plain["name"])


def _metrics(path: Path) -> MetricsTable:
    cells: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with regular(path).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = _number(row.get("step"))
            for column, cell in row.items():
                if column in ("step", "split") or step is None:  # a row cut off
                    continue
                if (value := _number(cell)) is not None:
                    cells.setdefault((row.get("split") or "train", column), []).append((step, value))
    return MetricsTable({key: _sorted(pairs) for key, pairs in cells.items()})


def _sorted(pairs: list[tuple[float, float]]) -> Curve:
    table = np.array(sorted(dict(pairs).items()), dtype=float)  # a resumed run may repeat a step: the last one counts
    return table[:, 0], table[:, 1]


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
