"""Samples of a conditional model that a classifier is surest of: rejection as in VQ-VAE-2, for any run with labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Column
from buttress.experiments.examples import as_observed, check_temperature, sampled
from buttress.quality.classifier import fit_classifier
from buttress.quality.rejection import surest
from buttress.runtime.randomness import check_seed
from buttress.training.run import Run

__all__ = ["surest_samples"]

MOST = 20_000
"""Most training images that the classifier learns from."""


def surest_samples(
    run: Run,
    count: int,
    best_of: int,
    given: Mapping[str, Tensor],
    seed: int = 0,
    watch: Callable[[str, int, int], None] = lambda what, step, steps: None,
    **settings: Any,
) -> Tensor:
    """``count`` samples: of ``best_of`` times as many, in each class those that a classifier is surest of.

    The classifier learns from the run's own training images and labels. Few samples that it is unsure of remain, and
    less of the diversity: see :mod:`buttress.quality.rejection`.

    Args:
        run: A run on images that reads a label.
        count: How many to keep.
        best_of: How many are drawn for each that is kept.
        given: The conditions of those kept, ``count`` rows.
        seed: Of all draws and of the classifier.
        watch: Called with (what, step, steps) while the classifier learns.
        settings: Further ones of :func:`buttress.experiments.examples.sampled`.

    Errors:
        ValueError: ``best_of`` is below 1, x is no image, or the model reads no label.
    """
    if best_of < 1:
        raise ValueError(f"best_of is {best_of}, wanted 1 (keep every sample) or more")
    if best_of == 1:
        return sampled(run, count, seed, given=given, **settings)
    check_seed(seed)
    check_temperature(settings.get("temperature", 1.0))
    column = _label(run)
    images, labels = _labelled(run, column, seed)
    classifier = fit_classifier(
        images, labels, column.classes, seed=seed, watch=partial(watch, "training the classifier")
    )
    pool = {name: value.repeat(best_of, *[1] * (value.dim() - 1)) for name, value in given.items()}
    drawn = sampled(run, count * best_of, seed, given=pool, **settings)
    kept = surest(classifier.probabilities(drawn), pool[column.name], 1 / best_of)
    order = given[column.name].argsort(stable=True).argsort()  # the kept of each class go where it was asked for
    return drawn[kept[pool[column.name][kept].argsort(stable=True)]][order]


def _label(run: Run) -> Column:
    """The label that the model reads."""
    if run.spec.kind != "image":
        raise ValueError(f"best_of: the classifier is one of images, and this run is on {run.spec.kind} data")
    read = [column for column in run.spec.given if column.classes and column.name in run.model.reads]
    if not read:
        raise ValueError(
            "best_of: this model reads no label, so that no class is asked of a sample; train one with --condition "
            "embedding, or codes with --prior.given 16"
        )
    return read[0]


def _labelled(run: Run, column: Column, seed: int) -> tuple[Float[Tensor, "N C H W"], Int[Tensor, " N"]]:
    """Training images as the model sees them, and their labels."""
    examples = run.splits().train
    batch = examples.read(torch.arange(min(len(examples), MOST)))
    return as_observed(run, batch.x, seed).float(), batch.given[column.name]
