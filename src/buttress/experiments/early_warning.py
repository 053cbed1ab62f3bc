"""The runs of the early warning: each trained, looked at early and now and then, and judged at its end.

What was seen is kept in the folder of each run, so that what was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from buttress.core.recipe import Recipe
from buttress.diagnostics.diagnose import ENOUGH, diagnose
from buttress.diagnostics.monitor.forecast import EARLIER, EARLY
from buttress.experiments.branches import check_jobs
from buttress.experiments.early_runs import ShortRun, short_runs
from buttress.experiments.pool import News, run_all
from buttress.training.callbacks import Callback
from buttress.training.held_out import HeldOut
from buttress.training.lock import refuse_file

__all__ = ["LOOKS", "PROBE", "Looks", "look_path", "run_short", "train_short_runs"]

LOOKS = (EARLIER, EARLY, 0.25, 0.5, 0.75)
"""Shares of a run at which it is looked at."""
PROBE = 256
"""Held-out examples of a look."""
END = 1000
"""Held-out examples of the verdict at the end."""


class Looks(Callback):
    """Looks at z on a probe set at :data:`LOOKS` of the run, and keeps what was seen.

    Args:
        folder: Of the run.
        tell: Called with (step, total) after each step.
    """

    def __init__(self, folder: Path, tell: Callable[[int, int], None]) -> None:
        self.folder, self.tell = folder, tell

    def begin(self, engine: Any) -> None:
        """See :class:`buttress.training.callbacks.Callback`."""
        self.engine = engine
        self.probe = HeldOut(engine.splits.held_out, engine.model.observe, 0, most=PROBE)

    def on_step(self, step: int, total: int, latest: Mapping[str, float]) -> None:
        """See :class:`buttress.training.callbacks.Callback`."""
        if step in {round(share * total) for share in LOOKS}:
            recipe = self.engine.recipe
            settings: dict[str, Any] = {"kind": self.engine.splits.spec.kind, "dims": 0}
            settings["beta"] = recipe.objective.weight(total - 1)
            settings["only"] = (*ENOUGH, "optimum") if step == round(EARLY * total) else ENOUGH
            found = diagnose(self.engine.model, self.probe, nll_samples=0, gap_steps=0, **settings)
            found.save(look_path(self.folder, step))
        if step % 10 == 0:
            self.tell(step, total)


def look_path(folder: Path, step: int) -> Path:
    """Where a look is kept."""
    return folder / f"look-{step}.json"


def run_short(recipe_yaml: str, folder: str, name: str, news: News) -> float:
    """Train and judge one run in this process, or take up what is there; seconds of training."""
    from buttress.training.run import Run, train

    recipe, path = Recipe.from_yaml(recipe_yaml, name), Path(folder) / name
    looks = Looks(path, lambda step, total: news.put((name, step, total)))
    run: Run = train(recipe, path, resume=True, progress=False, loggers=[], callbacks=[looks])
    if not (path / "evidence.json").exists():
        run.diagnose(nll_samples=0, gap_steps=0, mi_examples=END, only=ENOUGH)
    return run.seconds


def train_short_runs(
    folder: Path,
    jobs: int = 1,
    only: Sequence[str] = (),
    watch: Callable[[str, int, int], None] = lambda run, step, total: None,
    ended: Callable[[str, str], None] = lambda run, outcome: None,
) -> dict[str, ShortRun]:
    """Train all runs, or take up those that are in the folder.

    Args:
        folder: Where they go.
        jobs: Runs at a time.
        only: Names of sets of data; empty for all.
        watch: Called with (run, step, total) as runs proceed.
        ended: Called with (run, outcome in words) as each ends.

    Errors:
        ValueError: There is no such set of data, or a run failed.
    """
    check_jobs(jobs)
    refuse_file(folder)
    runs = short_runs()
    known = {run.data: None for run in runs.values()}
    if missing := [name for name in only if name not in known]:
        raise ValueError(f"there are no runs on {missing[0]!r}; there are some on {', '.join(known)}")
    runs = {name: run for name, run in runs.items() if not only or run.data in only}
    tasks = {
        name: (run.recipe.to_yaml(), str(folder), name)
        for name, run in runs.items()
        if not (folder / name / "evidence.json").exists()
    }
    _, failed = run_all(run_short, tasks, jobs, watch, ended) if tasks else ({}, {})
    if failed:
        raise ValueError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    return runs
