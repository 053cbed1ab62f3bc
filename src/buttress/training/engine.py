"""A run at work: its steps, each a function of recipe, number and the state so far, and the files they leave behind.

A step's batch, noise and inner batches follow from (seed, step), so a checkpoint needs no random state, and a resumed
run is the same loop that starts at the saved step.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from buttress.algorithms.descent import NonFinite
from buttress.core import Batch, Splits, Step
from buttress.core.recipe import Recipe
from buttress.diagnostics.estimators.codebook import HEALTH
from buttress.diagnostics.evaluation import evaluating
from buttress.runtime import distributed
from buttress.runtime.randomness import seed_step, shard
from buttress.training import checkpoint
from buttress.training.batch_sampler import BatchSampler
from buttress.training.callbacks import Callback, ProgressBar
from buttress.training.folder import METRICS, STATE, WEIGHTS
from buttress.training.held_out import VALIDATION_EXAMPLES, HeldOut, divided, look
from buttress.training.metrics import Means, Metrics
from buttress.training.progress import Progress
from buttress.training.stop import Stop
from buttress.training.warm_start import begin_with

__all__ = ["INITIAL", "LOG_EVERY", "Engine"]

LOG_EVERY = 50
"""Steps between rows of training metrics."""
INITIAL, FIRST_PASS = -2, -4
"""Numbers of "steps" whose noise the initial weights are, and a pass over the data before the first step."""


class Engine:
    """A model and its algorithm at work on data.

    Args:
        recipe: What to do.
        splits: The data, opened.
        folder: Where the run lives.
        stop: Who may ask it to stop.
        fabric: A launched ``lightning.fabric.Fabric``: device, precision, processes and loggers.
        state: What :meth:`state` gave when the run was saved; None for a new run.
        callbacks: Called before the first step and after each.

    Example:
        >>> from lightning.fabric import Fabric
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data, fabric = LinearGaussianData(dim=4, n=100), Fabric(accelerator="cpu", devices=1)
        >>> recipe = baseline(data, data.open().spec)
        >>> one, other = (Engine(recipe, data.open(), Path("nowhere"), Stop(), fabric) for _ in range(2))
        >>> torch.equal(one.model.decoder.out.weight, other.model.decoder.out.weight)  # weights follow from the seed
        True
    """

    def __init__(
        self,
        recipe: Recipe,
        splits: Splits,
        folder: Path,
        stop: Stop,
        fabric: Any,
        state: dict[str, Any] | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.recipe, self.splits, self.folder, self.stop = recipe, splits, folder, stop
        self.fabric, self.callbacks, self.new = fabric, callbacks, state is None
        settings = recipe.training
        seed_step(settings.seed, INITIAL)
        self.model = recipe.model(splits.spec)
        self.algorithm = recipe.algorithm.build(self.model, recipe.objective, settings)
        for module in (self.model, self.algorithm):
            fabric.to_device(module)
        self.sampler = BatchSampler(len(splits.train), settings.batch_size, settings.seed, splits.train.sizes)
        self.means = Means(self.model.groups)
        self.progress = Progress.read(folder) if state is not None else Progress(init=Progress.read(folder).init)
        self.latest: dict[str, float] = {}
        self.metrics: Metrics | None = None
        self.kept = 0
        if state is not None:
            self._load(state)
        elif init := self.progress.init:
            begin_with(self.model, Path(init))
        if settings.compile:
            self.model.compile(options={"fallback_random": True})  # the noise it would draw uncompiled

    @property
    def step_number(self) -> int:
        """Steps made so far, whatever number of optimisers moved in each."""
        return self.progress.step

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.fabric.device

    def run(self, bar: ProgressBar | None = None) -> None:
        """Make the steps that are left, until the last one, a signal, a callback or patience ends the run."""
        total = self.recipe.training.steps
        self.clock = time.monotonic()
        if self.fabric.is_global_zero:
            self.metrics = Metrics(self.folder / METRICS, self.kept)
        if self.new:
            self._refresh()
            self.algorithm.begin(self._read_all)
        for callback in self.callbacks:
            callback.begin(self)
        over = False
        while not over:
            self.step(self.step_number)
            ended = [callback.on_step(self.step_number, total, self.latest) for callback in self.callbacks]
            over = self.conclude_step(any(ended))
            if bar is not None:
                bar.show(self.step_number, self.latest)

    def step(self, number: int) -> None:
        """Make step ``number``.

        Errors:
            NonFinite: Something became NaN or infinite.
        """
        seed_step(self.recipe.training.seed, number)
        with shard(self.fabric.global_rank, self.fabric.world_size), self.fabric.autocast():
            batch = self._observed(self.sampler.indices(number))
            try:
                logs = self.algorithm.step(Step(number, batch, self._next_batch(number)))
            except NonFinite as error:
                raise NonFinite(f"step {number}: {error}") from error
            self.model.after_step()
        self.means.add(logs)
        self.progress.step = number + 1

    def conclude_step(self, ended: bool) -> bool:
        """Log, validate and save where it is time to; whether the run is over, finished or stopped.

        Args:
            ended: Whether a callback ends the run here.
        """
        settings, step = self.recipe.training, self.step_number
        self.progress.stopped, ended = self._agree(self.stop.signal, ended)
        last = step == settings.steps or ended
        if step % LOG_EVERY == 0 or last:
            self._log_training()
        if step % settings.validate_every == 0 or last:
            self._validate(last)
        self.progress.finished, self.progress.total = last or self.progress.out_of_patience, settings.steps
        over = self.progress.finished or self.progress.stopped > 0
        if step % settings.checkpoint_every == 0 or over:
            self.save()
        return over

    def _agree(self, signal: int, ended: bool) -> tuple[int, bool]:
        """What the first process knows of a signal and of its callbacks: all processes act on that."""
        if self.fabric.world_size == 1:
            return signal, ended
        known = self.fabric.broadcast(torch.tensor([signal, int(ended)], device=self.device))
        return int(known[0]), bool(known[1])

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs; the same in all processes."""
        if self.means.sums is not None:
            distributed.mean(self.means.sums)
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
            self.means.load_state_dict(state["means"], self.device)
            self.progress.load_state_dict(state["progress"])
            self.kept = state["metrics_bytes"]
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else str(error).strip().splitlines()[-1].strip()
            raise ValueError(
                f"{self.folder / STATE}: not the state of this run ({why}); go back to a copy of it, or choose "
                "another folder"
            ) from error

    def save(self) -> None:
        """Write the resumable state; and the weights, unless the best ones are kept.

        Errors:
            NonFinite: The model or a network of the algorithm is broken; the checkpoint before is kept.
        """
        state = self.state()
        for name, value in {**state["algorithm"], **state["model"]}.items():
            if isinstance(value, Tensor) and not torch.isfinite(value).all():
                raise NonFinite(f"after step {self.step_number - 1}: {name} is NaN or infinite")
        if not self.fabric.is_global_zero:
            return
        if self.recipe.training.patience is None:
            checkpoint.save(self.folder / WEIGHTS, state["model"])
        checkpoint.save(self.folder / STATE, state)
        now = time.monotonic()
        self.progress.seconds, self.clock = self.progress.seconds + now - self.clock, now
        self.progress.write(self.folder)

    def _observed(self, index: Tensor) -> Batch:
        """This process's rows of a global batch, as the model reads them."""
        rows = len(index) // self.fabric.world_size
        first = self.fabric.global_rank * rows
        return self._read(index, slice(first, first + rows))

    def _read(self, index: Tensor, rows: slice = slice(None)) -> Batch:
        batch = self.splits.train.read(index, rows).to(self.device)
        return batch.with_x(self.model.observe(batch.x))

    def _next_batch(self, number: int) -> Callable[[], Batch]:
        """Further batches for an inner loop: random ones of this epoch, the same at every resume."""
        inner, steps = itertools.count(1), self.sampler.epoch_steps
        start = number // steps * steps

        def next_batch() -> Batch:
            seed_step(self.recipe.training.seed, number, next(inner))
            return self._observed(self.sampler.indices(start + int(torch.randint(steps, ()))))

        return next_batch

    def _read_all(self) -> Iterator[Batch]:
        """All training examples in their order, in every process."""
        every = torch.arange(len(self.splits.train)).split(self.recipe.training.batch_size)
        for number, index in enumerate(every):
            seed_step(self.recipe.training.seed, FIRST_PASS, number)
            yield self._read(index)

    def _refresh(self) -> None:
        """Let the model read all training examples, in every process, where its prior remembers them."""
        with evaluating(self.model), self.fabric.autocast():
            self.model.refresh(self._read_all)

    def _log_training(self) -> None:
        if self.means.sums is not None:
            distributed.mean(self.means.sums)
        self._record("train", self.means.take())

    def _look(self) -> dict[str, float]:
        """Validate in the first process, and give all of them the result."""
        self._refresh()
        seen: dict[str, float] = {}
        if self.fabric.is_global_zero:
            recipe, seed = self.recipe, self.recipe.training.seed
            most, held_out = VALIDATION_EXAMPLES, self.splits.held_out
            among = divided(held_out, recipe.training.validation)[0]
            examples = HeldOut(held_out, self.model.observe, seed, most=most, device=self.device, among=among)
            with self.fabric.autocast():
                step = self.step_number - 1
                seen = look(recipe.algorithm.evaluation_model(self.model, recipe.objective, step, seed), examples, seed)
        return self.fabric.broadcast(seen) if self.fabric.world_size > 1 else seen

    def _validate(self, last: bool) -> None:
        seen = self._look()
        if self.algorithm.after_validation(seen, last):
            seen = self._look()
        self._record("held_out", seen)
        if not (last or (self.algorithm.model_complete and self.recipe.training.rounding(self.step_number))):
            return
        patience, objective = self.recipe.training.patience, self.recipe.objective
        final = self.algorithm.in_final_phase and objective.settled(self.step_number)
        better = self.progress.judge(seen["elbo"], final, patience)
        if final and not better:
            self._decay(self.recipe.training.decay)
        if better and patience is not None and self.fabric.is_global_zero:
            checkpoint.save(self.folder / WEIGHTS, self.model.state_dict())

    def _decay(self, factor: float) -> None:
        """Multiply all learning rates; optimisers keep them in their states, so that a resumed run has them too."""
        for optimizer in self.algorithm.optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= factor

    def _record(self, split: str, values: dict[str, float]) -> None:
        beta = self.recipe.objective.weight(self.step_number - 1)
        if beta is not None and split == "train":
            values = {**values, "beta": beta}
        named = {f"{split}/{name}": value for name, value in values.items()}
        self.latest = {**self.latest, **named}
        self.fabric.log_dict(named, step=self.step_number)
        if self.metrics is not None:
            of_codes = HEALTH if self.recipe.posterior.discrete else ()
            self.metrics.append(self.step_number, split, values, (*of_codes, *self.means.names))
