"""Tables of results: the evidence of one run, and the arms of a comparison as rows for a page, a terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table

from buttress.report.numbers import MISSING, Spread, count, nats, plus_minus, seconds, spread
from buttress.report.quantities import QUANTITIES
from buttress.report.results import Arm, Comparison, Evidence, Run

__all__ = ["COLUMNS", "ArmRow", "Cell", "EvidenceRow", "arm_rows", "as_csv", "as_markdown", "as_rich", "evidence_rows"]

FLAG = "best −ELBO, but ignores z"
SHOWN = ("elbo", "nll", "rate", "mutual_information", "active_units", "worth_shuffled", "amortisation_gap")


@dataclass(frozen=True)
class EvidenceRow:
    """One line of the evidence of a run, ready to be shown."""

    title: str
    value: str
    unit: str
    n: str
    ceiling: str
    method: str
    note: str
    meaning: str


@dataclass(frozen=True)
class Cell:
    """One cell of the table of arms: the mean, the spread or limit beside it, and whether it is the best of its column."""

    main: str
    extra: str = ""
    best: bool = False

    def __str__(self) -> str:
        """Both in one line."""
        return f"{self.main} {self.extra}".strip()


@dataclass(frozen=True)
class ArmRow:
    """One arm of a comparison, ready to be shown.

    Args:
        name: Of the arm.
        n: How many seeds.
        cells: As many as there are columns.
        states: State -> number of runs.
        flag: What a reader must not miss, or "".
    """

    name: str
    n: int
    cells: tuple[Cell, ...]
    states: dict[str, int]
    flag: str = ""

    @property
    def verdict(self) -> str:
        """The states in one line: "used", or "2 collapsed, 1 used"."""
        if not self.states:
            return "no verdict"
        return next(iter(self.states)) if len(self.states) == 1 else ", ".join(f"{n} {s}" for s, n in self.states.items())


def evidence_rows(evidence: Evidence) -> list[EvidenceRow]:
    """The estimates in the order of the page; those without a value stand there with their note, unknown ones at the end."""
    known = [name for name in QUANTITIES if name in evidence.estimates]
    return [_evidence_row(name, evidence) for name in (*known, *(n for n in evidence.estimates if n not in QUANTITIES))]


def _evidence_row(name: str, evidence: Evidence) -> EvidenceRow:
    estimate, quantity = evidence[name], QUANTITIES.get(name)
    value = None if estimate.value is None else estimate.value * (quantity.sign if quantity else 1)
    write = quantity.write if quantity else nats
    text = plus_minus(value, estimate.error) if write is nats or estimate.error else write(value)
    note = "; ".join(filter(None, ["at its ceiling, so read it as “at least”" if _capped(name, evidence) else "", estimate.note]))
    return EvidenceRow(
        title=quantity.title if quantity else name.replace("_", " "),
        value=text,
        unit=quantity.unit if quantity else "",
        n=count(estimate.n),
        ceiling=write(estimate.ceiling),
        method=estimate.method or MISSING,
        note=note,
        meaning=quantity.meaning if quantity else "",
    )


def _capped(name: str, evidence: Evidence) -> bool:
    return name == "mutual_information" and evidence[name].at_ceiling


@dataclass(frozen=True)
class Column:
    """A column of the table of arms: its title, a unit, and what it shows of an arm."""

    title: str
    unit: str
    cell: Callable[[Arm, Sequence[Arm]], Cell]


def arm_rows(comparison: Comparison) -> list[ArmRow]:
    """A row for each arm, in the order of the comparison."""
    arms = comparison.arms
    leader = _leader("elbo", arms)
    return [
        ArmRow(arm.name, len(arm.runs), tuple(c.cell(arm, arms) for c in COLUMNS), arm.states, _flag(arm, leader)) for arm in arms
    ]


def _flag(arm: Arm, leader: Arm | None) -> str:
    return FLAG if arm is leader and arm.ignores_z else ""


def _leader(name: str, arms: Sequence[Arm]) -> Arm | None:
    """The arm with the best mean of a quantity, where one is better than another."""
    quantity = QUANTITIES[name]
    means = {arm.name: s.mean * quantity.sign for arm in arms if (s := of(arm, name)) is not None}
    if not quantity.better or len(means) < 2:
        return None
    best = (min if quantity.better == "lower" else max)(means, key=lambda n: means[n])
    return next(arm for arm in arms if arm.name == best)


def of(arm: Arm, name: str) -> Spread | None:
    """A quantity of an arm over its seeds, as in the files (−ELBO not yet negated)."""
    return spread(run.value(name) for run in arm.runs)


def _estimate_cell(name: str) -> Callable[[Arm, Sequence[Arm]], Cell]:
    def cell(arm: Arm, arms: Sequence[Arm]) -> Cell:
        quantity, found = QUANTITIES[name], of(arm, name)
        if found is None:
            return Cell(MISSING)
        extra = "" if found.sd is None else f"± {quantity.write(found.sd) if quantity.write is not count else nats(found.sd, 1)}"
        ceiling = spread(run.evidence[name].ceiling for run in arm.runs if run.evidence)
        if name == "mutual_information" and ceiling:
            extra += f" ≤ {nats(ceiling.mean)}"
        if name == "active_units" and ceiling:
            extra += f" of {count(ceiling.mean)}"
        best = name in ("elbo", "nll") and arm is _leader(name, arms)
        return Cell(quantity.write(found.mean * quantity.sign), extra.strip(), best)

    return cell


def _seconds_cell(arm: Arm, arms: Sequence[Arm]) -> Cell:
    found = spread(arm.seconds)
    return Cell(seconds(found.mean)) if found else Cell(MISSING)


def _ratio_cell(arm: Arm, arms: Sequence[Arm]) -> Cell:
    base = next((spread(a.seconds) for a in arms if a.name == "none"), None)
    found = spread(arm.seconds)
    return Cell(f"{found.mean / base.mean:.2f} ×") if found and base and base.mean > 0 else Cell(MISSING)


COLUMNS = (
    *(Column(QUANTITIES[name].title, QUANTITIES[name].unit, _estimate_cell(name)) for name in SHOWN),
    Column("Time", "", _seconds_cell),
    Column("Time against none", "", _ratio_cell),
)
"""The columns between an arm's name and its verdict."""


