"""Tables: the evidence of one run, and the arms of a comparison for a page, a terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from buttress.diagnostics.state import WANTED
from buttress.diagnostics.verdict import COLLAPSED, DEGENERATE, PARTLY, USED
from buttress.report.differences import difference, of
from buttress.report.numbers import MISSING, count, nats, plus_minus, seconds, spread
from buttress.report.quantities import QUANTITIES
from buttress.report.quantities import quantity as quantity_of
from buttress.report.results import ArmResult, ComparisonResult, RunResult

__all__ = [
    "COLUMNS",
    "ArmRow",
    "Cell",
    "EvidenceRow",
    "arm_rows",
    "as_csv",
    "as_markdown",
    "as_rich",
    "evidence_rows",
    "folded",
]

FLAG = "best −ELBO, but ignores z"
SHOWN = ("elbo", "nll", "rate", "mutual_information", "active_units", "worth_shuffled", "amortisation_gap")


@dataclass(frozen=True)
class EvidenceRow:
    """One line of the evidence of a run, ready to be shown."""

    name: str
    title: str
    value: str
    unit: str
    n: str
    ceiling: str
    method: str
    note: str
    meaning: str
    short: str


@dataclass(frozen=True)
class Cell:
    """One cell of the table of arms: a mean, its spread or what else is beside it, and whether it is clearly best."""

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
        n: How many of its runs have evidence.
        runs: How many it has.
        cells: As many as there are columns.
        states: State -> number of runs.
        flag: What a reader must not miss, or "".
    """

    name: str
    n: int
    runs: int
    cells: tuple[Cell, ...]
    states: dict[str, int]
    flag: str = ""

    @property
    def seeds(self) -> str:
        """How many seeds, in words."""
        total = f"{self.runs} seed{'s' * (self.runs != 1)}"
        return total if self.n == self.runs else f"{self.n} of {total} measured"

    @property
    def verdict(self) -> str:
        """The states in one line: "used", or "2 collapsed, 1 used"."""
        counted = self.states.items()
        return ", ".join(state if len(counted) == 1 else f"{n} {state}" for state, n in counted) or "no verdict"


def evidence_rows(run: RunResult) -> list[EvidenceRow]:
    """A run's estimates in the order of the page, unknown ones last; without a value only those that say why."""
    found = run.evidence.estimates if run.evidence else {}
    order = {name: i for i, name in enumerate(QUANTITIES)}
    names = sorted(found, key=lambda name: order.get(name.partition("/")[0], len(order)))
    return [_evidence_row(name, run) for name in names if found[name].value is not None or found[name].note]


def _evidence_row(name: str, run: RunResult) -> EvidenceRow:
    estimate, quantity = run.estimate(name), quantity_of(name)
    value, capped = estimate.value, name == "mutual_information" and run.at_ceiling
    write, digits = quantity.write, 2 if quantity.write is nats else 1
    signed = None if value is None else value * quantity.sign
    return EvidenceRow(
        name=name,
        title=quantity.title,
        value=write(signed) if estimate.error is None else plus_minus(signed, estimate.error, digits),
        unit=quantity.unit,
        n=count(estimate.n),
        ceiling=write(estimate.ceiling),
        method=estimate.method or MISSING,
        note="; ".join(filter(None, ["at its ceiling, so read it as “at least”" if capped else "", estimate.note])),
        meaning=quantity.meaning,
        short=quantity.short,
    )


def arm_rows(comparison: ComparisonResult) -> list[ArmRow]:
    """A row for each arm, in the order of the comparison."""
    arms = comparison.arms
    leader = _leader("elbo", arms)
    return [
        ArmRow(
            arm.name,
            sum(run.evidence is not None for run in arm.runs),
            len(arm.runs),
            tuple(cell(arm, arms) for cell in COLUMNS.values()),
            arm.states,
            FLAG if arm is leader and arm.ignores_z else "",
        )
        for arm in arms
    ]


def _leader(name: str, arms: Sequence[ArmResult]) -> ArmResult | None:
    """The arm with the lowest mean of a quantity as it is shown, among two or more."""
    means = [(found.mean * QUANTITIES[name].sign, arm) for arm in arms if (found := of(arm, name)) is not None]
    return min(means, key=lambda pair: pair[0])[1] if len(means) > 1 else None


