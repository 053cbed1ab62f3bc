"""The examples that the page of a run shows, made and written into its folder."""

from __future__ import annotations

from pathlib import Path

import torch

from buttress.core import Given
from buttress.distributions.inspect import is_uniform
from buttress.experiments.conditions import given_for
from buttress.experiments.examples import (
    as_observed,
    drawn_again,
    interpolations,
    reconstructed,
    sampled,
    some_held_out,
)
from buttress.experiments.page_examples import page_parts, save_latent_view
from buttress.experiments.present import shown
from buttress.report.examples import save_examples
from buttress.training.run import Run

__all__ = ["save_run_examples"]


def save_run_examples(run: Run, count: int = 32, ways: int = 6, seed: int = 0, rows: int = 8) -> Path:
    """Write into a run's folder what its report shows; of a model with a critic what it shows of z alone.

    Args:
        run: The run.
        count: Samples, and held-out examples with their reconstructions.
        ways: Interpolations, from one held-out example to another.
        seed: Of all draws.
        rows: Held-out examples of which one z is decoded several times.
    """
    view = save_latent_view(run, seed)
    if not run.model.density:
        return view
    raw = some_held_out(run, max(count, 2 * ways), seed)
    ways = min(ways, len(raw) // 2)
    spread = raw.take(torch.linspace(0, len(raw) - 1, min(rows, len(raw))).long())  # stored data may be sorted by class
    first, ends = raw.take(slice(count)), (raw.take(slice(ways)), raw.take(slice(ways, 2 * ways)))
    spec, other = run.spec, seed + 1  # of the same seed a decoder that ignores z would draw the same x twice
    given = given_for(run, "", count, other)
    uniform = sampled(run, count, other, uniform=True, given=given) if _learned_codes(run, given) else None
    return save_examples(
        run.folder,
        spec.kind,
        samples=shown(spec, sampled(run, count, other, given=given)),
        originals=shown(spec, as_observed(run, first.x, seed)),
        reconstructions=shown(spec, reconstructed(run, first, seed)),
        interpolations=shown(spec, interpolations(run, *ends, steps=8, seed=seed)),
        columns=spec.columns,
        words=spec.words,
        offset=spec.offset if spec.kind == "table" else (),
        uniform_samples=None if uniform is None else shown(spec, uniform),
        draws=shown(spec, drawn_again(run, spread, seed=other)),
        **page_parts(run, first, given, count, other),
    )


def _learned_codes(run: Run, given: Given) -> bool:
    """Whether z is made of codes and the prior has learned which go together."""
    return run.model.space.classes is not None and not is_uniform(run.model.prior(given))
