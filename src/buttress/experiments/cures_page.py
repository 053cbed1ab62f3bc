"""What advice did for each patient, as a section of the page of patients; made from ``cures.csv`` alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from buttress.core import remedy
from buttress.core.recipe import Recipe
from buttress.data.opened import opened
from buttress.experiments.cures import AT_A_PRICE, CURED
from buttress.experiments.patients import LOSSES, patients
from buttress.patients import HEALTHY
from buttress.patients import patients as closed_forms

__all__ = ["advised", "kept_section", "section", "with_section"]

HEADING = "## Each advice, tried on its patient"
NOBODY = "none in the catalogue"
INTRODUCTION = """Which advice cures is tried where a model can be trained: on the recipes of
[`experiments/patients.py`](../src/buttress/experiments/patients.py), some of which have the data and the loss of
a patient above whose loss is at fault. Each is trained and diagnosed, then
trained anew with the same data, steps and seed under what is advised for its cause. It is *cured* where the
cause neither holds nor is borderline any more, z is used, and −ELBO is no worse by more than two standard
errors; *at a price* where all but the last is so, with the price in nats. "By hand" is a change that is advised
in words and is no remedy of the catalogue. One seed each. `buttress cures --page docs/patients.md` writes this
section and [the numbers](results/cures.csv)."""


def advised(causes: str, recipe: Recipe) -> tuple[str, ...]:
    """What a verdict with these causes advises for a recipe, in order.

    Args:
        causes: As a row of ``cures.csv`` holds them; what is borderline is no ground for advice.
        recipe: Of the model.
    """
    holding = [one for one in causes.split("; ") if one and not one.endswith("(borderline)")]
    kind, codes = opened(recipe.data).spec.kind, recipe.posterior.discrete
    return tuple(dict.fromkeys(name for one in holding for name in remedy.cures(one, recipe, kind, codes)))


def section(rows: Iterable[Mapping[str, Any]]) -> str:
    """The section, heading included.

    Args:
        rows: Of ``cures.csv``, the first seed of each patient.
    """
    of: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if str(row["seed"]) == "0":
            of.setdefault(row["patient"], []).append(row)
    lines = [_line(name, found) for name, found in of.items()]
    head = "| patient | true cause | cause found | advised first | cured | also cured | did not cure |"
    table = "\n".join([head, "|:--|:--|:--|:--|:--|:--|:--|", *(f"| {' | '.join(line)} |" for line in lines)])
    return "\n\n".join([HEADING, INTRODUCTION, _count(lines), table, _untried()])


def _line(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row of the table: a patient, what was advised first, and how every arm fared."""
    ill, arms = rows[0], rows[1:]
    order = advised(ill["causes"], patients()[name]().arms["none"])
    tried = {row["arm"].partition(":")[0]: row for row in arms}
    first = next(iter(order), "")
    rest = [row for row in arms if row["arm"].partition(":")[0] != first]
    cured = [_named(row, order) for row in rest if row["cured"] in (CURED, AT_A_PRICE)]
    failed = [_named(row, order) for row in rest if row["cured"] not in (CURED, AT_A_PRICE)]
    outcome = _outcome(tried[first]) if first in tried else "not tried" if first else ""
    found = ill["causes"] or "none"
    return [
        f"`{name}`",
        ill["cause"],
        "the same" if found == ill["cause"] else found,
        f"`{first}`" if first else NOBODY,
        outcome,
        ", ".join(dict.fromkeys(cured)),
        ", ".join(dict.fromkeys(failed)),
    ]


def _named(row: Mapping[str, Any], order: Sequence[str]) -> str:
    arm = row["arm"].partition(":")[0]
    price = f" ({float(row['price']):.2g})" if row["cured"] == AT_A_PRICE else ""
    known = arm in remedy.catalogue()
    return f"{f'`{arm}`' if known else arm}{'' if arm in order else ' (not advised)' if known else ' (by hand)'}{price}"


def _outcome(row: Mapping[str, Any]) -> str:
    return f"at a price ({float(row['price']):.2g})" if row["cured"] == AT_A_PRICE else str(row["cured"])


def _count(lines: Sequence[Sequence[str]]) -> str:
    """How often the first advice cured."""
    given = [line for line in lines if line[3] != NOBODY]
    first = sum(line[4].startswith((CURED, AT_A_PRICE)) for line in given)
    some = sum(line[4].startswith((CURED, AT_A_PRICE)) or bool(line[5]) for line in lines)
    return (
        f"Of {len(lines)} patients, {len(given)} get advice that the catalogue can apply; the first advice cured "
        f"{first} of these. Some change cured {some} of the {len(lines)}."
    )


def _untried() -> str:
    """The causes of patients that are not trained, with their numbers."""
    left: dict[str, int] = {}
    for one in closed_forms().values():
        if one.cause != HEALTHY and one.name not in LOSSES:
            left[one.cause] = left.get(one.cause, 0) + 1
    told = ", ".join(f"{cause} ({count})" for cause, count in sorted(left.items()))
    return (
        "Not tried: the other patients of `buttress.patients`. Their weights are set by hand, and training from "
        "scratch would undo what is wrong with most of them, or a recipe states what a foreign loss leaves open, or "
        f"their cause has no remedy: {told}."
    )


def kept_section(page: str) -> str:
    r"""The section of a page that was written before; empty where it has none.

    Example:
        >>> kept_section("# Page\n\n## Other\n\nx\n")
        ''
    """
    _, found, after = page.partition(HEADING)
    body = after.partition("\n## ")[0]
    return f"{HEADING}{body}".rstrip() if found else ""


def with_section(page: str, made: str) -> str:
    r"""A page with its section replaced, or with it at the end.

    Example:
        >>> with_section("# Page\n", f"{HEADING}\n\nnew")
        '# Page\n\n## Each advice, tried on its patient\n\nnew\n'
    """
    had = kept_section(page)
    return page.replace(had, made) if had else f"{page.rstrip()}\n\n{made}\n"
