"""Two diagnoses of one model as one: a cheaper one does not delete what a richer one measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from buttress.diagnostics.estimators.amortisation import REPORTED
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.verdict import judge

__all__ = ["merge"]

EFFORTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("nll_samples", "nll_examples"): (
        "nll",
        "effective_sample_size",
        "bound_gap",
        "nll_looseness",
        "bits_per_dim",
        "perplexity",
    ),
    ("gap_steps", "gap_examples"): REPORTED,
    ("mi_examples",): ("mutual_information", "aggregate_kl"),
}
"""Settings that say how much effort goes into numbers -> these numbers."""
OF_THE_MODEL = ("step", "inference", "seed", "samples")
"""Settings that must agree: else it was another model, or not measured alike."""


def merge(before: Evidence, after: Evidence) -> tuple[Evidence, tuple[str, ...]]:
    """The later evidence with the numbers of the earlier one that were measured with more effort, and which these are.

    Numbers are kept together with the settings they were measured with, where no such setting is larger afterwards and
    one is smaller; nothing is kept where another step of training, another q(z|x), other held-out data or another seed
    was measured. The verdict is made anew.

    Args:
        before: What an earlier diagnosis found.
        after: What the latest one found.

    Example:
        >>> from buttress.diagnostics.estimate import Estimate
        >>> from buttress.diagnostics.evidence import Groups
        >>> def found(k, nll):
        ...     estimates = {"nll": Estimate(nll, 0.1, 100, "IWAE")} if k else {}
        ...     return Evidence(100, "table", estimates, Groups((), (), (), ()), {"nll_samples": k, "step": 9})
        >>> merged, kept = merge(found(500, 7.0), found(0, None))
        >>> merged.estimates["nll"].value, merged.settings["nll_samples"], kept
        (7.0, 500, ('nll with nll_samples 500',))
        >>> merge(found(500, 7.0), found(800, 6.9))[1]
        ()
    """
    if not _same_model(before, after):
        return after, ()
    estimates, settings, kept = dict(after.estimates), dict(after.settings), []
    for efforts, names in EFFORTS.items():
        mine = {name: before.estimates[name] for name in names if name in before.estimates}
        if mine and _richer(efforts, before.settings, after.settings):
            estimates |= mine
            settings |= {name: before.settings[name] for name in efforts if name in before.settings}
            measured = ", ".join(f"{name} {before.settings[name]}" for name in efforts if name in before.settings)
            kept.append(f"{', '.join(mine)} with {measured}")
    if not kept:
        return after, ()
    merged = replace(after, estimates=estimates, settings=settings)
    return replace(merged, verdict=judge(estimates, after.kind, after.notes)), tuple(kept)


def _same_model(before: Evidence, after: Evidence) -> bool:
    alike = all(before.settings.get(name) == after.settings.get(name) for name in OF_THE_MODEL)
    return alike and (before.n, before.kind) == (after.n, after.kind)


def _richer(efforts: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether no effort has grown and one has shrunk; of a number that was left out, none counts."""
    first, *rest = efforts
    if not after.get(first, 0) and after.get(first, 0) is not None:
        return True
    pairs = [(_size(before.get(name)), _size(after.get(name))) for name in (first, *rest)]
    return all(old >= new for old, new in pairs) and any(old > new for old, new in pairs)


def _size(effort: int | None) -> float:
    """An effort as a number: None is all examples."""
    return float("inf") if effort is None else float(effort)
