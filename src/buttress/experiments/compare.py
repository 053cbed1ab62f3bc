"""Every remedy on the same baseline: same data, decoder, budget and seeds by construction.

The result is a folder: ``comparison.json`` and, inside, one run folder per arm and seed. A comparison that was
interrupted goes on where it stopped: finished runs are kept, a half-finished one resumes from its checkpoint. A run
that fails (codes that say nothing, a loss that is not finite, no memory left) does not end the others; its reason is
written down. A process that is killed, or asked to end, ends the comparison.

A folder holds one comparison: one baseline, and evidence measured with one set of settings. Asked again with other
arms or seeds it grows: what it lists already stays in the table. Asked again with other settings of the evidence, all
that is in the table is measured again; so is a run whose evidence is from before the end of its training. Asked again
with another baseline it refuses. A precision of "auto" is chosen once, on the baseline, for all runs.

Each seed is measured with noise of its own, on data observed (binarised, dequantised) by it, so that the spread over
seeds contains what measuring adds. The arms of one seed share it, so that their differences don't.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buttress.core import registry, remedy
from buttress.core.recipe import Recipe
from buttress.core.registry import from_plain
from buttress.data.opened import opened
from buttress.experiments.one_run import otherwise, run_one
from buttress.experiments.pool import run_all, run_here
from buttress.runtime.atomic_write import write_text
from buttress.runtime.plain_data import load_json
from buttress.runtime.provenance import calls
from buttress.training.folder import RECIPE
from buttress.training.precision import as_recorded, chosen

__all__ = ["MOST", "Arm", "Comparison", "arms", "compare", "refuse_another"]


MOST = 1000
"""Most seeds, and most runs at a time."""


@dataclass(frozen=True)
class Arm:
    """One remedy, or several joined by ``+``, ready to run.

    Args:
        name: As the user wrote it, without spaces around.
        recipe: The baseline with the remedy applied.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> Arm("kl_annealing+free_bits", baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))).folder(seed=2)
        'kl_annealing+free_bits/seed-2'
    """

    name: str
    recipe: Recipe

    def folder(self, seed: int) -> str:
        """Where the run of a seed lies, inside the comparison."""
        return f"{self.name.replace(':', '_').replace('=', '-')}/seed-{seed}"


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Args:
        folder: Where it lies.
        left_out: Remedies that do not fit, each with the reason.
        failed: Runs that did not finish, by folder, each with the reason.
        measured_again: Runs whose evidence was there but not what was asked for, by folder, each with the reason.
    """

    folder: Path
    left_out: Mapping[str, str]
    failed: Mapping[str, str] = field(default_factory=dict)
    measured_again: Mapping[str, str] = field(default_factory=dict)


def arms(recipe: Recipe, names: Iterable[str]) -> tuple[list[Arm], dict[str, str]]:
    """The arms that fit a recipe, and for each other one the reason why it does not.

    Errors:
        ValueError: An unknown remedy or setting, an arm given twice, or a schedule longer than the run.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> fitting, left_out = arms(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), ["none", "word_dropout"])
        >>> [arm.name for arm in fitting], left_out
        (['none'], {'word_dropout': 'word_dropout needs the recurrent or transformer decoder, and this recipe has ...'})
    """
    fitting, left_out, names = [], {}, [_tidy(name) for name in names]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"given more than once: {', '.join(twice)}; wanted every arm once, seeds make more runs of it")
    for name in names:
        try:
            changed = remedy.apply(name, recipe)
        except remedy.DoesNotFit as reason:
            left_out[name] = str(reason)
            continue
        changed.check()
        fitting.append(Arm(name, changed))
    return fitting, left_out


def _tidy(written: str) -> str:
    return "+".join(piece.strip() for piece in written.split("+"))


