"""A run as Lightning's Trainer sees it: one epoch of steps, each a function of recipe, number and the state so far.

A step's batch, noise and inner batches follow from (seed, step), so a checkpoint needs no random state, and the loop of
Lightning needs no checkpoint of its own: a resumed run is an epoch that starts at the saved step.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from torch import Tensor

from buttress.algorithms.descent import NonFinite
from buttress.core import Splits, Step
from buttress.core.recipe import Recipe
from buttress.diagnostics.estimators.codebook import HEALTH
from buttress.runtime.randomness import seed_step, shard
from buttress.training import folder as files
from buttress.training.batch_sampler import Order
from buttress.training.held_out import LOOK, HeldOut, look
from buttress.training.metrics import Means, Metrics
from buttress.training.stop import Stop

__all__ = ["LOG_EVERY", "Engine"]

LOG_EVERY = 50
"""Steps between rows of training metrics."""
INITIAL = -2
"""The number of the "step" whose noise the initial weights are."""


class Engine(LightningModule):
    """A model and its algorithm at work on data, and the files they leave behind.

    Args:
        recipe: What to do.
        splits: The data, opened.
        folder: Where the run lives.
        stop: Who may ask it to stop.
        state: What :meth:`state` gave when the run was saved; None for a new run.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=100)
        >>> recipe = baseline(data, data.open().spec)
        >>> one, other = (Engine(recipe, data.open(), Path("nowhere"), Stop()) for _ in range(2))
        >>> one.train_dataloader()  # the steps still to make
        range(0, 2000)
        >>> torch.equal(one.model.decoder.out.weight, other.model.decoder.out.weight)  # weights follow from the seed
        True
    """

    def __init__(
        self, recipe: Recipe, splits: Splits, folder: Path, stop: Stop, state: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe, self.splits, self.folder, self.stop = recipe, splits, folder, stop
        settings = recipe.training
        seed_step(settings.seed, INITIAL)
        self.model = recipe.model(splits.spec)
        self.algorithm = recipe.algorithm.build(self.model, recipe.objective, settings)
        self.order = Order(len(splits.train), settings.batch_size, settings.seed, splits.train.lengths)
        self.means = Means(self.model.groups)
        self.of_codes = HEALTH if recipe.posterior.discrete else ()
        self.progress = files.Progress.read(folder) if state is not None else files.Progress()
        self.latest: dict[str, float] = {}
        self.kept = 0
        if state is not None:
            self._load(state)
        self.metrics: Metrics | None = None
        if settings.compile:
            self.model.compile(options={"fallback_random": True})  # the noise it would draw uncompiled

    @property
    def step_number(self) -> int:
        """Steps made so far, whatever number of optimisers moved in each."""
        return self.progress.step

    def train_dataloader(self) -> range:
        """The steps still to make: an epoch of Lightning."""
        return range(self.step_number, self.recipe.training.steps)

    def configure_optimizers(self) -> Any:
        """The algorithm's optimisers, so that Lightning moves their state to the device; the algorithm steps them."""
        return list(self.algorithm.optimizers)

    def on_train_start(self) -> None:
        """Open the table of metrics and listen to signals, for Lightning has just put its own handlers in place."""
        self.stop.install()
        self.clock = time.monotonic()
        if self.trainer.is_global_zero:
            self.metrics = Metrics(self.folder / files.METRICS, self.kept)

    def training_step(self, number: int) -> None:
        """Make step ``number``."""
        seed_step(self.recipe.training.seed, number)
        with shard(self.global_rank, self.trainer.world_size):
            x = self._observed(self.order.indices(number))
            try:
                logs = self.algorithm.step(Step(number, x, self._more(number), self.manual_backward))
            except NonFinite as error:
                raise NonFinite(f"step {number}: {error}") from error
            self.model.inference.after_step()
        self.means.add(logs)
        self.progress.step = number + 1

    def on_train_batch_end(self, *_: Any) -> None:
        """Log, look at held-out data, save and stop where it is time to."""
        settings, step = self.recipe.training, self.step_number
        last = step == settings.steps or self.trainer.should_stop  # a callback of the user's may end the run
        if step % LOG_EVERY == 0 or last:
            self._log_training()
        if step % settings.validate_every == 0 or last:
            self._validate(last)
        if stopped := self._asked_to_stop():
            self.progress.stopped = stopped
            self.trainer.should_stop = True
        self.progress.finished = last or self.progress.out_of_patience
        self.trainer.should_stop = self.trainer.should_stop or self.progress.finished
        if step % settings.checkpoint_every == 0 or self.trainer.should_stop:
            self.save()

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs; the same in all processes."""
        if self.trainer.world_size > 1 and self.means.sums is not None:
            self.means.sums = self.trainer.strategy.reduce(self.means.sums, reduce_op="mean")
        return {
            "model": self.model.state_dict(),
            "algorithm": self.algorithm.state_dict(),
            "means": self.means.state_dict(),
            "progress": self.progress.state_dict(),
            "metrics_bytes": self.metrics.position() if self.metrics else 0,
        }

    def _load(self, state: dict[str, Any]) -> None:
        try:
            self.model.load_state_dict(state["model"])
            self.algorithm.load_state_dict(state["algorithm"])
            self.means.load_state_dict(state["means"])
            self.progress.load_state_dict(state["progress"])
            self.kept = state["metrics_bytes"]
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else str(error).strip().splitlines()[-1].strip()
            raise ValueError(
                f"{self.folder / files.STATE}: not the state of this run ({why}); go back to a copy of it, or choose "
                "another folder"
            ) from error
        self.progress.stopped = 0

    def save(self) -> None:
        """Write the resumable state; and the weights, unless the best ones are kept.

        Errors:
            NonFinite: The model is broken; the checkpoint before is kept.
        """
        state = self.state()
        for name, value in state["model"].items():
            if not torch.isfinite(value).all():
                raise NonFinite(f"after step {self.step_number - 1}: {name} is NaN or infinite")
        if not self.trainer.is_global_zero:
            return
        io = self.trainer.strategy.checkpoint_io
        if self.recipe.training.patience is None:
            io.save_checkpoint(state["model"], self.folder / files.WEIGHTS)
        io.save_checkpoint(state, self.folder / files.STATE)
        now = time.monotonic()
        self.progress.seconds, self.clock = self.progress.seconds + now - self.clock, now
        self.progress.write(self.folder)

    def _observed(self, index: Tensor) -> Tensor:
        """This process's rows of a global batch, as the model sees them."""
        rows = len(index) // self.trainer.world_size
        raw = self.splits.train.batch(index, slice(self.global_rank * rows, (self.global_rank + 1) * rows))
        return self.model.observe(raw.to(self.device))

    def _more(self, number: int) -> Callable[[], Tensor]:
        """Further batches for an inner loop: random ones of this epoch, the same at every resume."""
        inner, start = itertools.count(1), number // self.order.epoch_steps * self.order.epoch_steps

        def more() -> Tensor:
            seed_step(self.recipe.training.seed, number, next(inner))
            return self._observed(self.order.indices(start + int(torch.randint(self.order.epoch_steps, ()))))

        return more

    def _log_training(self) -> None:
        if self.trainer.world_size > 1 and self.means.sums is not None:
            self.means.sums = self.trainer.strategy.reduce(self.means.sums, reduce_op="mean")
        self._record("train", self.means.take())

    def _look(self) -> dict[str, float]:
        """Look at held-out data; the first process does, and all hear what it saw."""
        seen: dict[str, float] = {}
        if self.trainer.is_global_zero:
            training = self.recipe.training
            examples = HeldOut(self.splits.held_out, self.model.observe, training.seed, most=LOOK, device=self.device)
            with self.trainer.precision_plugin.val_step_context():
                recipe, last = self.recipe, self.step_number - 1
                asked = recipe.algorithm.asked(self.model, recipe.objective, last, training.seed)
                seen = look(asked, examples, training.seed)
        return self.trainer.strategy.broadcast(seen)

    def _validate(self, last: bool) -> None:
        seen = self._look()
        if self.algorithm.after_validation(seen, last):
            seen = self._look()
        self._record("held_out", seen)
        if not self.algorithm.whole:
            return
        patience = self.recipe.training.patience
        better = self.progress.judge(seen["elbo"], self._settled(), patience)
        if better and patience is not None and self.trainer.is_global_zero:
            self.trainer.strategy.checkpoint_io.save_checkpoint(self.model.state_dict(), self.folder / files.WEIGHTS)

    def _settled(self) -> bool:
        """Whether objective and algorithm are already those the run ends with."""
        return self.recipe.objective.settled(self.step_number) and self.algorithm.settled

    def _record(self, split: str, values: dict[str, float]) -> None:
        beta = self.recipe.objective.weight(self.step_number - 1)
        if beta is not None and split == "train":
            values = {**values, "beta": beta}
        self.latest = {**self.latest, **{f"{split}/{k}": v for k, v in values.items()}}
        if self.metrics is not None:
            self.metrics.append(self.step_number, split, values, (*self.of_codes, *self.means.names))
        for logger in self.loggers:
            logger.log_metrics({f"{split}/{k}": v for k, v in values.items()}, self.step_number)

    def _asked_to_stop(self) -> int:
        """The signal that asked to stop, 0 for none; all processes agree on it."""
        if self.trainer.world_size == 1:
            return self.stop.signal
        number = torch.tensor(self.stop.signal, device=self.device)
        dist.broadcast(number, 0)
        return int(number)
