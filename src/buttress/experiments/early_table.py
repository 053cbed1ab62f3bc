"""The runs of the early warning as a table: what each was dealt, what was seen early, and how it ended."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.monitor.forecast import EARLIER, EARLY, features
from buttress.diagnostics.state import COLLAPSED, UNKNOWN
from buttress.experiments.early_runs import ShortRun
from buttress.experiments.early_warning import LOOKS, look_path

__all__ = ["CARRIED", "EarlyRun", "csv_of", "read_csv", "row_of"]

CARRIED = ("mutual_information", "rate", "worth_shuffled")
"""The least of them is what z carries; see :mod:`buttress.diagnostics.state`."""
SEEN = (*CARRIED, "active_units", "elbo", "optimum_ratio")
"""What the table has of each of the two early looks."""
DEALT = ("decoder", "annealing", "beta", "floor", "latents", "learning_rate", "steps", "seed")


@dataclass(frozen=True)
class EarlyRun:
    """A run as a row of the table, and what follows from it.

    Args:
        row: Texts by column, as they are in the file.

    Example:
        >>> run = EarlyRun({"name": "digits-00", "data": "digits", "state": "collapsed", "borderline": "partly used"})
        >>> run.borderline, run.collapsed
        (True, True)
    """

    row: Mapping[str, str]

    @property
    def name(self) -> str:
        """Of the run."""
        return self.row["name"]

    @property
    def data(self) -> str:
        """The set of data."""
        return self.row["data"]

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return int(self.row["steps"])

    @property
    def collapsed(self) -> bool:
        """Whether the verdict at the end is "collapsed"."""
        return self.row["state"] == COLLAPSED

    @property
    def borderline(self) -> bool:
        """Whether the errors of the end leave open if it is collapsed; such a run is no test of a forecast."""
        states = (self.row["state"], self.row["borderline"])
        return UNKNOWN in states or (COLLAPSED in states and "" not in states)

    @property
    def collapsed_early(self) -> bool:
        """Whether the verdict at 10 % of the run is "collapsed" already, borderline or not."""
        return self.row["state_10"] == COLLAPSED

    @property
    def collapsed_from(self) -> float:
        """The share of the run at the first look of those in a row, up to the end, that see z collapsed; or NaN."""
        return self.number("collapsed_from")

    def number(self, column: str) -> float:
        """A cell as a number; NaN where it is empty."""
        return float(self.row[column]) if self.row[column] else math.nan

    @property
    def carried_early(self) -> float:
        """What z carries at 10 % of the run, in nats."""
        return min(self.number(f"{name}_10") for name in CARRIED)

    @property
    def seed(self) -> int:
        """The number of the run among those on its data."""
        return int(self.row["seed"])

    @property
    def features(self) -> dict[str, float]:
        """See :func:`buttress.diagnostics.monitor.forecast.features`."""
        earlier, early = ({name: self.number(f"{name}_{at}") for name in SEEN} for at in ("05", "10"))
        loss = (self.number("weight_10"), self.number("weight_end"), self.number("floor"))
        return features(earlier, early, *loss)


def row_of(name: str, run: ShortRun, folder: Path) -> EarlyRun:
    """The row of a finished run.

    Args:
        name: Of the run.
        run: What was dealt to it.
        folder: Where its looks and its evidence are.
    """
    steps = run.recipe.training.steps
    looks = {share: Evidence.load(look_path(folder, round(share * steps))) for share in LOOKS}
    end, objective = Evidence.load(folder / "evidence.json"), run.recipe.objective
    row: dict[str, str] = {"name": name, "data": run.data, **{column: str(run.dealt[column]) for column in DEALT}}
    row |= {"likelihood": run.recipe.likelihood.name(), "variance": str(getattr(run.recipe.likelihood, "variance", ""))}
    row |= {"weight_10": _short(objective.weight(round(EARLY * steps))), "weight_end": _short(objective.weight(steps))}
    for share, at in ((EARLIER, "05"), (EARLY, "10")):
        row |= {f"{one}_{at}": value for one in SEEN for value in [_told(looks[share], one)]}
    row |= {"state_10": looks[EARLY].verdict.state, "collapsed_from": _from(looks, end)}
    row |= {"state": end.verdict.state, "borderline": end.verdict.borderline}
    for one in CARRIED:
        found = end.estimates.get(one)
        row |= {one: _told(end, one), f"{one}_error": "" if found is None else _short(found.error)}
    return EarlyRun(row)


def _told(evidence: Evidence, name: str) -> str:
    found = evidence.estimates.get(name)
    return "" if found is None else _short(found.value)


def _short(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _from(looks: Mapping[float, Evidence], end: Evidence) -> str:
    states = {**{share: one.verdict.state for share, one in looks.items()}, 1.0: end.verdict.state}
    last = ""
    for share in sorted(states, reverse=True):
        if states[share] != COLLAPSED:
            break
        last = f"{share:g}"
    return last


def csv_of(runs: Sequence[EarlyRun]) -> str:
    """The table as CSV, a row for each run."""
    file = io.StringIO()
    out = csv.DictWriter(file, list(runs[0].row), lineterminator="\n")
    out.writeheader()
    out.writerows(dict(run.row) for run in runs)
    return file.getvalue()


def read_csv(path: Path) -> list[EarlyRun]:
    """The inverse of :func:`csv_of`.

    Errors:
        ValueError: It is another table.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [EarlyRun(row) for row in csv.DictReader(file)]
    wanted = {
        "name",
        "data",
        "state",
        "borderline",
        "state_10",
        *(f"{one}_{at}" for one in CARRIED for at in ("05", "10")),
    }
    if not rows or (missing := sorted(wanted - rows[0].row.keys())):
        lacks = f"it lacks {missing[0]}" if rows else "it has no rows"
        raise ValueError(f"{path}: not the table of buttress early-warning ({lacks}); try the one of its results")
    for number, run in enumerate(rows, 1):
        _check_cells(path, number, run.row)
    return rows


def _check_cells(path: Path, number: int, row: Mapping[str, str]) -> None:
    """Refuse a row that is cut off, or with something else than a number where one belongs."""
    seen = [f"{one}_{at}" for one in SEEN for at in ("05", "10")]
    for column, cell in row.items():
        whole, real = column in ("steps", "seed"), column in (*seen, "floor", "weight_10", "weight_end")
        try:
            wrong = column is None or cell is None or (real and cell != "" and not math.isfinite(float(cell)))
            wrong = wrong or (whole and int(cell) < 0)
        except ValueError:
            wrong = True
        if wrong:
            wanted = "a whole number" if whole else "a number, or nothing" if real else "as many cells as columns"
            raise ValueError(f"{path}: in row {number} {column} is {cell!r}, wanted {wanted}; try the table as written")
