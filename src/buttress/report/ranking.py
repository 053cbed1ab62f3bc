r"""The branches of a rescue in order: z in use first, then the likelihood, and what its error does not decide is a tie.

The order is made of three comparisons, one after the other:

1. the verdict: used, then partly used, then all others; where errors allow two states, the worse one counts;
2. whether the branch was trained to its end: what was stopped early is behind what was not;
3. the NLL where every branch has one, else −ELBO: lower is better.

In the third, the best of those that are left takes the next rank, and with it all whose difference d from it is no
larger than $2 \operatorname{se}(d)$. Differences are taken example by example where both branches were measured on the
same ones, as in a rescue: what is hard about an example is hard for both. Of a tie, the first in the order in which the
branches were asked for is named. Errors are those of measuring; what another seed would give is not in them.

A branch whose training changed no weight shows nothing of its remedy. It stands below the others without a rank.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.verdict import PARTLY, USED
from buttress.report.numbers import plus_minus, seconds
from buttress.report.results import NOTHING, ArmResult, ComparisonResult, RunResult, load_comparison
from buttress.runtime.atomic_write import write_text

__all__ = [
    "BY_EXAMPLE",
    "UNCHANGED",
    "Ranked",
    "Ranking",
    "as_text",
    "rank",
    "rank_folder",
    "ranking_table",
    "save_ranking",
    "sentences",
]

BY_EXAMPLE = "by_example.npz"
"""In the folder of a run: −ELBO and NLL of each of some held-out examples, the same ones for all branches."""
UNCHANGED = "unchanged"
"""Among the settings of the evidence of a branch whose training changed no weight."""
CLEAR = 2.0
"""Standard errors from which on a difference is one."""
TIERS = (USED, PARTLY)
NUMBERS = {"nll": "NLL", "elbo": "−ELBO", "mutual_information": "information", "worth_shuffled": "worth of z"}


@dataclass(frozen=True)
class Ranked:
    """A branch in its place.

    Args:
        rank: 1 for the best; branches of one rank are a tie. 0 for one that has none, since no weight changed.
        name: Of the branch.
        run: What was measured.
        seconds: Of training; None where it is not known.
        early: Whether it was stopped before its budget was spent.
    """

    rank: int
    name: str
    run: RunResult
    seconds: float | None
    early: bool

    @property
    def steps(self) -> int | None:
        """Steps that were trained; None where it is not known."""
        step = self.run.evidence.settings.get("step") if self.run.evidence else None
        return step if isinstance(step, int) else None

    @property
    def uses_z(self) -> bool:
        """Whether z is in use."""
        return self.run.state == USED

    @property
    def unchanged(self) -> bool:
        """Whether its training changed no weight."""
        return _unchanged(self.run)

    def number(self, name: str) -> Estimate:
        """An estimate as it is shown: −ELBO with its sign turned."""
        found = self.run.estimate(name)
        if name != "elbo" or found.value is None:
            return found
        return Estimate(-found.value, found.error, found.n, found.method)

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        verdict = self.run.evidence.verdict if self.run.evidence else None
        numbers = {name: {"value": one.value, "error": one.error} for name in NUMBERS for one in [self.number(name)]}
        return {
            "rank": self.rank or None,
            "name": self.name,
            "state": self.run.state,
            "borderline": verdict.borderline if verdict else "",
            "causes": list(verdict.causes) if verdict else [],
            **numbers,
            "steps": self.steps,
            "seconds": self.seconds,
            "stopped_early": self.early,
            "unchanged": self.unchanged,
            "folder": self.run.folder.name,
        }


@dataclass(frozen=True)
class Ranking:
    """All branches of a rescue.

    Args:
        rows: Measured branches, the best first.
        measure: "nll" or "elbo": what the likelihood is compared by.
        failed: Branches that died, each with the reason.
    """

    rows: tuple[Ranked, ...]
    measure: str
    failed: dict[str, str]

    @property
    def winner(self) -> Ranked | None:
        """The branch to go on with; None where none uses z."""
        return next((row for row in self.rows[:1] if row.uses_z and not row.unchanged), None)

    @property
    def tied(self) -> tuple[Ranked, ...]:
        """Those that share the first rank with the first."""
        return tuple(row for row in self.rows[1:] if row.rank == 1)


def rank(comparison: ComparisonResult) -> Ranking:
    """The ranking of the branches that a folder lists; see the head of this file.

    Args:
        comparison: Read from the files of its runs; each arm is a branch, in the order in which they were asked for.
    """
    found = [(arm, run) for arm in comparison.arms for run in arm.runs[:1] if run.evidence is not None]
    measure = "nll" if found and all(run.value("nll") is not None for _, run in found) else "elbo"
    budget = comparison.budget if isinstance(comparison.budget, dict) else {}
    every = [_unranked(arm, run, budget.get("steps")) for arm, run in found]
    left = [one for one in every if not one.unchanged]
    rows: list[Ranked] = []
    for group in sorted({_group(one) for one in left}):
        waiting = [one for one in left if _group(one) == group]
        while waiting:
            best = min(waiting, key=lambda one: _cost(one.run, measure))
            level = [one for one in waiting if one is best or not _clearly_worse(one.run, best.run, measure)]
            place = len(rows) + 1
            rows += [Ranked(place, one.name, one.run, one.seconds, one.early) for one in level]
            waiting = [one for one in waiting if one not in level]
    rows += [one for one in every if one.unchanged]
    return Ranking(tuple(rows), measure, dict(comparison.failed))


def rank_folder(folder: str | Path) -> Ranking:
    """The ranking of the branches in a folder.

    Errors:
        FileNotFoundError: There is no ``comparison.json``.
    """
    return rank(load_comparison(folder))


def _unranked(arm: ArmResult, run: RunResult, steps: Any) -> Ranked:
    made = run.evidence.settings.get("step") if run.evidence else None
    early = isinstance(made, int) and isinstance(steps, int) and made < steps
    return Ranked(0, arm.name, run, arm.seconds[0] if arm.seconds else None, early)


def _unchanged(run: RunResult) -> bool:
    return bool(run.evidence and run.evidence.settings.get(UNCHANGED))


def _group(one: Ranked) -> tuple[int, bool]:
    verdict = one.run.evidence.verdict if one.run.evidence else None
    states = [verdict.state, *filter(None, [verdict.borderline])] if verdict else [""]
    return max(TIERS.index(state) if state in TIERS else len(TIERS) for state in states), one.early


def _cost(run: RunResult, measure: str) -> float:
    value = run.value(measure)
    if value is None:
        return math.inf
    return value if measure == "nll" else -value


def _clearly_worse(one: RunResult, best: RunResult, measure: str) -> bool:
    """Whether the likelihood of one is worse by more than two standard errors of the difference."""
    difference, error = _difference(one, best, measure)
    return not difference <= CLEAR * error


def _difference(one: RunResult, best: RunResult, measure: str) -> tuple[float, float]:
    pairs = _by_example(one, measure), _by_example(best, measure)
    if pairs[0] is not None and pairs[1] is not None and len(pairs[0]) == len(pairs[1]) > 1:
        each = pairs[0] - pairs[1]
        return float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each)))
    errors = [found.error or 0.0 for found in (one.estimate(measure), best.estimate(measure))]
    return _cost(one, measure) - _cost(best, measure), math.hypot(*errors)


def _by_example(run: RunResult, measure: str) -> Any:
    """Costs of each example in nats; None where they were not kept."""
    path = run.folder / BY_EXAMPLE
    if not path.is_file():
        return None
    with np.load(path) as file:
        return file[measure].astype(float) if measure in file else None


def untouched(name: str) -> bool:
    """Whether a branch is the model without a remedy.

    Example:
        >>> untouched("none"), untouched("none@scratch"), untouched("free_bits@scratch")
        (True, True, False)
    """
    return name.partition("@")[0] == "none"


def sentences(ranking: Ranking) -> list[str]:
    """What the ranking says, plainly."""
    best = ranking.rows[0] if ranking.rows else None
    if best is None:
        return ["No branch was measured."]
    idle = [
        f"{one.name} changed no weight of the model, so nothing is known of its remedy and it has no rank; see what "
        "the training function does under it."
        for one in ranking.rows
        if one.unchanged
    ]
    return idle if best.unchanged else [*_best(best, ranking), *idle]


def _best(best: Ranked, ranking: Ranking) -> list[str]:
    """What is said of the first."""
    number = f"{NUMBERS[ranking.measure]} {_shown(best.number(ranking.measure))} nats"
    if not best.uses_z:
        if untouched(best.name):
            better = "no remedy did better than leaving the model as it is"
            return [f"No branch brought z into use, and {better} ({best.name}: {best.run.state}, {number})."]
        return [f"No branch brought z into use; the best is {best.name} ({best.run.state}), {number}."]
    without = ", the model without a remedy" if untouched(best.name) else ""
    said = [f"The first is {best.name}{without}: z is used, {number}."]
    if ranking.tied:
        names = " and ".join(one.name for one in ranking.tied)
        measure = NUMBERS[ranking.measure]
        said.append(
            f"It is a tie with {names}: their {measure} differs by less than {CLEAR:g} standard errors, and "
            f"{best.name} was first in the order."
        )
    return said


def ranking_table(ranking: Ranking) -> Table:
    """The ranking for a terminal, in nats per example."""
    table = Table(title="held-out data, nats per example", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.show_edge = table.pad_edge = False
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("branch", no_wrap=True, overflow="fold")
    table.add_column("z")
    for title in (*NUMBERS.values(), "steps", "time"):
        table.add_column(title, justify="right")
    for row in ranking.rows:
        tie = "=" if sum(other.rank == row.rank for other in ranking.rows) > 1 else ""
        place = "—" if row.unchanged else f"{row.rank}{tie}"
        state = f"{row.run.state}{' (borderline)' if row.plain()['borderline'] else ''}"
        state += " (weights unchanged)" * row.unchanged
        steps = "—" if row.steps is None else f"{row.steps:,}{', stopped' if row.early else ''}"
        numbers = [_shown(row.number(name)) for name in NUMBERS]
        cells = [place, row.name, state, *numbers, steps, seconds(row.seconds)]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def as_text(table: Table) -> str:
    """A table as plain text, as wide as it needs to be, so that nothing in it is broken.

    Example:
        >>> table = Table("branch", box=None)
        >>> table.add_row(130 * "a")
        >>> as_text(table).split() == ["branch", 130 * "a"]
        True
    """
    console = Console(width=sys.maxsize, color_system=None)
    console.width = console.measure(table).maximum
    with console.capture() as caught:
        console.print(table)
    return caught.get().rstrip()


def _shown(found: Estimate) -> str:
    return plus_minus((found or NOTHING).value, found.error)


def save_ranking(folder: Path, ranking: Ranking, said: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Write ``ranking.json``: the rows, the rule's words and what else is known; gives the same as plain data."""
    plain = {
        "format": 1,
        "units": "nats per example",
        "ranked_by": ranking.measure,
        "summary": [*sentences(ranking), *said],
        "rows": [row.plain() for row in ranking.rows],
        "failed": ranking.failed,
        **more,
    }
    write_text(folder / "ranking.json", json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    return plain
