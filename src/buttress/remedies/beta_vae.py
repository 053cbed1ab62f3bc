"""beta-VAE: a constant weight of the rate, above 1 for simpler latents, below 1 for more of them."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy
from buttress.remedies._codes import refuse_codes
from buttress.schedules.constant import Constant


@remedy(
    family="tweak the ELBO",
    source="Higgins et al. 2017",
    takes={"objective.beta": 1.0},
    needs={"objective": ("elbo", "free_bits")},
)
def beta_vae(recipe: Recipe, beta: float = 4.0) -> Recipe:
    """Weigh the rate by beta throughout training.

    Above 1 it is no remedy for collapse but a cause of it: directions of z whose gain is below beta are given up.

    Args:
        recipe: The recipe to change.
        beta: The weight, above 0.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> beta_vae(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), beta=0.5).objective.beta
        Constant(value=0.5)
    """
    if not beta > 0:
        raise DoesNotFit(f"beta_vae: beta is {beta}, wanted a number above 0")
    refuse_codes(recipe, "beta_vae")
    return replace(recipe, objective=recipe.objective.replace(beta=Constant(beta)))
