"""From a recipe to a trained folder: in this process, or in several that share each batch."""

from __future__ import annotations

import errno
import importlib
import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from buttress.core import Splits
from buttress.core.recipe import Recipe
from buttress.runtime.denormals import flushed
from buttress.runtime.heap import kept
from buttress.runtime.system_errors import DiskFull
from buttress.training import checkpoint
from buttress.training.callbacks import Callback, ProgressBar
from buttress.training.engine import Engine
from buttress.training.folder import STATE
from buttress.training.progress import Progress
from buttress.training.stop import Stop

__all__ = ["fit", "fit_together"]

TALKATIVE = (
    "lightning",
    "lightning.fabric",
    "lightning.fabric.utilities.rank_zero",
    "lightning.pytorch.utilities.rank_zero",
    "lightning_utilities.core.rank_zero",
    "torch.multiprocessing.spawn",
)
"""Loggers of messages about what no user asked for."""


@flushed()
@kept()
def fit(
    recipe: Recipe,
    splits: Splits,
    folder: Path,
    stop: Stop,
    *,
    world: int = 1,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Any] | None = None,
) -> None:
    """Train in this process, alone or as one of ``world``, from the folder's checkpoint if there is one.

    Example:
        >>> import tempfile
        >>> from dataclasses import replace
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.training.progress import Progress
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> recipe = replace(recipe, training=replace(recipe.training, steps=2, batch_size=8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fit(recipe, data.open(), Path(folder), Stop(), progress=False)
        ...     done = Progress.read(Path(folder))
        >>> done.step, done.finished
        (2, True)
    """
    path, total = folder / STATE, recipe.training.steps
    with torch.random.fork_rng([]), _quiet():
        state = checkpoint.load(path) if path.exists() else None
        fabric = _fabric(recipe, folder, world, loggers)
        engine = Engine(recipe, splits, folder, stop, fabric, state, callbacks)
        if engine.progress.finished_at(total):  # killed after the last checkpoint, before it was noted
            engine.progress.write(folder)
            return
        bar = ProgressBar(engine.step_number, total) if progress and fabric.is_global_zero else None
        stop.install()
        try:
            _run(engine, bar)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped at once; {_kept(path)}") from None
        except OSError as error:
            if not _full(error):
                raise
            raise DiskFull(f"{folder}: no space is left on the disk; {_kept(path)}") from error
        finally:
            stop.remove()


def _kept(state: Path) -> str:
    """What is left of a run that ended at once."""
    if not state.exists():
        return "no checkpoint had been made yet"
    return f"{state.parent} keeps its last checkpoint (step {Progress.read(state.parent).step})"


def _run(engine: Engine, bar: ProgressBar | None) -> None:
    """Make the steps that are left; whatever happens, close bar and loggers."""
    try:
        engine.run(bar)
    finally:
        if bar is not None:
            bar.close()
        for logger in engine.fabric.loggers:
            logger.finalize("")


def _full(error: BaseException | None) -> bool:
    """Whether the disk is full: in the words of the system, or in those of safetensors."""
    return isinstance(error, OSError) and (error.errno in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error))


def _fabric(recipe: Recipe, folder: Path, world: int, loggers: Sequence[Any] | None) -> Any:
    """Device, precision, processes and loggers."""
    from lightning.fabric import Fabric
    from lightning.fabric.loggers.tensorboard import TensorBoardLogger
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    precision = recipe.training.precision
    if precision == "auto":
        raise ValueError("training: precision is auto here, wanted one that was chosen; train by buttress.train")
    if loggers is None:
        begun = Progress.read(folder).step if (folder / STATE).exists() else 0
        loggers = [TensorBoardLogger(folder, name="", version="tensorboard", purge_step=begun + 1)]
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        plugins=[LightningEnvironment()],
        precision=precision,
        loggers=list(loggers),
    )
    fabric.launch()
    return fabric


@contextmanager
def _quiet() -> Iterator[None]:
    """Without tips and advice that are not about what the user wrote."""
    importlib.import_module("lightning.fabric")  # which sets levels of its own; here, for it takes seconds
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels, hook = [logger.level for logger in loggers], threading.excepthook
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    # TensorBoard writes in a thread, which would print a traceback; its next flush raises the error here.
    threading.excepthook = lambda args: None if _full(args.exc_value) else hook(args)
    try:
        yield
    finally:
        threading.excepthook = hook
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def fit_together(recipe: Recipe, folder: Path, stop: Stop, world: int, **wishes: Any) -> None:
    """Train in ``world`` new processes that share each batch, and wait for them.

    Args:
        recipe: What to train.
        folder: Where the run lives.
        stop: Who may ask it to stop.
        world: Number of processes.
        wishes: Further arguments of :func:`fit`, which are pickled.

    Errors:
        Exception: What the first process to fail raised.

    Example:
        What it is for, on the command line; two processes take half of each batch, and the run is that of one::

            buttress train DATA --devices 2 --out runs/together
    """
    from lightning.fabric.plugins.environments.lightning import find_free_network_port

    news = multiprocessing.get_context("spawn").SimpleQueue()
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port()), "WORLD_SIZE": str(world)}
    args = (recipe.to_yaml(), folder, here, os.getpid(), stop.cell, news, wishes)
    stop.install()
    together = start_processes(_work, args=args, nprocs=world, join=False, start_method="spawn")
    try:
        with _quiet():
            while not together.join():
                pass
    except (ProcessRaisedException, ProcessExitedException) as error:
        if not news.empty():
            raise news.get() from None
        raise RuntimeError(
            f"one of the {world} training processes ended: {error}. If this is a script, its main part must stand "
            'under `if __name__ == "__main__":`'
        ) from error
    finally:
        for process in together.processes:
            process.kill()
        stop.remove()


@flushed()
def _work(
    rank: int, recipe: str, folder: Path, here: dict[str, str], parent: int, cell: Any, news: Any, wishes: Any
) -> None:
    """What each process of several does."""
    os.environ.update(here, LOCAL_RANK=str(rank), NODE_RANK="0")
    stop = Stop(parent, cell)
    stop.install()
    try:
        read = Recipe.from_yaml(recipe)
        fit(read, read.data.open(), folder, stop, world=int(here["WORLD_SIZE"]), **wishes)
    except Exception as error:
        news.put(error)
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
