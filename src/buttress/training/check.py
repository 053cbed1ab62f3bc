"""What is refused before the first step, because it would fail or mislead later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from buttress.algorithms.descent import NonFinite, first_non_finite, first_non_finite_output
from buttress.core import Batch, CriticModule, Examples, Splits, Training
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Recipe
from buttress.core.registry import only_here
from buttress.nn.quantized.apply import left_whole
from buttress.runtime.memory import check_memory
from buttress.runtime.randomness import seed_step
from buttress.training.batch_sampler import BatchSampler
from buttress.training.held_out import divided
from buttress.training.room import decoding
from buttress.training.warm_start import begin_with

__all__ = ["check", "check_support"]


TRAINED = 16
"""Bytes of a parameter in training: its value, its gradient and two means of the optimiser."""


def check(recipe: Recipe, splits: Splits, devices: int = 1, init: str = "") -> str:
    """Refuse what would fail or mislead later, before anything is trained.

    Args:
        recipe: What is to be trained.
        splits: The data, opened.
        devices: Processes that are to share each batch.
        init: The folder of a run whose weights the model begins with; empty for none.

    Returns:
        What was taken over from ``init``, and which layers can't be quantised though that is wanted.

    Errors:
        ValueError: A part does not fit the data; data outside the likelihood's support; fewer than two held-out
            examples, on which nothing can be measured; a batch larger than the data, too small for the critic or
            not divisible among the devices; a run to begin with that does not fit.
        NonFinite: The loss is not finite at the start.
    """
    settings = recipe.training
    _check_sizes(settings, splits, devices)
    if devices > 1 and only_here(recipe):
        raise ValueError(
            f"devices is {devices}, and a module or part of your own is known in this process alone; try devices=1"
        )
    sampler = BatchSampler(len(splits.train), settings.batch_size, settings.seed, splits.train.sizes)
    with torch.random.fork_rng([]), torch.no_grad():
        seed_step(settings.seed, 0)
        model = recipe.model(splits.spec)
        check_support(splits, model.likelihood.check)
        if isinstance(model.decoder, CriticModule):
            model.decoder.check_batch(settings.batch_size)
        weights = sum(parameter.numel() for parameter in model.parameters())
        check_memory(TRAINED * weights, f"{weights:,} parameters in training", "smaller sizes of the parts")
        recipe.algorithm.build(model, recipe.objective, settings)
        said = begin_with(model, Path(init)) if init else ""
        batch = splits.train.read(sampler.indices(0))
        drawn = recipe.objective.samples * len(batch)
        check_memory(drawn * decoding(splits.spec), f"{drawn:,} latents decoded together", "fewer samples")
        wrong = _first_wrong(recipe, model, batch.with_x(model.observe(batch.x)))
    if wrong:
        raise NonFinite(f"before the first step {wrong} is NaN or infinite; look for extreme values in the data")
    if settings.quantize and (whole := left_whole(model)):
        said = "; ".join(filter(None, [said, f"in full precision stay {', '.join(whole)}"]))
    return said


def _check_sizes(settings: Training, splits: Splits, devices: int) -> None:
    if devices < 1:
        raise ValueError(f"devices is {devices}, wanted at least 1")
    if settings.batch_size % devices:
        raise ValueError(
            f"batch_size is {settings.batch_size} and devices is {devices}: each process takes an equal share of a "
            f"batch; try batch_size {max(1, settings.batch_size // devices) * devices}"
        )
    if (out := len(splits.held_out)) < 2:
        raise ValueError(
            f"got {out} held-out example{'s' * (out != 1)}, wanted at least 2 to measure on (some hundreds for usable "
            "standard errors); try a larger held_out, or more data"
        )
    divided(splits.held_out, settings.validation)


def _first_wrong(recipe: Recipe, model: LatentVariableModel, batch: Batch) -> str | None:
    """The name of the first tensor of a step that is not finite; None where all are."""
    try:
        terms = model(batch.x, recipe.objective.samples, given=batch.given)
        loss = recipe.objective(terms, 0)
        if torch.isfinite(loss):
            return None
        return first_non_finite(dict(model.named_parameters()), terms, loss, model.groups)[1]
    except ValueError:
        if wrong := first_non_finite_output(model, batch):
            return wrong
        raise


def check_support(splits: Splits, check: Callable[[Tensor], None], batch_size: int = 256) -> None:
    """Run a likelihood's ``check`` over every example, a batch at a time.

    Args:
        splits: The data.
        check: Raises ValueError for raw data it cannot take, as ``LikelihoodModule.check`` does.
        batch_size: Examples read together.

    Errors:
        ValueError: What ``check`` said, with the file and row of the first example it refuses.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> splits = LinearGaussianData(dim=3, n=50).open()
        >>> check_support(splits, Bernoulli().build(splits.spec).check)
        Traceback (most recent call last):
        ValueError: linear_gaussian data, row 0 (from 0): got the value ... wanted uint8, or floats in [0, 1]; ...
    """
    for examples in (splits.train, splits.held_out):
        for index in torch.arange(len(examples)).split(batch_size):
            try:
                check(examples.batch(index))
            except ValueError as error:
                raise _located(examples, index, check, error) from error


def _located(examples: Examples, index: Tensor, check: Callable[[Tensor], None], error: ValueError) -> ValueError:
    for position in index:
        try:
            check(examples.batch(position[None]))
        except ValueError as single:
            return ValueError(f"{_name(examples, int(position))}: {single}")
    return error  # no single example is at fault


def _name(examples: Examples, position: int) -> str:
    where = getattr(examples, "where", None)
    return str(where(position)) if callable(where) else f"example {position}"
