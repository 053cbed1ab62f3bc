"""A target for the rate or the distortion, held by a multiplier that training moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from buttress.algorithms.target_rate import TargetRate
from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.remedies._codes import refuse_codes


@remedy(
    family="tweak the ELBO",
    source="Pelsmaeker and Aziz 2020 (MDR); Rezende and Viola 2018 (GECO)",
    takes={"algorithm": "joint", "objective.beta": 1.0},
    needs={"objective": ("elbo",)},
    cures=("the model ignores z",),
    rank=2,
    codes=False,
)
def target_rate(recipe: Recipe, target: float = 5.0, of: Literal["rate", "distortion"] = "rate") -> Recipe:
    """Minimise the negative ELBO among models whose rate is at least the target (or whose distortion is at most it).

    Args:
        recipe: The recipe to change.
        target: In nats per example.
        of: "rate", or "distortion" to lower the rate as far as the target allows.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> target_rate(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), target=8.0).algorithm
        TargetRate(target=8.0, of='rate', eta=0.01)
    """
    refuse_codes(recipe, "target_rate")
    return replace(recipe, algorithm=TargetRate(target=target, of=of))
