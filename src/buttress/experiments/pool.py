"""Several runs at a time, each in a process of its own, which ends when the one that started it dies.

A run that raises an Exception is written down as failed, and the others go on. A process that is told to end ends them
all, and so does one that is killed, unless each run has a pool of its own (:func:`run_apart`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.context import BaseContext
from multiprocessing.managers import SyncManager
from queue import SimpleQueue
from typing import Any, Protocol, runtime_checkable

from buttress.runtime.atomic_write import check_room
from buttress.runtime.denormals import flushed
from buttress.runtime.system_errors import plainly
from buttress.runtime.threads import allowed_threads

__all__ = ["KILLED", "News", "run_all", "run_apart", "run_here"]

KILLED = (
    "its process was killed, perhaps because memory ran out; try fewer jobs or a smaller batch_size; asked again, it "
    "goes on at its last checkpoint"
)
UNHEARD = (ConnectionError, EOFError)
"""What a queue raises whose own process was killed."""


@runtime_checkable
class News(Protocol):
    """The queue on which a run reports (run, step, total).

    Example:
        >>> from queue import Queue
        >>> news: News = Queue()
        >>> news.put(("none/seed-0", 5, 100))
        >>> news.get(), news.empty()
        (('none/seed-0', 5, 100), True)
    """

    def put(self, item: tuple[str, int, int]) -> None:
        """Report."""

    def get(self) -> tuple[str, int, int]:
        """The oldest report."""
        ...

    def empty(self) -> bool:
        """Whether all were taken."""
        ...


def run_all(
    work: Callable[..., float],
    tasks: Mapping[str, tuple[Any, ...]],
    jobs: int,
    watch: Callable[[str, int, int], None],
    ended: Callable[[str, str], None],
    share: int | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Do all runs, ``jobs`` at a time; by run, seconds of training or why it failed.

    Args:
        work: Called as ``work(*task, news)`` in another process, with its share of the threads; gives seconds.
        tasks: By run, what ``work`` is called with; all of it is pickled.
        jobs: Runs at a time.
        watch: Called with (run, step, total) as runs proceed.
        ended: Called with (run, outcome in words) as each ends.
        share: Runs that the cores are divided among; None for ``jobs``.

    Errors:
        ChildProcessError: A process was killed, by the system where memory ran out.

    Example:
        What :func:`buttress.experiments.compare.compare` does with a run each of two seeds::

            run_all(train_one, {"none/seed-0": (recipe, folder), "none/seed-1": (other, folder)}, 2, watch, ended)
    """
    context = multiprocessing.get_context("spawn")
    threads = allowed_threads(jobs if share is None else share)
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    check_room(tempfile.gettempdir())  # where processes meet; one that cannot write there dies without a word
    with (
        _queue(context, tasks) as news,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool,
    ):
        pending = {pool.submit(_run_or_end, work, threads, *task, news): name for name, task in tasks.items()}
        begun: set[str] = set()

        def hear(run: str, step: int, total: int) -> None:
            begun.add(run)
            watch(run, step, total)

        try:
            for done in _while_watching(pending, news, hear):
                name = pending[done]
                if isinstance(outcome := done.result(), str):
                    failed[name] = outcome
                    ended(name, f"failed: {outcome}")
                else:
                    seconds[name] = outcome
                    ended(name, f"finished after {outcome:.0f} s of training")
        except BrokenProcessPool as error:
            _pass_on(news, hear)
            lost = [name for future, name in pending.items() if name in begun and _lost(future)]
            raise ChildProcessError(_killed(lost)) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return seconds, {name: failed[name] for name in tasks if name in failed}


def run_apart(
    work: Callable[..., float],
    tasks: Mapping[str, tuple[Any, ...]],
    jobs: int,
    watch: Callable[[str, int, int], None],
    ended: Callable[[str, str], None],
) -> tuple[dict[str, float], dict[str, str]]:
    """As :func:`run_all`, but a process that is killed loses its own run alone, which is written down as failed.

    Example:
        What :func:`buttress.experiments.branches.grow` does with the branches of a run::

            run_apart(run_one, {"scratch/free_bits": (recipe, folder)}, 2, watch, ended)
    """
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    one_speaks = threading.Lock()

    def tell_step(run: str, step: int, total: int) -> None:
        with one_speaks:
            watch(run, step, total)

    def tell_end(run: str, outcome: str) -> None:
        with one_speaks:
            ended(run, outcome)

    def do(name: str) -> None:
        try:
            one, other = run_all(work, {name: tasks[name]}, 1, tell_step, tell_end, share=jobs)
        except ChildProcessError:
            one, other = {}, {name: KILLED}
            tell_end(name, f"failed: {other[name]}")
        seconds.update(one)
        failed.update(other)

    with ThreadPoolExecutor(jobs) as lanes:
        pending = [lanes.submit(do, name) for name in tasks]
        try:
            for one in pending:
                one.result()
        except BaseException:
            lanes.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: seconds[name] for name in tasks if name in seconds}, {
        name: failed[name] for name in tasks if name in failed
    }


