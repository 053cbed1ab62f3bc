"""KL annealing: the weight of the rate rises from 0 to 1, so that the decoder meets z while z is free."""

from __future__ import annotations

import math
from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.remedies._codes import refuse_codes
from buttress.schedules.linear import Linear


@remedy(
    family="tweak the ELBO",
    source="Bowman et al. 2016",
    takes={"objective.beta": 1.0},
    needs={"objective": ("elbo", "free_bits")},
    cures=("the model ignores z",),
    codes=False,
    rank=1,
)
def kl_annealing(recipe: Recipe, fraction: float = 0.3, start: float = 0.0, hold: float = 0.0) -> Recipe:
    """Let the weight of the rate rise linearly over the first part of training.

    A short hold lets a z that the decoder hardly uses grow before it is charged for; a long one without a charge
    makes a deterministic autoencoder, and what it learned is thrown away when the charge comes.

    Args:
        recipe: The recipe to change.
        fraction: Part of all steps that the ramp takes, above 0; ramp and hold together less than all.
        start: Weight at step 0, from 0 to less than 1.
        hold: Part of all steps, before the ramp, that train at ``start``.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))  # 2,000 steps
        >>> kl_annealing(recipe, fraction=0.2, hold=0.5).objective.beta
        Linear(steps=400, start=0.0, end=1.0, hold=1000)
    """
    if not (0 < fraction < math.inf and 0 <= start < 1 and 0 <= hold < math.inf):
        raise ValueError(
            f"kl_annealing: fraction is {fraction}, start {start} and hold {hold}; wanted parts of all steps (fraction "
            "above 0, hold at least 0) and a start from 0 to less than 1, since the weight rises to 1"
        )
    total = recipe.training.steps
    ramp = Linear(steps=max(1, round(fraction * total)), start=start, hold=round(hold * total))
    refuse_codes(recipe, "kl_annealing")
    return replace(recipe, objective=recipe.objective.replace(beta=ramp))
