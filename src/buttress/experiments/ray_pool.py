"""Several runs at a time by Ray Tune, on this machine or on a cluster that this one can reach.

Every machine must see the folder of the runs under the same path, and have the same packages. Ray is loaded when used
(the extra ``ray``). A cluster is named as Ray wants it, by ``RAY_ADDRESS``; without it, Ray starts one on this machine.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from buttress.experiments.pool import KILLED, News

__all__ = ["run_by_ray"]

QUIET: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
DIED = ("RayActorError", "WorkerCrashedError", "OutOfMemoryError")
"""What Ray raises where the process of a trial is gone."""


def run_by_ray(
    work: Callable[..., float],
    tasks: Mapping[str, tuple[Any, ...]],
    jobs: int,
    watch: Callable[[str, int, int], None],
    ended: Callable[[str, str], None],
) -> tuple[dict[str, float], dict[str, str]]:
    """As :func:`buttress.experiments.pool.run_apart`, every run as a trial of Ray Tune, each on a core.

    Errors:
        ValueError: Ray is not installed.

    Example:
        What ``--by ray`` does with the branches of a run::

            run_by_ray(run_one, {"scratch/free_bits": (recipe, folder)}, 2, watch, ended)
    """
    if importlib.util.find_spec("ray") is None:
        raise ValueError("Ray is not installed; try pip install 'buttress[ray]', or --by processes")
    ray, tune, queue = (importlib.import_module(name) for name in ("ray", "ray.tune", "ray.util.queue"))
    # what Ray prints, however quiet it is told to be, must not stand in the table or the JSON of a command
    with redirect_stdout(sys.stderr), _cluster(ray, jobs), tempfile.TemporaryDirectory() as results:
        news = queue.Queue()
        trial = tune.with_parameters(_trial, work=work, tasks=dict(tasks), news=news)
        tuner = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"run": tune.grid_search(list(tasks))},
            tune_config=tune.TuneConfig(max_concurrent_trials=jobs),
            run_config=tune.RunConfig(storage_path=results, verbose=0),
        )
        with _passing_on(news, watch):
            found = tuner.fit()
        return _outcomes(found, ended)


def _trial(config: dict[str, str], work: Any, tasks: Mapping[str, tuple[Any, ...]], news: Any) -> dict[str, float]:
    """What Ray Tune calls on a machine of the cluster."""
    return {"seconds": work(*tasks[config["run"]], news)}


def _outcomes(found: Any, ended: Callable[[str, str], None]) -> tuple[dict[str, float], dict[str, str]]:
    seconds, failed = {}, {}
    for one in found:
        run = one.config["run"]
        if one.error is None:
            seconds[run] = float(one.metrics["seconds"])
            ended(run, f"finished after {seconds[run]:.0f} s of training")
        else:
            failed[run] = _why(one.error)
            ended(run, f"failed: {failed[run]}")
    return seconds, failed


def _why(error: BaseException) -> str:
    """In a sentence why a trial failed: Ray wraps what was raised, and says at length that a process died."""
    if any(base.__name__ in DIED for base in type(error).__mro__):
        return KILLED
    cause = getattr(error, "cause", None)
    if isinstance(cause, ValueError):  # ours, and written for people
        return str(cause)
    if isinstance(cause, BaseException):
        return f"{type(cause).__name__}: {cause}".removesuffix(": ")
    return f"{str(error).strip().splitlines()[0]} ({type(error).__name__})"


@contextmanager
def _cluster(ray: Any, jobs: int) -> Iterator[None]:
    """A cluster that is there already, or one of this machine while this lasts."""
    if ray.is_initialized():
        yield
        return
    import os

    here = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": jobs}
    ray.init(**here, **QUIET)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _passing_on(news: News, watch: Callable[[str, int, int], None]) -> Iterator[None]:
    """Pass on what runs report, meanwhile."""
    over = threading.Event()

    def listen() -> None:
        while not over.wait(0.5):
            while not news.empty():
                watch(*news.get())

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
