"""What is told before training: the model that was built, how long it is trained, and, after some steps, the time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buttress.core.recipe import Recipe, Training

__all__ = ["duration", "estimate", "preview"]

WARM = 3
"""Steps that are not timed: the first ones are slower."""
SECONDS = 2.0
"""How long steps are timed before their time is told."""


def preview(recipe: Recipe, folder: Path, model: Any) -> list[str]:
    """The model that was built, its latent variable and its training, a line each.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(n=200)
        >>> recipe = baseline(data, data.open().spec)
        >>> for line in preview(recipe, Path("runs/first"), recipe.model(data.open().spec)):
        ...     print(line)
        model: mlp encoder, gaussian posterior, standard_normal prior, mlp decoder, gaussian likelihood; ... parameters
        latent: 7 real numbers
        training: 2,000 steps of 64 examples (711 passes over 180), joint, elbo; run in runs/first
    """
    import torch

    from buttress.data.opened import opened

    splits, training = opened(recipe.data), recipe.training
    size = sum(parameter.numel() for parameter in model.parameters())
    end = "critic" if recipe.critic.name() != "none" else "decoder"
    roles = ("encoder", "posterior", "prior", end, "likelihood")
    parts = ", ".join(f"{getattr(recipe, role).name()} {role}" for role in roles)
    reads = f"; given {', '.join(model.reads)}" if model.reads else ""
    number, of = torch.Size(model.space.shape).numel(), model.space.classes
    many = "s" * (number != 1)
    sizes = {level.classes for level in model.space.levels} or {of}
    z = f"{number} code{many}, each one of {'up to ' * (len(sizes) > 1)}{of:,}" if of else f"{number} real number{many}"
    z = "none: the model has no z" if of == 1 else z
    shape = f" ({' x '.join(map(str, model.space.shape))})" if len(model.space.shape) > 1 else ""
    passes = training.steps * training.batch_size / len(splits.train)
    remedies = f", with {'+'.join(recipe.remedies)}" if recipe.remedies else ""
    return [
        f"model: {parts}{reads}; {size:,} parameters",
        *_rounded(training, model),
        f"latent: {z}{shape}",
        f"training: {training.steps:,} steps of {training.batch_size} examples ({passes:.3g} passes over "
        f"{len(splits.train):,}), {recipe.algorithm.name()}, {recipe.objective.name()}{remedies}; run in {folder}",
    ]


def _rounded(training: Training, model: Any) -> list[str]:
    """What is rounded, and what that saves, where it is.

    Example:
        >>> from torch import nn
        >>> from buttress.nn.quantized.apply import quantize
        >>> net = nn.Sequential(nn.Linear(1000, 100))
        >>> _ = quantize(net, bits=4)
        >>> _rounded(Training(quantize=4), net)
        ['rounded: to 4 bits from step 100 on; parameters take 50.9 kB on a disk, 400.4 kB in full precision']
    """
    from buttress.nn.quantized.size import stored_bytes

    bits = training.quantize
    if not bits:
        return []
    small, whole = (stored_bytes(model, b) / 1000 for b in (bits, 0))
    return [
        f"rounded: to {bits} bits from step {training.quantize_after:,} on; parameters take {small:,.1f} kB on a disk, "
        f"{whole:,.1f} kB in full precision"
    ]


def estimate(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """A function to be called with (step, total) after each step; it tells once how long training will take.

    Args:
        say: Called with the line.

    Example:
        >>> hear = estimate(print)
        >>> for step in range(1, 4):
        ...     hear(step, 1000)  # nothing yet: these are not timed
    """
    began: tuple[int, float] | None = None
    told = False

    def hear(step: int, total: int) -> None:
        nonlocal began, told
        now = time.monotonic()
        if told or (began is None and step < WARM):
            return
        if began is None:
            began = (step, now)
        elif now - began[1] > SECONDS:
            told = True
            each = (now - began[1]) / (step - began[0])
            pace = f"{each:.1f} s" if each >= 1 else f"{1000 * each:.3g} ms"
            say(f"training: {pace} a step, so about {duration(each * (total - step))} for the rest")

    return hear


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> duration(42), duration(200), duration(9000), duration(200_000)
        ('42 s', '3 min', '2.5 h', '2.3 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    for length, name in ((86400 * 2, "days"), (5400, "h")):
        if seconds >= length:
            return f"{seconds / (86400 if name == 'days' else 3600):.1f} {name}"
    return f"{seconds / 60:.0f} min"


def say_on_stderr(line: str) -> None:
    """A line on stderr that a progress bar makes room for."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
