"""Advice tried on the models that it is given for: each is trained, diagnosed, and trained anew under every remedy.

A patient (:mod:`buttress.experiments.patients`) is a small recipe of which the verdict names a known cause. Its arms
are the recipe itself (``none``) and the recipe under each remedy that may cure that cause, trained from scratch on the
same data, with the same steps and seed. A remedy is seen to cure where, after it, the cause neither holds nor is
borderline, z is used, and the negative ELBO is no worse than without it by more than two standard errors of the
difference. Where all holds but the last, it cures at a price, and the table says how many nats it costs.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from buttress.core import remedy
from buttress.core.recipe import Recipe
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.finding import NOT_KNOWN
from buttress.diagnostics.state import USED
from buttress.experiments.branches import check_jobs
from buttress.experiments.patients import Patient, patients
from buttress.experiments.pool import News, run_all
from buttress.runtime.atomic_write import write_text
from buttress.training.lock import refuse_file

__all__ = ["AT_A_PRICE", "CURED", "Outcome", "chosen", "judged", "proven", "run_cures", "table"]

CURED, AT_A_PRICE, NOT_CURED = "yes", "at a price", "no"
EFFORT = {"nll_samples": 20, "nll_examples": 200, "gap_steps": 40, "gap_examples": 60, "mi_examples": 1000}
"""Of every diagnosis; see :func:`buttress.diagnostics.diagnose.diagnose`."""
SHOWN = ("elbo", "rate", "mutual_information", "worth_shuffled")


@dataclass(frozen=True)
class Outcome:
    """One model, before or after a remedy.

    Args:
        patient: Its name.
        cause: What the patient has.
        arm: The remedy, another change of the recipe, or "none".
        seed: Of training and diagnosis.
        steps: Of training.
        evidence: What was measured.

    Example:
        >>> from buttress.diagnostics.evidence import Groups
        >>> evidence = Evidence(100, "table", {}, Groups((), (), (), ()))
        >>> Outcome("p", "inference lags", "none", 0, 100, evidence).has_cause
        False
    """

    patient: str
    cause: str
    arm: str
    seed: int
    steps: int
    evidence: Evidence

    @property
    def causes(self) -> dict[str, str]:
        """The causes that hold or are borderline, each as remedies name it, and how certain it is."""
        found = self.evidence.verdict.findings
        return {one.remedies_for or one.cause: one.strength for one in found if one.strength != NOT_KNOWN}

    @property
    def has_cause(self) -> bool:
        """Whether the patient's cause holds or is borderline."""
        return self.cause in self.causes

    def told(self, name: str) -> tuple[float, float]:
        """An estimate and its standard error; NaN where it was not measured."""
        found = self.evidence.estimates.get(name)
        value, error = (None, None) if found is None else (found.value, found.error)
        return math.nan if value is None else value, math.nan if error is None else error


def run_cures(
    folder: Path,
    jobs: int = 1,
    only: Sequence[str] = (),
    remedies: Sequence[str] = (),
    watch: Callable[[str, int, int], None] = lambda run, step, total: None,
    ended: Callable[[str, str], None] = lambda run, outcome: None,
) -> list[Outcome]:
    """Train and diagnose every arm of every patient, or take up what is in the folder, and write ``cures.csv``.

    Args:
        folder: Where the runs go; finished ones are kept, a half-finished one goes on.
        jobs: Runs at a time.
        only: Names of patients; empty for all.
        remedies: Names of remedies; empty for every arm. The patient itself is always among the arms.
        watch: Called with (run, step, total) as runs proceed.
        ended: Called with (run, outcome in words) as each ends.

    Errors:
        ValueError: There is no such patient, none of them is tried with such a remedy, or a run failed.
    """
    check_jobs(jobs)
    refuse_file(folder)
    plan = {
        _folder(one, arm, seed): (one, arm, seed)
        for one in chosen(only, remedies)
        for arm in one.arms
        for seed in one.all_seeds
    }
    tasks = {
        run: (_seeded(one.arms[arm], seed).to_yaml(), str(folder), run, seed)
        for run, (one, arm, seed) in plan.items()
        if not (folder / run / "evidence.json").exists()
    }
    _, failed = run_all(_run_one, tasks, jobs, watch, ended) if tasks else ({}, {})
    if failed:
        raise ValueError("; ".join(f"{run}: {why}" for run, why in failed.items()))
    outcomes = [
        Outcome(
            one.name, one.cause, arm, seed, one.arms[arm].training.steps, Evidence.load(folder / run / "evidence.json")
        )
        for run, (one, arm, seed) in plan.items()
    ]
    write_text(folder / "cures.csv", table(outcomes))
    return outcomes


