"""A comparison for people: a page, its table as CSV, as Markdown and for the terminal, and its plane as a picture.

Made from the result files of the runs alone. An arm that has the best ELBO but ignores z is flagged everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from buttress.diagnostics.verdict import PARTLY, USED
from buttress.report import curves, plane, units
from buttress.report.advice import command, notices
from buttress.report.differences import CLEAR, difference, of, shown_difference
from buttress.report.drawing import styles, write_png
from buttress.report.expectations import RULE, apart
from buttress.report.gallery import parts
from buttress.report.latent_figures import z_map
from buttress.report.numbers import MISSING, nats
from buttress.report.page import render
from buttress.report.quantities import QUANTITIES
from buttress.report.results import ArmResult, ComparisonResult, RunResult, load_comparison
from buttress.report.tables import COLUMNS, WIDE, ArmRow, arm_rows, as_csv, as_markdown, as_rich
from buttress.runtime.atomic_write import write_text

__all__ = ["markdown_table", "terminal_table", "write_comparison"]


def write_comparison(folder: str | Path) -> Path:
    """Write ``report.html`` into a comparison's folder, and what goes into a paper or a README; gives the page.

    These are ``comparison.csv`` with every number, ``comparison.md`` with the table, ``rate_distortion.png``.

    Args:
        folder: Holds ``comparison.json`` and the runs it lists.

    Errors:
        FileNotFoundError: There is no ``comparison.json``.
        ValueError: It is not the JSON of a comparison.
    """
    comparison = load_comparison(folder)
    write_text(comparison.folder / "comparison.csv", as_csv(comparison))
    write_text(comparison.folder / "comparison.md", f"{markdown_table(folder)}\n")
    if (figure := plane.draw_arms(comparison.arms)) is not None:
        write_png(figure, comparison.folder / "rate_distortion.png")
    path = comparison.folder / "report.html"
    write_text(path, render("comparison.html.j2", **_page(comparison)))
    return path


def markdown_table(folder: str | Path) -> str:
    """The table of arms as Markdown, for a README or a log; below it, the runs that failed."""
    comparison = load_comparison(folder)
    failures = [f"- {line}" for line in _failures(comparison)]
    return as_markdown(arm_rows(comparison)) + ("\n\n" + "\n".join(failures) if failures else "")


def terminal_table(folder: str | Path, width: int = WIDE) -> Table:
    """The table of arms for a terminal of ``width`` characters; see :func:`buttress.report.tables.as_rich`."""
    comparison = load_comparison(folder)
    seeds = _seeds(comparison)
    over = "one seed" if seeds <= 1 else f"mean ± sd of {seeds} seeds"
    title = f"{comparison.data}: held-out, nats per example, {over}" if comparison.data else ""
    return as_rich(arm_rows(comparison), title, width)


def _page(comparison: ComparisonResult) -> dict[str, Any]:
    rows, arms = arm_rows(comparison), comparison.arms
    data = comparison.data
    return {
        "title": f"{Path(data).name or data}: which remedy keeps z in use?" if data else "Which remedy keeps z in use?",
        "subtitle": _subtitle(comparison),
        "sentences": sentences(comparison, rows),
        "commands": _commands(arms),
        "flagged": any(row.flag for row in rows),
        "any_used": any(_uses(arm) for arm in arms),
        "remarks": _remarks(comparison),
        "columns": {i: title for i, title in enumerate(COLUMNS) if i and any(r.cells[i].main != MISSING for r in rows)},
        "averaged": _averaged(comparison),
        "rows": rows,
        "looks": styles(arm.name for arm in arms),
        "plane": plane.arm_plane(arms),
        "curves": curves.arm_curves(arms, "rate", "rate (KL), nats", height=4.4),
        "information": curves.arm_curves(arms, "mutual_information", "mutual information, nats"),
        "variances": units.variance_curves(arms),
        "collapses": units.collapse_curves(arms),
        "galleries": [_gallery(arm, run) for arm in arms if (run := _with_pictures(arm)) is not None],
        "rule": RULE,
        "runs": [_run(arm, run, comparison.folder) for arm in arms for run in arm.runs],
        "quantities": [QUANTITIES[name] for name in QUANTITIES if any(of(arm, name) for arm in arms)],
    }


def sentences(comparison: ComparisonResult, rows: list[ArmRow]) -> list[str]:
    """The result in one to three plain sentences."""
    arms = [arm for arm in comparison.arms if arm.states]
    if not arms:
        return ["No run has a verdict yet."]
    using = [arm for arm in arms if _uses(arm)]
    said = [f"z is in use in {len(using)} of {len(arms)} arms."]
    priced = [(found.mean, arm) for arm in using if (found := of(arm, "elbo")) is not None]
    if priced:
        elbo, best = max(priced, key=lambda pair: pair[0])
        lowest = f"The lowest −ELBO with z in use is {nats(-elbo)} nats, by {best.name}."
        said.append(" ".join(filter(None, [lowest, _rivals(best, using), _against(best, arms)])))
    said += [
        f"{row.name} has the lowest −ELBO but ignores z: a good ELBO does not show that z is used."
        for row in rows
        if row.flag
    ]
    return said


def _rivals(best: ArmResult, using: list[ArmResult]) -> str:
    """The arms from which the best one is not clear, where seeds can tell."""
    apart = {arm.name: difference(best, arm, "elbo") for arm in using if arm is not best}
    near = [name for name, found in apart.items() if found and found.sd is not None and not found.clear]
    return f"Within the spread over seeds, {' and '.join(near)} may be as good." if near else ""


def _against(best: ArmResult, arms: list[ArmResult]) -> str:
    """How an arm stands to the baseline, and whether seeds bear that out."""
    base = next((arm for arm in arms if arm.name == "none" and arm is not best), None)
    ours, theirs = of(best, "elbo"), of(base, "elbo") if base else None
    if base is None or ours is None or theirs is None or (found := difference(best, base, "elbo")) is None:
        return ""
    who = "the baseline (none)" + (", which ignores z" if base.ignores_z else "")
    beside = f"{who.replace('the', 'The', 1)}{',' * base.ignores_z} has {nats(-theirs.mean)}"
    if found.sd is None:
        return f"{beside}; with one seed the spread over seeds is unknown, so this difference may be chance."
    far = shown_difference(ours.mean, theirs.mean)
    spread = f"{far} ± {nats(found.sd)} nats ({'difference seed by seed' if found.paired else 'difference'}, ± its sd)"
    if not found.clear or not float(far.replace(",", "")):
        return f"That is no better and no worse than {who}: {spread}."
    return f"That is {spread} {'better' if found.mean > 0 else 'worse'} than {who}."


def _uses(arm: ArmResult) -> bool:
    return 2 * (arm.states.get(USED, 0) + arm.states.get(PARTLY, 0)) > sum(arm.states.values())


def _commands(arms: Sequence[ArmResult]) -> list[str]:
    """A command that goes on with the best arm that uses z: the same recipe for twice as many steps."""
    priced = [(found.mean, arm) for arm in arms if _uses(arm) and (found := of(arm, "elbo")) is not None]
    run = max(priced, key=lambda pair: pair[0])[1].runs[0] if priced else None
    training = run.recipe.get("training") if run else None
    steps = training.get("steps") if isinstance(training, Mapping) else None
    if run is None or not isinstance(steps, int):
        return []
    return [command(run, ("--training.steps", str(2 * steps)), "longer")]


def _subtitle(comparison: ComparisonResult) -> str:
    seeds = _seeds(comparison)
    same = "same data, decoder and budget for every arm"
    bits = [f"{len(comparison.arms)} arms", f"{seeds} seed{'s' * (seeds != 1)}", _budget(comparison.budget), same]
    return " · ".join(filter(None, bits))


def _averaged(comparison: ComparisonResult) -> str:
    """What the page says above its table about means, spreads and bold numbers."""
    if _seeds(comparison) <= 1:
        return "one seed for each arm, so the spread over seeds is unknown and no number is marked as best"
    return (
        "mean ± standard deviation over seeds; bold is the lowest, where it is lower than that of every other arm by "
        f"more than {CLEAR:g} standard deviations of the difference"
    )


def _seeds(comparison: ComparisonResult) -> int:
    return max((len(arm.runs) for arm in comparison.arms), default=0)


def _budget(budget: Any) -> str:
    if not isinstance(budget, Mapping):
        return f"budget {budget}" if budget not in (None, "") else ""
    given = {key.replace("_", " "): value for key, value in budget.items() if value is not None}
    return ", ".join(f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in given.items())


def _remarks(comparison: ComparisonResult) -> list[str]:
    """What is not in the table, and why."""
    absent = [f"{name} was left out: {reason}" for name, reason in comparison.left_out.items()]
    lost = [run for arm in comparison.arms for run in arm.runs if run.evidence is None]
    absent += _failures(comparison)
    return absent + [f"{_where(run, comparison.folder)} has no evidence and is in no mean." for run in lost]


def _failures(comparison: ComparisonResult) -> list[str]:
    """The runs that failed, which are in no row and no mean, a line each."""
    return [f"{run} failed: {reason}" for run, reason in comparison.failed.items()]


def _with_pictures(arm: ArmResult) -> RunResult | None:
    return next((run for run in arm.runs if run.examples), None)


def _gallery(arm: ArmResult, run: RunResult) -> dict[str, Any]:
    """One arm's examples, a map of its z, and what to expect of them."""
    return {
        "name": arm.name,
        "state": run.state,
        "carries": apart(run),
        "notices": notices(run),
        "map": z_map(run.latent, 3.2, arm.name) if run.latent else None,
        "parts": parts(run.examples, few=True),
    }


def _run(arm: ArmResult, run: RunResult, folder: Path) -> dict[str, Any]:
    verdict = run.evidence.verdict if run.evidence else None
    where, report = _where(run, folder), run.folder / "report.html"
    return {
        "arm": arm.name,
        "name": where,
        "link": f"{where}/report.html" if report.is_file() else None,
        "state": run.state,
        "cause": verdict.cause if verdict else None,
        "why": (verdict.reasons[0] if verdict.reasons else "") if verdict else " ".join(run.remarks[:1]),
    }


def _where(run: RunResult, folder: Path) -> str:
    return run.folder.relative_to(folder).as_posix()
