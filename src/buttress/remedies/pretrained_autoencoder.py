"""Pretraining as an autoencoder: z says something before it costs anything, and a new decoder learns to read it."""

from __future__ import annotations

import math
from dataclasses import replace

from buttress.algorithms.pretrained import Pretrained
from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy
from buttress.objectives.free_bits import FreeBits
from buttress.remedies._codes import refuse_codes
from buttress.schedules.linear import Linear


@remedy(
    family="tweak the learning",
    source="Li et al. 2019",
    takes={"algorithm": "joint", "objective.beta": 1.0, "objective.per_group": 0.0, "objective.total": 0.0},
    needs={"objective": ("elbo",)},
    cures=("the model ignores z",),
    codes=False,
)
def pretrained_autoencoder(recipe: Recipe, first: float = 0.3, ramp: float = 0.3, target: float = 8.0) -> Recipe:
    """Train without a rate first, reset the decoder, then anneal the rate above a floor for each example.

    Args:
        recipe: The recipe to change.
        first: Share of the steps that train the autoencoder.
        ramp: Share of the steps, after that, in which the weight of the rate rises from 0 to 1.
        target: Floor of the rate in nats, shared evenly by the dimensions of z; 0 for none.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = pretrained_autoencoder(baseline(LstmText(), DataSpec(Layout.text(1004, longest=11))))
        >>> recipe.algorithm, recipe.objective.per_example
        (Pretrained(first=0.3, reset=True), True)
    """
    refuse_codes(recipe, "pretrained_autoencoder")
    if not (0 < ramp < math.inf and 0 < first < 1 and target >= 0):
        raise DoesNotFit(f"pretrained_autoencoder: first is {first}, ramp {ramp} and target {target}; wanted shares")
    total, objective = recipe.training.steps, recipe.objective
    beta = Linear(steps=max(1, round(ramp * total)), hold=round(first * total))
    floor = target / getattr(recipe.posterior, "dim", 1)
    if floor:
        objective = FreeBits(per_group=floor, per_example=True, beta=beta, samples=objective.samples)
    else:
        objective = objective.replace(beta=beta)
    return replace(recipe, algorithm=Pretrained(first=first), objective=objective)
