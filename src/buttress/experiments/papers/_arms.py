"""The numbers of the finished runs of a comparison, as the result files of experiments hold them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from buttress.diagnostics.evidence import Evidence
from buttress.experiments.claim import Claim

__all__ = ["broken", "claim", "measured", "seen", "trained", "with_reason"]

KEPT = (
    "elbo", "nll", "distortion", "rate", "mutual_information", "active_units", "worth_shuffled", "nuisance_r2",
    "feature_cosine", "label_accuracy", "label_accuracy_sampled", "unordered_cost", "mixture_cost", "ordered_cost",
)  # fmt: skip
"""Estimates that are kept, where a run has them; in nats, but for units, cosine and accuracies."""


def measured(folder: Path, part: str = ".") -> list[dict[str, Any]]:
    """A dict for each finished run: arm, seed, folder, seconds of training, and its estimates.

    Args:
        folder: Of the experiment.
        part: The folder of the comparison in it.
    """
    rows = []
    for row in trained(folder, part):
        found = Evidence.load(folder / row["folder"] / "evidence.json")
        values = {name: found.estimates[name].value for name in KEPT if name in found.estimates}
        rows.append({**row, "state": found.verdict.state, **values})
    return rows


def trained(folder: Path, part: str = ".") -> list[dict[str, Any]]:
    """A dict for each finished run: arm, seed, folder, and seconds of training.

    Args:
        folder: Of the experiment.
        part: The folder of the comparison in it.
    """
    return [
        {"arm": entry["name"], "seed": int(run.rpartition("-")[2]), "folder": f"{part}/{run}", "seconds": round(s, 1)}
        for entry in json.loads((folder / part / "comparison.json").read_text("utf-8"))["arms"]
        for run, s in zip(entry["runs"], entry["seconds"], strict=True)
    ]


def broken(folder: Path, part: str = ".") -> list[dict[str, Any]]:
    """A dict for each run that did not finish: arm, seed, folder, and ``broke_off``, which says why.

    Args:
        folder: Of the experiment.
        part: The folder of the comparison in it.
    """
    entries = json.loads((folder / part / "comparison.json").read_text("utf-8"))["arms"]
    return [
        {"arm": entry["name"], "seed": int(run.rpartition("-")[2]), "folder": f"{part}/{run}", "broke_off": why}
        for entry in entries
        for run, why in entry["failed"].items()
    ]


def with_reason(claims: Sequence[Claim], runs: Sequence[dict[str, Any]]) -> list[Claim]:
    """Claims of which those without a number say so, where a run broke off.

    Example:
        >>> lost = [{"arm": "none", "seed": 0, "broke_off": "step 3: mu became NaN"}]
        >>> with_reason([claim("rate, nats", "above", 1.0, seen(lost, "none", "rate"))], lost)[0].missing
        'the run broke off'
    """
    why = "the run broke off" if any(run.get("broke_off") for run in runs) else ""
    return [replace(one, missing=why) if math.isnan(one.median) else one for one in claims]


def seen(runs: Sequence[dict[str, Any]], arm: str, name: str) -> tuple[float, ...]:
    """A number of an arm for each seed, in the order of seeds; NaN where it was not measured.

    Example:
        >>> seen([{"arm": "none", "seed": 1, "rate": 2.0}, {"arm": "none", "seed": 0, "rate": None}], "none", "rate")
        (nan, 2.0)
    """
    values = {run["seed"]: run.get(name) for run in runs if run["arm"] == arm}
    kept = (values.get(s) for s in sorted({run["seed"] for run in runs}))
    return tuple(math.nan if value is None else float(value) for value in kept)


def claim(says: str, wanted: Any, mark: float, values: Sequence[float], minus: Sequence[float] | None = None) -> Claim:
    """A claim about values by seed, or about their differences from others of the same seeds.

    Example:
        >>> claim("gain, nats", "above", 1.0, (5.0, 6.0, 7.0), (3.0, 3.0, 3.0)).median
        3.0
    """
    other = (0.0,) * len(values) if minus is None else minus
    return Claim(says, wanted, mark, tuple(a - b for a, b in zip(values, other, strict=True)))