def compare(
    recipe: Recipe,
    names: Sequence[str],
    folder: str | Path,
    *,
    seeds: int = 3,
    jobs: int = 1,
    settings: Mapping[str, Any] | None = None,
    watch: Callable[[str, int, int], None] = lambda run, step, total: None,
    begin: Callable[[int], None] = lambda runs: None,
    ended: Callable[[str, str], None] = lambda run, outcome: None,
) -> Comparison:
    """Train and diagnose every arm with every seed, and write ``comparison.json``.

    A run that raises an Exception is written down as failed, and the others go on; asked again, it is tried again.
    Runs that an earlier comparison in the folder lists stay in the table, whatever arms and seeds are asked for now,
    and are measured again where their evidence was made with other settings or before training was over.

    Args:
        recipe: The baseline.
        names: Remedies as users write them; ``none`` is the baseline itself.
        folder: Where to put the comparison; an interrupted one of the same baseline goes on, a finished one grows.
        seeds: Runs of each arm, with seeds ``training.seed``, + 1, ...
        jobs: Runs at a time, each with its share of the cores. What only this process can build, such as a module of
            the user's own, is trained in it, one run after another.
        settings: For ``diagnose``. Its ``seed``, 0 if left out, is counted on from by that of each run.
        watch: Hears (run, step, total) as runs proceed.
        begin: Hears how many runs there will be, once nothing speaks against them.
        ended: Hears (run, outcome in words) as each ends.

    Errors:
        ValueError: No arm fits, one is given twice, a number is too small, the folder is a file or holds a comparison
            of another baseline, or every run failed.
        ChildProcessError: A process was killed, by the system where memory ran out; what is finished stays.
    """
    from buttress.diagnostics.diagnose import check_effort

    folder = Path(folder)
    for name, value in {"seeds": seeds, "jobs": jobs}.items():
        if not 1 <= value <= MOST:
            raise ValueError(f"compare: {name} is {value}, wanted {'at least 1' if value < 1 else f'at most {MOST}'}")
    check_effort(settings or {})
    recipe = _one_precision(recipe, folder)
    fitting, left_out = arms(recipe, names)
    if not fitting:
        raise ValueError("no remedy fits: " + "; ".join(left_out.values()))
    every = range(recipe.training.seed, recipe.training.seed + seeds)
    todo = [
        (arm.folder(seed), replace(arm.recipe, training=replace(recipe.training, seed=seed)))
        for seed in every
        for arm in fitting
    ]
    before = _before(folder)
    todo += [one for one in _listed(before, recipe, folder) if one not in todo]
    refuse_another(todo, folder)
    begin(len(todo))
    settings = dict(settings or {})
    effort = {run: _of_seed(settings, changed.training.seed) for run, changed in todo}
    other = {run: why for run, _ in todo if (why := otherwise(folder / run, effort[run]))}
    tasks = {name: (changed.to_yaml(), str(folder), name, effort[name], None) for name, changed in todo}
    if any(registry.only_here(arm.recipe) for arm in fitting):
        seconds, failed = run_here(run_one, tasks, watch, ended)
    else:
        seconds, failed = run_all(run_one, tasks, jobs, watch, ended)
    if not seconds:
        raise ValueError("every run failed: " + "; ".join(f"{run}: {reason}" for run, reason in failed.items()))
    wanted = {arm.name: [arm.folder(seed) for seed in every] for arm in fitting}
    plain = {
        "format": 1,
        "data": recipe.data.name(),
        "made": calls(folder / "comparison.json"),
        "budget": {"steps": recipe.training.steps, "batch_size": recipe.training.batch_size},
        "jobs": jobs,
        "left_out": {**before.get("left_out", {}), **left_out},
        "arms": _entries(before, wanted, seconds, failed),
    }
    write_text(folder / "comparison.json", json.dumps(plain, indent=1) + "\n")
    return Comparison(folder, left_out, failed, {run: why for run, why in other.items() if run in seconds})


def _one_precision(recipe: Recipe, folder: Path) -> Recipe:
    """The baseline with one precision for all runs: that of runs in the folder, or the faster one."""
    if recipe.training.precision != "auto":
        return recipe
    for begun in sorted(folder.glob(f"*/*/{RECIPE}")):
        return as_recorded(recipe, begun.parent)
    return chosen(recipe, opened(recipe.data))[0]


def _of_seed(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The settings of a diagnosis with noise that belongs to the seed of a run, whatever its arm."""
    return {**settings, "seed": (settings.get("seed") or 0) + seed}


def _before(folder: Path) -> dict[str, Any]:
    """The table that the folder holds already; empty where it holds none."""
    path = folder / "comparison.json"
    if not path.exists():
        return {}
    try:
        plain = load_json(path)
        for entry in plain["arms"]:
            _ = from_plain(str, entry["name"], "name"), from_plain(tuple[str, ...], entry["runs"], "runs")
            _ = entry.setdefault("failed", {}).items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: damaged ({type(error).__name__}: {error}); delete it, and the comparison is made anew from the "
            "runs of the arms asked for"
        ) from error
    return plain


def _listed(before: Mapping[str, Any], recipe: Recipe, folder: Path) -> list[tuple[str, Recipe]]:
    """The finished runs of an earlier table that still lie there, and the recipe each has if it is of this baseline."""
    found = []
    for entry in before.get("arms", ()):
        try:
            changed = remedy.apply(entry["name"], recipe)
        except ValueError as error:
            raise ValueError(
                f"{folder} holds another comparison, whose arm {entry['name']} cannot be one of this: {error}; choose "
                "another folder"
            ) from error
        for run in entry["runs"]:
            seed = run.rpartition("/seed-")[2]
            if seed.isdecimal() and (folder / run / "recipe.yaml").exists():
                found.append((run, replace(changed, training=replace(recipe.training, seed=int(seed)))))
    return found


def _entries(
    before: Mapping[str, Any],
    wanted: Mapping[str, list[str]],
    seconds: Mapping[str, float],
    failed: Mapping[str, str],
) -> list[dict[str, Any]]:
    """What is written of each arm, earlier ones first but the baseline before all: finished runs, and failed ones."""
    known = {entry["name"]: entry for entry in before.get("arms", ())}
    entries = []
    for name in sorted(dict.fromkeys([*known, *wanted]), key=lambda name: name != "none"):
        old = known.get(name, {"runs": [], "failed": {}})
        runs = dict.fromkeys([*old["runs"], *old["failed"], *wanted.get(name, ())])
        finished = [run for run in runs if run in seconds]
        reasons = {run: why for run, why in {**old["failed"], **failed}.items() if run in runs and run not in seconds}
        entries.append(
            {"name": name, "runs": finished, "seconds": [seconds[run] for run in finished], "failed": reasons}
        )
    return entries


def refuse_another(todo: list[tuple[str, Recipe]], folder: Path) -> None:
    """Refuse, before anything is trained, a file, and a folder with runs of another baseline.

    Args:
        todo: The folder of each run, inside, and its recipe.
        folder: Of all.

    Errors:
        ValueError: It is a file, or holds the run of another recipe under one of these names.
    """
    from buttress.training.lock import belongs_to, refuse_file

    refuse_file(folder)
    for run, recipe in todo:
        if (folder / run / "recipe.yaml").exists():
            belongs_to(folder / run, recipe, resume=True)
