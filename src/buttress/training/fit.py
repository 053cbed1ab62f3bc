"""From a recipe to a trained folder: in this process, or in several that share each batch."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from buttress.core import Splits
from buttress.core.recipe import Recipe
from buttress.runtime.denormals import flushed
from buttress.training import checkpoint
from buttress.training import folder as files
from buttress.training.engine import Engine
from buttress.training.progress import Bar
from buttress.training.stop import Stop

__all__ = ["fit", "fit_together"]

LOUD = ("lightning", "lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn")
"""Loggers that speak of what no user asked."""


@flushed()
def fit(
    recipe: Recipe,
    splits: Splits,
    folder: Path,
    stop: Stop,
    *,
    world: int = 1,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Train in this process, alone or as one of ``world``, from the folder's checkpoint if there is one.

    Example:
        >>> import tempfile
        >>> from dataclasses import replace
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> recipe = replace(recipe, training=replace(recipe.training, steps=2, batch_size=8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fit(recipe, data.open(), Path(folder), Stop(), progress=False)
        ...     done = files.Progress.read(Path(folder))
        >>> done.step, done.finished
        (2, True)
    """
    path = folder / files.STATE
    with torch.random.fork_rng([]), _quiet():
        engine = Engine(recipe, splits, folder, stop, checkpoint.load(path) if path.exists() else None)
        if engine.progress.finished:  # killed after the last checkpoint, before it was noted
            engine.progress.write(folder)
            return
        trainer = _trainer(recipe, folder, engine.step_number, world, [*([Bar()] if progress else []), *callbacks])
        stop.install()
        try:
            trainer.fit(engine)
        except SystemExit:  # how Lightning ends at a KeyboardInterrupt
            raise KeyboardInterrupt(f"stopped at once; {folder} keeps its last checkpoint") from None
        finally:
            stop.remove()


def _trainer(recipe: Recipe, folder: Path, start: int, world: int, callbacks: list[Callback]) -> Trainer:
    cuda = torch.cuda.is_available()
    together = DDPStrategy(process_group_backend=None if cuda else "gloo", broadcast_buffers=False)
    return Trainer(
        accelerator="cuda" if cuda else "cpu",
        devices=world,
        strategy=together if world > 1 else "auto",
        plugins=[checkpoint.SafeCheckpointIO(), LightningEnvironment()],
        precision=recipe.training.precision,
        logger=TensorBoardLogger(folder, name="", version="tensorboard", purge_step=start + 1),
        callbacks=callbacks,
        max_epochs=1,
        min_epochs=0,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        log_every_n_steps=sys.maxsize,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(c, Bar) for c in callbacks),
        use_distributed_sampler=False,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's tips and advice, none of which is about what the user wrote."""
    loggers = [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # deprecated in torch 2.13, and what takes its place is not yet there in 2.6
            warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@dataclass(frozen=True)
class Job:
    """What each of several processes must know, all of it picklable.

    Args:
        recipe: As YAML.
        folder: Where the run lives.
        world: Number of processes.
        port: On which they meet.
        parent: Process id of the launching process.
        progress: Show a progress bar.
        callbacks: Callbacks of Lightning.
    """

    recipe: str
    folder: Path
    world: int
    port: int
    parent: int
    progress: bool
    callbacks: tuple[Callback, ...]


def fit_together(
    recipe: Recipe, folder: Path, stop: Stop, world: int, progress: bool, callbacks: Sequence[Callback]
) -> None:
    """Train in ``world`` new processes that share each batch, and wait for them.

    Errors:
        Exception: What the first process to fail raised.

    Example:
        What it is for, on the command line; two processes take half of each batch, and the run is that of one::

            buttress train DATA --devices 2 --out runs/together
    """
    news = multiprocessing.get_context("spawn").SimpleQueue()
    job = Job(recipe.to_yaml(), folder, world, _free_port(), os.getpid(), progress, tuple(callbacks))
    stop.install()
    together = start_processes(_work, args=(job, stop.cell, news), nprocs=world, join=False, start_method="spawn")
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
def _work(rank: int, job: Job, cell: Any, news: Any) -> None:
    """What each process of several does."""
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(job.world))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(job.port))
    stop = Stop(job.parent, cell)
    stop.install()
    try:
        recipe = Recipe.from_yaml(job.recipe)
        splits = recipe.data.open()
        fit(recipe, splits, job.folder, stop, world=job.world, progress=job.progress, callbacks=job.callbacks)
    except Exception as error:
        news.put(error)
        raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
