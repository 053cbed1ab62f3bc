"""Post-training quantisation: the numbers of a finished run are rounded, and nothing is trained any more.

Ranges of activations are followed over some training batches, in evaluation. The new run's recipe is the old one with
quantisation that begins when training ends, and that is what its weights are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Recipe
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimators.rate import bound
from buttress.nn.quantized.apply import left_whole
from buttress.nn.quantized.size import stored_bytes
from buttress.runtime.randomness import seed_step
from buttress.training import checkpoint
from buttress.training.batch_sampler import BatchSampler
from buttress.training.folder import WEIGHTS
from buttress.training.lock import create, lock
from buttress.training.run import Run
from buttress.training.spec_file import save_spec

__all__ = ["CALIBRATED", "Cost", "cost_of", "quantize_run"]

CALIBRATED, EXAMPLES = 40, 256
"""Training batches over which ranges are followed, and the least size of each: the largest of a few numbers would clip
those to come. Of what the first batch saw a 60th is left at the end."""


def quantize_run(run: Run, folder: str | Path, bits: int, parts: Sequence[str] = ()) -> Run:
    """Round the numbers of a run, and write the result as a run of its own.

    Args:
        run: What was trained, in full precision.
        folder: Of the new run.
        bits: To which weights and activations are rounded, 2 to 8.
        parts: The parts to round; () for all.

    Errors:
        ValueError: The run is quantised already, ``bits`` is none, or the folder is not free.

    Example:
        What ``buttress quantize runs/latest --bits 8`` does::

            quantize_run(Run.load("runs/latest"), "runs/latest-8bit", bits=8).diagnose()
    """
    training, splits = run.recipe.training, run.splits()
    if training.quantize:
        raise ValueError(
            f"{run.folder}: is quantised already, to {training.quantize} bits; choose the run it was before"
        )
    if not bits:
        raise ValueError("bits is 0, which is full precision; wanted 2 to 8")
    begun = replace(training, quantize=bits, quantize_after=training.steps, quantize_parts=tuple(parts))
    recipe = replace(run.recipe, training=begun)
    with torch.random.fork_rng([]):
        model = _rounded(run, recipe)
    folder = Path(folder)
    with lock(folder):
        create(folder, recipe, resume=False)
        save_spec(folder, splits)
        checkpoint.save(folder / WEIGHTS, model.state_dict())
        replace(run.progress, finished=True, total=training.steps).write(folder)
    return Run.load(folder, splits)


def _rounded(run: Run, recipe: Recipe) -> LatentVariableModel:
    """The model with the run's weights, its ranges followed."""
    model = recipe.model(run.spec)
    own = {name: t for name, t in model.state_dict().items() if name.startswith("ranges.")}
    model.load_state_dict({**run.model.state_dict(), **own})
    model.eval()
    assert model.ranges is not None
    train, settings = run.splits().train, recipe.training
    size = min(len(train), max(EXAMPLES, settings.batch_size))
    sampler = BatchSampler(len(train), size, settings.seed, train.sizes)
    model.ranges.calibrating = True
    for number in range(CALIBRATED):
        seed_step(settings.seed, number)
        batch = train.read(sampler.indices(number))
        with torch.no_grad():
            model(model.observe(batch.x), given=batch.given)
        model.ranges.after_step()
    model.ranges.calibrating = False
    model.ranges.finish()
    return model


@dataclass(frozen=True)
class Cost:
    """What a run takes and what it is worth.

    Args:
        bytes: Of its parameters as they would be stored.
        milliseconds: To measure the bound on one held-out example, with rounding carried out in floats.
        elbo: On held-out data, in nats per example.
        whole: Layers with matrices that stay in full precision.
    """

    bytes: int
    milliseconds: float
    elbo: Estimate
    whole: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def cost_of(run: Run, seed: int = 0) -> Cost:
    """Measure a run, quantised or not.

    Args:
        run: Which.
        seed: Of all draws.

    Example:
        >>> import tempfile
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.training.run import train
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> recipe = replace(recipe, training=replace(recipe.training, steps=2, batch_size=8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(recipe, f"{folder}/whole", progress=False)
        ...     rounded = quantize_run(run, f"{folder}/rounded", bits=8)
        ...     whole, after = cost_of(run), cost_of(rounded)
        >>> whole.bytes > 2 * after.bytes, abs(whole.elbo.value - after.elbo.value) < 0.1
        (True, True)
    """
    bits, held_out = run.recipe.training.quantize, run.held_out(seed)
    model = run.evaluation_model(seed)
    bound(model, [held_out[0]], seed=seed)  # what is only slow the first time
    begin = time.perf_counter()
    elbo = bound(model, held_out, seed=seed).elbo
    seconds = time.perf_counter() - begin
    whole = tuple(left_whole(run.model)) if bits else ()
    return Cost(stored_bytes(run.model, bits), 1000 * seconds / elbo.n, elbo, whole)