def run_here(
    work: Callable[..., float],
    tasks: Mapping[str, tuple[Any, ...]],
    watch: Callable[[str, int, int], None],
    ended: Callable[[str, str], None],
) -> tuple[dict[str, float], dict[str, str]]:
    """As :func:`run_all`, one run after another in this process, for what no other process can build.

    Example:
        >>> run_here(lambda step, news: 2.0 * step, {"none/seed-0": (3,)}, print, print)
        none/seed-0 finished after 6 s of training
        ({'none/seed-0': 6.0}, {})
    """
    import torch

    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, task in tasks.items():
        outcome = _run_or_end(work, torch.get_num_threads(), *task, _Straight(watch))
        if isinstance(outcome, str):
            failed[name] = outcome
            ended(name, f"failed: {outcome}")
        else:
            seconds[name] = outcome
            ended(name, f"finished after {outcome:.0f} s of training")
    return seconds, failed


class _Straight(SimpleQueue[tuple[str, int, int]]):
    """A queue whose reports arrive at once, so that it is always empty."""

    def __init__(self, watch: Callable[[str, int, int], None]) -> None:
        super().__init__()
        self.watch = watch

    def put(self, item: tuple[str, int, int], block: bool = True, timeout: float | None = None) -> None:
        self.watch(*item)


def _lost(future: Future[float | str]) -> bool:
    """Whether the breaking of the pool took this run's result."""
    return not future.done() or isinstance(future.exception(), BrokenProcessPool)


def _killed(lost: list[str]) -> str:
    was = "was" if len(lost) == 1 else "were"
    named = lost if len(lost) <= 4 else [*lost[:3], f"{len(lost) - 3} other runs"]
    told = " and ".join(named) or "no run"
    return (
        f"a process was killed while {told} {was} under way, perhaps because memory ran out. "
        "What is finished is kept, and the same comparison asked for again goes on with the rest; try fewer jobs, or a "
        "smaller batch_size"
    )


def _end_with_parent() -> None:
    """Let this process save and end when the one that started it dies, whatever killed that."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _while_watching(
    pending: Iterable[Future[float | str]], news: News, watch: Callable[[str, int, int], None]
) -> Iterable[Future[float | str]]:
    """Yield futures as they finish, passing on news of progress in between."""
    waiting = set(pending)
    while waiting:
        _pass_on(news, watch)
        finished = {future for future in waiting if future.done()}
        yield from finished
        waiting -= finished
        if not finished:
            time.sleep(0.1)


def _pass_on(news: News, watch: Callable[[str, int, int], None]) -> None:
    """Pass on what was reported; nothing where the process of the queue was killed, for runs go on without it."""
    while True:
        try:
            if news.empty():
                return
            one = news.get()
        except UNHEARD:
            return
        watch(*one)


class _Careful:
    """A queue for a run, which goes on though its reports are lost."""

    def __init__(self, news: News) -> None:
        self.news = news

    def put(self, item: tuple[str, int, int]) -> None:
        with suppress(*UNHEARD):
            self.news.put(item)

    def get(self) -> tuple[str, int, int]:
        return self.news.get()

    def empty(self) -> bool:
        return self.news.empty()


@contextmanager
def _queue(context: BaseContext, tasks: Iterable[str]) -> Iterator[News]:
    """A queue in a process of its own; where that is killed before all runs have it, they are told as lost."""
    manager = SyncManager(ctx=context)
    try:
        manager.start(_end_with_parent)
    except UNHEARD as error:
        raise ChildProcessError(
            "no process could be started beside this one: a script that starts runs must do so below "
            "`if __name__ == '__main__':`, because every process reads the script anew; where it does, memory ran out, "
            "or the process was killed"
        ) from error
    try:
        with manager:
            yield manager.Queue()
    except UNHEARD as error:
        raise ChildProcessError(_killed(list(tasks))) from error


@flushed()
def _run_or_end(work: Callable[..., float], threads: int, *task: Any) -> float | str:
    """Do one run; the seconds of training, or why it failed, in words because not every exception can travel.

    This process ends with it where nobody is left to give the next, for which the pool would wait.
    """
    import torch

    torch.set_num_threads(threads)
    try:
        return work(*task[:-1], _Careful(task[-1]))
    except ValueError as reason:  # ours, and written for people
        return str(reason)
    except OSError as reason:
        return plainly(reason, one_of_several=True) or type(reason).__name__
    except Exception as reason:
        return f"{type(reason).__name__}: {reason}".removesuffix(": ")
    finally:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            os._exit(128 + signal.SIGTERM)
