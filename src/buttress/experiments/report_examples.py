"""The examples that the page of a run shows, made and written into its folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from buttress.core import Batch, Given
from buttress.data.sounds import Sounds
from buttress.decoders._sequence import SequenceModule
from buttress.distributions.inspect import is_uniform
from buttress.experiments.conditions import given_for
from buttress.experiments.examples import (
    as_observed,
    drawn_again,
    interpolations,
    reconstructed,
    sampled,
    side_by_side,
    some_held_out,
)
from buttress.experiments.page_examples import FEW, page_parts, save_latent_view
from buttress.experiments.present import shown
from buttress.report.examples import save_examples
from buttress.training.run import Run

__all__ = ["save_run_examples"]


PLACES = {"wave": 4000, "frames": 400}
"""What the page shows of each example of sound."""
SAMPLES, WALKS, SPREAD = 4, 2, 3
"""Of sound: samples and originals, interpolations, and examples drawn several times, at most."""


def save_run_examples(
    run: Run,
    count: int = 32,
    ways: int = 6,
    seed: int = 0,
    rows: int = 8,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write into a run's folder what its report shows; of a model with a critic what it shows of z alone.

    Args:
        run: The run.
        count: Samples, and held-out examples with their reconstructions.
        ways: Interpolations, from one held-out example to another.
        seed: Of all draws.
        rows: Held-out examples of which one z is decoded several times.
        tell: Called with what is drawn next, where it is drawn place by place and takes long.
    """
    view = save_latent_view(run, seed)
    if not run.model.density:
        return view
    if _is_sound(run):
        count, ways, rows = min(count, SAMPLES), min(ways, WALKS), min(rows, SPREAD)
    raw = some_held_out(run, max(count, 2 * ways), seed)
    ways = min(ways, len(raw) // 2)
    spread = raw.take(torch.linspace(0, len(raw) - 1, min(rows, len(raw))).long())  # stored data may be sorted by class
    first, ends = raw.take(slice(count)), (raw.take(slice(ways)), raw.take(slice(ways, 2 * ways)))
    spec, other = run.spec, seed + 1  # of the same seed a decoder that ignores z would draw the same x twice
    given = given_for(run, "", count, other)
    makers: dict[str, Callable[[], Any]] = {
        "samples": lambda: sampled(run, count, other, given=given),
        "reconstructions": lambda: reconstructed(run, first, seed),
        "interpolations": lambda: interpolations(run, *ends, steps=FEW if _is_sound(run) else 8, seed=seed),
        "draws": lambda: _ended(drawn_again(run, spread, seed=other), spread),
    }
    if _learned_codes(run, given):
        makers["uniform_samples"] = lambda: sampled(run, count, other, uniform=True, given=given)
    with _short(run):
        found = {name: _made(run, name, make, tell) for name, make in makers.items()}
        ways_of = side_by_side(spec, [as_observed(run, first.x, seed), found["reconstructions"]])
        found["originals"], found["reconstructions"] = _ended(ways_of, first).unbind(1)
        parts = _made(run, "traversals", lambda: page_parts(run, first, given, count, other), tell)
    examples = {name: shown(spec, x) for name, x in found.items()}
    offset = spec.offset if spec.kind == "table" else ()
    named = {"columns": spec.columns, "words": spec.words, "offset": offset, "sound": _sound(run)}
    return save_examples(run.folder, spec.kind, **examples, **parts, **named)


def _made(run: Run, name: str, make: Callable[[], Any], tell: Callable[[str], None]) -> Any:
    if _is_sound(run):
        tell(f"drawing examples for the report: {name}")
    return make()


def _is_sound(run: Run) -> bool:
    return run.spec.kind in ("wave", "frames")


def _short(run: Run) -> Any:
    """While this lasts, sound is drawn for the first few places alone."""
    decoder = run.model.decoder
    return decoder.shortened(PLACES[run.spec.kind]) if isinstance(decoder, SequenceModule) else nullcontext()


def _ended(x: Tensor, raw: Batch) -> Tensor:
    """Frames (B, ways, T, bands) with NaN behind the true end of each example; others as they are."""
    if x.dim() != 4 or "lengths" not in raw.given or not x.is_floating_point():
        return x
    behind = torch.arange(x.shape[2]) >= raw.given["lengths"][:, None]
    return x.masked_fill(behind[:, None, :, None], torch.nan)


def _sound(run: Run) -> tuple[int, ...]:
    """Samples a second, and of frames their window and hop; () for what is not made of sound."""
    data, rate = run.recipe.data, run.spec.rate
    if run.spec.kind == "wave" and rate:
        return (rate,)
    return (rate, data.window, data.hop) if isinstance(data, Sounds) and rate else ()


def _learned_codes(run: Run, given: Given) -> bool:
    """Whether z is made of codes and the prior has learned which go together."""
    return run.model.space.classes is not None and not is_uniform(run.model.prior(given))