def _is_best(arm: ArmResult, arms: Sequence[ArmResult], name: str) -> bool:
    """Whether an arm leads in a quantity, by more than the spread over seeds."""
    if arm is not _leader(name, arms):
        return False
    found = [difference(arm, other, name) for other in arms if other is not arm]
    return all(apart is None or apart.clear for apart in found)


def _estimate_cell(name: str, arm: ArmResult, arms: Sequence[ArmResult]) -> Cell:
    quantity, found = QUANTITIES[name], of(arm, name)
    if found is None:
        return Cell(MISSING)
    extra = [f"± {nats(found.sd, 1 if quantity.write is count else 2)}"] if found.sd else []
    if name == "rate" and (uniform := of(arm, "rate_uniform")) is not None:
        extra.append(f"({nats(uniform.mean)} uniform)")
    if (ceiling := spread(run.estimate(name).ceiling for run in arm.runs)) is not None:
        extra += {
            "mutual_information": [f"(≤ {nats(ceiling.mean)})"],
            "active_units": [f"of {count(ceiling.mean)}"],
        }.get(name, [])
    capped = name == "mutual_information" and any(run.at_ceiling for run in arm.runs)
    best = name in ("elbo", "nll") and _is_best(arm, arms, name)
    return Cell(("≥ " if capped else "") + quantity.write(found.mean * quantity.sign), " ".join(extra), best)


def _time_cell(arm: ArmResult, arms: Sequence[ArmResult]) -> Cell:
    base = next((spread(a.seconds) for a in arms if a.name == "none"), None)
    found = spread(arm.seconds)
    if found is None:
        return Cell(MISSING)
    return Cell(seconds(found.mean), f"({found.mean / base.mean:.2f} × none)" if base and base.mean > 0 else "")


def _prior_cell(arm: ArmResult, arms: Sequence[ArmResult]) -> Cell:
    return Cell(", ".join(dict.fromkeys(run.prior for run in arm.runs if run.prior)) or MISSING)


COLUMNS: dict[str, Callable[[ArmResult, Sequence[ArmResult]], Cell]] = {
    "Prior": _prior_cell,
    **{QUANTITIES[name].title: partial(_estimate_cell, name) for name in SHOWN},
    "Time": _time_cell,
}
"""The columns between an arm's name and its verdict. −ELBO and rate are those under the prior that comes first."""


def as_markdown(rows: Sequence[ArmRow]) -> str:
    """The arms as a Markdown table: mean ± standard deviation over seeds; a best −ELBO and NLL in bold.

    Example:
        >>> print(as_markdown([ArmRow("none", 3, 3, (Cell("uniform"),) + (Cell("—"),) * 8, {"collapsed": 3})]))
        | arm | seeds | prior | −ELBO | NLL | rate | mutual information | ... | verdict |
        |:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|:--|
        | `none` | 3 | uniform | — | — | — | — | — | — | — | — | collapsed |
    """
    head = ["arm", "seeds", *map(_lower, COLUMNS), "verdict"]
    lines = [head, [":--", *["--:"] * (len(head) - 2), ":--"]]
    for row in rows:
        cells = [f"**{c.main}** {c.extra}".strip() if c.best else str(c) for c in row.cells]
        verdict = f"{row.verdict} (**{row.flag}**)" if row.flag else row.verdict
        lines.append([f"`{row.name.replace('|', '∣')}`", str(row.n), *cells, verdict])
    return "\n".join(f"|{'|'.join(line)}|" if line[0] == ":--" else f"| {' | '.join(line)} |" for line in lines)


def _lower(title: str) -> str:
    return title if title.isupper() or title[0] == "−" else title[0].lower() + title[1:]


STATE_COLOR = {USED: "green", PARTLY: "yellow", COLLAPSED: "red", DEGENERATE: "magenta", WANTED: "green"}


