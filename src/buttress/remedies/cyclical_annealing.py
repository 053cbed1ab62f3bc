"""Cyclical annealing: the weight of the rate rises from 0 to 1 several times; each restart finds an informative z."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.remedies._codes import refuse_codes
from buttress.schedules.cyclical import Cyclical


@remedy(
    family="tweak the ELBO",
    source="Fu et al. 2019",
    takes={"objective.beta": 1.0},
    needs={"objective": ("elbo", "free_bits")},
    cures=("the model ignores z",),
    codes=False,
    rank=2,
)
def cyclical_annealing(recipe: Recipe, cycles: int = 4, ratio: float = 0.5) -> Recipe:
    """Let the weight of the rate rise from 0 to 1 in several cycles over the whole run.

    Args:
        recipe: The recipe to change.
        cycles: M, how many cycles.
        ratio: R, the part of each cycle that ramps; the rest of it holds weight 1.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))  # 2,000 steps
        >>> beta = cyclical_annealing(recipe).objective.beta
        >>> [beta(step) for step in (0, 125, 250, 499, 500)]
        [0.0, 0.5, 1.0, 1.0, 0.0]
    """
    waves = Cyclical(steps=recipe.training.steps, cycles=cycles, ratio=ratio)
    refuse_codes(recipe, "cyclical_annealing")
    return replace(recipe, objective=recipe.objective.replace(beta=waves))