def chosen(only: Sequence[str], remedies: Sequence[str]) -> list[Patient]:
    """Some patients with some arms; see :func:`run_cures`.

    Example:
        >>> [(one.name, list(one.arms)) for one in chosen([], ["vlae"])]
        [('digits', ['none', 'vlae:field=3:total=2.0:hidden=64'])]
    """
    known = patients()
    if missing := [name for name in only if name not in known]:
        raise ValueError(f"there is no patient {missing[0]!r}; there are {', '.join(known)}")
    found = [known[name]() for name in (only or known)]
    tried = {arm.partition(":")[0] for one in found for arm in one.arms if arm != "none"}
    if absent := sorted(set(remedies) - tried):
        raise ValueError(f"no patient here is tried with {absent[0]!r}; they are tried with {', '.join(sorted(tried))}")
    return [one for one in (_with_arms(one, remedies) for one in found) if not remedies or len(one.arms) > 1]


def _with_arms(patient: Patient, remedies: Sequence[str]) -> Patient:
    """The patient with the arms of some remedies alone, or with all."""
    kept = {arm: one for arm, one in patient.arms.items() if arm == "none" or arm.partition(":")[0] in remedies}
    return replace(patient, arms=kept) if remedies else patient


def _folder(patient: Patient, arm: str, seed: int) -> str:
    return f"{patient.name}/{re.sub(r'[^a-zA-Z0-9_.+-]+', '_', arm)}/seed-{seed}"


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    return replace(recipe, training=replace(recipe.training, seed=seed))


def _run_one(recipe_yaml: str, folder: str, name: str, seed: int, news: News) -> float:
    """Train and diagnose one run in this process, or take up what is there; seconds of training."""
    from buttress.training.callbacks import ProgressCallback
    from buttress.training.run import Run, train

    recipe = Recipe.from_yaml(recipe_yaml, name)
    progress = ProgressCallback(lambda step, total: news.put((name, step, total)))
    run: Run = train(recipe, Path(folder) / name, resume=True, progress=False, callbacks=[progress])
    run.diagnose(**EFFORT, seed=seed)
    news.put((name, recipe.training.steps, recipe.training.steps))
    return run.seconds


def judged(before: Outcome, after: Outcome) -> tuple[str, float, float]:
    """Whether a remedy cured its patient, and the nats of negative ELBO that it costs, with a standard error.

    Both models are measured on the same examples, so errors of their difference are overstated.

    Args:
        before: The patient.
        after: The same under the remedy.

    Returns:
        "yes", "at a price" or "no"; the price (below 0 where the remedy gains), and its error.

    Example:
        >>> from buttress.diagnostics.estimate import Estimate
        >>> from buttress.diagnostics.evidence import Groups, Verdict
        >>> from buttress.diagnostics.finding import Finding
        >>> lags = (Finding("inference lags", "holds", ()),)
        >>> def outcome(arm, elbo, error, verdict):
        ...     numbers = {"elbo": Estimate(elbo, error, 100, "closed form")}
        ...     evidence = Evidence(100, "text", numbers, Groups((), (), (), ()), verdict=verdict)
        ...     return Outcome("p", "inference lags", arm, 0, 100, evidence)
        >>> before = outcome("none", -40.0, 0.3, Verdict("collapsed", "inference lags", (), (), findings=lags))
        >>> judged(before, outcome("aggressive", -42.0, 0.4, Verdict("used", None, (), ())))
        ('at a price', 2.0, 0.5)
    """
    (was, e), (is_now, f) = before.told("elbo"), after.told("elbo")
    price, error = was - is_now, math.hypot(e, f)
    verdict = after.evidence.verdict
    if not before.has_cause or after.has_cause or verdict.state != USED or verdict.borderline or math.isnan(price):
        return NOT_CURED, price, error
    return (AT_A_PRICE if price > 2 * error else CURED), price, error


def table(outcomes: Iterable[Outcome]) -> str:
    """A row for each model, as CSV; each patient's ``none`` is what its others are compared with."""
    rows = list(outcomes)
    untreated = {(one.patient, one.seed): one for one in rows if one.arm == "none"}
    file = io.StringIO()
    out = csv.writer(file, lineterminator="\n")
    numbers = [name for one in SHOWN for name in (one, f"{one}_error")]
    out.writerow(
        ["patient", "cause", "arm", "seed", "steps", "cured", "price", "price_error", "state", "causes", *numbers]
    )
    for one in rows:
        first = untreated[one.patient, one.seed]
        cured, *price = ("", math.nan, math.nan) if one.arm == "none" else judged(first, one)
        causes = "; ".join(name if how == "holds" else f"{name} ({how})" for name, how in one.causes.items())
        verdict = one.evidence.verdict
        state = f"{verdict.state} (perhaps {verdict.borderline})" if verdict.borderline else verdict.state
        measured = [_short(value) for name in SHOWN for value in one.told(name)]
        out.writerow(
            [one.patient, one.cause, one.arm, one.seed, one.steps, cured, *map(_short, price), state, causes, *measured]
        )
    return file.getvalue()


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def proven(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """By cause and remedy, how each of its patients fared: what the rows of ``cures.csv`` prove.

    Example:
        >>> proven([{"cause": "inference lags", "arm": "aggressive:max_inner=10", "cured": "yes"}])
        {('inference lags', 'aggressive'): ['yes']}
    """
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        name = row["arm"].partition(":")[0]
        if name in remedy.catalogue() and row["cured"]:
            found.setdefault((row["cause"], name), []).append(row["cured"])
    return found