NARROW = tuple(
    QUANTITIES[name].title for name in ("elbo", "rate", "mutual_information", "active_units", "worth_shuffled")
)
"""The columns that a terminal of less than :data:`WIDE` characters has room for."""
WIDE = 120
NAME = 13
"""Characters of an arm's name in a line of a narrow table."""
FOLDING = ("rate", "time")
"""The columns of a wide table whose cells have a second part that may be folded."""
REST = 115
"""Characters of all other columns of a wide one."""


def as_rich(rows: Sequence[ArmRow], title: str = "", width: int = WIDE) -> Table:
    """The arms as a table for the terminal; a narrow one leaves out what the page shows beside.

    The prior stands under the name of the arm, or where it is one for all arms in the title.
    """
    priors = dict.fromkeys(row.cells[0].main for row in rows)
    differ = len(priors) > 1
    if title and len(priors) == 1 and MISSING not in priors:
        prior = f"prior {next(iter(priors))}"
        title = f"{title}, {prior}" if len(f"{title}, {prior}") <= width else f"{title},\n{prior}"
    headings = list(COLUMNS)
    shown = [i for i, title in enumerate(headings) if i and (width >= WIDE or title in NARROW)]
    table = Table(title=title or None, title_justify="left", header_style="bold", pad_edge=False)
    if width < WIDE:  # without lines between columns all fits 80 characters
        table.box, table.padding, table.show_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
    table.add_column("arm\n(prior)" if differ else "arm", no_wrap=True)
    for heading in (_lower(headings[i]) for i in shown):
        longest = max(map(len, heading.split()))  # asked for more, one takes what the words of another need
        stiff = width >= WIDE and heading not in FOLDING
        table.add_column(
            fill(heading, longest, break_on_hyphens=False), justify="right", overflow="fold", no_wrap=stiff
        )
    table.add_column("verdict", overflow="fold", max_width=10 if width < WIDE else None)
    for row in rows:
        color = STATE_COLOR.get(next(iter(row.states), ""), "") if len(row.states) == 1 else ""
        verdict = f"{row.verdict}\n{row.flag}" if row.flag else row.verdict
        kept = [row.cells[i] for i in shown]
        cells = [_text("\n".join(_lines(c)), "bold" if c.best else "") for c in kept]
        name = row.name if not differ else f"{row.name}\n({row.cells[0].main})"
        table.add_row(_text(folded(name, max(NAME, width - REST))), *cells, _text(verdict, color))
    return table


def _lines(cell: Cell) -> list[str]:
    return [cell.main, *cell.extra.replace(" (", "\n(").splitlines()]


def folded(name: str, width: int) -> str:
    """The name of an arm in lines of about ``width`` characters, broken where its pieces meet.

    Example:
        >>> folded("kl_annealing+word_dropout:rate=0.5", 16).splitlines()
        ['kl_annealing+', 'word_dropout:', 'rate=0.5']
    """
    lines = [""]
    for piece in re.findall(r"[^_+:]*[_+:]?", name):
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _text(text: str, style: str = "") -> Text:
    return Text(text, style=style)  # never read as markup


def as_csv(comparison: ComparisonResult) -> str:
    """One line a run: arm, seed, verdict, seconds, and every estimate with its error, as in the evidence files."""
    names = list(QUANTITIES)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = ["arm", "run", "seed", "prior", "state", "cause", "seconds", "n"]
    writer.writerow([*head, *(f"{name}{suffix}" for name in names for suffix in ("", "_error"))])
    for arm in comparison.arms:
        for run, taken in zip(arm.runs, arm.seconds, strict=True):
            writer.writerow([arm.name, *_run_cells(run, comparison), taken, *_estimates(run, names)])
    return file.getvalue()


def _run_cells(run: RunResult, comparison: ComparisonResult) -> list[object]:
    cause = run.evidence.verdict.cause if run.evidence else None
    return [run.folder.relative_to(comparison.folder).as_posix(), run.seed, run.prior or None, run.state, cause]


def _estimates(run: RunResult, names: Sequence[str]) -> list[object]:
    found = [run.estimate(name) for name in names]
    return [run.evidence.n if run.evidence else None, *(x for e in found for x in (e.value, e.error))]
