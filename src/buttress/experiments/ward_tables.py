"""What diagnosed patients say of the engine: accuracy, confusion, calibration, false alarms; as CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from buttress.diagnostics.confidence import ODDS, calibrated, shifted
from buttress.experiments.ward import Visit
from buttress.patients import HEALTHY

__all__ = ["BINS", "calibration", "confusion", "csv_of", "fitted_odds", "half_table", "markdown", "missed", "share"]

BINS = ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.0), (1.0, 1.0))
"""Of the confidence; the last is certainty."""
HALVES = ("development", "unseen")


def share(right: int, n: int) -> str:
    """A share in per cent with its binomial error, that of two more successes and two more failures.

    Example:
        >>> share(19, 20)
        '95 % ± 7 (19 of 20)'
    """
    if not n:
        return "none"
    p = (right + 2) / (n + 4)
    return f"{100 * right / n:.0f} % ± {100 * math.sqrt(p * (1 - p) / (n + 4)):.0f} ({right} of {n})"


def csv_of(seen: Sequence[Visit]) -> str:
    """A row for each patient."""
    file = io.StringIO()
    out = csv.writer(file, lineterminator="\n")
    out.writerow(
        ["patient", "half", "over", "cause", "also", "allowed", "state", "first", "others", "undecided", "right",
         "confidence"]
    )  # fmt: skip
    for one in seen:
        p = one.patient
        lists = ["; ".join(names) for names in (p.also, p.allowed)]
        found = [one.evidence.verdict.state, one.first, "; ".join(one.others), "; ".join(one.undecided)]
        sure = one.confidence.get(one.first)
        out.writerow(
            [p.name, p.half, p.over, p.cause, *lists, *found, "yes" if one.right else "no",
             "" if sure is None else f"{sure:.3g}"]
        )  # fmt: skip
    return file.getvalue()


def confusion(seen: Sequence[Visit]) -> tuple[list[str], list[str], list[list[int]]]:
    """True causes, first causes that were named, and how often each pair came.

    A first cause that is true though it is not the main one counts as the main one.

    Example:
        >>> confusion([])
        ([], [], [])
    """
    pairs = [(one.patient.cause, one.patient.cause if one.right else one.first) for one in seen]
    rows = list(dict.fromkeys(true for true, _ in pairs))
    columns = [*rows, *dict.fromkeys(said for _, said in pairs if said not in rows)]
    return rows, columns, [[pairs.count((true, said)) for said in columns] for true in rows]


def fitted_odds(seen: Sequence[Visit]) -> float:
    """The r of :mod:`buttress.diagnostics.confidence` under which the findings of some patients are most likely.

    Findings that every draw names, or none, say nothing of it. NaN where there are no others.

    Args:
        seen: The patients: of the development half.

    Example:
        >>> fitted_odds([])
        nan
    """
    pairs = [
        (often, share, cause in one.patient.true)
        for one in seen
        for cause, (often, share) in one.drawn.items()
        if 0 < often < 1
    ]
    if not pairs:
        return math.nan

    def surprise(odds: float) -> float:
        sure = ((share * shifted(often, odds), true) for often, share, true in pairs)
        return -sum(math.log(c if true else 1 - c) for c, true in sure)

    return min((math.exp(k / 50) for k in range(-150, 151)), key=surprise)


def calibration(seen: Sequence[Visit], least: int = 1, odds: float = ODDS) -> list[tuple[str, int, float, float]]:
    """For each bin of the confidence: its name, findings in it, their mean confidence and the share that is true.

    Every cause that some draw names of any patient is a finding; of a borderline one that is true which the exact
    numbers give.

    Args:
        seen: The patients.
        least: Findings in a bin; smaller ones are joined with the next, and the last with the one before.
        odds: r; 1 for the confidence before it was calibrated.

    Example:
        >>> calibration([])
        []
    """
    found = [
        (sure, cause in one.patient.true)
        for one in seen
        for cause, sure in (calibrated(one.drawn, odds) if one.drawn else one.confidence).items()
    ]
    bins: list[tuple[float, float, list[tuple[float, bool]]]] = []
    for low, high in BINS:
        inside = [pair for pair in found if (low <= pair[0] < high if low < high else pair[0] >= low)]
        if bins and len(bins[-1][2]) < least:
            start, _, before = bins.pop()
            low, inside = start if before else low, before + inside
        bins.append((low, high, inside))
    if len(bins) > 1 and len(bins[-1][2]) < least:
        (_, high, inside), (low, _, before) = bins.pop(), bins.pop()
        bins.append((low, high, before + inside))
    rows = []
    for low, high, inside in bins:
        if inside:
            name = f"{low:.1f} to {high:.1f}" if low < high else "1"
            mean, true = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            rows.append((name, len(inside), mean, true))
    return rows


def missed(seen: Sequence[Visit]) -> list[Visit]:
    """Those whose first cause is wrong."""
    return [one for one in seen if not one.right]


def half_table(seen: Sequence[Visit]) -> str:
    """Accuracy and false alarms of each half, in Markdown."""
    rows: list[tuple[str, ...]] = [("", *HALVES)]
    by_half = [[one for one in seen if one.patient.half == half] for half in HALVES]
    ill = [[one for one in group if one.patient.cause != HEALTHY] for group in by_half]
    well = [[one for one in group if one.patient.cause == HEALTHY] for group in by_half]
    rows.append(("patients", *(str(len(group)) for group in by_half)))
    rows.append(("first cause right", *(_right(group) for group in by_half)))
    sharp = [[one for one in group if not one.patient.borderline] for group in by_half]
    rows.append(("... of those not borderline", *(_right(group) for group in sharp)))
    rows.append(("... of those with a cause", *(_right(group) for group in ill)))
    rows.append(("... of the healthy", *(_right(group) for group in well)))
    rows.append(("healthy, called collapsed", *(share(sum(o.false_alarm for o in g), len(g)) for g in well)))
    rows.append(("healthy, given a cause", *(share(sum(bool(_named(o)) for o in g), len(g)) for g in well)))
    rows.append(("recall: true causes that are named (some patients have two)", *(_recall(group) for group in ill)))
    rows.append(("precision: named causes that are true, or borderline", *(_precision(group) for group in by_half)))
    return _table(rows)


def _right(group: Sequence[Visit]) -> str:
    return share(sum(one.right for one in group), len(group))


def _named(one: Visit) -> set[str]:
    """All causes named of a patient that are neither true nor allowed."""
    return {cause for cause in (one.first, *one.others) if cause not in ("not known", HEALTHY)} - set(
        one.patient.allowed
    )


def _recall(group: Sequence[Visit]) -> str:
    true = [(cause in (one.first, *one.others)) for one in group for cause in one.patient.true]
    return share(sum(true), len(true))


def _precision(group: Sequence[Visit]) -> str:
    named = [
        cause in (*one.patient.true, *one.patient.allowed)
        for one in group
        for cause in (one.first, *one.others)
        if cause not in ("not known", HEALTHY)
    ]
    return share(sum(named), len(named))


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|:--|" + "--:|" * (len(rows[0]) - 1), *body])


def markdown(seen: Sequence[Visit]) -> str:
    """All tables."""
    parts = ["## Accuracy", half_table(seen)]
    for half in HALVES:
        group = [one for one in seen if one.patient.half == half]
        if not group:
            continue
        rows, columns, counts = confusion(group)
        short = [f"{i + 1}" for i in range(len(columns))]
        body = [(f"{i + 1}. {rows[i]}", *("" if not n else str(n) for n in counts[i])) for i in range(len(rows))]
        further = [f"{i + 1}: {columns[i]}" for i in range(len(rows), len(columns))]
        parts += [f"## Confusion, {half} half", "A row for what is true, a column for the first cause that is named."]
        parts += [_table([("", *short), *body]), *([f"Column {'; '.join(further)}."] if further else [])]
        parts += [f"### Wrong in the {half} half", _wrong(group)]
        parts += [f"### Confidence, {half} half", _calibrated(group)]
    parts += ["## The patients", _listed(seen)]
    return "\n\n".join(parts) + "\n"


def _wrong(group: Sequence[Visit]) -> str:
    lines = [
        f"- `{one.patient.name}` ({one.patient.over}): {one.patient.cause}; named: {one.first}, state "
        f"{one.evidence.verdict.state}. {one.patient.about}"
        for one in missed(group)
    ]
    return "\n".join(lines) or "None."


def _calibrated(group: Sequence[Visit]) -> str:
    """The confidence, and what it was before it was calibrated."""
    tables = []
    for what, odds in (("confidence", ODDS), ("as drawn, before calibration", 1.0)):
        rows = [(what, "findings", "mean", "true")]
        rows += [(name, str(n), f"{mean:.2f}", f"{true:.2f}") for name, n, mean, true in calibration(group, odds=odds)]
        tables.append(_table(rows))
    return "\n\n".join(tables)


def _judged(one: Visit) -> str:
    """Wrong, or right although another cause is true: on the other side of a threshold that is near."""
    if not one.right:
        return "wrong"
    return "" if one.first in (one.patient.true or (HEALTHY,)) else "right: borderline"


def _listed(seen: Sequence[Visit]) -> str:
    rows = [("patient", "half", "over", "what was done to it", "true", "named first", "judged")]
    rows += [
        (
            f"`{one.patient.name}`",
            one.patient.half,
            one.patient.over,
            one.patient.about,
            "; ".join(one.patient.true) or HEALTHY,
            one.first,
            _judged(one),
        )
        for one in seen
    ]
    return _table(rows).replace("--:|" * 6, ":--|" * 6)
