"""Which precision trains faster here: a few steps of the model in each, in turn, on the first batch of the run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from buttress.core import Batch, Splits
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Recipe
from buttress.runtime.denormals import flushed
from buttress.runtime.heap import kept
from buttress.runtime.randomness import seed_step
from buttress.training.batch_sampler import BatchSampler
from buttress.training.folder import RECIPE

__all__ = ["Timing", "as_recorded", "chosen", "timed"]

WHOLE: Literal["32-true"] = "32-true"
MIXED: Literal["bf16-mixed"] = "bf16-mixed"
ROUNDS, SECONDS = 5, 10.0
"""Rounds of one step in each precision, at least, and the time after which no further round begins."""
ENOUGH = 0.3
"""Seconds for which rounds go on in any case: of steps of a millisecond a few are noise on a busy machine."""
WORTH_IT = 1.1
"""How many times as fast mixed precision has to be: timings differ by some percent from one call to the next."""
SAME = 0.02
"""How far apart the two losses may be, relative to that of full precision."""


@dataclass(frozen=True)
class Timing:
    """What a step costs in each precision.

    Args:
        whole: Seconds of the fastest forward and backward pass in "32-true": other programs only make one slower.
        mixed: The same in "bf16-mixed".
        apart: How far its loss is from that of "32-true", relative to it; NaN where it is not finite.

    Example:
        >>> Timing(whole=0.2, mixed=0.1, apart=0.001).precision, Timing(whole=0.2, mixed=0.19, apart=0.001).precision
        ('bf16-mixed', '32-true')
        >>> print(Timing(whole=0.2, mixed=0.1, apart=0.5))
        precision 32-true: in bf16-mixed the loss of the first batch is 50 % off
    """

    whole: float
    mixed: float
    apart: float

    @property
    def precision(self) -> Literal["32-true", "bf16-mixed"]:
        """The faster one; full precision where the difference is small, or where the loss is another."""
        return MIXED if self.apart <= SAME and self.whole >= WORTH_IT * self.mixed else WHOLE

    def __str__(self) -> str:
        if not self.apart <= SAME:
            return f"precision {WHOLE}: in {MIXED} the loss of the first batch is {100 * self.apart:.2g} % off"
        return f"precision {self.precision}: {self.whole:.3g} s a step in {WHOLE}, {self.mixed:.3g} s in {MIXED}"


def as_recorded(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the precision that a run in ``folder`` was begun with, where it leaves the choice to us.

    Args:
        recipe: What is to be trained.
        folder: Where; it need not exist.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> recipe = baseline(LinearGaussianData(), LinearGaussianData().open().spec)
        >>> as_recorded(recipe, Path("nowhere")) == recipe
        True
    """
    if recipe.training.precision != "auto" or not (folder / RECIPE).exists():
        return recipe
    return replace(recipe, training=replace(recipe.training, precision=Recipe.load(folder / RECIPE).training.precision))


def chosen(recipe: Recipe, splits: Splits) -> tuple[Recipe, str]:
    """The recipe with a precision in place of "auto", and a sentence about the choice; unchanged and "" otherwise.

    Args:
        recipe: What is to be trained.
        splits: Its data, opened.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=100)
        >>> recipe = baseline(data, data.open().spec)
        >>> recipe = replace(recipe, training=replace(recipe.training, precision="auto"))
        >>> settled, said = chosen(recipe, data.open())
        >>> settled.training.precision in ("32-true", "bf16-mixed"), said.startswith("precision")
        (True, True)
    """
    if recipe.training.precision != "auto":
        return recipe, ""
    found = timed(recipe, splits)
    return replace(recipe, training=replace(recipe.training, precision=found.precision)), str(found)


@flushed()
@kept()
def timed(recipe: Recipe, splits: Splits) -> Timing:
    """Time forward and backward passes of the first batch in both precisions, in turn, uncompiled.

    Objective and algorithm decide what else a step does; most of its time is in these passes.

    Args:
        recipe: What is to be trained.
        splits: Its data, opened.
    """
    settings = recipe.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sampler = BatchSampler(len(splits.train), settings.batch_size, settings.seed, splits.train.sizes)
    with torch.random.fork_rng([]):
        seed_step(settings.seed, 0)
        model = recipe.model(splits.spec).to(device)
        batch = splits.train.read(sampler.indices(0)).to(device)
        batch = batch.with_x(model.observe(batch.x))
        losses = [_pass(recipe, model, batch, mixed)[1] for mixed in (False, True)]  # which warms up, too
        seconds: tuple[list[float], list[float]] = ([], [])
        begin = time.perf_counter()
        while not seconds[0] or _goes_on(len(seconds[0]), time.perf_counter() - begin):
            for mixed in (False, True):
                seconds[mixed].append(_pass(recipe, model, batch, mixed)[0])
    apart = abs(losses[1] - losses[0]) / max(abs(losses[0]), 1e-12)
    return Timing(min(seconds[0]), min(seconds[1]), apart)


def _goes_on(rounds: int, passed: float) -> bool:
    """Whether there is one more round after so many, and so many seconds.

    Example:
        >>> _goes_on(4, 9.0), _goes_on(4, 11.0), _goes_on(200, 0.2), _goes_on(5, 0.4)
        (True, False, True, False)
    """
    return passed < ENOUGH or (rounds < ROUNDS and passed < SECONDS)


def _pass(recipe: Recipe, model: LatentVariableModel, batch: Batch, mixed: bool) -> tuple[float, float]:
    """Seconds of a forward and backward pass, and the loss, with the noise of the first step."""
    seed_step(recipe.training.seed, 0)
    begin = time.perf_counter()
    with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=mixed):
        loss = recipe.objective(model(batch.x, recipe.objective.samples, given=batch.given), 0)
    loss.backward()
    value = float(loss.detach())  # waits for the device
    for parameter in model.parameters():
        parameter.grad = None
    return time.perf_counter() - begin, value