def as_markdown(rows: Sequence[ArmRow]) -> str:
    """The arms as a Markdown table: mean ± standard deviation over seeds; the best −ELBO and NLL in bold.

    Example:
        >>> print(as_markdown([ArmRow("none", 3, (Cell("96.80", "± 0.02"),) + (Cell("—"),) * 8, {"collapsed": 3})]))
        | arm | seeds | −ELBO | NLL | rate | mutual information | ... | verdict |
        |:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|:--|
        | `none` | 3 | 96.80 ± 0.02 | — | — | — | — | — | — | — | — | collapsed |
    """
    titles = ["arm", "seeds", *(c.title if c.title.isupper() or c.title[0] == "−" else _lower(c.title) for c in COLUMNS), "verdict"]
    lines = [titles, [":--", *["--:"] * (len(titles) - 2), ":--"]]
    for row in rows:
        cells = [f"**{c.main}** {c.extra}".strip() if c.best else str(c) for c in row.cells]
        verdict = f"{row.verdict} (**{row.flag}**)" if row.flag else row.verdict
        lines.append([f"`{row.name.replace('|', '∣')}`", str(row.n), *cells, verdict])
    return "\n".join(f"|{'|'.join(line)}|" if line[0] == ":--" else f"| {' | '.join(line)} |" for line in lines)


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]


STATE_COLOR = {"used": "green", "partly used": "yellow", "collapsed": "red", "degenerate to a deterministic autoencoder": "magenta"}


def as_rich(rows: Sequence[ArmRow], title: str = "") -> Table:
    """The arms as a table for the terminal."""
    table = Table(title=title or None, title_justify="left", header_style="bold", expand=False, pad_edge=False)
    table.add_column("arm", no_wrap=True)
    for column in COLUMNS:
        table.add_column(_lower(column.title) if column.title not in ("NLL", "−ELBO") else column.title, justify="right")
    table.add_column("verdict")
    for row in rows:
        color = STATE_COLOR.get(next(iter(row.states), ""), "") if len(row.states) == 1 else ""
        verdict = f"{row.verdict}\n{row.flag}" if row.flag else row.verdict
        cells = [_styled(f"{c.main}\n{c.extra}" if c.extra else c.main, "bold" if c.best else "") for c in row.cells]
        table.add_row(_styled(row.name), *cells, _styled(verdict, color))
    return table


def _styled(text: str, style: str = "") -> object:
    from rich.text import Text

    return Text(text, style=style)


def as_csv(comparison: Comparison) -> str:
    """One line a run: arm, seed, verdict, seconds, and every estimate with its error, as in the evidence files."""
    names = list(QUANTITIES)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = ["arm", "run", "seed", "state", "cause", "seconds", "n"]
    writer.writerow([*head, *(f"{name}{suffix}" for name in names for suffix in ("", "_error"))])
    for arm in comparison.arms:
        for run, taken in zip(arm.runs, arm.seconds, strict=True):
            writer.writerow([arm.name, *_run_cells(run, comparison), taken, *_estimates(run, names)])
    return file.getvalue()


def _run_cells(run: Run, comparison: Comparison) -> list[object]:
    verdict = run.evidence.verdict if run.evidence else None
    where = run.folder.relative_to(comparison.folder).as_posix()
    return [where, run.seed, verdict.state if verdict else None, verdict.cause if verdict else None]


def _estimates(run: Run, names: Sequence[str]) -> list[object]:
    if run.evidence is None:
        return [None] * (1 + 2 * len(names))
    return [run.evidence.n, *(x for name in names for x in (run.evidence[name].value, run.evidence[name].error))]
