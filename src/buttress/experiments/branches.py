"""Branches: runs of equal budget that start from one place or from scratch, and what is known of them when they end.

The folder of some branches is that of a comparison (``comparison.json`` and a run for each branch), so what shows a
comparison shows them too. What is finished is kept, a branch that was interrupted goes on at its last checkpoint, and
one that dies loses itself alone.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from buttress.core import registry
from buttress.core.recipe import Recipe
from buttress.experiments.compare import MOST, refuse_another
from buttress.experiments.halving import GRAIN, Halving, can_halve, plan
from buttress.experiments.one_run import AsBranch, run_one
from buttress.experiments.pool import run_apart, run_here
from buttress.report.numbers import seconds
from buttress.runtime.arguments import check_whole
from buttress.runtime.atomic_write import write_text
from buttress.runtime.provenance import calls
from buttress.training.folder import RECIPE
from buttress.training.progress import Progress

__all__ = [
    "EFFORT",
    "UNTOUCHED",
    "Branch",
    "By",
    "Watch",
    "all_failed",
    "budget_in_words",
    "check_budget",
    "check_jobs",
    "entry",
    "grow",
    "in_words",
    "refuse_run",
    "write_branches",
]

EFFORT = {"nll_samples": 50, "nll_examples": 500, "gap_steps": 50, "gap_examples": 100, "mi_examples": 2000}
"""Of every diagnosis, unless something else is asked for."""
UNTOUCHED = "none"
"""The branch without a remedy, which is trained to its end whatever the others do."""
By = Literal["processes", "here", "ray"]
"""Who runs branches: processes of this machine, this process one after another, or Ray Tune."""


def in_words(runs: int, note: str) -> str:
    """How many branches there are, and what else to know of them.

    Example:
        >>> in_words(7, "each makes 500 steps"), in_words(1, "")
        ('7 branches: each makes 500 steps', '1 branch')
    """
    return f"{runs} branch{'es' * (runs != 1)}{f': {note}' if note else ''}"


def budget_in_words(branches: int, steps: int, jobs: int, each: float | None) -> str:
    """What some branches cost, as far as it is known before they begin.

    Args:
        branches: How many.
        steps: Of each.
        jobs: How many at a time.
        each: Seconds that one takes; None where it is not known.

    Example:
        >>> budget_in_words(7, 500, 2, 30.0), budget_in_words(7, 500, 2, None)
        ('each makes 500 steps, about 2.0 min for all of them', 'each makes 500 steps')
    """
    time = "" if each is None else f", about {seconds(each * math.ceil(branches / jobs))} for all of them"
    return f"each makes {steps:,} step{'s' * (steps != 1)}{time}"


@dataclass(frozen=True)
class Watch:
    """Who hears of branches at work.

    Args:
        step: Called with (branch, step, total) as they proceed.
        begin: Called with how many there are, once nothing speaks against them, and what else to know.
        ended: Called with (branch, outcome in words) as each ends.

    Who gives no ``begin`` and ``ended`` gets both as lines on stderr.
    """

    step: Callable[[str, int, int], None] = lambda run, step, total: None
    begin: Callable[[int, str], None] = lambda runs, note: print(in_words(runs, note), file=sys.stderr)
    ended: Callable[[str, str], None] = lambda run, outcome: print(f"{run}: {outcome}", file=sys.stderr)


@dataclass(frozen=True)
class Branch:
    """A recipe, and where it starts.

    Args:
        remedy: What was applied to it, as users write it; "none" for nothing.
        start: "scratch", or where the weights are from, such as "step-2000".
        recipe: What to train.
        init: The folder of a run whose weights it begins with; empty from scratch.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> branch = Branch("free_bits:total=2.0", "step-500", baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))))
        >>> branch.name, branch.folder
        ('free_bits:total=2.0@step-500', 'step-500/free_bits_total_2.0')
    """

    remedy: str
    start: str
    recipe: Recipe
    init: str = ""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return self.remedy if self.remedy == UNTOUCHED or self.start == "" else f"{self.remedy}@{self.start}"

    @property
    def folder(self) -> str:
        """Where its run lies, inside the folder of all."""
        return f"{self.start or 'scratch'}/{re.sub(r'[^a-zA-Z0-9_.+-]+', '_', self.remedy)}"


def grow(
    branches: Sequence[Branch],
    folder: Path,
    *,
    jobs: int = 1,
    by: By = "processes",
    settings: Mapping[str, Any] | None = None,
    stop_early: bool = True,
    grain: float = GRAIN,
    left_out: Mapping[str, str] | None = None,
    watch: Watch | None = None,
    pace: float | None = None,
) -> None:
    """Train and diagnose all branches, or take up what is there, and write ``comparison.json``.

    Args:
        branches: Of one budget and seed.
        folder: Where they go.
        jobs: Branches at a time.
        by: Who runs them.
        settings: Of every diagnosis; :data:`EFFORT` where they say nothing.
        stop_early: Whether hopeless ones end before their budget is spent; without Optuna none does.
        grain: Nats of −ELBO that are no ground to stop a branch.
        left_out: Remedies that are not tried, each with the reason.
        watch: Who hears of it.
        pace: Seconds that a step takes; None where it is not known.

    Errors:
        ValueError: A number is too small, the folder holds other branches, or every branch failed.
    """
    from buttress.diagnostics.diagnose import check_effort

    check_jobs(jobs)
    effort = {**EFFORT, **(settings or {})}
    check_effort(effort)
    watch = Watch() if watch is None else watch
    seed = branches[0].recipe.training.seed
    effort["seed"] = (effort.get("seed") or 0) + seed
    refuse_run(folder)
    refuse_another([(one.folder, one.recipe) for one in branches], folder)
    for one in branches:
        _refuse_other_start(one, folder)
    if halve := stop_early and can_halve() and len(branches) > 1:
        folder.mkdir(parents=True, exist_ok=True)
    missing = stop_early and not can_halve()
    steps = branches[0].recipe.training.steps
    spared = next((one.folder for one in branches if one.remedy == UNTOUCHED), "")
    parts: dict[str, Halving] = {}
    for start in dict.fromkeys(one.start for one in branches) if halve else ():
        names = [one.folder for one in branches if one.start == start]
        parts |= plan(folder, start or "scratch", names, steps, grain, spared)
    note = "; Optuna is not installed, so that no branch ends early (pip install 'buttress[rescue]')" if missing else ""
    each = None if pace is None else pace * steps
    watch.begin(len(branches), budget_in_words(len(branches), steps, jobs, each) + note)
    tasks = {
        one.folder: (one.recipe.to_yaml(), str(folder), one.folder, effort, AsBranch(one.init, parts.get(one.folder)))
        for one in branches
    }
    taken, failed = _run(tasks, jobs, "here" if any(registry.only_here(b.recipe) for b in branches) else by, watch)
    if not taken:
        raise ValueError(all_failed(failed))
    arms = [entry(one.name, one.folder, taken, failed) for one in branches]
    write_branches(folder, branches[0].recipe.data.name(), steps, arms, left_out or {})


def all_failed(failed: Mapping[str, str]) -> str:
    """Why there is nothing to rank, each reason once.

    Example:
        >>> all_failed({"scratch/none": "no room", "scratch/free_bits": "no room"})
        'every branch failed: scratch/none, scratch/free_bits: no room'
    """
    runs = {why: [run for run, other in failed.items() if other == why] for why in failed.values()}
    return "every branch failed: " + "; ".join(f"{', '.join(names)}: {why}" for why, names in runs.items())


def refuse_run(folder: Path) -> None:
    """Refuse to put branches into the folder of a run, whose report they would replace.

    Errors:
        ValueError: It is one.
    """
    if (folder / RECIPE).exists():
        raise ValueError(f"{folder} holds a run, wanted a folder for branches; choose another one with --out")


def check_jobs(jobs: int) -> None:
    """Refuse a number of branches at a time that can't be.

    Example:
        >>> check_jobs(0)
        Traceback (most recent call last):
        ValueError: jobs is 0, wanted at least 1
    """
    if not 1 <= jobs <= MOST:
        raise ValueError(f"jobs is {jobs}, wanted {'at least 1' if jobs < 1 else f'at most {MOST}'}")


def check_budget(budget: int | None) -> None:
    """Refuse a number of steps that can't be, by the name that users give it.

    Example:
        >>> check_budget(0)
        Traceback (most recent call last):
        ValueError: budget is 0, wanted at least 1 step
    """
    check_whole("budget", budget, optional=True)
    if budget is not None and budget < 1:
        raise ValueError(f"budget is {budget}, wanted at least 1 step")


def _run(
    tasks: Mapping[str, tuple[Any, ...]], jobs: int, by: By, watch: Watch
) -> tuple[dict[str, float], dict[str, str]]:
    if by == "here":
        return run_here(run_one, tasks, watch.step, watch.ended)
    if by == "ray":
        from buttress.experiments.ray_pool import run_by_ray

        return run_by_ray(run_one, tasks, jobs, watch.step, watch.ended)
    return run_apart(run_one, tasks, jobs, watch.step, watch.ended)


def _refuse_other_start(branch: Branch, folder: Path) -> None:
    if not (folder / branch.folder / "recipe.yaml").exists():
        return
    if (began := Progress.read(folder / branch.folder).init) != branch.init:
        raise ValueError(
            f"{folder / branch.folder} began with the weights of {began or 'no run'}, wanted "
            f"{branch.init or 'new ones'}; choose another folder with --out"
        )


def entry(name: str, run: str, taken: Mapping[str, float], failed: Mapping[str, str]) -> dict[str, Any]:
    """What ``comparison.json`` holds of one branch.

    Args:
        name: What it is called.
        run: Its folder, inside.
        taken: Seconds of training, by folder, of all that are finished.
        failed: Why, by folder, of all that are not.

    Example:
        >>> entry("none", "step-10/none", {"step-10/none": 2.0}, {})
        {'name': 'none', 'runs': ['step-10/none'], 'seconds': [2.0], 'failed': {}}
    """
    done = run in taken
    return {
        "name": name,
        "runs": [run] if done else [],
        "seconds": [taken[run]] if done else [],
        "failed": {run: failed[run]} if run in failed else {},
    }


def write_branches(
    folder: Path, data: str, steps: int, arms: Sequence[Mapping[str, Any]], left_out: Mapping[str, str]
) -> None:
    """Write ``comparison.json`` for branches, as :func:`buttress.experiments.compare.compare` writes it for arms."""
    path = folder / "comparison.json"
    plain = {"format": 1, "data": data, "made": calls(path), "budget": {"steps": steps}, "left_out": dict(left_out)}
    write_text(path, json.dumps({**plain, "arms": list(arms)}, indent=1) + "\n")
