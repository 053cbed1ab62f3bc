"""FactorVAE: a discriminator makes the coordinates of z independent of each other."""

from __future__ import annotations

from dataclasses import replace

from buttress.algorithms.factor_vae import FactorVAE
from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy


@remedy(family="tweak the learning", source="Kim and Mnih 2018", takes={"algorithm": "joint"})
def factor_vae(
    recipe: Recipe, gamma: float = 10.0, width: int = 256, layers: int = 5, discriminator_rate: float = 1e-4
) -> Recipe:
    """Penalise the total correlation of z, as estimated by a discriminator trained beside the model.

    Args:
        recipe: The recipe to change.
        gamma: Weight of the total correlation, beside the 1 that the ELBO already gives it.
        width: Units in each of the discriminator's hidden layers; 1000 in the paper.
        layers: How many of these.
        discriminator_rate: Learning rate of the discriminator; 1e-4 suits runs of hundreds of thousands of steps, and
            in a few thousand the discriminator learns nothing at it, so that z is not changed.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> factor_vae(recipe, gamma=30.0).algorithm
        FactorVAE(gamma=30.0, discriminator_rate=0.0001, width=256, layers=5)
    """
    if recipe.posterior.discrete:
        raise DoesNotFit(f"factor_vae needs a z of real numbers, and the {recipe.posterior.name()} posterior has codes")
    return replace(recipe, algorithm=FactorVAE(gamma, discriminator_rate, width, layers))
