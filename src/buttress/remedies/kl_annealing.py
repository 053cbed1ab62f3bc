"""KL annealing: the weight of the rate rises from 0 to 1, so that the decoder meets z while z is free."""

from __future__ import annotations

from buttress.recipe import Recipe
from buttress.remedy import remedy, with_beta
from buttress.schedules.linear import Linear


@remedy(family="tweak the ELBO", source="Bowman et al. 2016")
def kl_annealing(recipe: Recipe, fraction: float = 0.3, start: float = 0.0) -> Recipe:
    """Let the weight of the rate rise linearly over the first part of training.

    Args:
        recipe: The recipe to change.
        fraction: Part of all steps that the ramp takes, below 1.
        start: Weight at step 0.
    """
    ramp = Linear(steps=max(1, round(fraction * recipe.training.steps)), start=start)
    return with_beta(recipe, "kl_annealing", ramp)
