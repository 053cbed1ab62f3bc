"""Every remedy on the same baseline: same data, decoder, budget and seeds by construction.

The result is a folder: ``comparison.json`` and, inside, one run folder per arm and seed. A comparison that was
interrupted goes on where it stopped: finished runs are kept, a half-finished one resumes from its checkpoint.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from buttress import remedy
from buttress.recipe import Recipe

__all__ = ["Arm", "Comparison", "arms", "compare"]


@dataclass(frozen=True)
class Arm:
    """One remedy, or several joined by ``+``, ready to run.

    Args:
        name: As the user wrote it.
        recipe: The baseline with the remedy applied.
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
    """

    folder: Path
    left_out: Mapping[str, str]


def arms(recipe: Recipe, names: Iterable[str]) -> tuple[list[Arm], dict[str, str]]:
    """The arms that fit a recipe, and for each other one the reason why it does not.

    Errors:
        ValueError: An unknown remedy or setting, or a schedule longer than the run.
    """
    fitting, left_out = [], {}
    for name in names:
        try:
            changed = remedy.apply(name, recipe)
        except remedy.DoesNotFit as reason:
            left_out[name] = str(reason)
            continue
        changed.check()
        fitting.append(Arm(name, changed))
    return fitting, left_out


def compare(
    recipe: Recipe,
    names: Sequence[str],
    folder: str | Path,
    *,
    seeds: int = 3,
    jobs: int = 1,
    settings: Mapping[str, Any] | None = None,
    watch: Callable[[str, int, int], None] = lambda run, step, total: None,
) -> Comparison:
    """Train and diagnose every arm with every seed, and write ``comparison.json``.

    Args:
        recipe: The baseline.
        names: Remedies as users write them; ``none`` is the baseline itself.
        folder: Where to put the comparison; an interrupted one of the same recipe goes on.
        seeds: Runs of each arm, with seeds ``training.seed``, + 1, ...
        jobs: Runs at a time, each with its share of the cores.
        settings: For ``diagnose``.
        watch: Hears (run, step, total) as runs proceed.

    Errors:
        ValueError: No arm fits, or the folder holds another comparison.
    """
    folder = Path(folder)
    fitting, left_out = arms(recipe, names)
    if not fitting:
        raise ValueError("no remedy fits: " + "; ".join(left_out.values()))
    todo = [
        (arm.folder(seed), replace(arm.recipe, training=replace(recipe.training, seed=seed)))
        for seed in range(recipe.training.seed, recipe.training.seed + seeds)
        for arm in fitting
    ]
    folder.mkdir(parents=True, exist_ok=True)
    seconds = _run_all(todo, folder, jobs, dict(settings or {}), watch)
    every = range(recipe.training.seed, recipe.training.seed + seeds)
    plain = {
        "format": 1,
        "data": recipe.data.name(),
        "budget": {"steps": recipe.training.steps, "batch_size": recipe.training.batch_size},
        "jobs": jobs,
        "left_out": left_out,
        "arms": [
            {
                "name": arm.name,
                "runs": [arm.folder(seed) for seed in every],
                "seconds": [seconds[arm.folder(seed)] for seed in every],
            }
            for arm in fitting
        ],
    }
    (folder / "comparison.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return Comparison(folder, left_out)


def _run_all(
    todo: list[tuple[str, Recipe]],
    folder: Path,
    jobs: int,
    settings: dict[str, Any],
    watch: Callable[[str, int, int], None],
) -> dict[str, float]:
    """Do all runs, ``jobs`` at a time, in processes of their own; seconds of training by run."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    seconds: dict[str, float] = {}
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool,
    ):
        news: Queue[tuple[str, int, int]] = manager.Queue()  # type: ignore[assignment]
        pending = {
            pool.submit(_run_or_end, recipe.to_yaml(), str(folder), name, threads, settings, news): name
            for name, recipe in todo
        }
        try:
            for done in _while_watching(pending, news, watch):
                seconds[pending[done]] = done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return seconds


def _end_with_parent() -> None:
    """Let this process save and end when the one that started it dies, whatever killed that."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _while_watching(
    pending: Iterable[Future[float]], news: Queue[tuple[str, int, int]], watch: Callable[[str, int, int], None]
) -> Iterable[Future[float]]:
    """Yield futures as they finish, passing on news of progress in between."""
    waiting = set(pending)
    while waiting:
        while not news.empty():
            watch(*news.get())
        finished = {future for future in waiting if future.done()}
        yield from finished
        waiting -= finished
        if not finished:
            time.sleep(0.1)


def _run_or_end(*task: Any) -> float:
    """Do one run; end this process with it where nobody is left to give the next, for which the pool would wait."""
    try:
        return _run_one(*task)
    finally:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            os._exit(128 + signal.SIGTERM)


def _run_one(
    recipe_yaml: str,
    folder: str,
    name: str,
    threads: int,
    settings: dict[str, Any],
    news: Queue[tuple[str, int, int]],
) -> float:
    """Train and diagnose one run in this process, or take up what is there; seconds of training."""
    import torch

    from buttress.showcase import save_run_examples
    from buttress.training.progress import Watch
    from buttress.training.run import Run, train

    torch.set_num_threads(threads)
    recipe, path = Recipe.from_yaml(recipe_yaml, name), Path(folder) / name
    run: Run = train(
        recipe,
        path,
        resume=(path / "recipe.yaml").exists(),
        progress=False,
        callbacks=[Watch(lambda step, total: news.put((name, step, total)))],
    )
    if not (path / "evidence.json").exists():
        run.diagnose(**settings)
        save_run_examples(run)
    news.put((name, recipe.training.steps, recipe.training.steps))
    return run.seconds
